"""What a node notes about one stream while it runs, and the trace row that it makes of it.

Notes are appended in memory; the row is made once, after the end, off the data path.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import cast

from relay.admin.trace_row import TraceRow
from relay.broker.base import Notes, StreamMeta
from relay.metrics import Hop
from relay.node.audience import Audience
from relay.protocol.events import Entry, EntryKind
from relay.protocol.forensics import locate, measure
from relay.protocol.rangeset import Ranges, RangeSet, count, expand, merge, within
from relay.protocol.report import LossReport
from relay.protocol.status import Outcome, Status
from relay.wire.jsontext import JsonValue, dumps, loads
from relay.wire.timestamp import beijing_iso

MISSING_MAX = 10_000
"""How many missing sequences are listed one by one; the counts are always exact."""

BOTH_HOPS = "both"

BOT, EVENTS = "bot", "events"
"""The notes beside the log that make up a record."""


class AckTimes:
    """When each sequence was first acknowledged, in seconds of the relay's clock."""

    __slots__ = ("_in_order", "_others")

    def __init__(self) -> None:
        self._in_order = array("d")
        """Of the sequences from 0 on, as far as they came in order: mostly all of them."""
        self._others: dict[int, float] | None = None

    @property
    def newest(self) -> float | None:
        """When a sequence was last acknowledged, which need not be the highest; None before any."""
        return max((at for _, at in self.items()), default=None)

    def note(self, first: int, last: int, at: float) -> None:
        """These sequences are acknowledged."""
        times, others = self._in_order, self._others
        if first == len(times) and others is None:
            if first == last:
                times.append(at)
            else:
                times.extend([at] * (last + 1 - first))
            return
        others = self._others = {} if others is None else others
        for sequence in range(first, last + 1):
            if sequence >= len(times):
                others.setdefault(sequence, at)
        while len(times) in others:
            times.append(others.pop(len(times)))

    def forget(self, stop: int, early: Ranges) -> None:
        """Only what is below `stop` and in `early` is stored: the log has lost the rest."""
        kept = [
            (number, at) for number, at in self.items() if number < stop or within(number, early)
        ]
        self._in_order, self._others = array("d"), None
        for number, at in kept:
            self.note(number, number, at)

    def get(self, sequence: int) -> float | None:
        """Return when this one was; None where it was not."""
        if sequence < len(self._in_order):
            return self._in_order[sequence]
        return self._others.get(sequence) if self._others else None

    def items(self) -> Iterable[tuple[int, float]]:
        """Return each acknowledged sequence, and when it was."""
        return [*enumerate(self._in_order), *(self._others or {}).items()]


