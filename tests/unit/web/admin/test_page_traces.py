from __future__ import annotations

import re
from dataclasses import replace

import pytest

from relay.web.admin.page_filters import PAGE_ROWS
from tests.support.admin import FakeAdminStore, trace_row
from tests.support.admin_page import Visitor, incident


def rows() -> FakeAdminStore:
    """Five streams: one of them lost its tail, and one is another user's."""
    plain = [trace_row(number) for number in (2, 3, 4)]
    return FakeAdminStore([incident(1), *plain, replace(trace_row(5), user_id="U<2>")])


async def logged_in(store: FakeAdminStore) -> Visitor:
    """Somebody who looks at this store."""
    visitor = Visitor(store)
    await visitor.log_in()
    return visitor


def listed(text: str) -> list[str]:
    """The traces of a table, from top to bottom."""
    return re.findall(r'<td class="asked"><a href="[^"]*" title="([^"]*)"', text)


async def test_the_table_shows_what_was_sent_and_what_came() -> None:
    """`60 -> 57`, where it was lost, and how it went."""
    page = (await (await logged_in(rows())).see("/admin/traces")).text
    first = page.split("<tbody>")[1].split("</tr>")[0]
    words = " ".join(re.sub(r"<[^>]+>", " ", first).split())
    assert "60 -&gt; 57 3 tail bot → relay ✕ anomaly incomplete" in words
    assert len(listed(page)) == 5


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=anomaly", ["trace-0001"]),
        ("loss_position=tail&loss_hop=bot_to_relay", ["trace-0001"]),
        ("user_id=U%3C2%3E", ["trace-0005"]),
        ("status=anomaly&user_id=U%3C2%3E", []),
        ("sort=created&dir=asc&status=completed", ["trace-0005", "trace-0004", "trace-0003",
                                                  "trace-0002"]),
        ("sort=missing", ["trace-0001", "trace-0002", "trace-0003", "trace-0004", "trace-0005"]),
        ("until=2025-06-15T15:02:00", ["trace-0005"]),
    ],
)  # fmt: skip
async def test_the_address_filters_and_sorts(query: str, found: list[str]) -> None:
    """Whoever is given the address sees the same."""
    page = (await (await logged_in(rows())).see(f"/admin/traces?{query}")).text
    assert listed(page) == found
    if not found:
        assert "No trace fits this filter." in page


async def test_a_long_table_has_pages() -> None:
    """Each trace is on one of them; the address of the next one keeps the filter."""
    visitor = await logged_in(FakeAdminStore([trace_row(n) for n in range(PAGE_ROWS + 7)]))
    page = (await visitor.see("/admin/traces?status=completed")).text
    onward = re.search(r'href="([^"]*)" rel="next"', page)
    assert onward is not None
    assert "status=completed" in onward[1]
    second = (await visitor.see(onward[1].replace("&amp;", "&"))).text
    assert len(listed(page)) == PAGE_ROWS
    assert len({*listed(page), *listed(second)}) == PAGE_ROWS + 7
    assert "These are all." in second


async def test_a_cursor_of_another_list_is_told_and_the_first_page_shown() -> None:
    """Somebody changed the address by hand."""
    answer = await (await logged_in(rows())).see("/admin/traces?cursor=nonsense")
    assert answer.status_code == 200
    assert "belongs to another list" in answer.text
    assert len(listed(answer.text)) == 5


async def test_what_is_wrong_in_the_address_is_told() -> None:
    """And escaped."""
    page = (await (await logged_in(rows())).see("/admin/traces?status=<script>")).text
    assert "there is no &#39;&lt;script&gt;&#39;" in page
    assert "<script>" not in page.replace('<script type="module"', "")


async def test_an_empty_relay_says_when_there_will_be_traces() -> None:
    """Not only an empty table."""
    page = (await (await logged_in(FakeAdminStore())).see("/admin/traces")).text
    assert "written when a stream has ended" in page


@pytest.mark.parametrize(
    ("words", "onward"),
    [
        ("trace-0001", "/admin/traces/trace-0001"),
        ("stream-0003", "/admin/traces/trace-0003"),
        ("U<2>", "/admin/traces?user_id=U%3C2%3E"),
        ("1740000000000", "/admin/traces?message_id=1740000000000"),
        ("chunk_loss", "/admin/traces?anomaly=chunk_loss"),
        ("  ", "/admin/traces"),
    ],
)
async def test_the_search_box_finds_what_it_is_given(words: str, onward: str) -> None:
    """A trace, a stream, a user, a conversation; else a word of the anomaly."""
    visitor = await logged_in(rows())
    answer = await visitor.http.get("/admin/find", params={"q": words})
    assert answer.headers["location"] == onward


async def test_what_is_filtered_is_deleted_and_nothing_else() -> None:
    """After a tick that says so."""
    visitor = await logged_in(rows())
    answer = await visitor.send("/admin/traces/delete", status="anomaly")
    assert answer.status_code == 400
    assert len(visitor.store.rows) == 5
    answer = await visitor.send("/admin/traces/delete", status="anomaly", sure="yes")
    assert answer.headers["location"] == "/admin/traces?notice=deleted_many&n=1"
    assert sorted(visitor.store.rows) == [f"trace-000{n}" for n in (2, 3, 4, 5)]


async def test_a_filter_that_is_not_understood_deletes_nothing() -> None:
    """Left out, it would delete more than was meant."""
    visitor = await logged_in(rows())
    answer = await visitor.send("/admin/traces/delete", status="anomalies", sure="yes")
    assert answer.status_code == 400
    assert len(visitor.store.rows) == 5


async def test_exports_are_those_of_the_api_with_the_same_filter() -> None:
    """One way to write a file, not two."""
    page = (await (await logged_in(rows())).see("/admin/traces?status=anomaly")).text
    assert "/admin/api/traces/export?status=anomaly&amp;format=jsonl" in page
    assert "/admin/api/traces/export?status=anomaly&amp;format=csv" in page
