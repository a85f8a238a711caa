"""What one relay process counts, for `GET /metrics`. The table for operators is docs/metrics.md.

A stream is counted once, when its trace is settled, so nothing is added to the way of a chunk.
What is so just now (open streams, connections) is asked for when somebody looks. No label holds
an id or anything that a user or a bot said: each has a fixed, small set of values, or names from
the code.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate, product

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from relay.limits.refusal import Kind as LimitedKind
from relay.limits.refusal import Limit
from relay.protocol.events import RefusalCode
from relay.protocol.forensics import LossPosition
from relay.protocol.report import RepairedBy
from relay.protocol.status import Outcome

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""What `Metrics.render` returns: Prometheus' text format."""


class Hop(StrEnum):
    """Where chunks went missing."""

    BOT_TO_RELAY = "bot_to_relay"
    """They did not arrive in time."""
    RELAY_TO_DEVICE = "relay_to_device"
    """They are in the log, and no device was handed them."""


class DeletedFor(StrEnum):
    """Why traces were deleted without anybody asking for it."""

    AGE = "age"
    """They were older than traces are kept."""
    SIZE = "size"
    """They were the oldest of more than may be kept."""


class Kind(StrEnum):
    """The types of Prometheus that are used."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric: what it is called, and which labels with which values it has."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[tuple[str, type[StrEnum]], ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds, in seconds."""
    by_name: str = ""
    """Of a gauge: the label that holds a name from the code, with a figure for each."""


_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)

STREAMS = Definition(
    "relay_streams_total", Kind.COUNTER, "Streams that ended.", (("outcome", Outcome),)
)
ACCEPTED = Definition(
    "relay_chunks_accepted_total", Kind.COUNTER, "Distinct chunks that arrived from bots in time."
)
DELIVERED = Definition(
    "relay_chunks_delivered_total", Kind.COUNTER, "Chunks handed to a device's socket."
)
DUPLICATES = Definition(
    "relay_chunks_duplicate_total", Kind.COUNTER, "Chunks that had arrived before."
)
MISSING = Definition(
    "relay_chunks_missing_total",
    Kind.COUNTER,
    "Chunks that went missing.",
    (("hop", Hop), ("position", LossPosition)),
)
REPAIRS = Definition(
    "relay_repairs_total",
    Kind.COUNTER,
    "Streams whose lost part was made whole again.",
    (("by", RepairedBy),),
)
REFUSALS = Definition(
    "relay_refusals_total",
    Kind.COUNTER,
    "Messages of bots that were not taken.",
    (("code", RefusalCode),),
)
LIMITED = Definition(
    "relay_limited_total",
    Kind.COUNTER,
    "What was refused because a limit was reached, and callers that were slowed down.",
    (("limit", Limit), ("kind", LimitedKind)),
)
ACK_SECONDS = Definition(
    "relay_ack_seconds", Kind.HISTOGRAM, "From a chunk's arrival to its ACK.", buckets=_FAST
)
DELIVERY_SECONDS = Definition(
    "relay_delivery_seconds",
    Kind.HISTOGRAM,
    "From a chunk's arrival until it was handed to a device's socket.",
    buckets=_FAST,
)
FIRST_CHUNK_SECONDS = Definition(
    "relay_first_chunk_seconds",
    Kind.HISTOGRAM,
    "From a device's request to the bot's first chunk.",
    buckets=_SLOW,
)
OPEN_STREAMS = Definition("relay_open_streams", Kind.GAUGE, "Streams that have not ended.")
HELD = Definition(
    "relay_chunks_held", Kind.GAUGE, "Early chunks that wait for the missing ones before them."
)
READERS = Definition("relay_device_streams", Kind.GAUGE, "Devices and workers that read a stream.")
KEPT = Definition(
    "relay_streams_kept", Kind.GAUGE, "Streams in memory: open ones, and ended ones still readable."
)
BOTS = Definition("relay_bot_connections", Kind.GAUGE, "Connections that speak for a bot.")
LOG_BYTES = Definition(
    "relay_log_bytes", Kind.GAUGE, "Size of the chunks in the logs that are kept."
)
BACKLOG = Definition("relay_trace_backlog", Kind.GAUGE, "Trace rows that are not stored yet.")
ROWS_LOST = Definition(
    "relay_trace_rows_lost_total", Kind.COUNTER, "Trace rows that will never be stored."
)
TASKS = Definition(
    "relay_tasks",
    Kind.GAUGE,
    "Tasks of the event loop that are not done, by the coroutine that they are in.",
    by_name="work",
)
TIMERS = Definition("relay_timers", Kind.GAUGE, "Moments at which streams will be looked at again.")
LOGS = Definition(
    "relay_logs_in_memory", Kind.GAUGE, "Logs that the memory broker keeps, one for each stream."
)
TRACES_DELETED = Definition(
    "relay_traces_deleted_total",
    Kind.COUNTER,
    "Traces that this process deleted as the settings ask for.",
    (("reason", DeletedFor),),
)
CONTENTS_DELETED = Definition(
    "relay_trace_contents_deleted_total",
    Kind.COUNTER,
    "Traces whose texts it deleted, while the rest is kept.",
)
LAG_SECONDS = Definition(
    "relay_event_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How much later than asked for the event loop came back, four times a second.",
    buckets=_FAST,
)

