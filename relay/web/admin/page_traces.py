"""The table of traces: filtered, sorted, paged; and what is done with all that it shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from relay.admin.traces import TraceFilter, TraceOrder, TraceQuery
from relay.errors import BadRequest
from relay.web.admin.page_filters import CHOICES, SPANS, Filters, in_words, read_filters
from relay.web.admin.page_frame import Desk, Visit, done, seen, then
from relay.web.admin.page_trace import trace_path

COLUMNS: Final[tuple[tuple[str, TraceOrder | None], ...]] = (
    ("Asked", TraceOrder.CREATED),
    ("Chunks", TraceOrder.CHUNKS),
    ("Lost", TraceOrder.MISSING),
    ("How it went", None),
    ("Bot", None),
    ("User", None),
    ("First chunk", TraceOrder.FIRST_CHUNK),
    ("Delivery p99", TraceOrder.DELIVERY),
)
"""The table's columns, and what each is sorted by."""

LOOKED_FOR: Final = ("user_id", "message_id", "agent_id", "sdk_version")
"""Where the search box looks after ids of traces, in this order; each must be equal."""


def traces_routes(desk: Desk) -> list[Route]:
    """Return the routes of the table, the search box and the deletion of what is filtered."""
    return [
        seen(desk, "/admin/traces", _table),
        seen(desk, "/admin/find", _find),
        done(desk, "/admin/traces/delete", _delete),
    ]


async def _table(visit: Visit) -> Response:
    filters = read_filters(visit.request.query_params, visit.desk.now())
    problems = list(filters.problems)
    try:
        page = await visit.desk.store.archive.trace_page(filters.query)
    except BadRequest as error:
        if filters.cursor is None:
            raise
        # A cursor of another filter: somebody changed the address by hand.
        problems.append(error.message)
        filters = read_filters({**visit.request.query_params, "cursor": ""}, visit.desk.now())
        page = await visit.desk.store.archive.trace_page(filters.query)
    bots = [(bot.bot_id, bot.name) for bot in await visit.desk.store.people.list_bots()]
    onward = page.next_cursor and filters.address("/admin/traces", cursor=page.next_cursor)
    return visit.page(
        "traces.html",
        filters=filters,
        problems=problems,
        traces=page.traces,
        onward=onward,
        first=filters.address("/admin/traces") if filters.cursor else None,
        names=dict(bots),
        chosen=in_words(filters, bots),
        columns=[(label, order, _turn(filters, order)) for label, order in COLUMNS],
        options=_options(bots),
        spans=SPANS,
    )


def _options(bots: Iterable[tuple[int, str]]) -> dict[str, list[tuple[str, str]]]:
    """Return what each list of the filter form offers, as `(value, words)`."""
    found = {
        name: [(value, value.replace("_", " ")) for value in values]
        for name, values in CHOICES.items()
    }
    found["bot_id"] = [(str(bot_id), name) for bot_id, name in bots]
    found["span"] = [(name, words) for name, (words, _) in SPANS.items()]
    return found


def _turn(filters: Filters, order: TraceOrder | None) -> str:
    """Return how a column is sorted, as `aria-sort` names it."""
    if order is not filters.order:
        return "none"
    return "descending" if filters.descending else "ascending"


async def _find(visit: Visit) -> Response:
    """Go to what somebody typed: a trace or stream id, or a user, conversation, agent, version."""
    words = visit.request.query_params.get("q", "").strip()[:512]
    if not words:
        return then("/admin/traces")
    store = visit.desk.store
    row = await store.archive.find_trace(words)
    if row is not None:
        return then(trace_path(row.trace_id))
    filters = read_filters({}, 0.0)
    for name in LOOKED_FOR:
        page = await store.archive.trace_page(TraceQuery(_only(name, words), limit=1))
        if page.traces:
            return then(filters.address("/admin/traces", **{name: words}))
    return then(filters.address("/admin/traces", anomaly=words))


def _only(name: str, value: str) -> TraceFilter:
    fields: Mapping[str, str] = {name: value}
    return TraceFilter(**fields)  # type: ignore[arg-type]


async def _delete(visit: Visit) -> Response:
    filters = read_filters(visit.form, visit.desk.now())
    if filters.problems:
        # Never delete by a filter of which a part was left out: it would be wider.
        raise BadRequest("; ".join(filters.problems))
    if visit.form.get("sure") != "yes":
        raise BadRequest("tick the box that says that these traces shall be deleted")
    count = await visit.desk.store.archive.delete_traces(filters.where)
    return then("/admin/traces", "deleted_many", count)
