from __future__ import annotations

from pathlib import Path

import pytest

from relay.admin.traces import TraceFilter
from relay.cli.trace_lines import heading, line_of, wanted
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
    assert await wanted(store, where, None) == where
    assert await wanted(store, where, "Nova") == TraceFilter(status="anomaly", bot_id=1)
    assert await wanted(store, where, "77") == TraceFilter(status="anomaly", bot_id=77)
    with pytest.raises(RelayError):
        await wanted(store, where, "nobody")
    await store.close()


async def test_a_line_stands_under_its_heading(store: Store) -> None:
    """The words of a trace begin where those of the heading do."""
    (trace,) = await store.archive.tail(TraceFilter()).newest(1)
    line, head = line_of(trace), heading()
    for word, name in ((trace.trace_id, "trace"), (trace.status, "status"), ("tail", "position")):
        assert line.index(word) == head.index(name)
    assert line.split()[1:] == ["trace-1", "1", "anomaly", "repaired", "2/3", "1", "tail"]
    await store.close()
