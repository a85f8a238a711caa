from __future__ import annotations

import pytest

from relay.admin.traces import TraceFilter, TraceQuery
from relay.errors import BadRequest
from relay.store import traces
from relay.store.admin_traces import TraceArchive
from relay.store.engine import Database
from relay.store.trace_filter import ANOMALY_CHARS_MAX, conditions
from tests.support.store import NOW, trace_row


async def found(database: Database, where: TraceFilter) -> list[str]:
    """The ids of the traces that are wanted."""
    page = await TraceArchive(database).trace_page(TraceQuery(where, limit=500))
    return [trace.trace_id for trace in page.traces]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("LOST the Way", 1),
        ("100%", 2),
        ("100_", 3),
        ('said "no"', 4),
        ('{"detail":"he said \\"no', 4),
        ("c:\\temp", 5),
        ("小助手", 6),
        ("o\x00nly", 7),
    ],
)
async def test_a_text_is_found_in_the_anomaly(database: Database, text: str, number: int) -> None:
    """In any case; no character is a wildcard, and a quotation mark is found as it was written."""
    details = [
        "lost the way",
        "at 100% of",
        "at 100_ of",
        'he said "no"',
        "c:\\temp",
        "小助手",
        "only",
    ]
    rows = [trace_row(n, anomaly={"detail": each}) for n, each in enumerate(details, start=1)]
    await traces.upsert_batch(database, [*rows, trace_row(99, anomaly=None)], now=NOW)
    assert await found(database, TraceFilter(anomaly=text)) == [f"trace-{number}"]


async def test_a_label_is_looked_for_as_it_is_kept(database: Database) -> None:
    """A long message id was cut when it was written; what no database takes was left out."""
    await traces.upsert_batch(database, [trace_row(1, message_id="m" * 9000)], now=NOW)
    assert await found(database, TraceFilter(message_id="m" * 9000)) == ["trace-1"]
    assert await found(database, TraceFilter(message_id="\ud800\x00")) == []


@pytest.mark.parametrize(
    ("where", "field"),
    [
        (TraceFilter(bot_id=2**63), "bot_id"),
        (TraceFilter(since=float("nan")), "since"),
        (TraceFilter(until=float("-inf")), "until"),
        (TraceFilter(until=1e18), "until"),
        (TraceFilter(anomaly="x" * (ANOMALY_CHARS_MAX + 1)), "anomaly"),
    ],
)
def test_what_no_trace_can_have_is_refused(where: TraceFilter, field: str) -> None:
    """With the field that is wrong, before the database fails on it."""
    with pytest.raises(BadRequest) as refused:
        conditions(where)
    assert refused.value.field == field


async def test_a_long_text_is_looked_for(database: Database) -> None:
    """Every character of it may need an escape."""
    await traces.upsert_batch(database, [trace_row(1)], now=NOW)
    assert await found(database, TraceFilter(anomaly='%\\"_/' * 40)) == []
