"""The errors that only HTTP has, and every error as an answer of the admin API."""

from __future__ import annotations

import math
from collections.abc import Sequence

from starlette.responses import JSONResponse

from relay.errors import LimitReached, RequestError
from relay.web.answers import json_error


class TooManyAttempts(LimitReached):
    """Wrong credentials came from this address too often; `retry_after_s` says how long to wait."""

    code = "too_many_attempts"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            f"too many wrong tokens from your address; try again in {math.ceil(retry_after_s)} s",
            retry_after_s=retry_after_s,
        )


class Busy(LimitReached):
    """All places are taken."""

    code = "busy"


class CsrfFailed(RequestError):
    """A session's cookie came without the token that only its own page knows."""

    code = "csrf_failed"


class Conflict(RequestError):
    """The request is well-formed, and not possible as things are."""

    code = "conflict"


class MethodNotAllowed(RequestError):
    """The path knows other methods; `allowed` are they."""

    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"this path takes {', '.join(allowed)}")
        self.allowed = tuple(allowed)


class NotAcceptable(RequestError):
    """The caller wants a format that there is not."""

    code = "not_acceptable"


class UnsupportedMediaType(RequestError):
    """The body is of a type that is not read."""

    code = "unsupported_media_type"


def problem(error: Exception) -> JSONResponse:
    """Return the answer for an error: those of `relay.web.answers.json_error`, and these."""
    headers: dict[str, str] = {"Cache-Control": "no-store"}
    status: int | None = None
    match error:
        case TooManyAttempts() | Busy():
            status = 429
            headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or 1.0)))
        case CsrfFailed():
            status = 403
        case MethodNotAllowed():
            status = 405
            headers["Allow"] = ", ".join(error.allowed)
        case NotAcceptable():
            status = 406
        case Conflict():
            status = 409
        case UnsupportedMediaType():
            status = 415
        case _:
            pass
    response = json_error(error, headers)
    if status is not None:
        response.status_code = status
    return response
