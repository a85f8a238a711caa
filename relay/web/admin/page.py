"""The admin page: all its routes.

page_frame      the session, the token on each form, errors as pages; `page_render` the templates
page_login      in and out
page_dashboard  the overview
page_traces     the table, `page_filters` its filters in the address
page_trace      one stream: `draw_timeline` draws it, `page_texts` compares both texts
page_live       what is open now
page_people     bots and binding tokens
page_keys       access keys and their scopes
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.admin.ports import AdminStore, LiveView
from relay.web.admin.gate import AdminGate
from relay.web.admin.page_dashboard import dashboard_routes
from relay.web.admin.page_frame import Desk
from relay.web.admin.page_keys import keys_routes
from relay.web.admin.page_live import live_routes
from relay.web.admin.page_login import login_routes
from relay.web.admin.page_people import people_routes
from relay.web.admin.page_render import HEADERS, Renderer
from relay.web.admin.page_trace import trace_routes
from relay.web.admin.page_traces import traces_routes
from relay.web.admin.sessions import Sessions

STATIC: Final = Path(__file__).with_name("static")


def admin_page_routes(
    store: AdminStore,
    live: LiveView,
    *,
    gate: AdminGate,
    sessions: Sessions,
    now: Callable[[], float],
) -> list[Route | Mount]:
    """Return the routes of `/admin`, to be put behind those of `/admin/api`.

    `gate` must read the same `sessions` and count the same failures as the API's does. `now`
    returns Unix seconds.
    """
    desk = Desk(store, live, gate, sessions, Renderer(), now)
    static = _WithHeaders(StaticFiles(directory=STATIC))
    return [
        Mount("/admin/static", static),
        *login_routes(desk),
        *dashboard_routes(desk),
        *traces_routes(desk),
        *trace_routes(desk),
        *live_routes(desk),
        *people_routes(desk),
        *keys_routes(desk),
    ]


class _WithHeaders:
    """Puts the page's headers on files, and has browsers ask whether these are the newest."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Cache-Control"] = "no-cache"
            await send(message)

        await self._app(scope, receive, sending)
