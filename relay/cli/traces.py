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
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to print.")] = 20,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Print the newest traces."""

    async def read() -> list[TraceRow]:
        async with open_store(database) as store:
            return await store.traces(limit=limit)

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
        when, bot = beijing_iso(row.created_at), row.bot_id or "-"
        lost, where = len(row.missing_sequences), row.loss_position or ""
        cells = (when, row.trace_id, bot, row.status, row.outcome, shown, lost, where)
        typer.echo(line.format(*cells).rstrip())


@trace_app.command("show")
def trace_show(trace_id: str, *, json: AsJson = False, database: Database = None) -> None:
    """Print one trace."""

    async def read() -> TraceRow | None:
        async with open_store(database) as store:
            return await store.trace(trace_id)

    row = asyncio.run(read())
    if row is None:
        raise BadRequest(f"there is no trace {trace_id}", field="trace_id")
    if json:
        print_json(row)
        return
    for name in row.__slots__:
        value: object = getattr(row, name)
        if isinstance(value, list) and name in {"events", "timeline"}:
            value = f"{len(value)} (see --json)"
        typer.echo(f"{name:20}{value}")
