"""`GET /streams/{stream_id}/events`: one stream for any SSE client, resumable by position.

Authorised by the access key that opened the stream, or by a ticket for that one stream,
because a browser's EventSource can send no header. With a ticket any page may read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from relay.admin.people import EVERYTHING
from relay.devices.plain import PlainProtocol
from relay.errors import (
    BadRequest,
    LimitReached,
    PositionGone,
    RelayError,
    Unauthorized,
    UnknownStream,
)
from relay.protocol.events import Position
from relay.web.admission import claim
from relay.web.answers import json_error
from relay.web.auth import Directory, Tickets, header, require_key
from relay.web.device import STREAM_ID_HEADER
from relay.web.sse import Responder, stream_prelude
from relay.wire.entry import MalformedPosition, parse_position

if TYPE_CHECKING:
    from relay.node.node import Node
    from relay.node.subscriber import Subscription

RETRY = b"retry: 1000\n"
"""Milliseconds: browsers wait 3 to 5 s by default, longer than the end barrier.

A line of the first event. As a block of its own, httpx-sse makes an empty event of it.
"""

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Headers": "Last-Event-ID, Cache-Control",
    "Access-Control-Expose-Headers": STREAM_ID_HEADER,
    "Access-Control-Max-Age": "600",
}


class EventStreamEndpoint:
    """The ASGI application of `/streams/{stream_id}/events`."""

    def __init__(
        self, node: Node, directory: Directory, tickets: Tickets, responder: Responder
    ) -> None:
        self._node = node
        self._directory = directory
        self._tickets = tickets
        self._responder = responder
        self._protocol = PlainProtocol()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one reader."""
        query = QueryParams(scope["query_string"])
        cors = CORS if query.get("ticket") else {}
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=cors)(scope, receive, send)
            return
        try:
            subscription = await self._subscribe(scope, query)
        except RelayError as error:
            await json_error(error, cors)(scope, receive, send)
            return
        stream_id = subscription.view.stream_id
        headers = {STREAM_ID_HEADER: stream_id, **cors}
        view = subscription.view
        reset = self._protocol.encode_reset(view) if subscription.reset else b""
        if subscription.finished:
            # Tells EventSource not to come back. It would, for ever, after a plain end.
            subscription.close()
            await Response(status_code=204, headers=headers)(scope, receive, send)
            return
        await self._responder.respond(
            subscription,
            scope,
            receive,
            send,
            prelude=stream_prelude(stream_id) + reset,
            headers=headers,
            lead=RETRY,
        )

    async def refuse(self, error: LimitReached, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a reader that a limit keeps out, so that a page may read the answer."""
        cors = CORS if QueryParams(scope["query_string"]).get("ticket") else {}
        await json_error(error, cors)(scope, receive, send)

    async def _subscribe(self, scope: Scope, query: QueryParams) -> Subscription:
        stream_id: str = scope["path_params"]["stream_id"]
        authorization = header(scope["headers"], b"authorization")
        ticket = query.get("ticket")
        if authorization is None and ticket:
            if self._tickets.read_ticket(ticket) != stream_id:
                raise Unauthorized("this ticket is for another stream")
            key = None
        else:
            key = await require_key(self._directory, authorization)
            claim(scope, key)
        after = last_position(scope, query)
        try:
            return await self._node.subscribe(
                stream_id,
                self._protocol,
                access_key_id=key.key_id if key else None,
                scope=key.scope if key else EVERYTHING,
                after=after,
            )
        except UnknownStream:
            if key is None:
                # We signed for it, so it was there: gone is true, and unknown would not be.
                raise PositionGone("this stream has expired") from None
            raise


def last_position(scope: Scope, query: QueryParams) -> Position | None:
    """Return where the reader stopped: the header first, then the query. Raises `BadRequest`."""
    token = (
        header(scope["headers"], b"last-event-id")
        or query.get("last_event_id")
        or query.get("lastEventId")
    )
    if not token:
        return None
    try:
        return parse_position(token)
    except MalformedPosition as error:
        raise BadRequest(str(error), field="last_event_id") from None
