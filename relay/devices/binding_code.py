"""The code that binds a user to a bot, as people say, type and photograph it.

Ten characters of Crockford's base 32, shown in two groups: `7KDQ4-XMB2T`. People mistake letters
for digits, speak in lower case, and speech recognition writes digits in words of its own, so all
of that is forgiven. A code has at least one digit that looks like no letter: without it, "hello
there" would be one.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: without I, L, O and U."""

CHARS: Final = 10
"""50 bits."""

GROUP_CHARS: Final = 5

PLAIN_DIGITS: Final = frozenset("23456789")
"""Digits that are taken for no letter."""

TEXT_CHARS_MAX: Final = 256
"""In a longer text nobody says a code."""

_FORGIVEN: Final = str.maketrans("OIL〇零一二三四五六七八九", "01100123456789")
_CANDIDATE: Final = re.compile(
    rf"(?<![0-9A-Z])[0-9A-Z]{{{GROUP_CHARS}}}[\s-]?[0-9A-Z]{{{GROUP_CHARS}}}(?![0-9A-Z])"
)


def find_code(text: str) -> str | None:
    """Return the code in what somebody said, or None where there is none.

    The result is as `is_code` wants it: upper case, without the hyphen. A text that is a code
    spelt letter by letter is one, and a code may stand among other words.
    """
    if len(text) > TEXT_CHARS_MAX:
        return None
    # NFKC makes full-width letters and digits plain ones.
    text = unicodedata.normalize("NFKC", text).upper().translate(_FORGIVEN)
    whole = "".join(char for char in text if char.isalnum())
    found = [whole, *("".join(filter(str.isalnum, match)) for match in _CANDIDATE.findall(text))]
    return next(filter(is_code, found), None)


def is_code(text: str) -> bool:
    """Whether this is a code in its plain form."""
    chars = set(text)
    return len(text) == CHARS and chars <= set(ALPHABET) and bool(chars & PLAIN_DIGITS)


def show_code(code: str) -> str:
    """Return the code as people read it: in two groups."""
    return f"{code[:GROUP_CHARS]}-{code[GROUP_CHARS:]}"
