from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import contestants
from bench.contestants import TITLES, ContestantMissing, Cores, contestant, lacks
from bench.draw import Bars, Curve, draw_bars, draw_curves, figure
from bench.generator.program import Latencies, Load, run
from bench.page import MarkerMissing, markers, put_part
from bench.rows import ROWS, Bench, Plan, highest, is_carried_by
from bench.table import (
    Results,
    keep,
    measure_row,
    page_part,
    picture,
    read_options,
    read_results,
    shown_command,
)

TINY = Plan(50, 150, 1, 0.5)


WHOLE = {"lost": 0.0, "repeated": 0.0, "disordered": 0.0, "corrupt": 0.0, "errors": 0.0}


def results() -> Results:
    """Three runs of two servers in two rows."""
    fast = [{"chunks/s": value, "CPU us": 6.0, **WHOLE} for value in (90e3, 120e3, 100e3)]
    slow = [{"chunks/s": value, "CPU us": 36.0, **WHOLE} for value in (27e3, 26e3, 28e3)]
    slow[1]["lost"] = 2.0
    ours = [{"p50 ms": value, "p99 ms": 2 * value, **WHOLE} for value in (0.4, 0.3, 0.5)]
    least = [{"p50 ms": value, "p99 ms": value, **WHOLE} for value in (0.1, 0.1, 0.1)]
    rows = {"saturated": {"relay": fast, "naive": slow}, "ten": {"relay": ours, "ceiling": least}}
    return Results(
        "a machine", rows, {"saturated": "today, `make bench`", "ten": "now, `make bench`"}
    )


def parsed(drawing: str) -> ET.Element:
    """Return a drawing's elements."""
    return ET.fromstring(drawing)  # noqa: S314 - the test drew it


@pytest.mark.parametrize("limit", [1, 2, 7, 99, 1_000, 1_234, 5_000])
@pytest.mark.parametrize("start", [1.0, 40.0, 1_000.0])
async def test_the_highest_number_is_found_from_wherever_it_starts(
    limit: int, start: float
) -> None:
    """Within the precision that was asked for, and in few runs; each number is tried once."""
    tried: list[int] = []

    async def carries(number: int) -> bool:
        tried.append(number)
        return number <= limit

    found = await highest(carries, start, 0.03)
    assert limit - max(1, 0.03 * limit) <= found <= limit
    assert len(tried) == len(set(tried)) <= 20


async def test_a_server_that_carries_nothing_carries_0() -> None:
    """The search ends."""

    async def carries(number: int) -> bool:
        return number < 1

    assert await highest(carries, 50.0, 0.03) == 0


@pytest.mark.parametrize("name", ["relay", "relay-asgi", "naive"])
async def test_a_row_is_measured_for_every_server(name: str) -> None:
    """A tiny run of ten streams; nothing is lost, and what it took is nobody's promise."""
    said: list[str] = []
    bench = Bench(TINY, Cores(0, -1), None, said.append)
    ten = next(row for row in ROWS if row.name == "ten")
    measured = await measure_row(bench, ten, [name], 1)
    (values,) = measured.rows["ten"][name]
    assert values.keys() == {"p50 ms", "p99 ms", "CPU us", *WHOLE}
    assert {key: values[key] for key in WHOLE} == WHOLE
    assert 0 < values["p50 ms"] <= values["p99 ms"]
    assert f"ten, {name}, run 1 of 1" in said[-1]


async def test_the_sdk_is_measured() -> None:
    """A bot of the SDK answers over a relay, and tells its own CPU for each chunk."""
    bench = Bench(TINY, Cores(0, 0), None, lambda _: None)
    sdk = next(row for row in ROWS if row.name == "sdk")
    values = await sdk.take(bench, "sdk", 0.0)
    assert values["CPU us"] > 0 < values["chunks/s"]


