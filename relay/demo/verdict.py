"""The ledger against the relay's trace: one row of the final table for each scenario."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import quantiles

from relay.admin.trace_row import TraceRow
from relay.demo.ledger import Delivery, Ledger, trace_delivery
from relay.demo.scenarios import Claim, Scenario

HOLD_TOLERANCE_S = 0.001
"""Bot and relay are two processes, and a timer may fire within its resolution."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one scenario went. Delays are milliseconds."""

    title: str
    expects_whole: bool
    is_whole: bool
    """Whether the device shows the whole text, character for character."""
    sent: int
    acked: int
    delivered: int
    missing: tuple[int, ...]
    """As the relay's trace has it."""
    position: str | None
    repaired_by: str | None
    first_ms: int | None
    """Request to first chunk, as the relay's trace has it."""
    last_ms: int | None
    """Last chunk to `stream_end`, as the relay's trace has it."""
    added_ms: tuple[float, ...]
    """From sent to displayed, of every chunk that was, ascending."""
    held_ms: float | None
    """From the bot's end to the device's."""
    complaints: tuple[str, ...]
    """What is not as it must be; empty where all is well."""

    @property
    def good(self) -> bool:
        """Whether all is as it must be."""
        return not self.complaints

    def added_percentile(self, percent: int) -> float | None:
        """Return a percentile of `added_ms`."""
        if len(self.added_ms) < 2:  # noqa: PLR2004 - what `quantiles` needs
            return self.added_ms[0] if self.added_ms else None
        return quantiles(self.added_ms, n=100, method="inclusive")[percent - 1]


def failed(scenario: Scenario, ledger: Ledger, why: str) -> Row:
    """Return the row of a scenario that could not be played to its end."""
    return Row(
        title=scenario.title,
        expects_whole=scenario.whole,
        is_whole=False,
        sent=len(ledger.sent),
        acked=len(ledger.acked),
        delivered=0,
        missing=(),
        position=None,
        repaired_by=None,
        first_ms=None,
        last_ms=None,
        added_ms=(),
        held_ms=None,
        complaints=(why,),
    )


def judge(scenario: Scenario, ledger: Ledger, trace: TraceRow) -> Row:
    """Compare what the trace tells with what bot and device saw, and with what had to happen."""
    delivery = trace_delivery(ledger.chunks, ledger.sent, ledger.heard)
    held = None
    if ledger.ended_at is not None and ledger.finished_at is not None:
        held = (ledger.finished_at - ledger.ended_at) * 1000
    added = sorted((at - ledger.sent[s]) * 1000 for s, at in delivery.at.items())
    return Row(
        title=scenario.title,
        expects_whole=scenario.whole,
        is_whole=ledger.shown == "".join(ledger.chunks),
        sent=len(ledger.sent),
        acked=len(ledger.acked),
        delivered=len(delivery.at),
        missing=tuple(trace.missing_sequences),
        position=trace.loss_position,
        repaired_by=trace.repaired_by,
        first_ms=trace.first_chunk_delay,
        last_ms=trace.last_chunk_delay,
        added_ms=tuple(added),
        held_ms=held,
        complaints=(
            *_about_the_text(scenario, ledger, delivery),
            *_about_the_trace(scenario, ledger, delivery, trace),
        ),
    )


def _about_the_text(scenario: Scenario, ledger: Ledger, delivery: Delivery) -> Iterator[str]:
    never_sent = {s for s in range(len(ledger.chunks)) if s not in ledger.sent}
    if never_sent != scenario.lost:
        yield f"the bot did not send {listed(sorted(never_sent ^ scenario.lost))} as it should"
    if delivery.strange:
        yield f"the device shows {delivery.strange!r}, which is not the bot's next word"
    if scenario.whole and ledger.shown != "".join(ledger.chunks):
        yield "the text is not whole"
    if not scenario.whole and ledger.shown != _text(ledger, ledger.sent):
        yield "the device does not show exactly what was sent"
    if unacked := sorted(ledger.sent.keys() - ledger.acked.keys()):
        yield f"{listed(unacked)} never acknowledged"
    if ledger.ended_at is None or ledger.finished_at is None:
        yield "the answer has no end"
    elif (
        not scenario.whole
        and ledger.finished_at - ledger.ended_at < ledger.barrier_s - HOLD_TOLERANCE_S
    ):
        yield "the end was not held"


def _about_the_trace(
    scenario: Scenario, ledger: Ledger, delivery: Delivery, trace: TraceRow
) -> Iterator[str]:
    total, sent = len(ledger.chunks), sorted(ledger.sent)
    missing = [s for s in range(total) if s not in delivery.at]
    acked = {point[0] for point in _points(trace) if point[2] is not None}
    delivered = {point[0] for point in _points(trace) if point[3] is not None}
    disagrees = (trace.anomaly or {}).get("summary_disagrees_in")
    facts: tuple[tuple[str, object, object], ...] = (
        ("chunks in all", trace.sdk_total_chunks, total),
        ("chunks received", trace.sdk_chunk_count, len(sent)),
        ("chunks delivered", trace.sse_chunk_count, len(delivery.at)),
        ("missing", trace.missing_sequences, missing),
        ("position", trace.loss_position, locate(missing, total)),
        ("hop", trace.loss_hop, "bot_to_relay" if missing else None),
        ("repaired by", trace.repaired_by, "summary" if delivery.repaired else None),
        ("status", trace.status, "anomaly" if missing else "completed"),
        ("disagreement", disagrees, "hash" if scenario.claim is Claim.FALSE else None),
        ("text received", trace.sdk_content, _text(ledger, ledger.sent)),
        ("text delivered", trace.sse_content, ledger.shown),
        ("acknowledged", acked, set(ledger.acked)),
        ("delivered", delivered, set(delivery.at)),
    )
    for name, told, seen in facts:
        if told != seen:
            yield f"the trace tells {name}: {_short(told)}; seen: {_short(seen)}"


def _points(trace: TraceRow) -> Iterator[list[object]]:
    for point in trace.timeline:
        assert isinstance(point, list)
        yield list(point)


def _text(ledger: Ledger, sent: dict[int, float]) -> str:
    return "".join(ledger.chunks[sequence] for sequence in sorted(sent))


def locate(missing: Sequence[int], total: int) -> str | None:
    """Say in which part of 0..total-1 all of `missing` lies; None without loss.

    Worked out here once more, because the relay's own word for it is what is being checked.
    """
    parts = {
        "head" if 4 * sequence < total else "tail" if 4 * sequence >= 3 * total else "middle"
        for sequence in missing
    }
    if len(parts) > 1:
        return "mixed"
    return parts.pop() if parts else None


def listed(sequences: Sequence[int]) -> str:
    """Write ascending numbers shortly: `0-2, 57`; `""` for none."""
    runs: list[list[int]] = []
    for sequence in sequences:
        if runs and runs[-1][-1] == sequence - 1:
            runs[-1].append(sequence)
        else:
            runs.append([sequence])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _short(value: object) -> str:
    shown = listed(sorted(value)) if isinstance(value, set) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."  # noqa: PLR2004 - a line's worth
