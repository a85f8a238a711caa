"""One trace: told in words, drawn, both texts, the events, all columns."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, fields
from typing import Final
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from relay.admin.story import Point, points, told
from relay.admin.trace_row import TraceRow
from relay.admin.traces import TraceOrder, TraceQuery
from relay.errors import NotFound
from relay.web.admin.draw_timeline import arrange, draw_timeline
from relay.web.admin.page_filters import Filters, read_filters
from relay.web.admin.page_frame import Desk, Visit, done, seen, then
from relay.web.admin.page_texts import compare

TABLE_ROWS_MAX: Final = 500
"""Chunks in the table under the drawing; the API has all of them."""

JSON_CHARS_MAX: Final = 20_000

ELSEWHERE: Final = {"events", "timeline", "sdk_content", "sse_content", "missing_sequences"}
"""Columns that the page shows in other places."""

NEIGHBOURS: Final = 5
"""How many are asked for to find the next one: some may have been asked in the same moment."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event as the list shows it."""

    kind: str
    at_ms: float | None
    timestamp: str
    data: str


def trace_path(trace_id: str) -> str:
    """Return the address of a trace's page."""
    return f"/admin/traces/{quote(trace_id, safe='')}"


def trace_routes(desk: Desk) -> list[Route]:
    """Return the routes of one trace's page."""
    return [
        seen(desk, "/admin/traces/{trace_id}", _show),
        done(desk, "/admin/traces/{trace_id}/delete", _delete),
    ]


async def _show(visit: Visit) -> Response:
    given = visit.request.path_params["trace_id"]
    row = await visit.desk.store.archive.find_trace(given)
    if row is None:
        raise NotFound("there is no such trace; it may have been deleted, or have grown too old")
    filters = read_filters(visit.request.query_params, visit.desk.now())
    names = {bot.bot_id: bot.name for bot in await visit.desk.store.people.list_bots()}
    bot = names.get(row.bot_id or 0, "") or (f"bot {row.bot_id}" if row.bot_id else "no bot")
    newer = await _neighbour(visit, row, filters, newer=True)
    older = await _neighbour(visit, row, filters, newer=False)
    # A long answer takes a good part of a second, in which no stream may stand still.
    return await asyncio.to_thread(_draw, visit, row, filters, bot, (newer, older))


def _draw(
    visit: Visit,
    row: TraceRow,
    filters: Filters,
    bot: str,
    neighbours: tuple[str | None, str | None],
) -> Response:
    chunks = sorted(points(row), key=lambda point: (point.sequence, point.received))
    return visit.page(
        "trace.html",
        row=row,
        bot=bot,
        story=list(told(row)),
        drawing=draw_timeline(row),
        per_row=arrange(row).size,
        texts=compare(row),
        events=_events(row),
        chunks=_table(row, chunks),
        chunks_left=max(0, len(chunks) - TABLE_ROWS_MAX),
        columns=_columns(row),
        filters=filters,
        newer=neighbours[0],
        older=neighbours[1],
    )


async def _neighbour(visit: Visit, row: TraceRow, filters: Filters, *, newer: bool) -> str | None:
    """Return the address of the next trace of the same filter, or None."""
    near = {name: getattr(filters.where, name) for name in (f.name for f in fields(filters.where))}
    near["since" if newer else "until"] = row.created_at
    where = type(filters.where)(**near)
    query = TraceQuery(where, TraceOrder.CREATED, descending=not newer, limit=NEIGHBOURS)
    page = await visit.desk.store.archive.trace_page(query)
    for found in page.traces:
        if found.created_at != row.created_at:
            return filters.address(trace_path(found.trace_id))
    return None


def _table(row: TraceRow, chunks: list[Point]) -> list[tuple[int, Point | None]]:
    """Return the first chunks by sequence, and among them those that never arrived."""
    there: list[tuple[int, Point | None]] = [(point.sequence, point) for point in chunks]
    known = {point.sequence for point in chunks}
    there += [(number, None) for number in row.missing_sequences if number not in known]
    return sorted(there, key=lambda item: item[0])[:TABLE_ROWS_MAX]


def _events(row: TraceRow) -> list[EventLine]:
    lines = []
    for event in row.events:
        if not isinstance(event, dict):
            continue
        at, data = event.get("ms"), event.get("data")
        written = json.dumps(data, ensure_ascii=False) if data else ""
        lines.append(
            EventLine(
                str(event.get("type", "")),
                at if isinstance(at, int | float) else None,
                str(event.get("timestamp", "")),
                written[:JSON_CHARS_MAX],
            )
        )
    return lines


def _columns(row: TraceRow) -> list[tuple[str, str]]:
    """Return every column that is shown nowhere else, as it is stored."""
    found = []
    for field in fields(row):
        value = getattr(row, field.name)
        if field.name in ELSEWHERE:
            continue
        if isinstance(value, dict | list):
            value = json.dumps(value, ensure_ascii=False)
        found.append((field.name, "" if value is None else str(value)[:JSON_CHARS_MAX]))
    return found


async def _delete(visit: Visit) -> Response:
    await visit.desk.store.archive.delete_trace(visit.request.path_params["trace_id"])
    return then("/admin/traces", "deleted")
