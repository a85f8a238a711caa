from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from relay.protocol.events import Abort, Chunk, End
from relay.protocol.sending import SenderLimits, Stored
from relay_sdk.command import Command
from relay_sdk.handlers import Handler, run_handler
from relay_sdk.reply import Reply
from relay_sdk.streams import Streams

HELLO = Command("s1", "hello")


async def answer_of(handler: Handler) -> tuple[str, Reply]:
    """Run the handler and return what it sent."""
    pieces: list[str] = []

    def transmit(stream_id: str, message: Chunk | End | Abort) -> None:
        if isinstance(message, Chunk):
            pieces.append(message.content)

    streams = Streams(transmit, SenderLimits())
    reply = Reply(streams.open("s1", 10), streams)
    await run_handler(handler, HELLO, reply)
    streams.close()
    return "|".join(pieces), reply


class WithCall:
    async def __call__(self, command: Command) -> str:
        return f"object {command.text}"


async def returns_text(command: Command) -> str:
    """A coroutine function."""
    return f"async {command.text}"


async def yields_text(command: Command) -> AsyncIterator[str]:
    """An async generator."""
    yield "async"
    yield command.text


def returns_text_from_a_thread(command: Command) -> str:
    """A plain function."""
    assert threading.current_thread() is not threading.main_thread()
    return f"sync {command.text}"


def yields_text_from_a_thread(command: Command) -> Iterator[str]:
    """A plain generator."""
    assert threading.current_thread() is not threading.main_thread()
    yield "sync"
    yield command.text


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (returns_text, "async hello"),
        (yields_text, "async|hello"),
        (returns_text_from_a_thread, "sync hello"),
        (yields_text_from_a_thread, "sync|hello"),
        (WithCall(), "object hello"),
        (functools.partial(yields_text), "async|hello"),
        (lambda command: returns_text(command=command), "async hello"),
    ],
)
async def test_every_form_of_handler_answers(handler: Handler, expected: str) -> None:
    """Async or not, returned or yielded: the text becomes chunks and the answer ends."""
    text, reply = await answer_of(handler)
    assert text == expected
    assert reply.opened


async def test_a_handler_that_returns_nothing_has_replied_itself() -> None:
    """None is no text, and the reply is left as the handler left it."""

    async def handler(command: Command) -> None:
        return None

    text, reply = await answer_of(handler)
    assert text == ""
    assert not reply.opened


async def test_what_is_no_text_is_an_error() -> None:
    """A number or a dict is a mistake of the handler, told by name."""
    with pytest.raises(TypeError, match="not int"):
        await answer_of(lambda _: 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="yields text, not NoneType"):
        await answer_of(yields_nothing)  # type: ignore[arg-type]


async def yields_nothing(command: Command) -> AsyncIterator[None]:
    """An async generator of something else."""
    yield None


async def test_a_cancelled_generator_is_closed_at_once() -> None:
    """Its `finally` runs before the handler's task ends: the call to the model stops."""
    closed = asyncio.Event()
    started = asyncio.Event()

    async def handler(command: Command) -> AsyncIterator[str]:
        try:
            started.set()
            await asyncio.Event().wait()
            yield "never"
        finally:
            closed.set()

    task = asyncio.create_task(answer_of(handler))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()


async def test_a_full_window_stops_a_generator() -> None:
    """Backpressure reaches whoever produces: with credit 1 the second text is not taken."""
    produced: list[int] = []

    async def handler(command: Command) -> AsyncIterator[str]:
        for number in range(5):
            produced.append(number)
            yield str(number)

    streams = Streams(lambda _id, _message: None, SenderLimits())
    reply = Reply(streams.open("s1", 1), streams)
    task = asyncio.create_task(run_handler(handler, HELLO, reply))
    for _ in range(20):
        await asyncio.sleep(0)
    assert produced == [0, 1]
    streams.receive("s1", Stored(1, (), 1))
    for _ in range(20):
        await asyncio.sleep(0)
    assert produced == [0, 1, 2]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    streams.close()
