from __future__ import annotations

import resource
from pathlib import Path

import pytest

from relay.doctor import machine
from relay.doctor.finding import Level
from relay.doctor.machine import (
    judge_backlog,
    judge_clock,
    judge_connections,
    judge_descriptors,
    judge_offset,
    look_at_clock,
    look_at_connections,
    look_at_limits,
)

NOW = 1_772_157_600.0


async def test_this_machine_is_looked_at() -> None:
    """Something is said of the clock, of descriptors and of waiting connections."""
    found = [*await look_at_clock(), *look_at_limits()]
    assert [finding.area for finding in found] == ["clock", "limits", "limits"]
    assert all(finding.what for finding in found)


@pytest.mark.parametrize(
    ("wall", "parted_s", "resolution_s", "level", "said"),
    [
        (NOW, 0.0001, 1e-9, Level.OK, "steps of 1 ns"),
        (12.0, 0.0, 1e-9, Level.FAIL, "was never set"),
        (NOW, -3600.0, 1e-9, Level.WARN, "moved by -3600.000 s"),
        (NOW, 0.0, 0.015, Level.WARN, "steps of 15 ms"),
    ],
)
def test_a_clock_is_judged(
    wall: float, parted_s: float, resolution_s: float, level: Level, said: str
) -> None:
    """Never set, set while we look, too coarse; or fine."""
    (finding,) = judge_clock(wall=wall, parted_s=parted_s, resolution_s=resolution_s)
    assert finding.level is level
    assert said in finding.what
    assert bool(finding.mend) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("offset_s", "level", "said"),
    [
        (0.4, Level.OK, "agrees"),
        (-2.5, Level.WARN, "2.5 s behind"),
        (90.0, Level.FAIL, "90.0 s ahead"),
    ],
)
def test_another_clock_is_judged(offset_s: float, level: Level, said: str) -> None:
    """What expires goes by both clocks."""
    finding = judge_offset(offset_s, "the database")
    assert finding.level is level
    assert said in finding.what


@pytest.mark.parametrize(
    ("soft", "hard", "level", "mend"),
    [
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, Level.OK, ""),
        (65_536, 65_536, Level.OK, ""),
        (1024, 524_288, Level.WARN, "`ulimit -n 8192`"),
        (1024, 4096, Level.WARN, "as root"),
        (128, resource.RLIM_INFINITY, Level.FAIL, "`ulimit -n 8192`"),
    ],
)
def test_descriptors_are_judged(soft: int, hard: int, level: Level, mend: str) -> None:
    """What can be raised here is raised here; beyond the hard limit only root may."""
    finding = judge_descriptors(soft, hard)
    assert finding.level is level
    assert mend in finding.mend


@pytest.mark.parametrize(
    ("soft", "connections", "told"),
    [
        (65_536, 16_384, ""),
        (resource.RLIM_INFINITY, 0, ""),
        (16_384, 16_384, "RELAY_CONNECTIONS_MAX to at most 15296"),
        (65_536, 0, "RELAY_CONNECTIONS_MAX to at most 64448"),
        (1024, 16_384, ""),
    ],
)
def test_more_connections_than_files_are_told_of(soft: int, connections: int, told: str) -> None:
    """A relay that refuses the last ones says so to them; without a file it cannot."""
    mends = [finding.mend for finding in judge_connections(soft, connections)]
    assert [told in mend for mend in mends] == ([True] if told.startswith("RELAY") else [])


def test_this_shell_has_files_for_one_connection() -> None:
    """Whatever it grants: fewer than are enough are told of by another finding."""
    assert look_at_connections(1) == []


@pytest.mark.parametrize(
    ("granted", "level"), [(4096, Level.OK), (128, Level.WARN), (None, Level.SKIP)]
)
def test_the_queue_of_connections_is_judged(granted: int | None, level: Level) -> None:
    """The kernel may grant less than the relay asks for; other systems do not say."""
    assert judge_backlog(granted).level is level


def test_a_system_that_does_not_say_is_not_guessed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no /proc, nobody looked."""
    monkeypatch.setattr(machine, "SOMAXCONN", tmp_path / "none")
    assert look_at_limits()[1].level is Level.SKIP
