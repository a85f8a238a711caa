from __future__ import annotations

import re
from dataclasses import replace

import pytest

from relay.admin.trace_row import TraceRow
from relay.cli.timeline import draw
from relay.wire.jsontext import JsonValue
from tests.support.store import ROW


def answer(total: int, *, lost: tuple[int, ...] = (), **changes: object) -> TraceRow:
    """An answer of which some chunks never arrived; one chunk each 10 ms."""
    timeline: list[JsonValue] = [
        [number, 10.0 * number, 10.0 * number + 1, 10.0 * number + 2, 5]
        for number in range(total)
        if number not in lost
    ]
    row = replace(
        ROW,
        sdk_total_chunks=total,
        sse_chunk_count=total - len(lost),
        missing_sequences=list(lost),
        loss_hop="bot_to_relay" if lost else None,
        timeline=timeline,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def lines(row: TraceRow, width: int = 80) -> list[str]:
    """What is drawn, without colours."""
    return [line.plain for line in draw(row, width)]


def test_the_end_that_went_missing_is_named_and_drawn_in_red() -> None:
    """60 -> 57: the counts, the sequences, the hop, and a red row behind the others."""
    row = answer(60, lost=(57, 58, 59))
    drawn = list(draw(row, 80))
    text = "\n".join(line.plain for line in drawn)
    assert "chunks  60 -> 57" in text
    assert "57 of 60 chunks reached the device." in text
    assert "3 went missing between the bot and the relay: 57-59" in text
    (gap,) = [line for line in drawn if line.plain.endswith("missing 3")]
    assert gap.plain.split()[0] == "57-59"
    assert any("red" in str(span.style) for span in gap.spans)
    assert drawn.index(gap) == len(drawn) - 2


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("total", [1, 7, 60, 5000])
def test_the_chart_fits_the_terminal(total: int, width: int) -> None:
    """However long the answer is: a row is several chunks then."""
    row = answer(total, lost=(0,) if total > 1 else ())
    chart = lines(row, width)[12:]
    assert max(map(len, chart)) <= width
    assert len(chart) < 40


def test_a_chunk_stands_where_it_was_received_acked_and_delivered() -> None:
    """From left to right, with the time of the first and how long the others took."""
    slow = answer(1, timeline=[[0, 100.0, 150.0, 200.0, 5]])
    (line,) = [line for line in lines(slow) if line.startswith("          0  ")]
    assert re.fullmatch(r" +0  ○ +◐ +● +100\.0 +\+50\.0 +\+100\.0", line)


def test_what_arrived_and_was_not_delivered_is_missing_with_its_times() -> None:
    """The other hop: it was received and acknowledged."""
    row = answer(2, lost=(1,), loss_hop="relay_to_device", sdk_total_chunks=2)
    row = replace(row, timeline=[*row.timeline, [1, 10.0, 11.0, None, 5]])
    (line,) = [line for line in lines(row) if re.match(r" +1  ", line)]
    assert re.search(r"10\.0 +\+1\.0 +missing$", line)


def test_a_stream_without_a_chunk_is_drawn() -> None:
    """A bot that was offline."""
    row = answer(0, bot_id=None, sdk_chunk_count=0, outcome="bot_offline")
    assert lines(row)[-1] == "There was no chunk."


def test_many_gaps_are_cut() -> None:
    """Every other chunk was lost: the rest is counted."""
    row = answer(200, lost=tuple(range(0, 200, 2)))
    assert "70 more gaps, see --json" in lines(row)
