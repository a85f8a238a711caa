"""Errors as answers of the admin API."""

from __future__ import annotations

import json

import pytest

from relay.errors import BadRequest, NotFound, RelayError, StoreError, Unauthorized
from relay.web.admin.problems import (
    Busy,
    Conflict,
    CsrfFailed,
    MethodNotAllowed,
    NotAcceptable,
    TooManyAttempts,
    UnsupportedMediaType,
    problem,
)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TooManyAttempts(3.2), 429, "too_many_attempts"),
        (Busy("full", retry_after_s=2), 429, "busy"),
        (CsrfFailed("x"), 403, "csrf_failed"),
        (Conflict("x"), 409, "conflict"),
        (MethodNotAllowed(["GET", "POST"]), 405, "method_not_allowed"),
        (NotAcceptable("x"), 406, "not_acceptable"),
        (UnsupportedMediaType("x"), 415, "unsupported_media_type"),
        (BadRequest("x"), 400, "bad_request"),
        (Unauthorized("x"), 401, "unauthorized"),
        (NotFound("x"), 404, "not_found"),
        (StoreError("sqlite:///secret"), 503, "internal"),
    ],
)
def test_each_error_has_its_status_and_code(error: RelayError, status: int, code: str) -> None:
    """A machine reads the code, and nobody keeps a copy."""
    response = problem(error)
    body = json.loads(bytes(response.body))
    assert (response.status_code, body["code"]) == (status, code)
    assert response.headers["Cache-Control"] == "no-store"
    assert "secret" not in body["error"]


def test_headers_say_when_to_come_back_and_what_is_allowed() -> None:
    """`Retry-After` is whole seconds, rounded up."""
    assert problem(TooManyAttempts(3.2)).headers["Retry-After"] == "4"
    assert problem(Busy("full")).headers["Retry-After"] == "1"
    assert problem(MethodNotAllowed(["GET", "POST"])).headers["Allow"] == "GET, POST"
