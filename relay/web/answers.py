"""Errors as machines read them: `{"error": <what to do>, "code": <stable name>}`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse

from relay.devices.base import InvalidRequest
from relay.errors import (
    BadRequest,
    LimitReached,
    NotFound,
    OutOfScope,
    PositionGone,
    RelayError,
    RequestError,
    Unauthorized,
    UnknownStream,
)

INTERNAL = "internal"

_UNAUTHORIZED = 401


class Unbound(RequestError):
    """No bot belongs to the user who asks."""

    code = "unbound"


def error_code(error: Exception) -> str:
    """Return the stable name of an error; everything that is not the caller's fault is internal."""
    match error:
        case InvalidRequest():
            return BadRequest.code
        case RequestError():
            return error.code
        case _:
            return INTERNAL


def json_error(error: Exception, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer for an error. What is not the caller's fault says nothing of its cause."""
    status, message = _status_and_message(error)
    more = dict(headers or {})
    if status == _UNAUTHORIZED:
        more["WWW-Authenticate"] = "Bearer"
    body = {"error": message, "code": error_code(error)}
    return JSONResponse(body, status_code=status, headers=more)


def _status_and_message(error: Exception) -> tuple[int, str]:
    match error:
        case InvalidRequest():
            return 400, error.message
        case Unauthorized():
            return _UNAUTHORIZED, error.message
        case OutOfScope():
            return 403, error.message
        case UnknownStream() | Unbound() | NotFound():
            return 404, error.message
        case PositionGone():
            return 410, error.message
        case LimitReached():
            return 413, error.message
        case RequestError():
            return 400, error.message
        case RelayError():
            return 503, "the relay cannot do this right now; try again in a moment"
        case _:
            return 500, "something went wrong in the relay"
