"""What the metrics are told of a node, and of each of its streams."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Sized
from contextlib import suppress

from relay.broker.base import StreamLog, settle
from relay.errors import BrokerError, UnknownStream
from relay.metrics import Hop, Metrics, Missing, Now, StreamFigures
from relay.node.audience import Audience
from relay.node.record import AckTimes, unseen_in
from relay.node.registry import Registry
from relay.node.stream import NodeStream
from relay.node.switchboard import Switchboard
from relay.node.tracer import Tracer
from relay.protocol.events import Entry, EntryKind
from relay.protocol.forensics import locate
from relay.protocol.rangeset import count
from relay.protocol.report import LossReport
from relay.tasks import tasks_by_work

WHOLE_LOG = 1_000_000
"""How many entries of a log are read: all of them, within the limits of a stream."""


def figures_now(
    registry: Registry, switchboard: Switchboard, tracer: Tracer, log: StreamLog, *, timers: int
) -> Now:
    """Return what is so at this moment. One pass over the streams that are kept."""
    streams = registry.streams()
    receivers = [stream.owner.receiver for stream in streams]
    still_open = [stream for stream in streams if stream.finished_at is None]
    return Now(
        open_streams=len(still_open),
        chunks_held=sum(stream.owner.receiver.held_count for stream in still_open),
        device_streams=sum(stream.audience.readers for stream in streams),
        bot_connections=len(switchboard.links),
        log_bytes=sum(receiver.size_bytes for receiver in receivers),
        trace_backlog=tracer.backlog,
        trace_rows_lost=tracer.lost,
        streams_kept=len(registry.all_kept()),
        tasks=tasks_by_work(),
        timers=timers,
        # Those of a broker outside are not here to be counted.
        logs=len(log) if isinstance(log, Sized) else 0,
    )


async def count_stream(stream: NodeStream, log: StreamLog, metrics: Metrics) -> StreamFigures:
    """Count a stream that has ended; also one whose log cannot be read any more."""
    assert stream.report is not None
    entries: Sequence[Entry] = ()
    with suppress(BrokerError, UnknownStream):
        entries = await settle(log.read(stream.stream_id, 0, WHOLE_LOG))
    figures = figures_of(stream.report, entries, stream.audience, stream.record.acked_at)
    # Each half goes through all chunks, and those of other streams share this event loop.
    await asyncio.sleep(0)
    metrics.stream_settled(figures)
    return figures


def figures_of(
    report: LossReport,
    entries: Sequence[Entry],
    audience: Audience,
    acked_at: AckTimes,
) -> StreamFigures:
    """Make what the metrics count of a stream that has ended, from its log and its notes."""
    received = {arrival.sequence: arrival.at for arrival in report.arrivals}
    shown, unseen = entries[: audience.delivered], unseen_in(entries[audience.delivered :])
    sent = {
        entry.sequence: audience.delivered_at(entry.offset)
        for entry in shown
        if entry.kind is EntryKind.CHUNK
    }
    lost = ((Hop.BOT_TO_RELAY, report.missing), (Hop.RELAY_TO_DEVICE, unseen))
    return StreamFigures(
        outcome=report.outcome,
        accepted=report.received,
        delivered=len(sent),
        duplicates=report.duplicates,
        missing=[
            Missing(hop, position, count(ranges))
            for hop, ranges in lost
            if (position := locate(ranges, report.total_chunks)) is not None
        ],
        repaired_by=report.repaired_by,
        first_chunk_s=report.arrivals[0].at - report.opened_at if report.arrivals else None,
        ack_s=[at - received[key] for key, at in acked_at.items() if key in received],
        delivery_s=[
            at - received[key]
            for key, at in sent.items()
            if at is not None and key is not None and key in received
        ],
    )
