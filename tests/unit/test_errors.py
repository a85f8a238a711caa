"""The tree of errors: the drawing in its docstring is the tree that runs."""

from __future__ import annotations

import re

import pytest

from relay import errors


def drawn(docstring: str) -> dict[str, str]:
    """Read the drawing: each error and what it is drawn under."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in docstring.splitlines():
        match = re.match(r"^(?P<branch>[ |`-]*)(?P<name>[A-Z]\w+)(  |$)", line)
        if match is None:
            continue
        column = len(match["branch"])
        above = [(other, name) for other, name in above if other < column]
        if above:
            parents[match["name"]] = above[-1][1]
        above.append((column, match["name"]))
    return parents


def test_the_drawn_tree_is_the_real_one() -> None:
    """Each error stands under its base class, and none is left out."""
    real = {
        error.__name__: error.__bases__[0].__name__
        for error in vars(errors).values()
        if isinstance(error, type) and error is not errors.RelayError
    }
    assert drawn(errors.__doc__ or "") == real


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadRequest("no message", field="message"), "bad_request"),
        (errors.Unauthorized("give a key"), "unauthorized"),
        (errors.OutOfScope("ask for another key"), "out_of_scope"),
        (errors.NotFound("no such bot"), "not_found"),
        (errors.UnknownStream("s1"), "unknown_stream"),
        (errors.PositionGone("read from the start"), "position_gone"),
        (errors.LimitReached("too many", retry_after_s=2.0), "limit_reached"),
        (errors.RateLimited("wait", limit="asks_per_key", retry_after_s=2.0), "rate_limited"),
        (errors.Overloaded("wait", retry_after_s=2.0), "overloaded"),
    ],
)
def test_a_request_error_has_a_stable_code_and_words_for_the_caller(
    error: errors.RequestError, code: str
) -> None:
    """The code is for programs and never changes; the message is what people read."""
    assert error.code == code
    assert error.message
    assert str(error) == error.message


def test_an_error_carries_its_facts() -> None:
    """Nobody has to parse a message."""
    assert errors.BadRequest("no message", field="message").field == "message"
    assert errors.UnknownStream("s1").stream_id == "s1"
    assert errors.LimitReached("too many", retry_after_s=2.0).retry_after_s == 2.0
    assert errors.LimitReached("too long").retry_after_s is None


def test_an_unknown_stream_does_not_say_whether_it_exists() -> None:
    """A stranger gets one answer for streams that exist and those that do not, without the id."""
    assert "s1" not in errors.UnknownStream("s1").message
