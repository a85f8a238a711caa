"""Exceptions as the log tells them: where, which, and without what others put into their words.

The message of a foreign exception often quotes what it was given (`ValueError`, `KeyError`, a
decoder's), and what this relay is given is what people say. So such a message is left out, unless
the log is at `debug`. Ours, the system's and those that speak of the code stay.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from relay.errors import RelayError

HIDDEN_MESSAGE: Final = "(its message is left out; RELAY_LOG_LEVEL=debug shows it)"

TELLING: Final = (
    RelayError,
    OSError,
    AttributeError,
    ImportError,
    NameError,
    RuntimeError,
    TypeError,
)
"""What these say names a file, a host or a piece of code."""

CHAIN_MAX: Final = 10

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class ErrorText:
    """Makes the text of an exception. `with_messages`: of all, whatever they say."""

    def __init__(self, *, with_messages: bool) -> None:
        self._with_messages = with_messages

    def __call__(self, exc_info: ExcInfo) -> str:
        """Return the traceback of an exception and of those that led to it, the first one first."""
        return "\n\n".join(self._one(error) for error in reversed(list(_chain(exc_info[1]))))

    def _one(self, error: BaseException) -> str:
        where = "".join(traceback.format_tb(error.__traceback__))
        text = f"Traceback (most recent call last):\n{where}{type(error).__qualname__}"
        said = str(error)
        if said and not (self._with_messages or isinstance(error, TELLING)):
            said = HIDDEN_MESSAGE
        text += f": {said}" if said else ""
        if isinstance(error, BaseExceptionGroup):
            text = "\n\n".join([text, *(self._one(part) for part in error.exceptions)])
        return text


def _chain(error: BaseException) -> Iterator[BaseException]:
    known: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in known and len(known) < CHAIN_MAX:
        known.add(id(following))
        yield following
        context = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or context
