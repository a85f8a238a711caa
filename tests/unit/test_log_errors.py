from __future__ import annotations

import pytest

from relay.errors import StoreError
from relay.log_errors import CHAIN_MAX, HIDDEN_MESSAGE, ErrorText


def told(error: BaseException, *, with_messages: bool = False) -> str:
    """The text of an exception that was raised."""
    with pytest.raises(type(error)) as raised:
        raise error
    return ErrorText(with_messages=with_messages)((type(error), error, raised.value.__traceback__))


@pytest.mark.parametrize(
    "error", [StoreError("the disk is full"), OSError(5, "broken"), TypeError("a letter is text")]
)
def test_what_speaks_of_the_code_or_the_system_is_told(error: Exception) -> None:
    """Ours, the system's, the interpreter's."""
    assert told(error).endswith(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("error", [ValueError("said"), KeyError("said"), Exception("said")])
def test_what_may_quote_somebody_is_told_only_where_it_is_asked_for(error: Exception) -> None:
    """Its class and its place are told in any case."""
    text = told(error)
    assert "said" not in text
    assert text.splitlines()[-1] == f"{type(error).__name__}: {HIDDEN_MESSAGE}"
    assert 'test_log_errors.py", line' in text
    assert "said" in told(error, with_messages=True)


def test_an_exception_without_words_has_none_to_hide() -> None:
    """Its class alone."""
    assert told(ValueError()).endswith("\nValueError")


def test_what_led_to_it_is_told_first() -> None:
    """Each with its own place; a cause that was put aside is not told."""
    error = StoreError("the row is odd")
    error.__context__ = ValueError("said")
    text = told(error)
    assert text.index("ValueError") < text.index("StoreError: the row is odd")
    assert text.count("Traceback (most recent call last)") == 2
    error.__suppress_context__ = True
    assert "ValueError" not in told(error)
    error.__cause__ = KeyError("said")
    assert told(error).index("KeyError") < told(error).index("StoreError")


def test_the_parts_of_a_group_are_told() -> None:
    """A task group raises one; what went wrong is within."""
    text = told(ExceptionGroup("several", [StoreError("gone"), ValueError("said")]))
    assert "StoreError: gone" in text
    assert "said" not in text


def test_a_chain_has_an_end() -> None:
    """However long it is, and where it bites its tail."""
    error: Exception = ValueError("first")
    for number in range(3 * CHAIN_MAX):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    assert told(error).count("Traceback") == CHAIN_MAX
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert told(one).count("Traceback") == 2
