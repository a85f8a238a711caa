"""`POST /sse/rokid`: the glasses ask, and read the answer (reference wire.md 2.1, lingzhu.md).

Whatever goes wrong is an answer that the glasses can show: HTTP 200, text and an end. With a
401 they hang in "thinking" for ever. Machines read the header `Relay-Error` instead.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from relay.devices.base import Ask, InvalidRequest
from relay.devices.lingzhu import LingzhuProtocol
from relay.errors import LimitReached, RelayError
from relay.logs import get_logger
from relay.web.admission import claim
from relay.web.answers import error_code, retry_after
from relay.web.auth import Directory, header, require_key
from relay.web.binding.dialogue import BindingDialogue
from relay.web.body import ClientGone, read_body
from relay.web.sse import SSE_HEADERS, Responder, stream_prelude

if TYPE_CHECKING:
    from relay.node.node import Node
    from relay.node.subscriber import Subscription

_logger = get_logger(__name__)

STREAM_ID_HEADER = "Relay-Stream-Id"
ERROR_HEADER = "Relay-Error"

REFUSED_BODY_MAX_BYTES = 16_384
REFUSED_BODY_DEADLINE_S = 1.0
"""How much of a question is read that is not let in: enough to answer it where it was asked."""

Asked = Ask | InvalidRequest
"""A request as far as it could be read: both say where and in which language to answer."""


class DeviceEndpoint:
    """The ASGI application of `/sse/rokid`.

    `binding` None: a user without a bot is told so, and that is all.
    """

    def __init__(
        self,
        node: Node,
        directory: Directory,
        responder: Responder,
        binding: BindingDialogue | None = None,
    ) -> None:
        self._node = node
        self._directory = directory
        self._responder = responder
        self._binding = binding
        self._protocol = LingzhuProtocol()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one question."""
        asked: Asked = InvalidRequest("", field="body")
        try:
            asked = self._read(await read_body(receive))
            opened = await self._open(scope, asked)
        except ClientGone:
            return
        except RelayError as error:
            response = self._show(error, asked)
        except Exception as error:
            _logger.exception("request_failed", path=scope["path"])
            response = self._show(error, asked)
        else:
            if not isinstance(opened, InvalidRequest):
                await self._answer(opened, asked, scope, receive, send)
                return
            response = self._show(opened, asked)
        await response(scope, receive, send)

    async def refuse(self, error: LimitReached, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a question that a limit keeps out."""
        asked: Asked = InvalidRequest("", field="body")
        try:
            asked = self._read(
                await read_body(
                    receive, max_bytes=REFUSED_BODY_MAX_BYTES, deadline_s=REFUSED_BODY_DEADLINE_S
                )
            )
        except ClientGone:
            return
        except RelayError:
            pass
        await self._show(error, asked)(scope, receive, send)

    def _read(self, body: bytes) -> Asked:
        try:
            return self._protocol.read_request(body)
        except InvalidRequest as error:
            # A value from now on. Tracebacks know who asks here: with what asked, that is a ring.
            error.__context__ = None
            return error.with_traceback(None)

    async def _open(self, scope: Scope, asked: Asked) -> Subscription | InvalidRequest:
        """Return what answers, or why nothing can.

        Raises the error to show. The key goes first: strangers learn nothing of the rest.
        """
        key = await require_key(self._directory, header(scope["headers"], b"authorization"))
        claim(scope, key)
        if isinstance(asked, InvalidRequest):
            return asked
        bot = await self._directory.bot_by_user(asked.user_id) if asked.user_id else None
        key.require(asked, bot)
        reply = None
        if self._binding is not None and bot is None and asked.user_id:
            reply = partial(self._binding.answer, asked, key.key_id)
        view = await self._node.open_stream(
            asked, bot_id=bot.bot_id if bot else None, access_key_id=key.key_id, reply=reply
        )
        return await self._node.subscribe(
            view.stream_id, self._protocol, access_key_id=key.key_id, scope=key.scope
        )

    async def _answer(
        self, subscription: Subscription, asked: Asked, scope: Scope, receive: Receive, send: Send
    ) -> None:
        stream_id = subscription.view.stream_id
        await self._responder.respond(
            subscription,
            scope,
            receive,
            send,
            prelude=stream_prelude(stream_id),
            headers={STREAM_ID_HEADER: stream_id},
            failure=lambda error: self._words(error, asked),
        )

    def _show(self, error: Exception, asked: Asked) -> Response:
        return Response(
            self._words(error, asked),
            media_type="text/event-stream",
            headers={**SSE_HEADERS, ERROR_HEADER: error_code(error), **retry_after(error)},
        )

    def _words(self, error: Exception, asked: Asked) -> bytes:
        return self._protocol.encode_error(
            error_code(error),
            conversation_id=asked.conversation_id,
            agent_id=asked.agent_id,
            lang=asked.lang,
        )
