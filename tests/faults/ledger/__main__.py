"""`python -m tests.faults.ledger`: asks, reads, watches the bots' wire, and judges. A process.

It imports nothing of the relay and nothing of its SDK. Commands are lines of JSON on stdin,
`{"id", "do", ...}`, and each is answered by a line on stdout, `{"id", "result"}` or `{"id",
"error"}`. The first line is the `Setup`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.faults.content import Answer
from tests.faults.ledger import devices
from tests.faults.ledger.books import Object, Reader, Stream
from tests.faults.ledger.judge import judge
from tests.faults.ledger.web import call
from tests.faults.ledger.wire import Weather, Wire

TRACE_S = 40.0
FORGOTTEN_S = 2.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What it is told at the start."""

    ports: list[int]
    """Of the relays."""
    key: str
    admin: str
    seed: int


class Ledger:
    """The books, and everybody who writes in them."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._ports = setup.ports
        """Where devices ask and read."""
        self._streams: list[Stream] = []
        self._by_id: dict[str, Stream] = {}
        self._early: dict[str, list[Callable[[Stream], None]]] = {}
        self._reading: set[asyncio.Task[None]] = set()
        self.wire = Wire(list(setup.ports), self._heard, self._said, Random(setup.seed))

    # --- the wire -----------------------------------------------------------------------

    def _heard(self, message: Object, now: float) -> None:
        if (stream := self._by_id.get(str(message.get("session_id")))) is not None:
            stream.hear(message, now)
        elif "session_id" in message:
            # A bot may answer before the one who asked has read the stream's id.
            early = self._early.setdefault(message["session_id"], [])
            early.append(lambda stream: stream.hear(message, now))

    def _said(self, message: Object, now: float) -> None:
        if (stream := self._by_id.get(str(message.get("session_id")))) is not None:
            stream.answered(message, now)
        elif message.get("type") in {"ack", "chunk_received", "refused", "stream_closed"}:
            early = self._early.setdefault(message["session_id"], [])
            early.append(lambda stream: stream.answered(message, now))

    # --- commands -----------------------------------------------------------------------

    async def do(self, name: str, given: Object) -> Any:
        """Carry out one command."""
        match name:
            case "relays":
                ports: list[int] = given["ports"]
                self._ports[:] = ports
                self.wire.ports[:] = given.get("bot_ports") or ports
            case "weather":
                self.wire.weather = Weather(**given["weather"])
            case "abort":
                return self._abort(given.get("share", 1.0))
            case "ask":
                return await self._ask(given)
            case "until":
                return await self._until(given)
            case "judge":
                return await self._judge(given)
            case "give_up":
                for stream in self._streams:
                    stream.given_up = True
            case _:
                return self._tell(name)
        return None

    def _tell(self, name: str) -> Any:
        """Answer what is only a question."""
        match name:
            case "progress":
                return self._progress()
            case "lines":
                lines = self.wire.opened
                return [[line.token[-8:], line.opened_at, line.connected_at] for line in lines]
            case "urls":
                return {stream.stream_id: stream.url for stream in self._streams}
            case "timeline":
                return [_timeline(stream) for stream in self._streams]
            case _:
                raise ValueError(f"no such command: {name}")

    def _abort(self, share: float) -> int:
        lines = [line for line in self.wire.lines if self.wire.random.random() < share]
        for line in lines:
            line.abort()
        return len(lines)

    async def _ask(self, given: Object) -> list[str]:
        asked = [
            Stream(Answer(**question["answer"]), question["user"])
            for question in given["questions"]
        ]
        await asyncio.gather(*(self._ask_one(s, given.get("at", 0)) for s in asked))
        for stream in asked:
            for number in range(given.get("readers", 1)):
                reader = Reader(stream)
                stream.readers.append(reader)
                task = asyncio.create_task(
                    devices.read(lambda: self._ports, reader, given.get("at", 0) + number)
                )
                self._reading.add(task)
                task.add_done_callback(self._reading.discard)
        return [stream.stream_id for stream in asked]

    async def _ask_one(self, stream: Stream, at: int) -> None:
        ports = self._ports[at:] + self._ports[:at]
        await devices.ask(lambda: ports, self._setup.key, stream)
        self._by_id[stream.stream_id] = stream
        self._streams.append(stream)
        for note in self._early.pop(stream.stream_id, ()):
            note(stream)

    def _progress(self) -> Object:
        readers = [reader for stream in self._streams for reader in stream.readers]
        return {
            "streams": len(self._streams),
            "planned": sum(s.answer.chunks * max(1, len(s.readers)) for s in self._streams),
            "sent": sum(len(stream.sent) for stream in self._streams),
            "acked": sum(len(stream.acked) for stream in self._streams),
            "shown": sum(len(reader.shown) for reader in readers),
            "least": min((len(reader.shown) for reader in readers), default=0),
            "open": sum(reader.end is None for reader in readers),
            "bots": self.wire.bots,
            "did": dict(self.wire.did),
        }

    async def _until(self, given: Object) -> Object:
        """Wait until all streams have ended, bots are there, or all or each show something."""
        give_up = time.monotonic() + given.get("timeout_s", 120)
        while True:
            now = self._progress()
            if given.get("ended") and now["open"] == 0:
                return now
            if now["least"] >= given.get("each", sys.maxsize):
                return now
            if now["bots"] >= given.get("bots", sys.maxsize):
                return now
            if "share" in given and now["shown"] >= given["share"] * now["planned"]:
                return now
            if time.monotonic() > give_up:
                raise TimeoutError(f"not {given} but {now}; open: {self._open()}")
            await asyncio.sleep(0.01)

    def _open(self) -> list[Object]:
        return [
            {"stream_id": s.stream_id, "shown": len(r.shown), "sent": len(s.sent), "bot": s.closed}
            for s in self._streams
            for r in s.readers
            if r.end is None
        ][:5]

    async def _judge(self, given: Object) -> Object:
        """Judge what there is, and forget it."""
        streams, self._streams = self._streams, []
        self._by_id.clear()
        self._early.clear()
        found: list[str] = []
        outcomes: dict[str, int] = {}
        unshown: list[str] = []
        untraced = 0
        for stream in streams:
            trace = await self._trace(stream, given)
            if trace is None:
                untraced += 1
                if not _is_forgotten(stream, given):
                    found.append(f"{stream.stream_id}: (17) there is no trace")
            outcome = str(trace["outcome"]) if trace is not None else _shown_outcome(stream)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            found += judge(stream, trace, slack_s=given["slack_s"], last_kill=given["last_kill"])
            unshown += _unshown(stream)
        return {
            "violations": found,
            "unshown": unshown,
            "streams": len(streams),
            "untraced": untraced,
            "outcomes": outcomes,
            "sent": sum(len(stream.sent) for stream in streams),
            "acked": sum(len(stream.acked) for stream in streams),
            "lost": sum(len(set(s.acked) - set(r.shown)) for s in streams for r in s.readers),
            "shown": sum(len(reader.shown) for stream in streams for reader in stream.readers),
            "resets": sum(reader.resets for stream in streams for reader in stream.readers),
            "resumed": sum(reader.resumed for stream in streams for reader in stream.readers),
            "refused": sum(len(stream.refused) for stream in streams),
            "did": dict(self.wire.did),
        }

    async def _trace(self, stream: Stream, given: Object) -> Object | None:
        """Return the trace once it is there and agrees; else what there is after `wait_s`."""
        path = f"/admin/api/traces/{stream.stream_id}"
        headers = {"Authorization": f"Bearer {self._setup.admin}"}
        wait_s = FORGOTTEN_S if _is_forgotten(stream, given) else given.get("wait_s", TRACE_S)
        give_up = time.monotonic() + wait_s
        trace: Object | None = None
        at = 0
        while True:
            with suppress(OSError, TimeoutError):
                port = self._ports[at % len(self._ports)]
                status, answer = await call(port, "GET", path, headers)
                trace = answer if status == 200 else trace
            # A late chunk corrects a trace: a finding must last.
            if trace is not None and not judge(
                stream, trace, slack_s=60, last_kill=given["last_kill"]
            ):
                return trace
            if time.monotonic() > give_up:
                return trace
            at += 1
            await asyncio.sleep(0.1)


def _is_forgotten(stream: Stream, given: Object) -> bool:
    """Whether a relay was killed that may have been the only one to know of this stream."""
    return given.get("forgets", False) and all(
        r.end_at <= given["last_kill"] for r in stream.readers
    )


def _unshown(stream: Stream) -> list[str]:
    """Tell of each chunk that was acknowledged and not shown, in seconds from the stream's end."""
    return [
        f"{stream.stream_id} {sequence}: sent {stream.sent[sequence] - reader.end_at:+.2f}, "
        f"acknowledged {at - reader.end_at:+.2f} s"
        for reader in stream.readers
        for sequence, at in stream.acked.items()
        if sequence not in reader.shown
    ]


