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
    PositionGone,
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


@pytest.mark.parametrize("error", [StoreError("password"), RuntimeError("password")])
def test_what_is_not_the_callers_fault_says_nothing_of_its_cause(error: Exception) -> None:
    """A driver's message never reaches a client."""
    assert b"password" not in bytes(json_error(error).body)


def test_a_401_says_how_to_authenticate() -> None:
    """RFC 9110 demands `WWW-Authenticate`; the given headers stay."""
    headers = json_error(Unauthorized("x"), {"X-Y": "z"}).headers
    assert (headers["WWW-Authenticate"], headers["X-Y"]) == ("Bearer", "z")
