"""The wall clock jumps by an hour."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.faults.content import read_question
from tests.faults.raw import chunk, end, raw_bot
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Stage

HOLD_S = 2.0
EARLY_S = 0.05
LATE_S = 0.1
JUMPS = ("+3600", "-3600", "+0")
LIBRARY = "libfaketimeMT.so.1"


def library() -> Path | None:
    """Return where libfaketime is installed."""
    return next(Path("/usr/lib").glob(f"**/faketime/{LIBRARY}"), None)


def _write(path: Path, jump: str) -> None:
    # Renamed, so that the relay never reads half of it.
    new = path.with_suffix(".new")
    new.write_text(f"{jump}\n")
    new.rename(path)


async def _relay_with_clock(
    stage: Stage, measured: Measured, *, bots: int, **environ: str
) -> Path | None:
    """Start a relay under libfaketime; returns the file that sets its clock, if it is installed."""
    preload = library()
    if preload is None:
        measured.violations.append("not run: libfaketime is not installed")
        return None
    clock = stage.folder / "clock"
    _write(clock, "+0")
    stage.environ |= {
        "LD_PRELOAD": str(preload),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        **environ,
    }
    await stage.relay(bots=bots)
    return clock


async def jumps(stage: Stage, size: Size) -> Measured:
    """It jumps ahead and back while answers run, while one waits for its bot, and in a hold."""
    measured = Measured()
    clock = await _relay_with_clock(stage, measured, bots=6, FAKETIME_DONT_FAKE_MONOTONIC="1")
    if clock is None:
        return measured
    ledger = await stage.ledger()
    await stage.bots(ledger.url, numbers=range(4))
    holds: list[float] = []
    for jump in size.of(JUMPS, JUMPS[:1]):
        await ledger.ask(stage.users[:4], chunks=150, pause_ms=20.0)
        async with raw_bot(ledger.url, stage.seed.bots[4].token) as bot:
            (stream_id,) = await ledger.ask(stage.users[4:5], chunks=4)
            asked = await bot.asked()
            answer = read_question(asked["params"]["message"])
            kept = (0, 1, 3)
            await bot.say(*(chunk(stream_id, n, answer.piece(n)) for n in kept))
            # One that waits: its silence around the jump must not be taken for an hour.
            await asyncio.sleep(0.5)
            await bot.say(end(stream_id, 4))
            began = time.monotonic()
            await asyncio.sleep(HOLD_S / 2)
            _write(clock, jump)
            at, closed = await bot.message("stream_closed", session_id=stream_id)
            holds.append(at - began)
            measured.need(closed["outcome"] == "incomplete", f"the hold ended as {closed}")
        await ledger.until(ended=True)
        timeline = await ledger.call("timeline")
        outcomes = sorted(outcome for one in timeline for outcome in one["outcomes"])
        expected = ["completed"] * 4 + ["incomplete"]
        measured.need(outcomes == expected, f"after a jump of {jump} s the ends say {outcomes}")
        measured.judged(await ledger.judge(), whole=False)
    measured.need(min(holds) >= HOLD_S - EARLY_S, f"a hold ended after {min(holds):.3f} s")
    held = f"{min(holds):.3f}-{max(holds):.3f} s"
    told = ", ".join(size.of(JUMPS, JUMPS[:1]))
    measured.figures.append(f"clock at {told} s; {len(holds)} holds took {held}")
    measured.within("late by at most", max(holds) - HOLD_S, LATE_S)
    return measured


async def monotonic(stage: Stage, size: Size) -> Measured:
    """What no kernel does: the monotonic clock jumps too. Every promise but the times must hold."""
    measured = Measured()
    clock = await _relay_with_clock(stage, measured, bots=4)
    if clock is None:
        return measured
    ledger = await stage.ledger()
    await stage.bots(ledger.url)
    await ledger.ask(stage.users, chunks=150, pause_ms=20.0)
    await ledger.until(each=25)
    _write(clock, "+3600")
    await ledger.until(ended=True, timeout_s=60)
    verdict = await ledger.judge(slack_s=3_600.0)
    measured.judged(verdict, whole=False)
    measured.figures.append(
        "ends: " + ", ".join(f"{count} {name}" for name, count in verdict["outcomes"].items())
    )
    return measured


SCENARIOS = [
    Scenario(
        "clock-jumps",
        "clock jumps 1 h",
        "libfaketime sets the wall clock; the monotonic one goes on, as a kernel's does",
        "0 early or late ends",
        jumps,
        needs=("faketime",),
    ),
    Scenario(
        "clock-jumps-monotonic",
        "the monotonic clock jumps as well",
        "libfaketime on both: no kernel does this",
        "every stream ends, and nothing is unaccounted for",
        monotonic,
        in_short=False,
        needs=("faketime",),
    ),
]
