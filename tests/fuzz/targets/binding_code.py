"""A code as people say, type and photograph it."""

from __future__ import annotations

from typing import Final

from relay.devices.binding_code import find_code, is_code, show_code
from tests.fuzz.pieces import text
from tests.fuzz.target import Target


def check(data: bytes) -> None:
    """What is found is a code, and it is found again as it is shown, in any case."""
    code = find_code(text(data))
    if code is None:
        return
    assert is_code(code)
    shown = show_code(code)
    for said in (shown, shown.lower(), f"my code is {shown}!", " ".join(code)):
        assert find_code(said) == code


def seeds() -> list[bytes]:
    """Typed, spoken, spelt, in full width, and what only looks like one."""
    said = ["7KDQ4-XMB2T", "七 k d q 四 x m b 二 t", "my code is 7kdq4 xmb2t, thanks"]
    said += [
        "７ＫＤＱ４－ＸＭＢ２Ｔ",
        "OIL23-OIL23",
        "hello there",
        "ß7ﬁdq4xmb2t",
        "7KDQ4 XMB2T 7KDQ4",
    ]
    return [one.encode() for one in said]


TARGET: Final = Target(check, seeds)
