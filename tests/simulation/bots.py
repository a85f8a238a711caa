"""Bots: the real SDK, legacy programs that send and hope, and one that breaks every rule."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from relay.protocol.events import Part, PartKind
from relay.protocol.texthash import content_hash
from relay.wire import parts
from relay.wire.bot_client import decode_outbound
from relay.wire.jsontext import JsonValue, loads
from relay_sdk import Bot, Command
from relay_sdk.backoff import Backoff
from relay_sdk.connection import Connection
from relay_sdk.reply import Reply
from tests.simulation.facts import Settled
from tests.simulation.network import Payload, Socket
from tests.simulation.plan import BotPlan, Kind, Question

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

LEGACY_AGAIN_S = 0.4
"""How soon a legacy bot connects again, at the latest."""


class AnyBot(Protocol):
    """One process of a bot."""

    def hang_up(self, relay_notices_s: float) -> None:
        """Let its connection break."""
        ...

    async def die(self) -> None:
        """Kill it: it says nothing more."""
        ...


def make_bot(world: Simulation, plan: BotPlan, process_number: int) -> AnyBot:
    """Start a process of this bot."""
    random = Random(f"{world.plan.seed} bot {plan.bot_id} {process_number}")
    if plan.kind is Kind.SDK:
        return SdkBot(world, plan, random)
    return ScriptedBot(world, plan, random)


class Wire:
    """In place of `relay_sdk.connection.Connection`: the same life, over a simulated socket."""

    def __init__(
        self,
        world: Simulation,
        plan: BotPlan,
        random: Random,
        *,
        protocol: int,
        on_payload: Callable[[Payload], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.socket: Socket | None = None
        self.dead = False
        self._world = world
        self._plan = plan
        self._random = random
        self._protocol = protocol
        self._on_payload = on_payload
        self._on_lost = on_lost
        self._open = False
        self._closed = asyncio.Event()
        self._final = False
        self._backoff = Backoff(random.random)

    async def run(self) -> NoReturn:
        """Stay connected, until the relay says that it is for good."""
        while True:
            self.socket = self._world.connect(self._plan, self, self._random, self._protocol)
            if self.socket is not None:
                await self._closed.wait()
                self._closed.clear()
            if self._final:
                await asyncio.Event().wait()
            delay_s = self._backoff.next_delay()
            await asyncio.sleep(delay_s if self._protocol > 1 else min(delay_s, LEGACY_AGAIN_S))

    def send(self, payload: Payload) -> None:
        """Send one message, or drop it while there is no connection."""
        if self._open and self.socket is not None and not self.dead:
            self._world.saw_said(self._plan.bot_id, payload)
            self.socket.say(payload)

    async def flushed(self) -> None:
        """See `Connection.flushed`."""

    def on_payload(self, payload: Payload) -> None:
        """See `BotEnd.on_payload`."""
        if self.dead:
            return
        if payload.get("type") == "connected":
            self._open = True
            self._backoff.reset()
        self._on_payload(payload)

    def on_closed(self, _reason: str, *, reconnect: bool) -> None:
        """See `BotEnd.on_closed`."""
        self._final = self._final or not reconnect
        if self._open and not self.dead:
            self._on_lost()
        self._open = False
        self._closed.set()


class SdkBot:
    """A program on the real SDK: only its socket is simulated."""

    def __init__(self, world: Simulation, plan: BotPlan, random: Random) -> None:
        self._world = world
        self._random = random
        self._bot = Bot("http://relay", "token")
        self._wire = Wire(
            world,
            plan,
            random,
            protocol=2,
            on_payload=self._take,
            on_lost=self._bot.on_lost,
        )
        self._bot._connection = cast("Connection", self._wire)  # noqa: SLF001 - the only thing that is not real
        self._bot.on_command(self._answer)
        self._watching: set[asyncio.Task[None]] = set()
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        await self._bot.__aenter__()

    def _take(self, payload: Payload) -> None:
        message = decode_outbound(payload)
        assert message is not None, f"the SDK does not understand {payload}"
        self._bot.on_message(message)

    async def _answer(self, command: Command) -> None:
        question = self._world.asked(command.stream_id, command.text)
        reply = self._bot.reply(command)
        task = asyncio.create_task(self._watch(reply))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        async with reply:
            for wait_s, text, part in question.pieces:
                if wait_s:
                    await asyncio.sleep(wait_s)
                if part is None:
                    await reply.write(text)
                else:
                    await write_part(reply, part)
            match question.ending:
                case "fail":
                    raise RuntimeError("the model is away")
                case "never":
                    await asyncio.Event().wait()
                case "late":
                    await asyncio.sleep(self._world.plan.settings.idle_seconds + 1.0)
                case _:
                    pass

    async def _watch(self, reply: Reply) -> None:
        outcome = await reply.closed()
        self._world.ledger.note(reply.stream_id, Settled(outcome.outcome))

    def hang_up(self, relay_notices_s: float) -> None:
        """See `AnyBot.hang_up`."""
        if self._wire.socket is not None:
            self._wire.socket.hang_up(relay_notices_s)

    async def die(self) -> None:
        """See `AnyBot.die`."""
        self._wire.dead = True
        self.hang_up(self._random.choice((0.0, 0.0, 0.5)))
        await self._starting
        for task in self._watching:
            task.cancel()
        await self._bot.stop(grace_s=0.0)


async def write_part(reply: Reply, part: Part) -> None:
    """Write a part by the SDK's own calls."""
    body = loads(part.body)
    if part.kind is PartKind.FOLLOW_UP:
        assert isinstance(body, list)
        await reply.follow_up(*(str(one) for one in body))
    else:
        assert isinstance(body, dict)
        call: Callable[..., Awaitable[None]] = reply.tool_call
        await call(body.pop("command"), **body)


