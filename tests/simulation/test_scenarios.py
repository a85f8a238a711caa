"""Scenarios of the whole relay on virtual time: no invariant is ever broken.

`make simulate SEEDS=20000` plays more of them, `make simulate SEED=n` shows one.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from relay.protocol.status import Outcome
from tests.simulation.__main__ import main
from tests.simulation.facts import Handed, Row, Sample, Shown
from tests.simulation.invariants import OF_A_RUN, OF_A_STREAM, violations
from tests.simulation.plan import Fault, FaultPlan, Kind, Plan, draw
from tests.simulation.run import Run, simulate
from tests.simulation.search import judge, keep, kept_seeds, search
from tests.simulation.show import show_plan, show_run
from tests.simulation.virtual_time import Stuck, VirtualLoop, run_virtually

SEEDS = 200
BLOCKS = 10


def complain(seed: int, wrong: list[str]) -> str:
    """Say what is wrong with a seed, and how to look at it."""
    return "\n".join([f"seed {seed}: make simulate SEED={seed}", *wrong])


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_invariant_holds_in_every_scenario(block: int) -> None:
    """Whatever breaks, on whichever link or node, and however bots and devices behave."""
    for seed in range(block * SEEDS // BLOCKS, (block + 1) * SEEDS // BLOCKS):
        wrong = judge(seed)
        assert not wrong, complain(seed, wrong)


@pytest.mark.parametrize("seed", kept_seeds())
def test_a_seed_that_once_failed_never_fails_again(seed: int) -> None:
    """Each stands in seeds.txt, for good."""
    wrong = judge(seed)
    assert not wrong, complain(seed, wrong)


def moving_unheard(plan: Plan) -> Plan:
    """Let a bot leave half open connections behind, and no node hear that it is elsewhere."""
    random = Random(f"{plan.seed} moves")
    deaf = FaultPlan(0.2, Fault.DEAF, 4.0, 0)
    breaks = [FaultPlan(0.5 + 0.6 * n, Fault.SOCKET, 0.0, random.choice((2, 3))) for n in range(3)]
    return replace(plan, faults=(deaf, *breaks), heals_at=max(plan.heals_at, 3.0))


def test_a_bot_is_greeted_with_what_is_stored_wherever_it_was() -> None:
    """Its older connection may be half open at the very node that it comes back to."""
    plans = [plan for plan in map(draw, range(120)) if plan.nodes > 1]
    for plan in plans:
        wrong = [what for what in violations(simulate(plan.seed, moving_unheard)) if "i01_" in what]
        assert not wrong, complain(plan.seed, wrong)


def test_a_seed_replays_exactly() -> None:
    """The same facts at the same times, or a failing seed would be worth nothing."""
    for seed in (1, 7, 19):
        first, second = simulate(seed), simulate(seed)
        assert show_run(first, samples=True) == show_run(second, samples=True)


def test_the_scenarios_reach_what_they_are_about() -> None:
    """Every kind of bot, fault and ending occurs, and most answers are whole all the same."""
    runs = [simulate(seed) for seed in range(60)]
    plans = [draw(seed) for seed in range(300)]
    assert {fault.fault for plan in plans for fault in plan.faults} == set(Fault)
    assert {bot.kind for plan in plans for bot in plan.bots} == set(Kind)
    outcomes = Counter(row.row.outcome for run in runs for _, row in run.ledger.of(Row))
    assert outcomes[Outcome.COMPLETED] > sum(outcomes.values()) / 3
    assert {Outcome.INCOMPLETE, Outcome.IDLE, Outcome.FAILED} <= set(outcomes)
    for kind in (Handed, Shown, Sample):
        assert sum(1 for run in runs for _ in run.ledger.of(kind)) > 60, kind


def test_every_invariant_has_its_checker() -> None:
    """All of the 23: what needs no real socket or clock is seen here."""
    numbers = {int(check.__name__[1:3]) for check in (*OF_A_STREAM, *OF_A_RUN)}
    assert numbers == set(range(1, 24))


def test_a_run_can_be_read() -> None:
    """Plan and log are lines for people, with the streams' ids."""
    run = simulate(3)
    assert f"seed {run.plan.seed}: " in show_plan(run.plan)[0]
    lines = show_run(run)
    assert any("log e" in line and "made, fence 1" in line for line in lines)
    assert len(show_run(run, samples=True)) > len(lines)


def test_what_the_relay_trips_over_is_a_violation() -> None:
    """An exception within the relay is never only a line of its log."""
    run: Run = simulate(0)
    assert violations(run) == []
    run.complaints.append("KeyError in a task")
    assert violations(run) == ["i21_everything_is_given_back: KeyError in a task"]


def test_seeds_that_fail_are_kept_once(tmp_path: Path) -> None:
    """With the first thing that was wrong, behind those that are there already."""
    file = tmp_path / "seeds.txt"
    file.write_text("# a comment\n5 i01_x\n", encoding="utf-8")
    keep({5: ["i02_y: s: z"], 9: ["i03_z: s: what", "i04"]}, file)
    assert kept_seeds(file) == {5: "i01_x", 9: "i03_z"}


def test_a_search_tells_how_far_it_is() -> None:
    """How many of how many, how fast, how long to go, and how many failed."""
    out = io.StringIO()
    found = search(range(3), jobs=1, out=out)
    assert (found.seeds, found.failed) == (3, {})
    assert "3 of 3 seeds" in out.getvalue()
    assert "0 s left, 0 failed" in out.getvalue()


def test_one_seed_is_shown_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Plan, log and verdict."""
    assert main(["--seed", "2"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("seed 2: ")
    assert printed.endswith("every invariant holds\n")


def test_virtual_time_passes_at_once() -> None:
    """An hour takes no time, and timers come in their order."""

    async def sleep(loop: VirtualLoop) -> list[float]:
        times = await asyncio.gather(
            *(asyncio.sleep(hours * 3600.0, hours) for hours in (2.0, 1.0))
        )
        return [*times, loop.time()]

    assert run_virtually(sleep) == [2.0, 1.0, 7200.0]


def test_whoever_waits_for_nobody_is_told() -> None:
    """A real loop would hang."""

    async def wait(_loop: VirtualLoop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck, match="nothing is due"):
        run_virtually(wait)
