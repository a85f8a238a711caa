from __future__ import annotations

from pathlib import Path

import pytest

from relay.admin.traces import TraceFilter
from relay.cli.trace_lines import Wanted, heading, line_of, moment_of
from relay.errors import RelayError
from relay.store.store import Store
from tests.support.store import trace_row


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    """A store with one bot and one trace."""
    store = await Store.open(f"sqlite:///{tmp_path}/relay.db")
    await store.add_bot("Nova", "t" * 64)
    await store.write_traces([trace_row(1)])
    return store


async def test_a_bot_is_wanted_by_its_name_or_its_number(store: Store) -> None:
    """A number is taken as it is; a name must be one."""
    where = TraceFilter(status="anomaly")
    assert await Wanted(where, None).in_store(store) == where
    assert await Wanted(where, "Nova").in_store(store) == TraceFilter(status="anomaly", bot_id=1)
    assert await Wanted(where, "77").in_store(store) == TraceFilter(status="anomaly", bot_id=77)
    with pytest.raises(RelayError):
        await Wanted(where, "nobody").in_store(store)
    await store.close()


async def test_a_line_stands_under_its_heading(store: Store) -> None:
    """The words of a trace begin where those of the heading do."""
    (trace,) = await store.archive.tail(TraceFilter()).newest(1)
    line, head = line_of(trace), heading()
    for word, name in ((trace.trace_id, "trace"), (trace.status, "status"), ("tail", "position")):
        assert line.index(word) == head.index(name)
    assert line.split()[1:] == ["trace-1", "1", "anomaly", "repaired", "2/3", "1", "tail"]
    await store.close()


def test_a_moment_is_a_span_up_to_now_or_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dates are those of UTC, unless they say otherwise; before 1970 there was nothing."""
    monkeypatch.setattr("relay.cli.trace_lines.time.time", lambda: 1_000_000.0)
    assert [moment_of(text) for text in ("90s", "30m", "2h", "7d", "999999999d")] == [
        999_910.0,
        998_200.0,
        992_800.0,
        395_200.0,
        0.0,
    ]
    assert moment_of("1970-01-02") == moment_of("1970-01-02T08:00+08:00") == 86_400.0
