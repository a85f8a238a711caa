"""Operations on what is so just now."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response
from starlette.types import ASGIApp

from relay.web.admin.desk import Desk
from relay.web.admin.operations import Call, answer
from relay.web.admin.schema import LiveQuery, Nothing
from relay.web.admin.schema_answers import LiveList, LiveStream, tell


async def list_live(desk: Desk, call: Call[Nothing, LiveQuery, Nothing]) -> Response:
    """Answer the streams that are open."""
    streams = desk.live.live_streams()
    shown = [tell(stream, LiveStream) for stream in streams[: call.query.limit]]
    return answer(LiveList(shown, len(streams), sorted(desk.live.online_bots())))


async def watch_live(desk: Desk, call: Call[Nothing, Nothing, Nothing]) -> ASGIApp:
    """Answer them as events."""
    return desk.feed.watch(partial(desk.store.people.admin_is_active, call.admin_id))
