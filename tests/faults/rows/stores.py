"""A database that is locked, full, paused, or does not take one row."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from tests.faults.figures import delays_ms, percentile
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Ledger, Stage, metric
from tests.support.server import RelayServer

SLOWER_MS = 5.0
LOST = "relay_trace_rows_lost_total"
DISK_KIB = 2_048


async def _delivery(
    stage: Stage, ledger: Ledger, measured: Measured, fault: Any, seconds: float
) -> None:
    """Compare how long chunks take without and with the fault, while answers also end."""
    asked = await ledger.ask(stage.users, chunks=round((seconds * 2 + 3) * 50), pause_ms=20.0)
    await ledger.until(each=1)
    started = time.monotonic()
    await _short_answers(stage, ledger)
    await asyncio.sleep(seconds)
    async with fault:
        struck = time.monotonic()
        await asyncio.sleep(seconds)
        healed = time.monotonic()
    await ledger.until(ended=True, timeout_s=120)
    timeline = [one for one in await ledger.call("timeline") if one["stream_id"] in asked]
    before, during = (
        percentile(delays_ms(timeline, *span), 99) for span in ((started, struck), (struck, healed))
    )
    measured.figures.append(f"delivery p99 {before:.1f} ms before, {during:.1f} ms during")
    measured.within("slower by", during - before, SLOWER_MS, "ms")


async def _short_answers(stage: Stage, ledger: Ledger) -> None:
    """Have some whose traces are due while the long ones run on."""
    await ledger.ask(stage.users, chunks=20, pause_ms=40.0)


async def _settled(relay: RelayServer) -> None:
    """Wait until no trace row waits."""
    async with asyncio.timeout(60):
        # Another process: there is nothing to wait for but its own figure.
        while await metric(relay, "relay_trace_backlog") > 0:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def sqlite_locked(stage: Stage, size: Size) -> Measured:
    """Somebody else writes for ten seconds."""
    measured = Measured()
    relay = await stage.relay(bots=size.bots)
    ledger = await stage.ledger()
    await stage.bots(ledger.url)

    @asynccontextmanager
    async def locked() -> AsyncIterator[None]:
        with closing(sqlite3.connect(relay.database, isolation_level=None)) as database:
            database.execute("PRAGMA busy_timeout = 5000")
            database.execute("BEGIN EXCLUSIVE")
            await _short_answers(stage, ledger)
            yield
            database.execute("ROLLBACK")

    await _delivery(stage, ledger, measured, locked(), size.of(10.0, 3.0))
    await _settled(relay)
    measured.judged(await ledger.judge())
    lost = await metric(relay, LOST)
    measured.need(lost == 0, "trace rows are lost")
    measured.figures.append(f"{lost:.0f} trace rows lost")
    return measured


async def disk_full(stage: Stage, size: Size) -> Measured:
    """The disk of the database is full, and later has room again."""
    measured = Measured()
    folder = stage.folder / "disk"
    await stage.plant(size.bots)
    with _small_disk(folder):
        shutil.copy(stage.seed.database, folder / "relay.db")
        url = f"sqlite+aiosqlite:///{folder / 'relay.db'}"
        relay = await stage.relay(database_url=url)
        ledger = await stage.ledger()
        await stage.bots(ledger.url)

        @asynccontextmanager
        async def full() -> AsyncIterator[None]:
            ballast = folder / "ballast"
            _fill(ballast)
            # Each trace keeps its text twice: these would be 400 KB.
            for _ in range(2):
                await ledger.ask(stage.users, chunks=20, pause_ms=40.0, size=1_000)
            yield
            measured.figures.append(
                f"{await metric(relay, 'relay_trace_backlog'):.0f} rows waited for room"
            )
            ballast.unlink()

        await _delivery(stage, ledger, measured, full(), size.of(10.0, 3.0))
        await _settled(relay)
        lost = await metric(relay, LOST)
        verdict = await ledger.judge()
        traced = verdict["streams"] - verdict["untraced"]
        measured.judged(verdict)
        measured.figures.append(
            f"{lost:.0f} lost rows counted, {verdict['untraced']} are not there"
        )
        measured.need(lost == verdict["untraced"], f"{traced} rows and {lost} lost do not add up")
        relay.kill()
    return measured


@contextmanager
def _small_disk(folder: Path) -> Any:
    folder.mkdir(parents=True)
    size = f"size={DISK_KIB}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for block in (65_536, 4_096, 512):
            try:
                while True:
                    file.write(bytes(block))
            except OSError:
                continue


async def postgres_paused(stage: Stage, size: Size) -> Measured:
    """Every process of PostgreSQL stands still; its sockets stay open."""
    measured = Measured()
    server, url = await stage.postgres()
    relay = await stage.relay(bots=size.bots, database_url=url)
    ledger = await stage.ledger()
    await stage.bots(ledger.url)

    @asynccontextmanager
    async def paused() -> AsyncIterator[None]:
        # Asked before: who asks needs the database, to know whose bot it is.
        await _short_answers(stage, ledger)
        with server.paused(*_children(server.pid)):
            yield

    await _delivery(stage, ledger, measured, paused(), size.of(10.0, 3.0))
    await _settled(relay)
    measured.judged(await ledger.judge())
    lost = await metric(relay, LOST)
    measured.need(lost == 0, "trace rows are lost")
    measured.figures.append(f"{lost:.0f} trace rows lost")
    return measured


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


async def poisoned_row(stage: Stage, size: Size) -> Measured:
    """PostgreSQL refuses the rows of one user, and would refuse a NUL in anybody's text."""
    measured = Measured()
    server, url = await stage.postgres()
    relay = await stage.relay(bots=size.bots, database_url=url)
    await asyncio.to_thread(server.run, "psql", "-q", "-d", "faults", "-c", POISON)
    ledger = await stage.ledger()
    await stage.bots(ledger.url)
    victim, *others = stage.users
    rounds = size.of(5, 2)
    for _ in range(rounds):
        await ledger.ask(others, chunks=20, pause_ms=1.0, nul=True)
        await ledger.ask([victim], chunks=20, pause_ms=1.0)
        await ledger.until(ended=True)
    await _settled(relay)
    lost = await metric(relay, LOST)
    verdict = await ledger.judge(wait_s=2.0)
    missing = [line for line in verdict["violations"] if "there is no trace" in line]
    verdict["violations"] = [line for line in verdict["violations"] if line not in missing]
    measured.judged(verdict)
    measured.figures.append(f"{rounds} poisoned rows, {lost:.0f} lost, {len(missing)} not there")
    measured.need(lost == len(missing) == rounds, "the lost rows are not exactly the poisoned ones")
    return measured


