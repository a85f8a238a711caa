"""`relay trace`: what became of each stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from relay.admin.traces import PAGE_ROWS_MAX, TraceFilter, TraceOrder, TracePage, TraceQuery
from relay.cli.common import AsJson, Database, open_store, print_json
from relay.errors import BadRequest

if TYPE_CHECKING:
    from relay.node.tracer import TraceRow

trace_app = typer.Typer(help="What became of each stream.", no_args_is_help=True)


@trace_app.command("list")
def trace_list(  # noqa: PLR0913 - each is an option of the command
    *,
    status: Annotated[str | None, typer.Option(help="Only those, for example anomaly.")] = None,
    bot: Annotated[str | None, typer.Option(metavar="NAME_OR_ID", help="Only its.")] = None,
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this one: the device's message_id.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Only this user's.")] = None,
    anomaly: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only where the anomaly holds this.")
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
    from relay.store.bots import as_id

    async def read() -> TracePage:
        async with open_store(database) as store:
            # A number is taken as it is: its bot may be deleted by now.
            bot_id = None if bot is None else as_id(bot)
            if bot is not None and bot_id is None:
                bot_id = (await store.bot_named(bot)).id
            where = TraceFilter(
                status=status,
                bot_id=bot_id,
                message_id=conversation,
                user_id=user,
                anomaly=anomaly,
            )
            query = TraceQuery(where, sort, limit=limit, cursor=cursor)
            return await store.archive.trace_page(query)

    page = asyncio.run(read())
    if json:
        print_json(page)
        return
    from relay.wire.timestamp import beijing_iso

    line = "{:25}  {:32}  {:>6}  {:9}  {:11}  {:>9}  {:>7}  {}"
    head = ("asked", "trace", "bot", "status", "outcome", "shown", "missing", "position")
    typer.echo(line.format(*head))
    for row in page.traces:
        shown = f"{row.sse_chunk_count}/{row.sdk_total_chunks or row.sdk_chunk_count}"
        when, whose = beijing_iso(row.created_at), row.bot_id or "-"
        lost, where = row.missing_count, row.loss_position or ""
        cells = (when, row.trace_id, whose, row.status, row.outcome, shown, lost, where)
        typer.echo(line.format(*cells).rstrip())
    if page.next_cursor is not None:
        typer.echo(f"more: --cursor {page.next_cursor}", err=True)


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
