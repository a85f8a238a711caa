"""Errors as machines read them."""

from __future__ import annotations

import json

import pytest

from relay.devices.base import InvalidRequest
from relay.errors import (
    BadRequest,
    BrokerUnavailable,
    LimitReached,
    NotFound,
    OutOfScope,
    Overloaded,
    PositionGone,
    RateLimited,
    StoreError,
    Unauthorized,
    UnknownStream,
)
from relay.web.answers import Unbound, error_code, json_error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadRequest("x"), 400, "bad_request"),
        (InvalidRequest("x", field="body"), 400, "bad_request"),
        (Unauthorized("x"), 401, "unauthorized"),
        (OutOfScope("x"), 403, "out_of_scope"),
        (NotFound("x"), 404, "not_found"),
        (UnknownStream("s"), 404, "unknown_stream"),
        (Unbound("x"), 404, "unbound"),
        (PositionGone("x"), 410, "position_gone"),
        (LimitReached("x"), 413, "limit_reached"),
        (LimitReached("x", retry_after_s=5.0), 503, "limit_reached"),
        (RateLimited("x", limit="asks_per_key", retry_after_s=1.0), 429, "rate_limited"),
        (Overloaded("x", retry_after_s=5.0), 503, "overloaded"),
        (BrokerUnavailable("x"), 503, "internal"),
        (StoreError("x"), 503, "internal"),
        (RuntimeError("x"), 500, "internal"),
    ],
)
def test_an_error_has_a_status_and_a_stable_code(error: Exception, status: int, code: str) -> None:
    """Whose fault it is decides."""
    response = json_error(error)
    assert (response.status_code, error_code(error)) == (status, code)
    assert json.loads(bytes(response.body))["code"] == code


@pytest.mark.parametrize(("retry_after_s", "told"), [(0.2, "1"), (1.0, "1"), (4.1, "5")])
def test_a_limit_says_when_to_come_back_and_which_it_is(retry_after_s: float, told: str) -> None:
    """In whole seconds, because `Retry-After` has no others, and never 0."""
    response = json_error(RateLimited("x", limit="asks_per_key", retry_after_s=retry_after_s))
    assert response.headers["Retry-After"] == told
    assert json.loads(bytes(response.body))["limit"] == "asks_per_key"


def test_what_is_too_large_is_not_asked_for_again() -> None:
    """It would be as large then."""
    assert "Retry-After" not in json_error(LimitReached("x")).headers


@pytest.mark.parametrize("error", [StoreError("password"), RuntimeError("password")])
def test_what_is_not_the_callers_fault_says_nothing_of_its_cause(error: Exception) -> None:
    """A driver's message never reaches a client."""
    assert b"password" not in bytes(json_error(error).body)


def test_a_401_says_how_to_authenticate() -> None:
    """RFC 9110 demands `WWW-Authenticate`; the given headers stay."""
    headers = json_error(Unauthorized("x"), {"X-Y": "z"}).headers
    assert (headers["WWW-Authenticate"], headers["X-Y"]) == ("Bearer", "z")