DEFINITIONS = (
    *(STREAMS, ACCEPTED, DELIVERED, DUPLICATES, MISSING, REPAIRS, REFUSALS, LIMITED),
    *(ACK_SECONDS, DELIVERY_SECONDS, FIRST_CHUNK_SECONDS),
    *(OPEN_STREAMS, KEPT, HELD, READERS, BOTS, LOG_BYTES, BACKLOG, ROWS_LOST, LAG_SECONDS),
    *(TASKS, TIMERS, LOGS),
    *(TRACES_DELETED, CONTENTS_DELETED),
)
"""Every metric, in the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Missing:
    """How many chunks of a stream went missing on one hop, and where in the answer they lay."""

    hop: Hop
    position: LossPosition
    chunks: int


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """What is counted of one stream. Times are seconds."""

    outcome: Outcome
    accepted: int
    delivered: int
    duplicates: int
    missing: Sequence[Missing]
    repaired_by: RepairedBy | None
    first_chunk_s: float | None
    ack_s: Sequence[float]
    """One for each acknowledged chunk."""
    delivery_s: Sequence[float]
    """One for each delivered chunk."""


@dataclass(frozen=True, slots=True)
class Now:
    """What is so at this moment."""

    open_streams: int = 0
    chunks_held: int = 0
    device_streams: int = 0
    bot_connections: int = 0
    log_bytes: int = 0
    trace_backlog: int = 0
    trace_rows_lost: int = 0
    """Since the process began."""
    streams_kept: int = 0
    timers: int = 0
    logs: int = 0
    tasks: Mapping[str, int] = field(default_factory=dict)
    """By what they are at."""


class _Histogram:
    """Counts by bucket. prometheus_client's own takes a lock for each value."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, values: Iterable[float]) -> None:
        # A stream's values come together, and each bound is looked up in them, not each of them.
        ordered = sorted(values)
        before = 0
        for bucket, bound in enumerate(self._bounds):
            within = bisect_right(ordered, bound)
            self._counts[bucket] += within - before
            before = within
        self._counts[-1] += len(ordered) - before
        # A clock that was set back must not make a sum shrink.
        self._sum += sum(ordered[bisect_right(ordered, 0.0) :])

    def family(self, definition: Definition) -> Metric:
        names = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        buckets = list(zip(names, map(float, accumulate(self._counts)), strict=True))
        return HistogramMetricFamily(
            definition.name, definition.meaning, buckets=buckets, sum_value=self._sum
        )


