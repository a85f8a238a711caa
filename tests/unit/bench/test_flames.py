"""Flame graphs: what was sampled is what is drawn."""

from __future__ import annotations

import re
import shutil

import pytest

from bench.contestants import ContestantMissing, Cores
from bench.flames import draw, fold, main, profile, trunk

STACKS = [
    "run (asyncio/runners.py);read (relay/web/fast/frames.py) 30",
    "run (asyncio/runners.py);read (relay/web/fast/frames.py);take (relay/node/<owner>.py) 50",
    "run (asyncio/runners.py);write (relay/broker/memory.py) 20",
    "",
]


def test_a_function_has_the_samples_of_all_that_it_calls() -> None:
    """And those of its own."""
    root = fold(STACKS)
    run = root.calls["run (asyncio/runners.py)"]
    read = run.calls["read (relay/web/fast/frames.py)"]
    assert (root.samples, run.samples, read.samples) == (100, 100, 80)
    assert [call.samples for call in read.calls.values()] == [50]


def test_the_drawing_begins_where_the_time_divides() -> None:
    """What is below tells nothing."""
    assert trunk(fold(STACKS)).name == "run (asyncio/runners.py)"
    assert trunk(fold(["a;b;c 5"])).name == "c"


def test_widths_are_shares_and_nothing_is_markup() -> None:
    """Each box has a tip with the whole name."""
    drawn = str(draw(trunk(fold(STACKS)), "a & b"))
    assert [float(width) for width in re.findall(r'rx="1.5"|width="([\d.]+)"', drawn) if width] == [
        1000,
        999.5,
        799.5,
        499.5,
        199.5,
    ]
    assert "take (relay/node/&lt;owner&gt;.py): 50.0%" in drawn
    assert "a &amp; b" in drawn
    assert "<script" not in drawn


async def test_a_load_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With those that there are."""
    with pytest.raises(SystemExit):
        await main(["idle"])
    assert "no load 'idle'; there are: saturated, own, shared, readers" in capsys.readouterr().err


async def test_without_its_profiler_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The project does not need it otherwise."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ContestantMissing, match="pip install py-spy"):
        await profile("own", Cores(0, 0))
