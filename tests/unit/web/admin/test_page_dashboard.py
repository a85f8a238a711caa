from __future__ import annotations

import re

import pytest

from tests.support.admin import FakeAdminStore, FakeLive, live_stream, trace_row
from tests.support.admin_page import Visitor, incident


async def shown(path: str = "/admin", store: FakeAdminStore | None = None) -> str:
    """The overview of somebody who is logged in."""
    rows = [incident(1), incident(2, repaired=True), *(trace_row(n) for n in range(3, 9))]
    visitor = Visitor(store or FakeAdminStore(rows), FakeLive([live_stream()], {1}))
    await visitor.store.create_bot("weather", user_id=None)
    await visitor.log_in()
    answer = await visitor.see(path)
    assert answer.status_code == 200
    return answer.text


def words(page: str) -> str:
    """What can be read."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.split("<main")[1]).split())


async def test_it_says_how_much_is_lost_and_how_long_things_take() -> None:
    """Of the last day, and what goes on now."""
    said = words(await shown())
    for figure in (
        "Streams 8 1 open now",
        "Loss rate 25.0 % 2 streams, 6 of 132 chunks",
        "Repaired 1 of 2 with a loss",
        "Anomalies 2",
        "Bots online 1 of 1",
    ):
        assert figure in said


async def test_figures_over_time_are_drawn() -> None:
    """Streams per minute, the loss rate, and both delays."""
    page = await shown()
    for title in ("Streams per minute", "Loss rate", "Delivery delay", "ACK delay"):
        assert f">{title}</h2>" in page
    assert page.count('class="chart"') == 4


async def test_the_worst_bots_and_places_lead_to_their_traces() -> None:
    """Of the same span."""
    page = await shown("/admin?span=7d")
    assert 'href="/admin/traces?span=7d&amp;bot_id=1">weather</a>' in page
    assert "/admin/traces?span=7d&amp;loss_hop=bot_to_relay&amp;loss_position=tail" in page


@pytest.mark.parametrize(
    ("query", "chosen"), [("", "24h"), ("?span=1h", "1h"), ("?span=7d", "7d"), ("?span=x", "24h")]
)
async def test_the_span_is_in_the_address(query: str, chosen: str) -> None:
    """A span that does not exist is the usual one."""
    page = await shown(f"/admin{query}")
    assert f'href="/admin?span={chosen}" aria-current="true"' in page
    assert page.count("data-tip") <= 4 * 100


async def test_a_relay_without_streams_is_shown_as_quiet() -> None:
    """Not as broken."""
    said = words(await shown(store=FakeAdminStore()))
    assert "Loss rate 0 %" in said
    assert "No stream in this time." in said
    assert "Nothing was lost." in said
    assert "nothing was measured" in said
