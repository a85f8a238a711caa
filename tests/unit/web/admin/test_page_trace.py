from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.admin import FakeAdminStore, trace_row
from tests.support.admin_page import Visitor, incident, long_answer


async def shown(store: FakeAdminStore, path: str) -> str:
    """A page of somebody who is logged in."""
    visitor = Visitor(store)
    await visitor.log_in()
    answer = await visitor.see(path)
    assert answer.status_code == 200
    return answer.text


async def test_the_lost_end_is_told_drawn_and_marked_in_the_texts() -> None:
    """What an operator looks for when a user says that the end was missing."""
    page = await shown(FakeAdminStore([incident()]), "/admin/traces/trace-0001")
    assert "<strong>57 of 60 chunks reached the device.</strong>" in page
    assert "3 did not arrive in time from the bot: 57-59, in the last quarter" in page
    assert "The end was held 2.0 s." in page
    assert "Nothing could be repaired." in page
    assert "✕ 57-59 missing" in page
    assert page.count('<mark class="hole" title="chunks that are missing here">✕ 57-59</mark>') == 2
    assert page.count("missing: never arrived") == 3


async def test_a_repair_is_marked_where_it_was_shown() -> None:
    """In the text of the device."""
    page = await shown(FakeAdminStore([incident(repaired=True)]), "/admin/traces/trace-0001")
    assert "<ins " in page
    assert "repaired from the summary at" in page


async def test_all_columns_and_events_are_there() -> None:
    """With the times of the events."""
    page = await shown(FakeAdminStore([incident()]), "/admin/traces/trace-0001")
    for column in ("access_key_id", "delivery_delay_p99", "sdk_version", "anomaly"):
        assert f"<dt>{column}</dt>" in page
    assert '<td class="num">5583.0</td><td>end_received</td>' in page


async def test_neighbours_of_the_same_filter_are_one_click_away() -> None:
    """So is everything else of this user, bot and conversation."""
    traces = [trace_row(number) for number in (1, 2, 3, 4)]
    traces[1] = replace(traces[1], user_id="U2")
    page = await shown(FakeAdminStore(traces), "/admin/traces/trace-0003?user_id=U1")
    assert 'href="/admin/traces/trace-0001?user_id=U1" rel="prev"' in page
    assert 'href="/admin/traces/trace-0004?user_id=U1" rel="next"' in page
    assert 'href="/admin/traces?message_id=1740000000000"' in page
    assert 'href="/admin/traces?bot_id=1"' in page


async def test_the_ends_of_the_list_have_no_neighbour() -> None:
    """Nothing leads back to the same trace."""
    page = await shown(FakeAdminStore([trace_row(1)]), "/admin/traces/trace-0001")
    assert 'rel="prev"' not in page
    assert 'rel="next"' not in page


async def test_a_trace_is_found_by_its_beginning_or_its_stream() -> None:
    """As the command line does."""
    page = await shown(FakeAdminStore([trace_row(1), trace_row(20)]), "/admin/traces/stream-002")
    assert "<code>trace-0020</code>" in page


async def test_5000_chunks_make_a_page_of_bounded_size() -> None:
    """It says that rows are several chunks, and that the table is cut."""
    page = await shown(FakeAdminStore([long_answer(1)]), "/admin/traces/trace-0001")
    assert "each row is 42 sequences" in page
    assert "4,499 more chunks" in page
    assert len(page) < 1_000_000


async def test_what_is_malformed_is_shown_as_far_as_it_can_be() -> None:
    """A row that another version wrote."""
    row = trace_row(
        timeline=[["x"], {}, 7], events=["x", {"type": 5}, {"ms": "x", "data": "y"}],
        sdk_total_chunks=None, sdk_chunk_count=0, sse_chunk_count=0,
    )  # fmt: skip
    assert "There was no chunk." in await shown(FakeAdminStore([row]), "/admin/traces/trace-0001")


PAYLOAD = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"


@pytest.mark.parametrize("path", ["/admin/traces/trace-0001", "/admin/traces", "/admin"])
async def test_what_a_bot_or_a_device_says_is_only_text(path: str) -> None:
    """In each field that they control."""
    row = replace(
        incident(), user_id=PAYLOAD, message_id=PAYLOAD, agent_id=PAYLOAD, sdk_version=PAYLOAD,
        sdk_content=PAYLOAD, sse_content=PAYLOAD, status=PAYLOAD, outcome=PAYLOAD,
        loss_position=PAYLOAD, loss_hop=PAYLOAD, repaired_by=PAYLOAD,
        anomaly={PAYLOAD: PAYLOAD, "detail": PAYLOAD},
        events=[{"type": PAYLOAD, "data": {PAYLOAD: PAYLOAD}, "timestamp": PAYLOAD, "ms": 1.0}],
    )  # fmt: skip
    page = await shown(FakeAdminStore([row]), path)
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page or path == "/admin"


async def test_a_trace_that_is_not_there_is_a_page_of_its_own() -> None:
    """With why that may be."""
    visitor = Visitor()
    await visitor.log_in()
    answer = await visitor.see("/admin/traces/nothing")
    assert answer.status_code == 404
    assert "may have been deleted" in answer.text


async def test_one_trace_is_deleted() -> None:
    """And no other."""
    visitor = Visitor(FakeAdminStore([trace_row(1), trace_row(2)]))
    await visitor.log_in()
    answer = await visitor.send("/admin/traces/trace-0001/delete")
    assert answer.headers["location"] == "/admin/traces?notice=deleted"
    assert list(visitor.store.rows) == ["trace-0002"]
    assert (await visitor.send("/admin/traces/trace-0001/delete")).status_code == 404
