"""A subscription as a response: who is let go, and what stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import pytest
from starlette.types import Message, Scope

from relay.devices.base import StreamView
from relay.errors import BrokerUnavailable, RelayError
from relay.node.subscriber import Batch, Subscription
from relay.web import sse
from relay.web.sse import Responder, stream_prelude
from tests.unit.web.fakes import eventually

SCOPE: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}


class FakeSubscription:
    """Hands out these batches, then waits, or fails."""

    def __init__(self, *batches: Batch, failure: RelayError | None = None) -> None:
        self.view = StreamView("s1", "e", "c", "a", "en", "t1", 7)
        self.batches = list(batches)
        self.failure = failure
        self.taken = 0
        """The last offset that was read."""
        self.delivered_offsets: list[int] = []
        self.closed = 0

    async def next(self) -> Batch:
        """The next batch."""
        if self.batches:
            taken = self.batches.pop(0)
            self.taken = taken.offset
            return taken
        if self.failure is not None:
            raise self.failure
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    def delivered(self) -> None:
        """Note it."""
        self.delivered_offsets.append(self.taken)

    def close(self) -> None:
        """Note it."""
        self.closed += 1


class Device:
    """The other side of a response."""

    def __init__(self, takes: int = 1_000) -> None:
        self.body = b""
        self.finished = False
        self.gone = asyncio.Event()
        self.takes = takes
        """How many messages it reads before it stalls; the first is the head."""

    async def receive(self) -> Message:
        """Say that the device is gone, once it is."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take what is written, as long as the device reads."""
        if not self.takes:
            await asyncio.get_running_loop().create_future()
        self.takes -= 1
        if message["type"] == "http.response.body":
            self.body += message["body"]
            self.finished = not message["more_body"]


def batch(data: bytes, offset: int, *, ended: bool = False) -> Batch:
    """A batch without entries."""
    return Batch(data, (), offset, ended)


async def respond(
    responder: Responder,
    subscription: FakeSubscription,
    device: Device,
    failure: Callable[[RelayError], bytes] = lambda _: b"",
) -> None:
    """Write the response."""
    await responder.respond(
        cast("Subscription", subscription),
        SCOPE,
        device.receive,
        device.send,
        prelude=stream_prelude("s1"),
        headers={},
        failure=failure,
    )


def responder(keepalive_s: float = 30.0) -> Responder:
    """A responder without a drain."""
    return Responder(keepalive_s=keepalive_s, drain_s=0)


async def test_batches_are_written_and_then_delivered() -> None:
    """A batch counts as delivered once its bytes were handed over, an empty one as well."""
    subscription = FakeSubscription(
        batch(b"data: 1\n\n", 1), batch(b"", 2), batch(b"data: 3\n\n", 3, ended=True)
    )
    device = Device()
    await respond(responder(), subscription, device)
    assert device.body == b": stream s1\n\ndata: 1\n\ndata: 3\n\n"
    assert subscription.delivered_offsets == [1, 2, 3]
    assert (device.finished, subscription.closed) == (True, 1)


async def test_what_the_device_did_not_take_was_not_delivered() -> None:
    """The batch in flight when the device leaves is not counted, and the reader is closed."""
    subscription = FakeSubscription(batch(b"data: 1\n\n", 1))
    device = Device(takes=2)
    writing = asyncio.create_task(respond(responder(), subscription, device))
    await asyncio.sleep(0)
    device.gone.set()
    await writing
    assert subscription.delivered_offsets == []
    assert subscription.closed == 1


async def test_a_device_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write has a deadline; the error stays here."""
    monkeypatch.setattr(sse, "SEND_TIMEOUT_S", 0.01)
    subscription = FakeSubscription(batch(b"data: 1\n\n", 1), batch(b"data: 2\n\n", 2))
    device = Device(takes=3)
    one = responder()
    await respond(one, subscription, device)
    assert subscription.delivered_offsets == [1]
    assert subscription.closed == 1
    assert one.open_count == 0


async def test_a_response_has_an_age_at_which_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-open device does not stay for ever."""
    monkeypatch.setattr(sse, "STREAM_MAX_AGE_S", 0.01)
    subscription = FakeSubscription()
    await respond(responder(), subscription, Device())
    assert subscription.closed == 1


async def test_a_drain_ends_every_response() -> None:
    """`idle` waits until the last one is closed."""
    one = responder()
    subscriptions: Sequence[FakeSubscription] = [FakeSubscription(), FakeSubscription()]
    writing = [asyncio.create_task(respond(one, sub, Device())) for sub in subscriptions]
    await eventually(lambda: one.open_count == 2)
    idle = asyncio.create_task(one.idle())
    await asyncio.sleep(0)
    assert not idle.done()
    one.end_all()
    await asyncio.gather(idle, *writing)
    assert [subscription.closed for subscription in subscriptions] == [1, 1]


async def test_a_log_that_is_gone_ends_with_the_devices_own_last_words() -> None:
    """The glasses see an answer and an end, whatever happened to the broker."""
    subscription = FakeSubscription(failure=BrokerUnavailable("redis://secret"))
    device = Device()
    await respond(responder(), subscription, device, failure=lambda _: b"data: sorry\n\n")
    assert device.body == b": stream s1\n\ndata: sorry\n\n"
    assert (device.finished, subscription.closed) == (True, 1)


async def test_a_reader_is_closed_even_where_its_response_never_starts() -> None:
    """A generator that never ran has no `finally`, so the closing is not in there."""
    subscription = FakeSubscription()
    device = Device()

    async def broken(_message: Message) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await responder().respond(
            cast("Subscription", subscription),
            SCOPE,
            device.receive,
            broken,
            prelude=b"",
            headers={},
        )
    assert subscription.closed == 1
