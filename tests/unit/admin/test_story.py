from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from relay.admin.story import GAPS_TOLD_MAX, Point, moments, points, ranges, seconds, told
from relay.admin.trace_row import TraceRow
from relay.wire.jsontext import JsonValue
from tests.support.store import ROW


def answer(total: int, lost: tuple[int, ...] = (), **changes: object) -> TraceRow:
    """An answer of which some chunks are missing; one chunk each 10 ms."""
    row = replace(
        ROW,
        outcome="incomplete" if lost else "completed",
        events=[],
        sdk_total_chunks=total,
        sse_chunk_count=total - len(lost),
        missing_sequences=list(lost),
        loss_position="tail" if lost else None,
        loss_hop="bot_to_relay" if lost else None,
        repaired_by=None,
        timeline=[[n, 10.0 * n, 10.0 * n, 10.0 * n + 2, 5] for n in range(total) if n not in lost],
        anomaly=None,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def event(kind: str, ms: float) -> JsonValue:
    """An event as the node notes it."""
    return {"type": kind, "data": {}, "timestamp": "2026-02-27T10:00:00+08:00", "ms": ms}


def test_the_lost_end_is_told_as_an_operator_would() -> None:
    """How many reached the device, which did not and why, how long the end waited, no repair."""
    row = answer(
        60,
        lost=(57, 58, 59),
        anomaly={"type": "chunk_loss", "never_arrived": [[57, 59]], "total_is_known": True},
        events=[event("end_received", 900.0), event("stream_end", 2900.5)],
    )
    assert list(told(row)) == [
        "57 of 60 chunks reached the device.",
        "3 did not arrive in time from the bot: 57-59, in the last quarter of the answer.",
        "The end was held 2.0 s.",
        "Nothing could be repaired.",
    ]


def test_a_whole_answer_is_one_sentence() -> None:
    """Nothing else is worth reading."""
    assert list(told(answer(60))) == ["All 60 chunks reached the device."]
    assert list(told(answer(1))) == ["The only chunk reached the device."]


def test_each_thing_that_the_trace_knows_is_a_sentence() -> None:
    """Both hops, late ones, refusals, the summary, the bot's own words."""
    row = answer(
        60,
        lost=(3, 4, 57, 58, 59),
        loss_position="mixed",
        loss_hop="both",
        repaired_by="summary",
        outcome="failed",
        anomaly={
            "never_arrived": [[3, 3], [57, 59]],
            "never_delivered": [[4, 4]],
            "arrived_late": [[57, 57]],
            "chunks_refused": 2,
            "summary_disagrees_in": "hash",
            "detail": "KeyError",
            "total_is_known": False,
        },
    )
    assert list(told(row)) == [
        "55 of 60 chunks reached the device.",
        "The bot said that it failed.",
        "4 did not arrive in time from the bot: 3, 57-59, in several parts of the answer.",
        "1 arrived, but the device was not handed it: 4.",
        "Arrived after their place was given up: 57.",
        "The text was made whole: the bot's summary had the lost part.",
        "The relay refused 2 chunks.",
        "The bot's summary was not believed: its hash is wrong.",
        "Detail: KeyError",
        "The bot never said how many chunks there are: a lost end would not show.",
    ]


@pytest.mark.parametrize(
    ("lost", "where"),
    [
        (range(20, 60), "the end of the answer"),
        (range(20), "the beginning of the answer"),
        (range(60), "the whole answer"),
        (range(10, 50), "in one piece of the answer"),
        ((3, 40), "in several parts of the answer"),
    ],
)
def test_one_gap_is_not_several_parts(lost: Sequence[int], where: str) -> None:
    """A gap may be larger than a quarter; whose answer broke off reads that its end is missing."""
    row = answer(60, lost=tuple(lost), loss_position="mixed")
    assert list(told(row))[1].endswith(f", {where}.")


def test_a_device_that_went_away_is_told_as_the_reason() -> None:
    """It is why the rest was not delivered; one that never came did not go away."""
    changes: dict[str, object] = {
        "loss_hop": "relay_to_device",
        "anomaly": {"never_delivered": [[20, 59]]},
    }
    lost = tuple(range(20, 60))
    gone = answer(60, lost=lost, events=[event("device_gone", 510.0)], **changes)
    assert "The last device left 510 ms after the question." in list(told(gone))
    never = answer(60, lost=lost, events=[event("device_gone", 0.0)], **changes)
    assert not [said for said in told(never) if said.startswith("The last device")]


def test_a_trace_without_an_analysis_still_says_where() -> None:
    """The columns are enough."""
    said = list(told(answer(60, lost=(57, 58, 59))))
    assert said[1] == (
        "3 went missing between the bot and the relay: 57-59, in the last quarter of the answer."
    )


def test_a_whole_answer_of_a_bot_that_never_counted_may_lack_its_end() -> None:
    """Who looks for a lost end must not be told that all is well."""
    end: JsonValue = {"type": "end_received", "data": {"total_is_known": False}, "ms": 1.0}
    assert list(told(answer(57, events=[end]))) == [
        "All 57 chunks reached the device.",
        "The bot never said how many chunks there are: a lost end would not show.",
    ]


def test_what_the_relay_refused_is_told_with_its_reason() -> None:
    """Once for each chunk: such a chunk did arrive, and the bot has to be mended."""
    refused: list[JsonValue] = [
        {"type": "refused", "data": {"sequence": number, "code": code}, "ms": 1.0}
        for number, code in ((5, "invalid_content"), (5, "invalid_content"), (None, "hold_full"))
    ]
    assert list(told(answer(60, events=refused))) == [
        "All 60 chunks reached the device.",
        "Refused by the relay: 5 (invalid_content), one without a number (hold_full).",
    ]


def test_a_bot_that_was_offline_sent_nothing() -> None:
    """And it is said why. Not that it never counted: it was not asked."""
    row = answer(0, sdk_chunk_count=0, sdk_total_chunks=None, outcome="bot_offline")
    assert list(told(row)) == ["There was no chunk.", "The bot was not connected."]
    row = replace(row, anomaly={"total_is_known": False})
    assert list(told(row)) == ["There was no chunk.", "The bot was not connected."]


def test_long_waits_in_the_relay_are_told() -> None:
    """What waited behind a gap, and for how long at most."""
    row = answer(
        3, timeline=[[0, 0.0, 0.0, 1.0, 5], [2, 10.0, 10.0, 8010.0, 5], [1, 9.0, 9.0, None, 5]]
    )
    assert "1 chunk waited in the relay, the longest 8.0 s." in list(told(row))


def test_the_timeline_is_read_as_points_and_what_is_malformed_is_left_out() -> None:
    """A row of another version must not break the page that shows it."""
    row = answer(1, timeline=[[0, 1.5, None, 3, 7], [1, 2.5, 2.5, None], ["x"], {}, [2]])
    assert points(row) == [Point(0, 1.5, None, 3, 7), Point(1, 2.5, 2.5, None, 0)]
    assert [point.waited for point in points(row)] == [1.5, 0.0]


def test_the_moments_are_those_of_the_events() -> None:
    """Events of an older relay have no milliseconds, and then there is no moment."""
    row = answer(
        1, events=[event("end_received", 5.0), event("repaired", 7.0), event("stream_end", 7.0)]
    )
    assert moments(row).end_held == 2.0
    assert moments(row).repaired == (7.0,)
    older: list[JsonValue] = [{"type": "stream_end", "data": {}, "timestamp": ""}, "nonsense"]
    assert moments(answer(1, events=older)).end_held == 0.0


def test_numbers_are_written_as_ranges() -> None:
    """As an operator would, and no more than can be read."""
    assert ranges([3, 57, 58, 59]) == "3, 57-59"
    assert ranges([]) == ""
    assert ranges(range(0, 2 * GAPS_TOLD_MAX + 6, 2)).endswith("38 and 3 more gaps")


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (0, "0 ms"),
        (5, "5 ms"),
        (0.24, "0.2 ms"),
        (250.4, "250 ms"),
        (2000.4, "2.0 s"),
        (185_400.0, "3 min 5 s"),
    ],
)
def test_durations_are_said_with_a_fitting_unit(milliseconds: float, said: str) -> None:
    """Nobody wants to count zeros."""
    assert seconds(milliseconds) == said
