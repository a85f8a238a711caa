"""Operations on traces."""

from __future__ import annotations

from relay.web.admin.trace_operations import default_step
from tests.support.admin import lossy_row, trace_row
from tests.support.admin_api import admin_api

ROWS = [trace_row(1), lossy_row(2), trace_row(3, bot_id=2), lossy_row(4, bot_id=2)]


async def test_traces_are_filtered_sorted_and_paged() -> None:
    """The pages together are the list, each trace once."""
    async with admin_api(ROWS) as api:
        query = "/traces?status=anomaly&loss_hop=bot_to_relay&order=missing&direction=asc&limit=1"
        first = (await api.get(query)).json()
        second = (await api.get(f"{query}&cursor={first['next_cursor']}")).json()
    found = [trace["trace_id"] for page in (first, second) for trace in page["traces"]]
    assert found == ["trace-0004", "trace-0002"]
    assert second["next_cursor"] is None


async def test_a_cursor_of_another_list_is_a_conflict() -> None:
    """It is well-formed, and does not go with this filter."""
    async with admin_api(ROWS) as api:
        cursor = (await api.get("/traces?limit=1")).json()["next_cursor"]
        response = await api.get(f"/traces?order=missing&cursor={cursor}")
    assert (response.status_code, response.json()["code"]) == (409, "conflict")


async def test_a_trace_is_found_by_the_beginning_of_an_id() -> None:
    """With all that is kept of it; what is not unique is not found."""
    async with admin_api(ROWS) as api:
        found = (await api.get("/traces/stream-0002")).json()
        missing = await api.get("/traces/trace-000")
    assert found["missing_sequences"] == [57, 58, 59]
    assert len(found["timeline"]) == 57
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_a_trace_is_deleted_by_its_whole_id() -> None:
    """Once; a beginning deletes nothing."""
    async with admin_api(ROWS) as api:
        statuses = [
            (await api.call("DELETE", f"/traces/{given}")).status_code
            for given in ("trace-0002", "trace-0002", "trace-000")
        ]
        assert statuses == [204, 404, 404]
        assert len(api.store.rows) == 3


async def test_all_traces_are_deleted_only_where_that_is_said() -> None:
    """A filter that was forgotten deletes nothing."""
    async with admin_api(ROWS) as api:
        refused = await api.call("DELETE", "/traces")
        assert (refused.status_code, len(api.store.rows)) == (409, 4)
        by_filter = await api.call("DELETE", "/traces?bot_id=2")
        assert (by_filter.json(), len(api.store.rows)) == ({"deleted": 2}, 2)
        everything = await api.call("DELETE", "/traces?all=true")
        assert (everything.json(), len(api.store.rows)) == ({"deleted": 2}, 0)


async def test_an_export_is_a_file_of_the_wanted_traces() -> None:
    """Named, and never taken for a page."""
    async with admin_api(ROWS) as api:
        lines = await api.get("/traces/export?status=anomaly")
        table = await api.get("/traces/export?format=csv&bot_id=1")
    assert lines.text.count("\n") == 2
    assert lines.headers["Content-Type"] == "application/jsonl"
    assert table.headers["Content-Disposition"] == 'attachment; filename="traces.csv"'
    assert table.headers["X-Content-Type-Options"] == "nosniff"
    assert len(table.text.splitlines()) == 3


async def test_statistics_are_of_the_last_day_where_nothing_is_said() -> None:
    """In steps that can be drawn."""
    async with admin_api([*ROWS, trace_row(5, created_at=0.0)]) as api:
        told = (await api.get("/statistics")).json()
        span = "since=2025-06-15T15:00:00Z&until=2025-06-15T15:10:00Z"
        hour = (await api.get(f"/statistics?{span}&step=60")).json()
        wrong = await api.get("/statistics?since=2025-06-15T15:00:00Z&until=2025-06-15T15:00:00Z")
    assert (told["streams"], told["lossy"], told["loss_rate"]) == (4, 2, 0.5)
    assert (told["since"], len(told["intervals"])) == ("2025-06-14T15:06:40Z", 96)
    assert (hour["streams"], len(hour["intervals"])) == (4, 10)
    assert wrong.status_code == 409


def test_a_default_step_is_neither_tiny_nor_endless() -> None:
    """A minute's span is cut coarser, a century's is left to the store to refuse."""
    assert [default_step(span) for span in (60, 86_400, 1e12)] == [10, 900, 31 * 86_400]