class Metrics(Collector):
    """The figures of one relay, in a registry of their own. Not for use by several threads.

    `now` is asked once for each look.
    """

    def __init__(self, now: Callable[[], Now]) -> None:
        self._now = now
        self.registry = CollectorRegistry()
        # Every series is there from the start: a rate over one that appears misses its first.
        self._counts: dict[str, dict[tuple[str, ...], int]] = {
            definition.name: dict.fromkeys(_series(definition), 0)
            for definition in DEFINITIONS
            if definition.kind is Kind.COUNTER
        }
        self._histograms = {
            definition.name: _Histogram(definition.buckets)
            for definition in DEFINITIONS
            if definition.kind is Kind.HISTOGRAM
        }
        self.registry.register(self)

    def stream_settled(self, figures: StreamFigures) -> None:
        """Count a stream. Once for each."""
        self._add(STREAMS, 1, figures.outcome)
        self._add(ACCEPTED, figures.accepted)
        self._add(DELIVERED, figures.delivered)
        self._add(DUPLICATES, figures.duplicates)
        for missing in figures.missing:
            self._add(MISSING, missing.chunks, missing.hop, missing.position)
        if figures.repaired_by is not None:
            self._add(REPAIRS, 1, figures.repaired_by)
        if figures.first_chunk_s is not None:
            self._histograms[FIRST_CHUNK_SECONDS.name].observe([figures.first_chunk_s])
        self._histograms[ACK_SECONDS.name].observe(figures.ack_s)
        self._histograms[DELIVERY_SECONDS.name].observe(figures.delivery_s)

    def refused(self, code: RefusalCode) -> None:
        """Count something that was not taken from a bot."""
        self._add(REFUSALS, 1, code)

    def limited(self, limit: Limit, kind: LimitedKind) -> None:
        """Count that a limit kept somebody from something."""
        self._add(LIMITED, 1, limit, kind)

    def loop_lagged(self, seconds: float) -> None:
        """Count by how much the event loop was late."""
        self._histograms[LAG_SECONDS.name].observe([seconds])

    def traces_swept(self, *, expired: int, crowded_out: int, blanked: int) -> None:
        """Count the traces that were deleted for their age and for their size, and the texts."""
        self._add(TRACES_DELETED, expired, DeletedFor.AGE)
        self._add(TRACES_DELETED, crowded_out, DeletedFor.SIZE)
        self._add(CONTENTS_DELETED, blanked)

    def render(self) -> bytes:
        """Return all of it as Prometheus reads it; `CONTENT_TYPE` says which format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield one family for each definition. See `Collector`."""
        now = self._now()
        gauges = {
            OPEN_STREAMS: now.open_streams,
            HELD: now.chunks_held,
            READERS: now.device_streams,
            BOTS: now.bot_connections,
            LOG_BYTES: now.log_bytes,
            BACKLOG: now.trace_backlog,
            KEPT: now.streams_kept,
            TIMERS: now.timers,
            LOGS: now.logs,
        }
        self._counts[ROWS_LOST.name][()] = now.trace_rows_lost
        for definition in DEFINITIONS:
            name, meaning = definition.name, definition.meaning
            match definition.kind:
                case Kind.COUNTER:
                    labels = [label for label, _ in definition.labels]
                    family = CounterMetricFamily(name, meaning, labels=labels)
                    for values, count in self._counts[name].items():
                        family.add_metric(values, count)
                    yield family
                case Kind.GAUGE if definition.by_name:
                    named = GaugeMetricFamily(name, meaning, labels=[definition.by_name])
                    for work, count in sorted(now.tasks.items()):
                        named.add_metric([work], count)
                    yield named
                case Kind.GAUGE:
                    yield GaugeMetricFamily(name, meaning, value=gauges[definition])
                case Kind.HISTOGRAM:
                    yield self._histograms[name].family(definition)

    def _add(self, definition: Definition, count: int, *labels: StrEnum) -> None:
        self._counts[definition.name][tuple(label.value for label in labels)] += count


def _series(definition: Definition) -> Iterator[tuple[str, ...]]:
    """Every combination of label values; one empty one where there are no labels."""
    return product(*([member.value for member in values] for _, values in definition.labels))