async def test_a_contestant_that_is_not_there_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is said what is missing, and the row goes on without it."""
    assert "--yardsticks" in lacks("ceiling", None)
    assert "ceiling.c is not in" in lacks("ceiling", tmp_path)
    monkeypatch.setattr(contestants, "COMPILED", tmp_path)
    assert "make compile" in lacks("relay-compiled", None)
    (tmp_path / "relay__mypyc.so").touch()
    assert not lacks("relay-compiled", None)
    with pytest.raises(ContestantMissing, match="ceiling"):
        async with contestant("ceiling", 1, tmp_path, Cores(0, 0)):
            pass
    said: list[str] = []
    bench = Bench(TINY, Cores(0, -1), tmp_path, said.append)
    measured = await measure_row(bench, ROWS[0], ["ceiling"], 1)
    assert measured.rows == {"saturated": {}}
    assert "ceiling.c is not in" in said[0]


def test_the_page_has_medians_beside_what_is_asked() -> None:
    """Median and range of a rate; what a relay adds to the ceiling, by pairs; every fault."""
    lines = page_part(results()).splitlines()
    assert (
        lines[0] == "| what | reach | floor | relay | naive Python (bench/naive.py) | C ceiling |"
    )
    assert lines[2] == (
        "| saturated, 64 streams, window 16, chunks/s | 160,000 | 100,000 "
        "| 100,000 (90,000-120,000) | 27,000 (26,000-28,000) |  |"
    )
    assert lines[3] == "| 10 streams at 35 ms, p50 / p99 ms |  |  | 0.40 / 0.80 |  | 0.10 / 0.10 |"
    assert "0.2 / 0.8 | 0.25 / 1.5 | 0.30 / 0.70 |" in lines[4]
    assert lines[5].endswith("| 0 | 0 | 0 / 0 / 0 | 2 / 0 / 0 | 0 / 0 / 0 |")
    assert "| saturated, 64 streams, window 16 | 6.0 | 36.0 |  |" in lines
    assert lines[-3:] == ["a machine.", "", "- `make bench`: saturated (today); ten (now)"]


def test_what_is_measured_again_replaces_what_was(tmp_path: Path) -> None:
    """Rows and servers that were not measured this time stay."""
    path = tmp_path / "results" / "table.json"
    keep(path, results(), "make bench")
    again = Results(
        "a machine", {"saturated": {"relay": [{"chunks/s": 1.0}]}}, {"saturated": "now"}
    )
    keep(path, again, "make bench ARGS='--rows saturated'")
    kept = read_results(path)
    assert kept.rows["saturated"]["relay"] == [{"chunks/s": 1.0}]
    assert len(kept.rows["saturated"]["naive"]) == len(kept.rows["ten"]["relay"]) == 3
    assert kept.taken["saturated"] == "now, `make bench ARGS='--rows saturated'`"


def test_a_command_tells_nothing_of_the_machine() -> None:
    """Folders are named by what they are for."""
    assert shown_command([]) == "make bench"
    shown = shown_command(["--yardsticks", "/opt/c", "--rows", "own"])
    assert shown == "make bench ARGS='--yardsticks FOLDER --rows own'"


def test_a_quick_run_touches_no_page() -> None:
    """Its figures are kept apart, and one repeat is enough."""
    quick, full = read_options(["--quick"]), read_options([])
    assert (quick.repeats, quick.is_written, full.repeats, full.is_written) == (1, False, 3, True)
    assert quick.results != full.results
    assert full.contestants == tuple(TITLES)


def test_a_part_of_the_page_is_replaced(tmp_path: Path) -> None:
    """What is around it stays; a page without its markers is an error."""
    page = tmp_path / "page.md"
    start, end = markers("table")
    page.write_text(f"before\n\n{start}\nold\n{end}\nafter\n")
    put_part(page, "table", "new")
    put_part(page, "table", "newer")
    assert page.read_text() == f"before\n\n{start}\n\nnewer\n\n{end}\nafter\n"
    with pytest.raises(MarkerMissing, match="curves"):
        put_part(page, "curves", "new")


def test_the_rows_are_drawn_as_bars() -> None:
    """Each with its figure, ours in a colour, and lines where the relay shall and must be."""
    drawing = picture(results())
    root = parsed(drawing)
    assert root.attrib["viewBox"].startswith("0 0 900")
    assert "100,000" in drawing
    assert drawing.count('class="bar ours"') == drawing.count('class="bar"') == 2
    assert drawing.count('class="reach"') == drawing.count('class="floor"') == 1


def test_curves_are_drawn_over_steps_that_double() -> None:
    """Each point at its place, equally far from the next."""
    curve = Curve("CPU", "streams", ((10.0, 5.0), (20.0, 5.5), (40.0, 6.0)))
    drawing = str(draw_curves([curve, curve], "Curves"))
    circles = [el for el in parsed(drawing).iter() if el.tag.endswith("circle")]
    x = [float(circle.attrib["cx"]) for circle in circles[:3]]
    assert len(circles) == 6
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)


def test_a_bar_is_as_long_as_its_value() -> None:
    """Half the value, half the length."""
    bars = Bars("rate", (("relay", 200.0), ("other", 100.0)))
    root = parsed(str(draw_bars([bars], "Bars")))
    found = {
        el.attrib["class"]: float(el.attrib["width"])
        for el in root.iter()
        if "bar" in el.attrib.get("class", "")
    }
    assert found["bar ours"] == pytest.approx(2 * found["bar"])
    assert (figure(163_200.4), figure(12.54), figure(0.213)) == ("163,200", "12.5", "0.213")


async def test_a_run_is_carried_only_whole_in_time_and_by_the_server() -> None:
    """A fault, a long tail, too few chunks and a late generator each speak against it."""
    load = Load(2, interval_us=5_000, warmup_ms=0, duration_ms=200)
    async with contestant("naive", 2, None, Cores(0, -1)) as target:
        one = replace(await run(target, load), sent_per_s=400.0)
    short = Latencies(80, 1.0, 1.0, 9_000.0, 9_000.0, 9_000.0)
    late = replace(short, p99=25_000.0)
    one = replace(one, latency_us=short, lag_us=short)
    assert is_carried_by(one, load, 10_000.0)
    assert not is_carried_by(one, load, 8_000.0)
    for change in ({"lost": 1}, {"disordered": 1}, {"errors": 1}, {"sent_per_s": 380.0}):
        assert not is_carried_by(replace(one, **change), load, 10_000.0)
    assert not is_carried_by(replace(one, lag_us=late), load, 10_000.0)


def test_whoever_asks_for_the_cores_twice_is_told_the_same() -> None:
    """The first answer moves the process to one core, of which the second would be told twice."""
    program = (
        "import os; from bench.contestants import Cores, take_cores; "
        "mine = sorted(os.sched_getaffinity(0)); "
        "assert take_cores() == take_cores() == Cores(mine[0], mine[-1])"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
