from __future__ import annotations

import pytest

from relay_sdk.bridge.endpoint import PRESETS, Endpoint
from relay_sdk.bridge.failures import FailureKind, ModelFailure, read_failure

ENDPOINT = Endpoint(
    "http://127.0.0.1:11434/v1",
    "lobster",
    api_key="k3y",
    key_from="OPENAI_API_KEY",
    is_it_running=PRESETS["ollama"].is_it_running,
    what_404_means=PRESETS["ollama"].what_404_means,
)


class APIError(Exception):
    """Named as the library names it; its real errors are in test_completions.py."""


class APIConnectionError(APIError):
    pass


class APITimeoutError(APIConnectionError):
    pass


class TransportError(Exception):
    """Named as httpx names it."""


class TimeoutException(TransportError):
    pass


class APIStatusError(APIError):
    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code


def failure(error: Exception, *, begun: bool = False) -> ModelFailure:
    """Return what the error means."""
    found = read_failure(error, ENDPOINT, begun=begun)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (401, FailureKind.KEY, "refuses the key (401): check OPENAI_API_KEY"),
        (403, FailureKind.KEY, "refuses the key (403): check OPENAI_API_KEY"),
        (404, FailureKind.MODEL, "does not know the model 'lobster'"),
        (404, FailureKind.MODEL, "`ollama pull` fetches more; the text"),
        (429, FailureKind.BUSY, "limits the rate, or a quota is used up (429): the text"),
        (400, FailureKind.REQUEST, "does not take the request (400): the text"),
        (500, FailureKind.SERVER, "fails (500): the text"),
        (503, FailureKind.SERVER, "fails (503): the text"),
    ],
)
def test_a_status_says_whose_fault_it_is(status: int, kind: FailureKind, told: str) -> None:
    """One line with the endpoint, the status, what it means and what to do."""
    found = failure(APIStatusError(status, "the text"))
    assert found.kind is kind
    assert str(found).startswith("http://127.0.0.1:11434/v1 ")
    assert told in str(found)


@pytest.mark.parametrize(
    ("error", "begun", "kind", "told"),
    [
        (APITimeoutError("x"), False, FailureKind.TIMEOUT, "silent for too long"),
        (APIConnectionError("x"), False, FailureKind.UNREACHABLE, "is Ollama running?"),
        (APIConnectionError("x"), True, FailureKind.CUT, "broke off in the middle"),
        (TransportError("x"), True, FailureKind.CUT, "broke off in the middle"),
        (TimeoutException("x"), True, FailureKind.TIMEOUT, "silent for too long"),
        (APIError("overloaded"), False, FailureKind.SERVER, "reports an error: overloaded"),
        (APIError("overloaded"), True, FailureKind.CUT, "reports an error: overloaded"),
        (ValueError("char 3"), False, FailureKind.SERVER, "no chat completion: char 3"),
        (ValueError("char 3"), True, FailureKind.CUT, "no chat completion: char 3"),
    ],
)
def test_what_has_no_status_is_told_by_its_name(
    error: Exception, *, begun: bool, kind: FailureKind, told: str
) -> None:
    """And by whether the answer had begun."""
    found = failure(error, begun=begun)
    assert found.kind is kind
    assert told in str(found)


def test_an_error_of_ours_is_none_of_the_models() -> None:
    """It keeps its traceback."""
    assert read_failure(KeyError("x"), ENDPOINT, begun=False) is None


def test_no_key_gets_into_the_line() -> None:
    """Endpoints repeat it, whole or in part."""
    refused = failure(APIStatusError(401, "Incorrect API key provided: k3*"))
    assert "k3" not in str(refused)
    assert "k3y" not in str(failure(APIStatusError(400, "Bearer k3y is\nnot welcome")))


def test_the_line_is_one_and_not_too_long() -> None:
    """Some endpoints answer with a whole page."""
    line = str(failure(APIStatusError(500, "<html>\n" + "x" * 5_000)))
    assert "\n" not in line
    assert len(line) < 500


@pytest.mark.parametrize("kind", FailureKind)
def test_the_glasses_are_told_in_the_users_language(kind: FailureKind) -> None:
    """English for English, Chinese for everybody else, and never an address or a status."""
    found = ModelFailure(kind, "http://127.0.0.1:11434/v1 fails (500)")
    assert found.shown("en-US").isascii()
    assert not found.shown("zh-CN").isascii()
    assert found.shown("") == found.shown("zh-CN")
    for lang in ("en", "zh"):
        assert "500" not in found.shown(lang)
        assert "http" not in found.shown(lang)


def test_only_what_may_pass_is_tried_again() -> None:
    """A wrong key stays wrong, and a busy endpoint gets busier."""
    passing = {kind for kind in FailureKind if ModelFailure(kind, "").is_passing}
    assert passing == {FailureKind.SERVER, FailureKind.UNREACHABLE}
