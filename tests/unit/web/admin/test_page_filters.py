from __future__ import annotations

import pytest

from relay.admin.traces import TraceFilter, TraceOrder
from relay.web.admin.page_filters import PAGE_ROWS, in_words, read_filters

NOW = 1_772_181_665.0  # 2026-02-27 08:41:05 UTC


def test_every_filter_of_the_address_is_read() -> None:
    """And nothing else is."""
    given = {
        "status": "anomaly",
        "outcome": "incomplete",
        "bot_id": "7",
        "user_id": " U1 ",
        "message_id": "177",
        "agent_id": "a",
        "loss_position": "tail",
        "loss_hop": "bot_to_relay",
        "repaired_by": "summary",
        "sdk_version": "2.4.0",
        "anomaly": "100%",
        "something": "else",
        "span": "",
    }
    filters = read_filters(given, NOW)
    assert filters.where == TraceFilter(
        status="anomaly",
        outcome="incomplete",
        bot_id=7,
        user_id="U1",
        message_id="177",
        agent_id="a",
        loss_position="tail",
        loss_hop="bot_to_relay",
        repaired_by="summary",
        sdk_version="2.4.0",
        anomaly="100%",
    )
    assert filters.problems == ()
    assert (filters.query.limit, filters.query.descending) == (PAGE_ROWS, True)
    assert read_filters({}, NOW).where.is_empty


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"status": "<b>"}, "status: there is no '<b>'"),
        ({"bot_id": "weather"}, "bot_id: a number is needed"),
        ({"bot_id": "9" * 30}, "bot_id: a number is needed"),
        ({"bot_id": "²"}, "bot_id: a number is needed"),
        ({"since": "yesterday"}, "since: a moment"),
        ({"until": "9" * 300}, "until: a moment"),
        ({"until": "1" * 400 + ".5"}, "until: a moment"),
    ],
)
def test_what_cannot_be_understood_is_left_out_and_named(given: dict[str, str], said: str) -> None:
    """The rest of the address still counts, and nothing breaks."""
    filters = read_filters({**given, "user_id": "U1"}, NOW)
    assert filters.problems[0].startswith(said)
    assert filters.where == TraceFilter(user_id="U1")
    assert list(filters.values) == ["user_id"]


def test_times_are_read_on_the_operators_clock() -> None:
    """`tz` says how many minutes it is ahead of UTC; an address means the same everywhere."""
    utc = read_filters({"since": "2026-02-27T08:41:05"}, 0.0)
    assert utc.where.since == NOW
    beijing = read_filters({"since": "2026-02-27T16:41:05", "tz": "480"}, 0.0)
    assert beijing.where.since == NOW
    assert read_filters({"until": "2026-02-27T16:41:05+08:00"}, 0.0).where.until == NOW
    assert read_filters({"until": repr(NOW)}, 0.0).where.until == NOW
    assert read_filters({"since": "2026-02-27T08:41:05", "tz": "east"}, 0.0).where.since == NOW


def test_a_span_goes_before_times() -> None:
    """The last day is what it is at the moment of looking."""
    filters = read_filters({"span": "24h", "since": "2020-01-01T00:00", "tz": "480"}, NOW)
    assert (filters.where.since, filters.where.until) == (NOW - 86_400, None)
    assert filters.address("/admin/traces") == "/admin/traces?span=24h"
    assert read_filters({"span": "1y"}, NOW).where.is_empty


def test_an_address_keeps_the_filter_and_the_order() -> None:
    """Some of it changed, some taken away."""
    filters = read_filters({"status": "anomaly", "sort": "missing", "dir": "asc"}, NOW)
    assert (filters.order, filters.descending) == (TraceOrder.MISSING, False)
    assert (
        filters.address("/admin/traces", cursor="a&b")
        == "/admin/traces?status=anomaly&sort=missing&dir=asc&cursor=a%26b"
    )
    assert filters.address("/x", status=None) == "/x?sort=missing&dir=asc"
    assert read_filters({"sort": "<b>"}, NOW).address("/x") == "/x"


def test_a_column_that_is_sorted_by_turns_round() -> None:
    """Any other one begins with the greatest."""
    filters = read_filters({"sort": "missing", "dir": "desc"}, NOW)
    assert filters.sorted_by(TraceOrder.MISSING).endswith("sort=missing&dir=asc")
    assert filters.sorted_by(TraceOrder.CHUNKS).endswith("sort=chunks&dir=desc")


def test_a_form_that_is_sent_later_means_the_same_traces() -> None:
    """A span up to now becomes moments: what came since then must not be deleted with it."""
    fixed = read_filters({"span": "1h", "status": "anomaly"}, NOW).fixed()
    assert fixed == {"status": "anomaly", "since": repr(NOW - 3600)}
    assert read_filters(fixed, NOW + 500).where == TraceFilter(status="anomaly", since=NOW - 3600)


def test_the_api_is_given_the_same_filter() -> None:
    """With its own way of writing moments."""
    query = read_filters({"span": "1h", "anomaly": "a b"}, NOW).for_api(format="csv")
    assert query == "?anomaly=a+b&since=2026-02-27T07%3A41%3A05Z&format=csv"


def test_filters_are_told_in_words_each_with_the_way_out_of_it() -> None:
    """A bot by its name."""
    filters = read_filters({"bot_id": "7", "span": "1h"}, NOW)
    assert in_words(filters, [(7, "weather")]) == [
        ("bot_id", "weather", "/admin/traces?span=1h"),
        ("span", "last hour", "/admin/traces?bot_id=7"),
    ]
