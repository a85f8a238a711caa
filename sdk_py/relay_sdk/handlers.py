"""Whatever form a handler has, its text ends up in the reply."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import TypeVar

from relay_sdk.command import Command
from relay_sdk.reply import Reply

Handler = (
    Callable[[Command], Awaitable[str | None]]
    | Callable[[Command], AsyncIterator[str]]
    | Callable[[Command], Iterable[str]]
    | Callable[[Command], str | None]
)
"""A coroutine function, an async generator of text, or the same two without `async`, which run
in a thread. Text that is returned or yielded is the reply; a handler that opens the reply
itself returns None."""

AnyHandler = TypeVar("AnyHandler", bound=Handler)


async def run_handler(handler: Handler, command: Command, reply: Reply) -> None:
    """Call the handler and write what it produces. What it raises is raised."""
    if _is_async(handler):
        produced: object = handler(command)
    else:
        produced = await asyncio.to_thread(handler, command)
    if inspect.isawaitable(produced):
        produced = await produced
    match produced:
        case None:
            return
        case str():
            async with reply:
                await reply.write(produced)
        case AsyncIterator():
            async with reply:
                await _write_all(produced, reply)
        case Iterable():
            async with reply:
                await _write_all_from_thread(iter(produced), reply)
        case _:
            raise TypeError(f"a handler returns text or None, not {type(produced).__name__}")


async def _write_all(texts: AsyncIterator[object], reply: Reply) -> None:
    if inspect.isasyncgen(texts):
        # Cancelled or closed early: the generator's `finally` runs now, not when it is collected.
        async with aclosing(texts):
            async for text in texts:
                await reply.write(_checked(text))
    else:
        async for text in texts:
            await reply.write(_checked(text))


async def _write_all_from_thread(texts: Iterator[object], reply: Reply) -> None:
    while (text := await asyncio.to_thread(next, texts, None)) is not None:
        await reply.write(_checked(text))


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a handler yields text, not {type(text).__name__}")
    return text


def _is_async(handler: Handler) -> bool:
    called = getattr(handler, "__call__", handler)  # noqa: B004 - an object with an async __call__
    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        for one in (handler, called)
    )
