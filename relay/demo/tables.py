"""The final table, one or two of them according to the width of the console."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from relay.demo.incident import OldSystem
from relay.demo.verdict import Row, listed

WIDE: Final = 138
"""Columns from which on everything fits into one table."""

NOTHING: Final = "-"


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    cell: Callable[[Row], str]
    old: str
    is_number: bool = True


def final_table(rows: Sequence[Row], width: int) -> RenderableType:
    """Return the table of all rows, with the old system's recorded figures in the last line."""
    old = OldSystem()
    arrived = (
        _Column("sent", lambda row: str(row.sent), str(old.sent)),
        _Column("ACKed", lambda row: str(row.acked), NOTHING),
        _Column("shown", lambda row: str(row.delivered), str(old.delivered)),
        _Column("missing", _missing, str(old.sent - old.delivered), is_number=False),
        _Column("position", lambda row: row.position or NOTHING, old.position, is_number=False),
        _Column("repaired", lambda row: row.repaired_by or NOTHING, "nothing", is_number=False),
    )
    text = _Column("text", _text, "cut off", is_number=False)
    took = (
        _Column("first ms", lambda row: _whole_number(row.first_ms), NOTHING),
        _Column("last ms", lambda row: _whole_number(row.last_ms), NOTHING),
        _Column("end held ms", lambda row: _whole_number(row.held_ms), NOTHING),
        _Column("added p50", lambda row: _tenths(row.added_percentile(50)), f"{old.added_ms:.0f}"),
        _Column("added p99", lambda row: _tenths(row.added_percentile(99)), NOTHING),
    )
    if width >= WIDE:
        return Group(_table(rows, (*arrived, *took, text)), _legend())
    return Group(_table(rows, (*arrived, text)), _table(rows, took), _legend())


def _table(rows: Sequence[Row], columns: Sequence[_Column]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("scenario", no_wrap=True)
    for column in columns:
        justify = "right" if column.is_number else "left"
        table.add_column(column.head, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        style = "" if row.good else "bold red"
        table.add_row(row.title, *(column.cell(row) for column in columns), style=style)
    table.add_section()
    table.add_row("old system, turn 1", *(column.old for column in columns), style="dim")
    return table


def _legend() -> Text:
    return Text(
        "first: request to first chunk; last: last chunk to stream_end; from the relay's trace.\n"
        "added: from sent to displayed; while a chunk is missing, those behind it wait.\n"
        "as sent: nothing could repair it; all that was sent is shown, and nothing else.\n"
        "old system: the figures that were recorded of it, not measured here.",
        style="dim",
    )


def complaints(rows: Sequence[Row]) -> Text:
    """Return all that is not as it must be, a line for each."""
    lines = [f"{row.title}: {complaint}" for row in rows for complaint in row.complaints]
    return Text("\n".join(lines), style="red")


def _missing(row: Row) -> str:
    return listed(row.missing) or NOTHING


def _text(row: Row) -> str:
    if not row.good:
        return "WRONG"
    return "whole" if row.is_whole else "as sent"


def _whole_number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f}"


def _tenths(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"
