"""Streams that are open just now. The page updates itself; without scripts it loads itself anew."""

from __future__ import annotations

import json

from starlette.responses import Response
from starlette.routing import Route

from relay.web.admin.page_frame import Desk, Visit, seen


def live_routes(desk: Desk) -> list[Route]:
    """Return the route of the live page. Its events are the admin API's."""
    return [seen(desk, "/admin/live", _show)]


async def _show(visit: Visit) -> Response:
    names = {bot.bot_id: bot.name for bot in await visit.desk.store.people.list_bots()}
    return visit.page(
        "live.html",
        streams=visit.desk.live.live_streams(),
        names=names,
        names_json=json.dumps(names),
        online=visit.desk.live.online_bots(),
    )
