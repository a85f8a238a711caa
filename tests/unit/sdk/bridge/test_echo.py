from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay_sdk.bridge.echo import echo, split_words
from relay_sdk.command import Command


@given(st.text())
def test_words_join_to_the_text(text: str) -> None:
    """No white space is lost between the words, before or behind them."""
    assert "".join(split_words(text)) == text


def test_each_word_is_a_chunk_of_its_own() -> None:
    """A word comes with the space before it."""
    assert split_words("how are  you\n") == ["how", " are", "  you\n"]


async def test_echo_answers_with_the_question() -> None:
    """Word by word."""
    assert [word async for word in echo(Command("s1", "hello  glasses"))] == ["hello", "  glasses"]
