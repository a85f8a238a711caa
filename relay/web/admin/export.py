"""Traces as a file: one JSON object per line, or CSV for a spreadsheet. Written as it is read."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextvars import Context
from dataclasses import fields
from typing import Final, Literal

from starlette.types import Receive, Scope, Send

from relay.admin.trace_row import TraceRow
from relay.admin.traces import TraceSummary as SummaryValue
from relay.protocol.rangeset import RangeSet
from relay.web.admin.operations import write_json
from relay.web.admin.problems import Busy
from relay.web.admin.schema_answers import tell_trace
from relay.wire.jsontext import dumps

Format = Literal["jsonl", "csv"]

EXPORTS_MAX: Final = 2
"""Exports at once: each reads the whole table."""

SEND_TIMEOUT_S: Final = 60.0
"""Who takes nothing for this long is let go, because another may be waiting."""

MEDIA: Final[dict[Format, str]] = {
    "jsonl": "application/jsonl",
    "csv": "text/csv",
}

FORMULA_STARTS: Final = frozenset("=+-@\t\r\n＝＋－＠")
"""A cell that begins with one is a formula to a spreadsheet, and its text came from strangers."""

COLUMNS: Final = (
    *(one.name for one in fields(SummaryValue)),
    "missing_sequences",
    "sdk_content",
    "sse_content",
)


class Exports:
    """How many exports are being written."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open = 0

    def take(self) -> None:
        """Take a place. Raises `Busy`."""
        if self._open >= EXPORTS_MAX:
            raise Busy("other exports are being written; try again later", retry_after_s=10.0)
        self._open += 1

    def free(self) -> None:
        """Give a place back."""
        self._open -= 1


class Export:
    """An export as a response. A failure in the middle breaks the connection: the file is cut.

    Batches are read only as fast as the caller takes them.
    """

    def __init__(
        self,
        format_: Format,
        first: Sequence[TraceRow],
        rest: AsyncIterator[Sequence[TraceRow]],
        done: Callable[[], None],
    ) -> None:
        self._format: Format = format_
        self._first = first
        self._rest = rest
        self._done = done

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Write it."""
        gone = asyncio.create_task(_gone(receive), context=Context())
        try:
            await send(self._head())
            await _put(send, _begin(self._format) + _render(self._format, self._first))
            async for rows in self._rest:
                if gone.done():
                    # What is sent to nobody is taken in silence: all would be read in vain.
                    return
                await _put(send, _render(self._format, rows))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._done()

    def _head(self) -> dict[str, object]:
        name = f'attachment; filename="traces.{self._format}"'
        media = MEDIA[self._format] + ("; charset=utf-8" if self._format == "csv" else "")
        headers = {
            "Content-Type": media,
            "Content-Disposition": name,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Accel-Buffering": "no",
        }
        return {
            "type": "http.response.start",
            "status": 200,
            "headers": [(key.lower().encode(), value.encode()) for key, value in headers.items()],
        }


async def start_export(
    exports: Exports, format_: Format, batches: AsyncIterator[Sequence[TraceRow]]
) -> Export:
    """Return the response, with its first batch read: until then a failure can be answered.

    Raises `Busy`, and what reading raises.
    """
    exports.take()
    try:
        # Not `()`: CPython 3.11 takes an empty tuple for the arguments of StopIteration.
        first = await anext(batches, None)
    except BaseException:
        exports.free()
        raise
    return Export(format_, first or (), batches, exports.free)


def jsonl(rows: Sequence[TraceRow]) -> bytes:
    """Return each trace as one line."""
    return b"".join(write_json(tell_trace(row)) + b"\n" for row in rows)


def csv_rows(rows: Sequence[TraceRow]) -> bytes:
    """Return each trace as one row of `COLUMNS`: sequences as ranges, an anomaly as JSON."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    for row in rows:
        told = tell_trace(row)
        writer.writerow(
            [_cell(_column(row, name, told.created_at.isoformat())) for name in COLUMNS]
        )
    return out.getvalue().encode("utf-8", "replace")


def _column(row: TraceRow, name: str, created_at: str) -> object:
    match name:
        case "created_at":
            return created_at
        case "missing_count":
            return len(row.missing_sequences)
        case "missing_sequences":
            return " ".join(_span(*gap) for gap in RangeSet(row.missing_sequences).ranges())
        case "anomaly":
            return None if row.anomaly is None else dumps(dict(row.anomaly)).decode()
        case _:
            value: object = getattr(row, name)
            return value


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}..{last}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = str(value).replace("\0", "")
    return f"'{text}" if isinstance(value, str) and text[:1] in FORMULA_STARTS else text


def _begin(format_: Format) -> bytes:
    return (",".join(COLUMNS) + "\r\n").encode() if format_ == "csv" else b""


def _render(format_: Format, rows: Sequence[TraceRow]) -> bytes:
    return csv_rows(rows) if format_ == "csv" else jsonl(rows)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _put(send: Send, data: bytes) -> None:
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await send({"type": "http.response.body", "body": data, "more_body": True})
