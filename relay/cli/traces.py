"""`relay trace`: what became of each stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.common import AsJson, Database, open_store, print_json
from relay.errors import BadRequest

if TYPE_CHECKING:
    from relay.node.tracer import TraceRow

trace_app = typer.Typer(help="What became of each stream.", no_args_is_help=True)


@trace_app.command("list")
def trace_list(
    *,
    status: Annotated[str | None, typer.Option(help="Only those, for example anomaly.")] = None,
    bot: Annotated[str | None, typer.Option(metavar="NAME_OR_ID", help="Only its.")] = None,
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this one: the device's message_id.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Only this user's.")] = None,
    before: Annotated[
        str | None, typer.Option(metavar="TRACE", help="Only older ones: the next page.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to print.")] = 20,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Print the newest traces, or the newest that were asked for."""
    from relay.store.bots import as_id
    from relay.store.traces import Wanted

    async def read() -> list[TraceRow]:
        async with open_store(database) as store:
            # A number is taken as it is: its bot may be deleted by now.
            bot_id = None if bot is None else as_id(bot)
            if bot is not None and bot_id is None:
                bot_id = (await store.bot_named(bot)).id
            wanted = Wanted(status, bot_id, conversation, user, before)
            return await store.traces(limit=limit, wanted=wanted)

    rows = asyncio.run(read())
    if json:
        print_json(rows)
        return
    from relay.wire.timestamp import beijing_iso

    line = "{:25}  {:32}  {:>6}  {:9}  {:11}  {:>9}  {:>7}  {}"
    head = ("asked", "trace", "bot", "status", "outcome", "shown", "missing", "position")
    typer.echo(line.format(*head))
    for row in rows:
        shown = f"{row.sse_chunk_count}/{row.sdk_total_chunks or row.sdk_chunk_count}"
        when, whose = beijing_iso(row.created_at), row.bot_id or "-"
        lost, where = len(row.missing_sequences), row.loss_position or ""
        cells = (when, row.trace_id, whose, row.status, row.outcome, shown, lost, where)
        typer.echo(line.format(*cells).rstrip())


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
            return await store.find_trace(trace)

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
