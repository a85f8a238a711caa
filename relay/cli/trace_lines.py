"""What the lists of traces share: which are wanted, and one trace as a line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.admin.traces import TraceFilter, TraceSummary
from relay.wire.timestamp import beijing_iso

if TYPE_CHECKING:
    from relay.store.store import Store

Status = Annotated[str | None, typer.Option(help="Only those, for example anomaly.")]
Bot = Annotated[str | None, typer.Option(metavar="NAME_OR_ID", help="Only its.")]
Conversation = Annotated[
    str | None, typer.Option(metavar="ID", help="Only this one: the device's message_id.")
]
User = Annotated[str | None, typer.Option(metavar="ID", help="Only this user's.")]
Anomaly = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Only where the anomaly holds this.")
]

_LINE: Final = "{:25}  {:32}  {:>6}  {:9}  {:11}  {:>9}  {:>7}  {}"


async def wanted(store: Store, where: TraceFilter, bot: str | None) -> TraceFilter:
    """Return the filter with the bot that is named. Raises `NotFound` where there is none."""
    from relay.store.bots import as_id

    if bot is None:
        return where
    # A number is taken as it is: its bot may be deleted by now.
    bot_id = as_id(bot)
    if bot_id is None:
        bot_id = (await store.bot_named(bot)).id
    return replace(where, bot_id=bot_id)


def heading() -> str:
    """Return the names of the columns."""
    return _LINE.format(
        "asked", "trace", "bot", "status", "outcome", "shown", "missing", "position"
    )


def line_of(trace: TraceSummary) -> str:
    """Return one trace: when and how it ended, what was shown of how much, what is missing."""
    when, whose = beijing_iso(trace.created_at), trace.bot_id or "-"
    shown = f"{trace.sse_chunk_count}/{trace.sdk_total_chunks or trace.sdk_chunk_count}"
    lost, where = trace.missing_count, trace.loss_position or ""
    cells = (when, trace.trace_id, whose, trace.status, trace.outcome, shown, lost, where)
    return _LINE.format(*cells).rstrip()
