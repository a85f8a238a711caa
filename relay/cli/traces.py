"""`relay trace`: what became of each stream."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from relay.admin.traces import PAGE_ROWS_MAX, TraceOrder, TracePage, TraceQuery
from relay.cli.common import AsJson, Database, open_store, print_json
from relay.cli.tail import trace_tail
from relay.cli.trace_lines import (
    Wanted,
    fixed_times,
    heading,
    line_of,
    moment_of,
    takes_wanted,
)
from relay.errors import BadRequest

if TYPE_CHECKING:
    from relay.admin.trace_row import TraceRow

trace_app = typer.Typer(help="What became of each stream.", no_args_is_help=True)
trace_app.command("tail")(trace_tail)


@trace_app.command("list")
@takes_wanted
def trace_list(
    wanted: Wanted,
    *,
    since: Annotated[
        float | None,
        typer.Option(parser=moment_of, metavar="WHEN", help="Asked then or later: 2h, or a date."),
    ] = None,
    until: Annotated[
        float | None,
        typer.Option(parser=moment_of, metavar="WHEN", help="Asked before then."),
    ] = None,
    sort: Annotated[
        TraceOrder, typer.Option(help="By what; the most, or the newest, come first.")
    ] = TraceOrder.CREATED,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="The next page, as the one before says.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_ROWS_MAX, help="How many to print.")] = 20,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Print the newest traces, or the newest that were asked for."""
    wanted = replace(wanted, where=replace(wanted.where, since=since, until=until))

    async def read() -> TracePage:
        async with open_store(database) as store:
            query = TraceQuery(await wanted.in_store(store), sort, limit=limit, cursor=cursor)
            return await store.archive.trace_page(query)

    page = asyncio.run(read())
    if json:
        print_json(page)
        return
    typer.echo(heading())
    for trace in page.traces:
        typer.echo(line_of(trace))
    if page.next_cursor is not None:
        typer.echo(f"more: {fixed_times(wanted.where)}--cursor {page.next_cursor}", err=True)


@trace_app.command("show")
def trace_show(
    trace: Annotated[
        str, typer.Argument(metavar="ID", help="Of the trace or the stream, or its beginning.")
    ],
    *,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Print one trace: what was lost and where, and each chunk over time."""

    async def read() -> TraceRow | None:
        async with open_store(database) as store:
            return await store.archive.find_trace(trace)

    row = asyncio.run(read())
    if row is None:
        raise BadRequest(f"there is no trace {trace}", field="trace_id")
    if json:
        print_json(row)
        return
    from rich.console import Console

    from relay.cli.timeline import draw

    console = Console(highlight=False)
    for line in draw(row, console.width):
        console.print(line)
