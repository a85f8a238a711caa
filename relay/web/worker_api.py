"""`POST /api/rokid/trigger` and `GET /api/rokid/poll`: a worker asks, and fetches the answer.

Reference wire.md 2.3 and 2.4. There the poll always answered `[]`; here it is a long poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.devices.base import InvalidRequest
from relay.devices.lingzhu import LingzhuProtocol
from relay.devices.worker import to_object
from relay.errors import BadRequest, PositionGone, RelayError
from relay.logs import get_logger
from relay.protocol.events import Position
from relay.web.admission import claim
from relay.web.answers import Unbound, json_error
from relay.web.auth import Directory, KeyIdentity, Tickets, header, require_key
from relay.web.body import ClientGone, read_body
from relay.web.stream_channel import WorkerProtocol, parse_bot_id
from relay.wire.entry import MalformedPosition, format_position, parse_position
from relay.wire.jsontext import JsonValue

if TYPE_CHECKING:
    from relay.node.node import Node
    from relay.node.subscriber import Batch, Subscription

_logger = get_logger(__name__)

_OFFSET_DIGITS_MAX = 15


class WorkerApi:
    """The two endpoints."""

    def __init__(
        self, node: Node, directory: Directory, tickets: Tickets, *, poll_seconds: float
    ) -> None:
        self._node = node
        self._directory = directory
        self._tickets = tickets
        self._poll_s = poll_seconds
        self._protocol = LingzhuProtocol()

    @property
    def trigger(self) -> ASGIApp:
        """The ASGI application of `/api/rokid/trigger`."""
        return _Guarded(self._trigger)

    @property
    def poll(self) -> ASGIApp:
        """The ASGI application of `/api/rokid/poll`."""
        return _Guarded(self._poll)

    async def _trigger(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = await self._key(scope)
        ask = self._protocol.read_request(await read_body(receive))
        bot = await self._directory.bot_by_user(ask.user_id) if ask.user_id else None
        key.require(ask, bot)
        if bot is None:
            raise Unbound("no bot belongs to this user_id")
        view = await self._node.open_stream(ask, bot_id=bot.bot_id, access_key_id=key.key_id)
        ticket = quote(self._tickets.sign_ticket(view.stream_id), safe="")
        body = {
            "bot_id": bot.bot_id,
            "session_id": view.stream_id,
            "status": "triggered",
            "events_url": f"/streams/{view.stream_id}/events?ticket={ticket}",
        }
        await JSONResponse(body)(scope, receive, send)

    async def _poll(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = await self._key(scope)
        query = QueryParams(scope["query_string"])
        bot_id, session_id = parse_bot_id(query.get("bot_id")), query.get("session_id")
        if bot_id is None:
            raise BadRequest("bot_id is required, as a number", field="bot_id")
        if not session_id:
            raise BadRequest("session_id is required", field="session_id")
        stream_id = await self._node.find_stream(
            access_key_id=key.key_id, scope=key.scope, bot_id=bot_id, session_id=session_id
        )
        async with await self._subscribe(stream_id, key, scope) as subscription:
            batch, objects = await self._wait(subscription, session_id, receive)
            await JSONResponse(objects)(scope, receive, send)
            if batch is not None:
                subscription.delivered()

    async def _key(self, scope: Scope) -> KeyIdentity:
        key = await require_key(self._directory, header(scope["headers"], b"authorization"))
        claim(scope, key)
        return key

    async def _subscribe(self, stream_id: str, key: KeyIdentity, scope: Scope) -> Subscription:
        token = header(scope["headers"], b"last-event-id")
        after = _position(token) if token else None
        if isinstance(after, int):
            # The reference's workers count: an offset of whichever log there is.
            async with await self._node.subscribe(
                stream_id, WorkerProtocol(), access_key_id=key.key_id, scope=key.scope
            ) as probe:
                after = Position(probe.view.epoch, after)
        subscription = await self._node.subscribe(
            stream_id,
            WorkerProtocol(),
            access_key_id=key.key_id,
            scope=key.scope,
            after=after,
        )
        if subscription.reset:
            subscription.close()
            raise PositionGone("this position is of a log that was lost; read from the start")
        return subscription

    async def _wait(
        self, subscription: Subscription, session_id: str, receive: Receive
    ) -> tuple[Batch | None, list[JsonValue]]:
        """Return the next objects; nothing after the poll's time, or at the end of the stream."""
        if subscription.finished:
            return None, []
        # Contexts of their own: tasks must not carry another request's names into the log.
        news = asyncio.create_task(_next_shown(subscription, session_id), context=Context())
        gone = asyncio.create_task(_gone(receive), context=Context())
        try:
            await asyncio.wait(
                {news, gone}, timeout=self._poll_s, return_when=asyncio.FIRST_COMPLETED
            )
            if news.done():
                return news.result()
            if gone.done():
                raise ClientGone
            return None, []
        finally:
            news.cancel()
            gone.cancel()
            await asyncio.wait({news, gone})


async def _next_shown(subscription: Subscription, session_id: str) -> tuple[Batch, list[JsonValue]]:
    while True:
        batch = await subscription.next()
        view = subscription.view
        objects: list[JsonValue] = [
            {**shown, "id": format_position(Position(view.epoch, entry.offset))}
            for entry in batch.entries
            if (shown := to_object(entry, view, session_id=session_id)) is not None
        ]
        if objects or batch.ended:
            return batch, objects
        subscription.delivered()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _position(token: str) -> Position | int:
    if token.isascii() and token.isdigit() and len(token) <= _OFFSET_DIGITS_MAX:
        return int(token)
    try:
        return parse_position(token)
    except MalformedPosition as error:
        raise BadRequest(str(error), field="last_event_id") from None


class _Guarded:
    """Turns what an endpoint raises before it has answered into JSON."""

    def __init__(self, handle: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response: Response
        try:
            await self._handle(scope, receive, send)
            return
        except ClientGone:
            return
        except (InvalidRequest, RelayError) as error:
            response = json_error(error)
        except Exception as error:
            _logger.exception("request_failed", path=scope["path"])
            response = json_error(error)
        await response(scope, receive, send)
