"""Devices: the SDK's real reader of answers, over responses that a simulated relay writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, cast

from relay.devices.lingzhu import LingzhuProtocol
from relay.devices.plain import PlainProtocol
from relay.errors import PositionGone, RelayError, UnknownStream
from relay.node.subscriber import Subscription
from relay.wire.entry import parse_position
from relay.wire.jsontext import dumps
from relay_sdk.answer import Answer, DeviceTimes, Link
from relay_sdk.errors import RelaySdkError
from relay_sdk.fetch import Response
from tests.simulation.facts import Handed, Joined, Left, Shown
from tests.simulation.plan import DevicePlan, Question
from tests.simulation.processes import Process

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

PLAIN, GLASSES = PlainProtocol(), LingzhuProtocol()
STREAM = "text/event-stream"


class JsonResponse:
    """A short answer."""

    def __init__(self, status: int, **fields: str) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self.media_type = "application/json"
        self._body = dumps(dict(fields))

    async def read_all(self) -> bytes:
        return self._body

    def close(self) -> None:
        pass


class StreamResponse:
    """A subscription as a response: what relay/web writes, and what becomes of it on its way."""

    status = 200
    media_type = STREAM

    def __init__(
        self, number: int, device: Device, process: Process, subscription: Subscription
    ) -> None:
        self.number = number
        self.headers = {"relay-stream-id": subscription.view.stream_id}
        self._device = device
        self._process = process
        self._subscription = subscription
        self._broken = False
        self._closed = False
        self._reading: asyncio.Task[object] | None = None
        view = subscription.view
        self._lead = PLAIN.encode_reset(view) if subscription.reset else b""
        process.connections.add(self)

    async def read(self) -> bytes:
        """Return the next bytes; empty at the end. Raises `OSError` where the connection broke."""
        lead, self._lead = self._lead, b""
        if lead:
            return lead
        if self._broken:
            raise ConnectionResetError("broken")
        self._reading = asyncio.current_task()
        try:
            data = await self._next()
        except RelayError:
            self.close()
            return b""
        except asyncio.CancelledError:
            if self._is_cut():
                raise ConnectionResetError("the process is dead") from None
            raise
        finally:
            self._reading = None
        return data

    async def _next(self) -> bytes:
        device, subscription = self._device, self._subscription
        while not subscription.finished:
            batch = await subscription.next()
            handed = Handed(self.number, tuple(batch.entries), batch.data)
            device.world.ledger.note(subscription.view.stream_id, handed)
            subscription.delivered()
            if device.plan.slow_s:
                await asyncio.sleep(device.plan.slow_s)
            if device.random.random() < device.plan.breaks and not device.world.healed:
                self._break()
                if not batch.data or device.random.random() < 0.5:
                    raise ConnectionResetError("broken, with what was on its way")
            if batch.data:
                return batch.data
        return b""

    def _is_cut(self) -> bool:
        """Whether it was the death of the process that cancelled the reading."""
        if self._broken and self._reading is not None:
            self._reading.uncancel()
        return self._broken

    def _break(self) -> None:
        """Half open: the relay's end may notice later."""
        self._broken = True
        late_s = self._device.random.choice((0.0, 0.0, 0.4))
        asyncio.get_running_loop().call_later(late_s, self.close)

    def cut(self) -> None:
        """The process is dead."""
        self._broken = True
        if self._reading is not None:
            self._reading.cancel()
        self.close()

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._process.connections.discard(self)
        if not self._closed:
            self._closed = True
            self._device.world.ledger.note(self._subscription.view.stream_id, Left(self.number))
            self._subscription.close()


AnyResponse = StreamResponse | JsonResponse


class Roads(Link):
    """How the SDK's requests get to some process of the relay."""

    def __init__(self, device: Device) -> None:
        self.times = DeviceTimes()
        self._device = device

    async def get(self, path: str, headers: Mapping[str, str]) -> Response:
        """`GET /streams/ID/events`."""
        stream_id = path.split("/")[2]
        cursor = headers.get("Last-Event-ID")
        return await self._answer(lambda process: self._events(process, stream_id, cursor))

    async def post(self, path: str, body: bytes) -> Response:
        """`POST /api/rokid/trigger` or `POST /sse/rokid`: the first device asks."""
        device = self._device
        stream_id = await device.stream_id()
        if path == "/api/rokid/trigger":
            return cast("Response", JsonResponse(200, session_id=stream_id))
        return await self._answer(lambda process: self._glasses(process, stream_id))

    async def _answer(self, make: Callable[[Process], Awaitable[AnyResponse]]) -> Response:
        process = self._device.world.front(self._device.random)
        if process is None:
            raise ConnectionRefusedError("no relay")
        try:
            made: AnyResponse = await make(process)
        except UnknownStream:
            made = JsonResponse(404, code="unknown_stream")
        except PositionGone:
            made = JsonResponse(410, code="position_gone")
        except RelayError as error:
            made = JsonResponse(503, code=type(error).__name__)
        if not process.alive:
            made.close()
            raise ConnectionResetError("the process ended meanwhile")
        return cast("Response", made)

    async def _events(
        self, process: Process, stream_id: str, cursor: str | None
    ) -> StreamResponse | JsonResponse:
        after = parse_position(cursor) if cursor else None
        subscription = await process.node.subscribe(
            stream_id, PLAIN, access_key_id=self._device.key, after=after
        )
        if subscription.finished:
            subscription.close()
            return JsonResponse(204)
        start = after.offset if after is not None and not subscription.reset else 0
        return self._device.joined(process, subscription, start)

    async def _glasses(self, process: Process, stream_id: str) -> StreamResponse:
        subscription = await process.node.subscribe(
            stream_id, GLASSES, access_key_id=self._device.key
        )
        return self._device.joined(process, subscription, 0)


class Device:
    """One device, and everything that it reads of one stream."""

    def __init__(
        self,
        world: Simulation,
        name: str,
        plan: DevicePlan,
        question: Question,
        *,
        key: int,
        stream_id: Callable[[], Awaitable[str]],
    ) -> None:
        self.world = world
        self.name = name
        self.plan = plan
        self.key = key
        self.stream_id = stream_id
        self.random = Random(f"{world.plan.seed} {name}")
        self._question = question

    async def run(self) -> None:
        """Ask or join, read to the end or until it leaves."""
        await asyncio.sleep(self.plan.starts_s)
        answer = Answer(
            Roads(self),
            b"",
            lingzhu=self.plan.glasses,
            repeats=False,
            over=lambda _: None,
            jitter=self.random.random,
        )
        outcome = "left"
        try:
            async with asyncio.timeout(self.plan.leaves_s):
                await answer.read()
                outcome = "" if answer.outcome is None else answer.outcome.outcome
        except TimeoutError:
            pass
        except RelaySdkError as error:
            outcome = type(error).__name__
        finally:
            answer.close()
        shown = Shown(self.name, answer.text, outcome)
        self.world.ledger.note(answer.stream_id or None, shown)

    def joined(self, process: Process, subscription: Subscription, after: int) -> StreamResponse:
        """Take a subscription as a response."""
        number = self.world.next_number()
        view = subscription.view
        prompt = self.plan.slow_s == 0
        joined = Joined(number, self.name, view.epoch, after, prompt, process.name)
        self.world.ledger.note(view.stream_id, joined)
        return StreamResponse(number, self, process, subscription)
