"""Answers that the reference lost: each kind is 12 chunks, with a pitfall among them."""

from __future__ import annotations

from collections.abc import Mapping

WORDS = ("好", "的", "，今天", "晴", "。", "出", "门", "走", "走", "吧", "！", "再见")


def _with(*changes: tuple[int, str]) -> tuple[str, ...]:
    chunks = list(WORDS)
    for place, content in changes:
        chunks[place] = content
    return tuple(chunks)


CONTENTS: Mapping[str, tuple[str, ...]] = {
    "whitespace": _with((0, " "), (5, "\t"), (6, "\u3000"), (11, " ")),
    "newlines": _with((0, "\n\n"), (5, "\n\n"), (6, "\r\n"), (11, "\n")),
    # U+1F99E and U+1F389 cut in two, as a tokeniser's output is cut by JavaScript.
    "split emoji": _with((3, "\ud83e"), (4, "\udd9e"), (10, "!\ud83c"), (11, "\udf89")),
    "empty chunk": _with((0, ""), (5, ""), (11, "")),
    "separators": _with((2, "\u2028"), (3, "\u2029\u0085"), (4, "\x00\x0b\x0c"), (5, "data: x\r")),
}
