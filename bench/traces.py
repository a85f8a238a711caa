"""`python -m bench.traces URL`: what a stored trace costs in PostgreSQL.

URL names an empty database of this machine, for example `postgresql+asyncpg:///relay_bench`; it is
filled. One real trace of an answer of 60 chunks is written again and again under other names, by
the relay's own store: in batches as large as a busy relay's, and row by row.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bench import runner
from bench.__main__ import QUIET, machine
from bench.load import cpu_s, identifier_of, open_stream
from bench.sizes import say, spec_of
from relay.admin.trace_row import TraceRow
from relay.demo.relay_process import relay_process
from relay.store.migrate import upgrade
from relay.store.store import Store

CHUNKS = 60
TRACE_S = 15.0

BACKENDS = "SELECT pid FROM pg_stat_activity"
"""Those of the connections, and what writes and checks in the background."""

SIZE = "SELECT pg_total_relation_size('stream_traces')"
"""The table with its indices and what lies beside it."""

WRITTEN = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"


async def real_trace() -> TraceRow:
    """Let a bot answer a device through a relay, and return the trace of it."""
    async with relay_process(QUIET) as relay:
        spec = spec_of(relay)
        stream = await open_stream(spec, 0)
        await say(spec, [stream], CHUNKS)
        stream.bot.write(stream.end(identifier_of(spec), CHUNKS))
        await asyncio.wait([stream.device.closed], timeout=10)
        async with asyncio.timeout(TRACE_S):
            # Another process writes it, in batches: there is nothing to wait for but the row.
            while (  # noqa: ASYNC110
                row := await relay.store.archive.find_trace(stream.stream_id)
            ) is None:
                await asyncio.sleep(0.05)
            return row


class Postgres:
    """What a server says about itself, and what its processes have used."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def number(self, query: str) -> float:
        """Return the one number that a query gives."""
        async with self._engine.connect() as connection:
            return float((await connection.execute(text(query))).scalar_one())

    async def cpu_s(self) -> float:
        """Return the seconds of CPU of all of its processes that live."""
        async with self._engine.connect() as connection:
            pids = (await connection.execute(text(BACKENDS))).scalars().all()
        return sum(cpu_s(pid) for pid in pids if Path(f"/proc/{pid}").exists())  # noqa: ASYNC240


async def write(store: Store, server: Postgres, row: TraceRow, rows: int, batch: int) -> str:
    """Store so many traces; returns a line of the table."""
    # So that connections are open and statements are prepared.
    await store.write_traces([_copy(row, f"{batch}-warm-{number}") for number in range(batch)])
    figures = [await server.number(SIZE), await server.number(WRITTEN)]
    before, mine, began = await server.cpu_s(), time.process_time(), time.monotonic()
    lost = 0
    for first in range(0, rows, batch):
        numbers = range(first, min(first + batch, rows))
        lost += await store.write_traces([_copy(row, f"{batch}-{number}") for number in numbers])
    took, mine = time.monotonic() - began, time.process_time() - mine
    used = await server.cpu_s() - before
    size = await server.number(SIZE) - figures[0]
    written = await server.number(WRITTEN) - figures[1]
    return (
        f"| {batch} | {rows / took:.0f} | {mine / rows * 1000:.3f} | {used / rows * 1000:.3f} "
        f"| {size / rows:.0f} | {written / rows:.0f} | {lost} |"
    )


def _copy(row: TraceRow, name: str) -> TraceRow:
    return replace(row, trace_id=f"trace_{name}", stream_id=f"stream-{name}")


async def bench(url: str, rows: int, batches: list[int]) -> None:
    """Measure each size of a batch, and print a table."""
    row = await real_trace()
    await upgrade(url)
    engine = create_async_engine(url)
    store = await Store.open(url)
    try:
        print(f"{machine()}\n\nA trace of {len(row.timeline)} chunks, ", end="")
        print(f"{len(row.sse_content)} characters:\n")
        print("| rows in a batch | rows/s | relay, CPU ms | PostgreSQL, CPU ms ", end="")
        print("| table, bytes | write-ahead log, bytes | lost |")
        print("|---" * 7 + "|", flush=True)
        for batch in batches:
            print(await write(store, Postgres(engine), row, rows, batch), flush=True)
    finally:
        await store.close()
        await engine.dispose()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="bench.traces", description="What a trace costs.")
    parser.add_argument("url", help="an empty database, which is filled")
    parser.add_argument("--rows", type=int, default=3000, help="for each size of a batch")
    parser.add_argument("--batches", type=int, nargs="+", default=[500, 36, 1], metavar="ROWS")
    given = parser.parse_args(sys.argv[1:])
    runner.run(bench(given.url, given.rows, given.batches))


if __name__ == "__main__":
    main()
