"""Whole characters out of halves.

JavaScript strings are UTF-16, so a bot may cut an emoji between two chunks: one ends with a
high surrogate, the next starts with the low one. JSON carries the halves as escapes, and a
device that decodes each event by itself shows two replacement characters.
"""

from __future__ import annotations

from array import array

_HIGH_FIRST, _HIGH_LAST = "\ud800", "\udbff"


def has_surrogates(text: str) -> bool:
    """Whether the text holds a surrogate code point, paired or not."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def join_halves(carry: str, raw: str) -> tuple[str, str]:
    """Return `(text, carry)`: `carry + raw` as well-formed text, and a trailing high half.

    A half that finds no partner becomes U+FFFD, as `String.prototype.toWellFormed` does it.
    """
    if not carry and not has_surrogates(raw):
        return raw, ""
    joined = carry + raw
    rest = ""
    if joined and _HIGH_FIRST <= joined[-1] <= _HIGH_LAST:
        joined, rest = joined[:-1], joined[-1]
    units = joined.encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "replace"), rest


def well_formed(text: str) -> str:
    """Return a text that nothing follows: each half without its partner becomes U+FFFD."""
    joined, half = join_halves("", text)
    return joined + "\ufffd" if half else joined


def code_units(text: str) -> str:
    """Return the text with every character outside the BMP as its two halves.

    In this form texts that were cut at any place concatenate and compare exactly.
    """
    if text.isascii() or max(text) <= "\uffff":
        return text
    units = array("H")
    units.frombytes(text.encode("utf-16-le", "surrogatepass"))
    return "".join(map(chr, units))
