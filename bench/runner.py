"""Runs a measurement so that whoever ends it ends all that it has started."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import TypeVar

_T = TypeVar("_T")


def run(main: Coroutine[None, None, _T]) -> _T:
    """Run it as `asyncio.run` does; SIGTERM ends it as Ctrl-C does.

    By itself SIGTERM ends Python at once, and the servers that it started would stay. Raises
    `KeyboardInterrupt` once everything is ended.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell has what runs behind it ignore Ctrl-C, which is then no way to be ended.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    return asyncio.run(main)
