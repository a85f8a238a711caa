from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from time import perf_counter

from relay.web.admin.draw_timeline import LEFT, RIGHT, ROWS_MAX, WIDTH, arrange, draw_timeline
from relay.wire.jsontext import JsonValue
from tests.support.admin import trace_row
from tests.support.admin_page import event, held, incident, long_answer


def parts(drawn: str, kind: str) -> list[str]:
    """Every opening tag of this class."""
    return re.findall(rf'<[a-z]+ [^>]*class="{kind}"[^>]*>', drawn)


def tips(drawn: str) -> list[str]:
    """What hovering over each row tells."""
    return [unescape(tip) for tip in re.findall(r'data-tip="([^"]*)"', drawn)]


def words(drawn: str) -> list[tuple[str, str]]:
    """The words over the moments, and to which side of their lines they stand."""
    found = re.findall(r'text-anchor="([a-z]+)" class="tick">(bot[^<]*|end|gap[^<]*)<', drawn)
    return [(anchor, unescape(said)) for anchor, said in found]


def test_every_chunk_has_three_marks_of_different_shapes() -> None:
    """Received is a circle, ACKed a line, delivered a diamond: not only the colours differ."""
    drawn = draw_timeline(incident())
    assert len(parts(drawn, "received")) == 57
    assert {tag.split()[0] for tag in parts(drawn, "received")} == {"<circle"}
    assert {tag.split()[0] for tag in parts(drawn, "acked")} == {"<line"}
    assert {tag.split()[0] for tag in parts(drawn, "delivered")} == {"<path"}


def test_missing_sequences_are_red_rows_with_their_numbers() -> None:
    """Three rows, named once beside them and each when hovered."""
    drawn = draw_timeline(incident())
    assert len(parts(drawn, "band lost")) == 3
    assert drawn.count("✕ 57-59 missing") == 1
    assert tips(drawn)[58] == "Chunk 58\nMISSING, never arrived"


def test_words_of_near_moments_do_not_overlap() -> None:
    """They turn away from each other; a gap that is given up at the end is told by the end."""
    events: list[JsonValue] = [
        event("end_received", 9_000.0),
        event("gap_shown", 9_151.0, sequence=20),
        event("stream_end", 9_151.0),
    ]
    assert words(draw_timeline(incident(events=events))) == [("end", "bot's end"), ("start", "end")]
    early = [event("end_received", 20.0), *events[1:]]
    assert words(draw_timeline(incident(events=early)))[0] == ("start", "bot's end")


def test_hovering_tells_exact_times() -> None:
    """Of each stage, and how long after the first."""
    row = trace_row(timeline=[[0, 250.0, 250.44, 251.6, 3]], sdk_total_chunks=1)
    (tip,) = tips(draw_timeline(row))
    assert tip.splitlines() == [
        "Chunk 0",
        "received   250.0 ms",
        "ACKed      250.4 ms (+0.4)",
        "delivered  251.6 ms (+1.6)",
        "length     3 characters",
    ]


def test_a_chunk_that_was_received_and_not_delivered_is_missing_with_its_times() -> None:
    """The other hop."""
    row = trace_row(timeline=[[0, 250.0, None, None, 3]], sdk_total_chunks=1, missing_sequences=[0])
    assert tips(draw_timeline(row)) == [
        "Chunk 0\nreceived   250.0 ms\ndelivered  never\nlength     3 characters\nMISSING"
    ]


def test_what_waited_behind_a_gap_is_a_bar_from_arrival_to_delivery() -> None:
    """39 chunks waited for the one that came late, and the bar ends where they were delivered."""
    drawn = draw_timeline(held())
    assert len(parts(drawn, "wait held")) == 39
    assert parts(draw_timeline(trace_row()), "wait held") == []


def test_the_barrier_is_a_hatched_field_between_the_bots_end_and_the_devices() -> None:
    """And it says how long it was."""
    drawn = draw_timeline(incident())
    assert len(parts(drawn, "barrier")) == 1
    assert "end held 2.0 s" in drawn
    assert "bot&#39;s end: 5,583.0 ms" in drawn
    assert parts(draw_timeline(trace_row(events=[])), "barrier") == []


def test_a_repair_is_a_cross_in_each_row_that_it_filled() -> None:
    """Where and when the text of the summary took the place of the lost chunks."""
    drawn = draw_timeline(incident(repaired=True))
    assert len(parts(drawn, "repair")) == 3
    assert parts(draw_timeline(incident()), "repair") == []


def test_everything_lies_between_the_axes() -> None:
    """No mark is left of the axis or right of the plot, whatever the times are."""
    for row in (incident(), held(), long_answer(1)):
        drawn = draw_timeline(row)
        places = [float(x) for x in re.findall(r'<circle cx="([-\d.]+)"', drawn)]
        assert min(places) >= LEFT
        assert max(places) <= WIDTH - RIGHT


def test_a_long_wait_for_the_first_chunk_does_not_push_out_the_rest() -> None:
    """The axis begins near the first chunk then; else at the request."""
    assert arrange(incident()).x.low > 3_000
    soon = replace(incident(), timeline=[[0, 10.0, 10.5, 11.0, 2], [1, 500.0, 501.0, 502.0, 2]])
    assert arrange(replace(soon, events=[], missing_sequences=[])).x.low == 0.0


def test_5000_chunks_are_drawn_in_rows_of_several_and_fast() -> None:
    """Each row names its sequences; those with a missing one are red and say which."""
    started = perf_counter()
    drawn = draw_timeline(long_answer(1))
    assert perf_counter() - started < 2.0
    assert len(tips(drawn)) <= ROWS_MAX
    assert len(drawn) < 400_000
    assert "✕ 1200 missing" in drawn
    (tip,) = [tip for tip in tips(drawn) if tip.startswith("Chunks 1176-1217")]
    assert tip.endswith("MISSING: 1200")
    assert "41 received" in tip


def test_a_trace_without_chunks_or_with_nonsense_is_drawn() -> None:
    """A row of another version must not break the page."""
    for timeline in ([], [["x"], {}, [7]]):
        row = trace_row(timeline=timeline, sdk_total_chunks=None, sdk_chunk_count=0, events=[{}])
        assert "<svg" in draw_timeline(row)


def test_no_element_has_a_style_attribute() -> None:
    """The Content-Security-Policy would leave it out."""
    assert "style=" not in draw_timeline(long_answer(1))
