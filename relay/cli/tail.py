"""`relay trace tail`: traces as they are written."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from contextlib import suppress
from io import UnsupportedOperation
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.admin.traces import PAGE_ROWS_MAX
from relay.cli.common import AsJson, Database, open_store, print_json
from relay.cli.trace_lines import Wanted, heading, line_of, takes_wanted
from relay.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.admin.traces import TraceSummary
    from relay.store.trace_tail import TraceTail

EVERY_S: Final = 0.5


@takes_wanted
def trace_tail(
    wanted: Wanted,
    *,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, max=PAGE_ROWS_MAX, help="Begin with so many.")
    ] = 10,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Print traces as they are written, until Ctrl-C: each stream when it is over.

    A database that is away for a while costs nothing: what was written meanwhile comes then.
    """

    async def follow() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with open_store(database) as store:
            tail = store.archive.tail(await wanted.in_store(store))
            if not json:
                typer.echo(heading())
            _print(await tail.newest(lines), json=json)
            await _follow(tail, stop, json=json)

    try:
        asyncio.run(follow())
    except BrokenPipeError:
        # Whoever read has seen enough. Python would write what is left, and complain, at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _follow(tail: TraceTail, stop: asyncio.Event, *, json: bool) -> None:
    is_away = False
    while not await _stopped(stop) and not _nobody_reads():
        try:
            found = await tail.more()
        except StoreError as error:
            if not is_away:
                typer.echo(f"relay: {error}; waiting for it", err=True)
            is_away = True
        else:
            is_away = False
            _print(found, json=json)


async def _stopped(stop: asyncio.Event) -> bool:
    """Wait until the next look; returns whether there is to be none."""
    with suppress(TimeoutError):
        async with asyncio.timeout(EVERY_S):
            await stop.wait()
    return stop.is_set()


def _print(traces: Sequence[TraceSummary], *, json: bool) -> None:
    for trace in traces:
        if json:
            print_json(trace)
        else:
            typer.echo(line_of(trace))


def _nobody_reads() -> bool:
    """Whether the other end of a pipe is closed; a write would notice only with the next trace."""
    try:
        output = sys.stdout.fileno()
    except (UnsupportedOperation, ValueError):
        return False
    poll = select.poll()
    poll.register(output, 0)
    return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))
