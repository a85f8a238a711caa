"""What was sent, acknowledged and shown, by the ledger's own eyes. One `Stream` per question.

A `Reader` finds by itself what one connection must never show; `judge.py` compares the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.faults.content import Answer

Object = dict[str, Any]


@dataclass(slots=True)
class Stream:
    """One question and its answer. All times are seconds of the machine's monotonic clock."""

    answer: Answer
    user: str
    stream_id: str = ""
    url: str = ""
    """The path of the events, with its ticket."""
    sent: dict[int, float] = field(default_factory=dict)
    """Each sequence that was handed to a relay, and when first."""
    acked: dict[int, float] = field(default_factory=dict)
    """Each sequence that a relay has called stored, and when first."""
    ack_from: int = 0
    ended_at: float = 0.0
    """When a relay was first told of the end; 0 while it was not."""
    told_at: float = 0.0
    """When the bot was last heard: a chunk, or the end."""
    total: int | None = None
    refused: list[Object] = field(default_factory=list)
    closed: Object | None = None
    readers: list[Reader] = field(default_factory=list)
    given_up: bool = False
    """Whether the ledger has stopped reading on purpose."""

    def hear(self, message: Object, now: float) -> None:
        """Note what goes to a relay."""
        match message.get("type") or message.get("action"):
            case "stream_chunk" if isinstance(sequence := message.get("sequence"), int):
                self.sent.setdefault(sequence, now)
                self.told_at = now
            case "stream_end":
                self.ended_at = self.ended_at or now
                self.told_at = now
                if self.total is None:
                    self.total = message.get("total_chunks")
            case _:
                pass

    def answered(self, message: Object, now: float) -> None:
        """Note what a relay says to the bot."""
        match message.get("type"):
            case "ack":
                self._ack(message["next_sequence"], message["received"], now)
            case "chunk_received" if isinstance(sequence := message.get("sequence"), int):
                self.acked.setdefault(sequence, now)
            case "refused":
                self.refused.append(message)
            case "stream_closed":
                self.closed = self.closed or message
            case _:
                pass

    def _ack(self, next_sequence: int, received: list[list[int]], now: float) -> None:
        # A relay that was given a stream anew starts at 0: nothing that was said is taken back.
        for sequence in range(self.ack_from, next_sequence):
            # What was given up is below next_sequence and was never promised.
            if sequence in self.sent:
                self.acked.setdefault(sequence, now)
        self.ack_from = max(self.ack_from, next_sequence)
        for first, last in received:
            for sequence in range(first, last + 1):
                self.acked.setdefault(sequence, now)


@dataclass(slots=True)
class Reader:
    """One device. It may lose its connection and come back with its last id."""

    stream: Stream
    shown: dict[int, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    last_id: str = ""
    end: Object | None = None
    end_at: float = 0.0
    resets: int = 0
    resumed: int = 0
    repaired: bool = False
    returned: list[tuple[float, float]] = field(default_factory=list)
    """For each time that it came back: when it was cut off, and when the relay answered again."""
    _gap: bool = False

    def take(self, event_id: str, data: Object, now: float) -> None:
        """Note one event."""
        if self.end is not None:
            self._wrong(f"{data['type']} behind the end")
        if event_id:
            self._place(event_id)
        match data["type"]:
            case "stream_chunk":
                self._chunk(data["sequence"], data["content"], now)
            case "stream_gap":
                self._gap = True
            case "stream_repair":
                self._gap = self.repaired = True
            case "stream_reset":
                self.shown.clear()
                self.last_id = ""
                self._gap = self.repaired = False
                self.resets += 1
            case "stream_end":
                self.end, self.end_at = data, now
            case other:
                self._wrong(f"an event of the type {other!r}")

    def _place(self, event_id: str) -> None:
        epoch, _, offset = event_id.rpartition(".")
        last_epoch, _, last_offset = self.last_id.rpartition(".")
        if last_epoch and (epoch != last_epoch or int(offset) <= int(last_offset)):
            self._wrong(f"the id {event_id} behind {self.last_id}")
        self.last_id = event_id

    def _chunk(self, sequence: int, content: str, now: float) -> None:
        last = max(self.shown, default=-1) if self._gap else len(self.shown) - 1
        if sequence in self.shown:
            self._wrong(f"chunk {sequence} twice")
        elif not self._gap and sequence != last + 1:
            self._wrong(f"chunk {sequence} behind {last}, and nothing says that some are missing")
        elif sequence <= last:
            self._wrong(f"chunk {sequence} behind {last}")
        if sequence not in self.stream.sent:
            self._wrong(f"chunk {sequence}, which was never sent")
        elif content != self.stream.answer.piece(sequence):
            sent = self.stream.answer.piece(sequence)
            self._wrong(f"chunk {sequence} as {content!r}, sent as {sent!r}")
        self.shown[sequence] = now

    def _wrong(self, what: str) -> None:
        self.violations.append(what)
