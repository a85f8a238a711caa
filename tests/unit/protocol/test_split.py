from __future__ import annotations

import pytest

from relay.protocol.split import split_content


def test_empty_text_has_no_pieces() -> None:
    """Nothing to send is nothing."""
    assert list(split_content("", 8)) == []


def test_text_within_the_limit_is_one_piece() -> None:
    """The limit itself is allowed, counted in bytes of UTF-8."""
    assert list(split_content("abcdefgh", 8)) == ["abcdefgh"]


@pytest.mark.parametrize("text", ["abcdefghi", "é" * 20, "你好" * 9, "a🦞" * 7, "🦞" * 11])
def test_pieces_fit_and_join_to_the_text(text: str) -> None:
    """No piece is above the limit, none is empty, and no code point is cut."""
    pieces = list(split_content(text, 8))
    assert "".join(pieces) == text
    assert all(0 < len(piece.encode()) <= 8 for piece in pieces)