def _shown_outcome(stream: Stream) -> str:
    ends = [reader.end["outcome"] for reader in stream.readers if reader.end is not None]
    return str(ends[0]) if ends else "none"


def _timeline(stream: Stream) -> Object:
    return {
        "stream_id": stream.stream_id,
        "sent": list(stream.sent.items()),
        "acked": list(stream.acked.items()),
        "shown": [list(reader.shown.items()) for reader in stream.readers],
        "ends": [reader.end_at for reader in stream.readers],
        "outcomes": [reader.end["outcome"] if reader.end else None for reader in stream.readers],
        "returned": [reader.returned for reader in stream.readers],
        "ended_at": stream.ended_at,
        "told_at": stream.told_at,
    }


async def main() -> None:
    """Serve the commands of stdin until it ends."""
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    ledger = Ledger(Setup(**json.loads(await stdin.readline())))
    await ledger.wire.start()
    _say({"id": 0, "result": ledger.wire.port})
    tasks: set[asyncio.Task[None]] = set()
    while line := await stdin.readline():
        task = asyncio.create_task(_answer(ledger, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _answer(ledger: Ledger, command: Object) -> None:
    number, name = command.pop("id"), command.pop("do")
    try:
        _say({"id": number, "result": await ledger.do(name, command)})
    except Exception as error:  # noqa: BLE001 - whoever asked is told
        _say({"id": number, "error": "".join(traceback.format_exception(error)[-3:])})


def _say(answer: Object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