class ScriptedBot:
    """A bot that sends everything once and hears nothing: legacy, or wild."""

    def __init__(self, world: Simulation, plan: BotPlan, random: Random) -> None:
        self._world = world
        self._kind = plan.kind
        self._random = random
        self._sequence = 0
        self._asked: set[str] = set()
        protocol = 2 if plan.kind is Kind.WILD else 1
        self._wire = Wire(
            world,
            plan,
            random,
            protocol=protocol,
            on_payload=self._take,
            on_lost=lambda: None,
        )
        self._tasks: set[asyncio.Task[None]] = {asyncio.create_task(self._wire.run())}

    def _take(self, payload: Payload) -> None:
        if payload.get("type") == "execute_command":
            metadata = payload["metadata"]
            assert isinstance(metadata, dict)
            params = payload["params"]
            assert isinstance(params, dict)
            stream_id = str(metadata["session_id"])
            if stream_id in self._asked:
                return  # repeated by the weather, which no program was written for
            self._asked.add(stream_id)
            question = self._world.asked(stream_id, str(params["message"]))
            task = asyncio.create_task(self._answer(stream_id, question))
            self._tasks.add(task)

    async def _answer(self, stream_id: str, question: Question) -> None:
        self._sequence = 0  # one counter for all that it answers at once: as they are
        said: list[str] = []
        for wait_s, text, part in question.pieces:
            if wait_s:
                await asyncio.sleep(wait_s)
            fields = parts.to_fields(part)
            self._chunk(stream_id, self._sequence, text, fields)
            said.append(text)
            self._sequence += 1
            if self._kind is Kind.WILD:
                self._misbehave(stream_id)
        if question.ending == "never":
            return
        if question.ending == "late":
            await asyncio.sleep(self._world.plan.settings.idle_seconds + 1.0)
        await self._end(stream_id, question, said)

    def _chunk(
        self, stream_id: str, sequence: JsonValue, text: JsonValue, fields: Payload | None = None
    ) -> None:
        payload = {"type": "stream_chunk", "session_id": stream_id, "content": text}
        payload |= fields or {}
        if self._kind is not Kind.COUNTED:
            payload["sequence"] = sequence
        self._wire.send(payload)

    async def _end(self, stream_id: str, question: Question, said: list[str]) -> None:
        if question.ending == "fail":
            self._wire.send({"type": "stream_error", "session_id": stream_id, "error": "gone"})
            return
        summary = self._summary(stream_id, question.summary, said)
        if summary is not None and question.summary_s < 0:
            self._wire.send(summary)
            await asyncio.sleep(-question.summary_s)
        end: Payload = {"type": "stream_end", "session_id": stream_id}
        if self._kind is Kind.WILD:
            end = {**end, "total_chunks": len(said) + self._random.choice((0, 0, 2))}
        for _ in range(self._random.choice((1, 1, 2))):
            self._wire.send(end)
        if summary is not None and question.summary_s >= 0:
            await asyncio.sleep(question.summary_s)
            self._wire.send(summary)
        if self._kind is Kind.WILD:
            self._misbehave(stream_id)

    def _summary(self, stream_id: str, kind: str, said: list[str]) -> Payload | None:
        if kind == "none" or self._kind is Kind.COUNTED:
            return None
        text, count = "".join(said), len(said)
        digest = content_hash(text)
        if kind == "hash":
            digest = "0"
        elif kind == "count":
            count += self._random.choice((1, 50))
        elif kind == "text":
            text = "forged " + text
            digest = content_hash(text)
        return {
            "type": "stream_summary",
            "session_id": stream_id,
            "total_content": text,
            "total_chunks": count,
            "content_hash": digest,
        }

    def _misbehave(self, stream_id: str) -> None:
        random, here = self._random, self._sequence
        match random.randrange(9):
            case 0:
                self._chunk(stream_id, max(0, here - random.randrange(1, 5)), "CONFLICT")
            case 1:
                far = random.choice((10, 70, 1100, 999_999))
                self._chunk(stream_id, here + far + random.randrange(40), "far ahead")
            case 2:
                for step in range(60):
                    self._chunk(stream_id, here + 2 * (step + 1), f"gap {step}")
            case 3:
                self._chunk(stream_id, random.choice((-1, 1_000_001, True, "1", None)), "no number")
            case 4:
                self._chunk(stream_id, here, None)
            case 5:
                other = random.choice([*self._world.stream_ids, "no-such-stream"])
                self._chunk(other, random.randrange(5), f"from bot of {stream_id}")
            case _:
                pass

    def hang_up(self, relay_notices_s: float) -> None:
        """See `AnyBot.hang_up`."""
        if self._wire.socket is not None:
            self._wire.socket.hang_up(relay_notices_s)

    async def die(self) -> None:
        """See `AnyBot.die`."""
        self._wire.dead = True
        self.hang_up(self._random.choice((0.0, 0.0, 0.5)))
        for task in self._tasks:
            task.cancel()
