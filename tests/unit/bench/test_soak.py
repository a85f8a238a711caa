"""A soak of seconds: every part of it runs, and what it tells is there."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

import pytest

from bench.soak.__main__ import CONNECTED, KEPT, PANELS, Options, limits, read_options, report
from bench.soak.__main__ import soak as run_soak
from bench.soak.chart import draw_soak
from bench.soak.judge import Sample
from bench.soak.look import MB, TASKS_IN, from_outside
from bench.soak.wish import KINDS, Wish, draw_wish, is_whole, order_fault, read_wish


async def test_a_crowd_comes_and_everything_it_opened_is_closed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answers are read to their end, none is wrong, and nothing of a connection is left."""
    monkeypatch.setattr("bench.soak.__main__.FORGOTTEN_S", 5.0)
    options = Options(3.0, 1.0, 0.3, 6, 30, 8.0, 200.0, redis=False, seed=3, chart=None)
    found = await run_soak(options)
    assert found.ledger.wrong == []
    assert found.ledger.counts["read to the end: completed"] > 0
    assert found.outcomes["completed"] > 0
    assert [one.name for one in found.back if not one.back and one.name in CONNECTED] == []
    last = found.samples[-1].values
    assert last[f"{TASKS_IN}Tracer._run"] == 1
    assert last["tasks"] == sum(n for name, n in last.items() if name.startswith(TASKS_IN))
    told = report(found, options)
    for name in (*(limit.name for limit in limits(2.0)), *CONNECTED, *KEPT):
        assert f"| {name} |" in told


def test_memory_is_what_a_process_has_for_itself() -> None:
    """What it takes is seen, and what it gives back."""
    before = from_outside(os.getpid())["memory MB"]
    block = bytearray(b"x") * (64 << 20)
    assert len(block) == 64 << 20
    taken = from_outside(os.getpid())["memory MB"]
    del block
    assert taken - before == pytest.approx(64, abs=8)
    assert from_outside(os.getpid())["memory MB"] - before == pytest.approx(0, abs=8)


def test_of_a_database_its_files_count_and_what_is_in_use_is_told_apart(tmp_path: Path) -> None:
    """What was deleted leaves the file as large as it was; the log is in the sum."""
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE texts (text BLOB)")
        connection.execute("INSERT INTO texts VALUES (zeroblob(8000000))")
        connection.commit()
        full = from_outside(os.getpid())
        connection.execute("DELETE FROM texts")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        empty = from_outside(os.getpid())
    text = pytest.approx(8_000_000 / MB, abs=0.5)
    assert full["database in use MB"] == text
    assert full["database log MB"] == text
    assert full["database MB"] == pytest.approx(2 * 8_000_000 / MB, abs=0.5)
    assert empty["database in use MB"] < 0.1
    assert empty["database log MB"] == 0
    assert empty["database MB"] == text


def test_the_defaults_are_those_of_the_page() -> None:
    """Half an hour, of which twelve minutes are the warm-up."""
    options = read_options([])
    assert (options.seconds, options.warmup_s, options.bots, options.rate) == (1800, 720, 12, 5)
    assert read_options(["--minutes", "2", "--warmup", "1"]).warmup_s == 60


def test_a_drawing_has_a_line_for_each_figure_within_its_panel() -> None:
    """It is well-formed, and no point lies outside of the paper."""
    names = [name for panel in PANELS for name in panel.names]
    rng = Random(1)
    made = [Sample(n * 2.0, {name: rng.uniform(0, 300) for name in names}) for n in range(900)]
    drawn = str(draw_soak(made, PANELS, warmup_s=300.0, crowd_s=1700.0))
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    paths = re.findall(r'd="M([^"]+)" class="line', drawn)
    assert len(paths) == len(names)
    for path in paths:
        places = [tuple(map(float, place.split())) for place in path.split("L")]
        assert all(0 <= x <= width / 2 and 0 <= y <= height for x, y in places)


def test_a_wish_is_read_as_it_was_written() -> None:
    """Through the words of a question."""
    rng = Random(5)
    for _ in range(200):
        wish = draw_wish(rng)
        assert wish.kind in KINDS
        assert read_wish(str(wish)) == wish


def test_a_text_that_is_not_whole_is_found() -> None:
    """A piece that is missing, there twice, or out of order."""
    pieces = Wish("whole", 4, 0.0).pieces
    assert is_whole("".join(pieces))
    assert not is_whole("".join(pieces[:-1]))
    assert not is_whole("")
    assert order_fault("".join(pieces)) == ""
    assert order_fault("".join([*pieces, pieces[0]])) == "piece 0 behind piece 3"
    assert order_fault("".join([pieces[1], pieces[0]])) == "piece 0 behind piece 1"