POISON = """
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.user_id = 'user-0' THEN RAISE EXCEPTION 'poisoned'; END IF; RETURN NEW; END $$;
CREATE TRIGGER poison BEFORE INSERT OR UPDATE ON stream_traces
FOR EACH ROW EXECUTE FUNCTION poison();
"""

SCENARIOS = [
    Scenario(
        "sqlite-locked",
        "SQLite locked 10 s",
        "BEGIN EXCLUSIVE from another process (short: 3 s)",
        "delivery p99 + < 5 ms; lost rows exact",
        sqlite_locked,
    ),
    Scenario(
        "disk-full",
        "the database's disk is full",
        "a tmpfs of 2 MB, filled up, and emptied again",
        "delivery p99 + < 5 ms; lost rows exact",
        disk_full,
        needs=("mount",),
    ),
    Scenario(
        "postgres-paused",
        "PostgreSQL paused",
        "SIGSTOP to all of its processes (10 s; short: 3 s)",
        "delivery p99 + < 5 ms; lost rows exact",
        postgres_paused,
        needs=("postgres", "initdb"),
    ),
    Scenario(
        "postgres-poisoned-row",
        "a row that PostgreSQL does not take",
        "a trigger that raises for one user; NUL in all others' texts",
        "lost rows exact",
        poisoned_row,
        needs=("postgres", "initdb"),
    ),
]
