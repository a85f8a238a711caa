"""A body is read within its limits."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive

from relay.errors import BadRequest, LimitReached
from relay.web.body import ClientGone, read_body


def receiving(*messages: Message) -> Receive:
    """A `receive` that hands out these messages and then nothing more."""
    queue = list(messages)

    async def receive() -> Message:
        if not queue:
            await asyncio.get_running_loop().create_future()
        return queue.pop(0)

    return receive


def part(body: bytes, *, more: bool = False) -> Message:
    """One piece of a body."""
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_in_pieces_is_joined() -> None:
    """Pieces arrive in order until one says that it is the last."""
    assert await read_body(receiving(part(b"ab", more=True), part(b"cd"))) == b"abcd"


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    """The limit itself is allowed."""
    assert await read_body(receiving(part(b"abcd")), max_bytes=4) == b"abcd"


async def test_a_body_above_the_limit_is_refused_before_its_end() -> None:
    """The sum counts, and nothing behind the limit is waited for."""
    with pytest.raises(LimitReached):
        await read_body(receiving(part(b"abc", more=True), part(b"de", more=True)), max_bytes=4)


async def test_a_body_that_does_not_come_is_refused() -> None:
    """A sender that stops in the middle meets the deadline."""
    with pytest.raises(BadRequest, match="took longer"):
        await read_body(receiving(part(b"{", more=True)), deadline_s=0.01)


async def test_a_client_that_hangs_up_is_nobody_to_answer() -> None:
    """A disconnect in the middle of the body is told apart from a bad body."""
    with pytest.raises(ClientGone):
        await read_body(receiving(part(b"{", more=True), {"type": "http.disconnect"}))
