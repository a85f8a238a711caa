from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.texthash import content_hash


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "0"),
        ("a", "61"),
        ("hello", "5e918d2"),
        ("你好", "9f61d"),
        ("🦞", "1b0d20"),
        ("嘿。🦞\n\n有什么事吗？", "-3e5097fb"),
        ("zzzzzzz", "cd7faba"),
        ("\ud83e", "d83e"),
        ("\0", "0"),
        ("polygenelubricants", "-80000000"),
    ],
)
def test_the_vectors_of_the_protocol(text: str, expected: str) -> None:
    """What JavaScript SDKs print for these texts, a lone surrogate included."""
    assert content_hash(text) == expected


def hash_by_definition(text: str) -> str:
    """Hash one unit at a time, as docs/protocol.md defines it."""
    value = 0
    units = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(units[::2], units[1::2], strict=True):
        value = (31 * value + low + 256 * high) % 2**32
    return f"{value - 2**32 if value >= 2**31 else value:x}"


@given(st.text(st.characters(codec=None), max_size=40))
def test_every_text_hashes_as_defined(text: str) -> None:
    """Folding several units at once changes nothing, at any length."""
    assert content_hash(text) == hash_by_definition(text)


@pytest.mark.parametrize("text", ["\uffff" * 9_999, "嘿🦞x" * 20_001])
def test_long_texts_and_largest_units_hash_as_defined(text: str) -> None:
    """No lane of the huge integer overflows into its neighbour."""
    assert content_hash(text) == hash_by_definition(text)


def test_halves_hash_as_the_whole() -> None:
    """A pair that was cut and joined again is two code units either way."""
    assert content_hash("a\ud83e" + "\udd9eb") == content_hash("a🦞b")