@dataclass(slots=True)
class StreamRecord:
    """The notes about one stream."""

    meta: StreamMeta
    protocol: int = 1
    sdk: str = ""
    events: list[JsonValue] = field(default_factory=list)
    acked_at: AckTimes = field(default_factory=AckTimes, compare=False)
    handed: bool = False
    """Whether the command may be with the bot: it was about to be handed to a connection."""
    bot_key: str = ""
    """What a bot calls the stream that cannot name it by its id."""

    @classmethod
    def recall(cls, meta: StreamMeta, notes: Notes) -> StreamRecord:
        """Return the record of a stream that another node has owned."""
        record = cls(meta)
        if text := notes.get(BOT):
            bot = cast("tuple[int, str, bool, str]", tuple(cast("list[JsonValue]", loads(text))))
            record.protocol, record.sdk, record.handed, record.bot_key = bot
        if text := notes.get(EVENTS):
            record.events = cast("list[JsonValue]", loads(text))
        return record

    def learn(self, notes: Notes) -> None:
        """Take over what another node has noted since this one did."""
        theirs = StreamRecord.recall(self.meta, notes)
        self.handed = self.handed or theirs.handed
        self.bot_key = self.bot_key or theirs.bot_key
        self.events = [*theirs.events, *(one for one in self.events if one not in theirs.events)]

    def bot_note(self) -> str:
        """Return what is to be kept about the bot."""
        return dumps([self.protocol, self.sdk, self.handed, self.bot_key]).decode()

    def events_note(self) -> str:
        """Return the events so far, as they are to be kept."""
        return dumps(self.events).decode()

    def note(self, kind: str, now: float, **data: JsonValue) -> None:
        """Note that something happened to the stream as a whole. Never called per chunk."""
        self.events.append(self._event(kind, now, data))

    def _event(self, kind: str, at: float, data: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        since = _since(self.meta.opened_at, at)
        return {"type": kind, "data": dict(data), "timestamp": beijing_iso(at), "ms": since}

    def row(
        self,
        report: LossReport,
        entries: Sequence[Entry],
        audience: Audience,
        *,
        with_content: bool,
    ) -> TraceRow:
        """Make the trace row from what the log and the notes say."""
        shown = [entry for entry in entries if entry.offset <= audience.delivered]
        unseen = unseen_in(entries[len(shown) :])
        missing = merge(report.missing, unseen)
        delays = measure(report.arrivals, report.opened_at, report.ended_at)
        timeline = self._timeline(report, entries, audience)
        ack_ms = [acked - received for _, received, acked, _, _ in timeline if acked is not None]
        sent_ms = [sent - received for _, received, _, sent, _ in timeline if sent is not None]
        return TraceRow(
            trace_id=self.meta.trace_id,
            stream_id=self.meta.stream_id,
            message_id=self.meta.conversation_id,
            agent_id=self.meta.agent_id,
            user_id=self.meta.user_id,
            bot_id=self.meta.bot_id,
            access_key_id=self.meta.access_key_id,
            sdk_version=self.sdk,
            protocol=self.protocol,
            status=max(report.status, Status.ANOMALY if unseen else report.status).label,
            outcome=report.outcome.value,
            events=self._events(report, shown),
            sdk_content=_text(entries, EntryKind.CHUNK) if with_content else "",
            sse_content=_text(shown) if with_content else "",
            sdk_chunk_count=report.received + count(report.late),
            sse_chunk_count=sum(entry.kind is EntryKind.CHUNK for entry in shown),
            sdk_total_chunks=report.total_chunks,
            missing_sequences=expand(missing, MISSING_MAX),
            loss_position=locate(missing, report.total_chunks),
            loss_hop=_hop(report.missing, unseen),
            repaired_by=report.repaired_by,
            first_chunk_delay=_milliseconds(delays.first_chunk_s),
            avg_chunk_interval=_milliseconds(delays.average_interval_s),
            last_chunk_delay=_milliseconds(delays.last_chunk_s),
            ack_delay_p50=_percentile(ack_ms, 50),
            ack_delay_p99=_percentile(ack_ms, 99),
            delivery_delay_p50=_percentile(sent_ms, 50),
            delivery_delay_p99=_percentile(sent_ms, 99),
            timeline=[list(point) for point in timeline],
            anomaly=self._anomaly(report, unseen),
            created_at=self.meta.opened_at,
        )

    def _events(self, report: LossReport, shown: Sequence[Entry]) -> list[JsonValue]:
        """Return the notes, and what the report and the log tell of the end and of lost parts."""
        told: list[JsonValue] = []
        if report.ended_at is not None:
            known: dict[str, JsonValue] = {"total_is_known": report.total_known}
            told.append(self._event("end_received", report.ended_at, known))
        for entry in shown:
            if entry.kind is EntryKind.REPAIR:
                told.append(self._event("repaired", entry.at, {"length": len(entry.content)}))
            elif entry.kind is EntryKind.GAP:
                told.append(self._event("gap_shown", entry.at, {"sequence": entry.sequence}))
        # A note of the same moment follows from what the log says, and so comes behind it.
        return sorted([*told, *self.events], key=_moment_ms)

    def _timeline(
        self, report: LossReport, entries: Sequence[Entry], audience: Audience
    ) -> list[tuple[int, float, float | None, float | None, int]]:
        """Return `(sequence, received, acked, delivered, length)`, in ms since the request."""
        opened = report.opened_at
        offsets = {
            entry.sequence: entry.offset for entry in entries if entry.kind is EntryKind.CHUNK
        }
        return [
            (
                arrival.sequence,
                _since(opened, arrival.at),
                _since_or_none(opened, self.acked_at.get(arrival.sequence)),
                _since_or_none(opened, audience.delivered_at(offsets.get(arrival.sequence, 0))),
                arrival.length,
            )
            for arrival in report.arrivals
        ]

    def _anomaly(self, report: LossReport, unseen: Ranges) -> dict[str, JsonValue] | None:
        if report.status is not Status.ANOMALY and not unseen:
            return None
        anomaly: dict[str, JsonValue] = {"type": _anomaly_type(report, unseen)}
        if report.detail:
            anomaly["detail"] = report.detail
        if report.missing:
            anomaly["never_arrived"] = [list(gap) for gap in report.missing]
        if report.late:
            anomaly["arrived_late"] = [list(gap) for gap in report.late]
        if report.withheld:
            anomaly["chunks_refused"] = report.withheld
        if unseen:
            anomaly["never_delivered"] = [list(gap) for gap in unseen]
        if report.disagreement is not None:
            anomaly["summary_disagrees_in"] = report.disagreement.value
        anomaly["total_is_known"] = report.total_known
        return anomaly


def _anomaly_type(report: LossReport, unseen: Ranges) -> str:
    if report.outcome not in (Outcome.COMPLETED, Outcome.REPAIRED, Outcome.INCOMPLETE):
        return report.outcome.value
    if report.missing:
        return "chunk_loss"
    if unseen:
        return "delivery_loss"
    return "chunk_refused" if report.withheld else "summary_disagrees"


def unseen_in(entries: Sequence[Entry]) -> Ranges:
    """Return which sequences are in what no device was handed."""
    return RangeSet(
        entry.sequence
        for entry in entries
        if entry.kind is EntryKind.CHUNK and entry.sequence is not None
    ).ranges()


def _hop(missing: Ranges, unseen: Ranges) -> str | None:
    if missing and unseen:
        return BOTH_HOPS
    if missing:
        return Hop.BOT_TO_RELAY.value
    return Hop.RELAY_TO_DEVICE.value if unseen else None


def _text(entries: Sequence[Entry], kind: EntryKind | None = None) -> str:
    return "".join(entry.content for entry in entries if kind in (None, entry.kind))


def _moment_ms(event: JsonValue) -> float:
    at = event.get("ms") if isinstance(event, dict) else None
    return at if isinstance(at, int | float) else 0.0


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _since(origin: float, at: float) -> float:
    return round((at - origin) * 1000, 3)


def _since_or_none(origin: float, at: float | None) -> float | None:
    return None if at is None else _since(origin, at)


def _percentile(values: list[float], percent: int) -> float | None:
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return round(quantiles(values, n=100, method="inclusive")[percent - 1], 3)
