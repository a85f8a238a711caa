"""A bot without a model: it says the question again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from relay_sdk.command import Command

_WORDS = re.compile(r"\s*\S+\s*$|\s*\S+|\s+$")
"""A word with the space before it; the last one takes the space behind it."""


async def echo(command: Command, delay_s: float = 0.0) -> AsyncIterator[str]:
    """Answer with the words of the question, one chunk each."""
    for word in split_words(command.text):
        yield word
        await asyncio.sleep(delay_s)


def split_words(text: str) -> list[str]:
    """Return the words with the white space around them; joined they are the text again."""
    return _WORDS.findall(text)
