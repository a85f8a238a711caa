"""Errors as machines read them: `{"error": <what to do>, "code": <stable name>}`."""

from __future__ import annotations

import math
from collections.abc import Mapping

from starlette.responses import JSONResponse

from relay.devices.base import InvalidRequest
from relay.errors import (
    BadRequest,
    LimitReached,
    NotFound,
    OutOfScope,
    Overloaded,
    PositionGone,
    RateLimited,
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
    more |= retry_after(error)
    body = {"error": message, "code": error_code(error)}
    if isinstance(error, RateLimited):
        body["limit"] = error.limit
    return JSONResponse(body, status_code=status, headers=more)


def retry_after(error: Exception) -> dict[str, str]:
    """Return the header that says when to come back, in whole seconds, if that is known."""
    if not isinstance(error, LimitReached) or error.retry_after_s is None:
        return {}
    return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}


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
        case RateLimited():
            return 429, error.message
        case Overloaded():
            return 503, error.message
        case LimitReached(retry_after_s=None):
            return 413, error.message
        case LimitReached():
            # Not too large, but too much just now: a relay that drains says so, too.
            return 503, error.message
        case RequestError():
            return 400, error.message
        case RelayError():
            return 503, "the relay cannot do this right now; try again in a moment"
        case _:
            return 500, "something went wrong in the relay"
