"""`WS /cable`: ActionCable for bots (BotChannel) and workers (RokidStreamChannel).

The frames of one connection are handled in the order in which they came (the reference's thread
pool reordered them), and a socket whose frames wait is not read. Where the server offers the
socket itself, `relay.web.fast` reads and writes it. By ASGI a socket has two tasks: the endpoint's
own writes what the outbox gathered, the other acts on one frame after the other, and whichever
ends first ends the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from contextvars import Context
from random import random
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from relay.clock import Clock
from relay.errors import StoreError
from relay.limits.allowance import Allowance
from relay.limits.gate import Gate, Holder, Permit
from relay.limits.refusal import Kind, Refusal
from relay.logs import get_logger
from relay.web.admission import client_address, refuse_upgrade
from relay.web.auth import BotIdentity, Directory, KeyIdentity, bearer, header, origin_allowed
from relay.web.cable_socket import serve_socket
from relay.web.callers import Callers
from relay.web.channels import Channels
from relay.web.connection import Connection, holder_of, names_of
from relay.web.fast.passes import Passes
from relay.web.fast.websocket import socket_in
from relay.web.hardened.portions import others_first
from relay.web.hardened.websocket import has_flooded
from relay.web.outbox import ANSWERS_MAX_BYTES, Outbox
from relay.wire import cable

_logger = get_logger(__name__)

CLOSE_NORMAL = 1000
"""Rails closes with it after every `disconnect`; the frame before says what it means."""

FRAMES_PER_TURN = 256
"""After so many frames without a pause the other sockets get their turn: about 10 ms of work."""

QUERY_FIELDS_MAX = 16

Caller = BotIdentity | KeyIdentity


class CableEndpoint:
    """The ASGI application of `/cable`."""

    def __init__(
        self,
        *,
        channels: Channels,
        directory: Directory,
        clock: Clock,
        allowed_origins: Collection[str],
        ping_seconds: float,
        callers: Callers,
        gate: Gate | None = None,
        passes: Passes | None = None,
    ) -> None:
        self._channels = channels
        self._directory = directory
        self._clock = clock
        self._now = clock.now  # one object for all connections
        self._allowed_origins = allowed_origins
        self._ping_s = ping_seconds
        self._callers = callers
        self._gate = gate or Gate(Allowance())
        self._passes = passes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket from its upgrade to its close."""
        if (await receive())["type"] != "websocket.connect":
            return
        permit = self._gate.admit(Kind.SOCKET, client_address(scope), self._clock.now())
        with suppress(OSError):
            if isinstance(permit, Refusal):
                await refuse_upgrade(permit.error(), send)
                return
            try:
                await self._enter(permit, scope, receive, send)
            finally:
                permit.release()

    async def _enter(self, permit: Permit, scope: Scope, receive: Receive, send: Send) -> None:
        farewell = cable.disconnect("unauthorized", reconnect=False)
        try:
            caller = await self._authenticate(scope)
        except StoreError:
            caller, farewell = None, cable.disconnect("unavailable", reconnect=True)
        await others_first()
        if caller is not None:
            # Before the upgrade: a client that is answered 429 knows to wait, however old it is.
            refusal = await self._refusal(permit, holder_of(caller), receive)
            if refusal is not None:
                await refuse_upgrade(refusal.error(), send)
                return
        subprotocol = cable.select_subprotocol(scope["subprotocols"])
        await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
        if caller is None:
            await _dismiss(send, farewell)
            return
        budget = self._gate.budget(holder_of(caller), client_address(scope), self._clock.now())
        names = names_of(caller)
        outbox = Outbox(too_slow=cable.disconnect("too_slow", reconnect=True), names=names)
        connection = Connection(caller, self._channels, outbox, budget, self._now)
        socket = socket_in(scope)
        outbox.put(cable.welcome())
        heartbeat = Heartbeat(outbox, self._clock, self._ping_s)
        try:
            with self._callers.enter(caller, outbox):
                if socket is None or self._passes is None:
                    await _serve(connection, outbox, names, receive, send)
                else:
                    await serve_socket(socket, connection, outbox, names, self._passes)
        finally:
            heartbeat.stop()
            if has_flooded(scope):
                self._gate.flooded(holder_of(caller), self._clock.now())
            await connection.close()

    async def _refusal(self, permit: Permit, holder: Holder, receive: Receive) -> Refusal | None:
        """Return why a caller may not come in; where its last connection was a flood, let it wait.

        An answer would bring a flood back at once. Whoever says something meanwhile, or leaves,
        gets it all the same.
        """
        refusal = permit.claim(holder, self._clock.now())
        if refusal is not None:
            return refusal
        refusal = self._gate.resting(holder, self._clock.now())
        if refusal is None:
            return None
        try:
            async with asyncio.timeout(refusal.retry_after_s):
                await receive()
        except TimeoutError:
            return None
        return refusal

    async def _authenticate(self, scope: Scope) -> Caller | None:
        """Find out who calls, as wire.md 1.1 orders it: a wrong value never falls through."""
        access_key, sdk_token = _query_credentials(scope["query_string"])
        authorization = bearer(header(scope["headers"], b"authorization"))
        if not origin_allowed(
            header(scope["headers"], b"origin"),
            host=header(scope["headers"], b"host"),
            allowed=self._allowed_origins,
            has_credential=bool(access_key or sdk_token or authorization),
        ):
            return None
        if access_key:
            return await self._directory.access_key(access_key)
        if sdk_token:
            return await self._directory.bot_by_token(sdk_token)
        if authorization:
            bot = await self._directory.bot_by_token(authorization)
            return bot or await self._directory.access_key(authorization)
        return None


class Heartbeat:
    """Sends ActionCable pings: integers that strictly increase, as AnyT asserts."""

    __slots__ = ("_clock", "_every_s", "_last", "_outbox", "_timer")

    def __init__(self, outbox: Outbox, clock: Clock, every_s: float) -> None:
        self._outbox = outbox
        self._clock = clock
        self._every_s = every_s
        self._last = 0
        # Sockets that came together are not all written to in the same moment.
        first_s = every_s * random()  # noqa: S311 - no secret
        self._timer = asyncio.get_running_loop().call_later(first_s, self._beat)

    def stop(self) -> None:
        """No more pings."""
        self._timer.cancel()

    def _beat(self) -> None:
        if self._outbox.closing:
            return
        self._last = max(self._last + 1, int(self._clock.now()))
        self._outbox.put(cable.ping(self._last))
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._beat)


async def _serve(
    connection: Connection,
    outbox: Outbox,
    names: Mapping[str, int],
    receive: Receive,
    send: Send,
) -> None:
    """Read and write by ASGI, until the socket is gone or closed."""
    # A context of its own: what this task logs must not carry another request's names.
    reader = asyncio.create_task(_read(receive, connection, outbox, names), context=Context())
    # A reader that ended has seen the socket go: nothing can be written to it any more.
    reader.add_done_callback(lambda _: outbox.abandon())
    try:
        taken = await outbox.run(_writer(send))
        # Not to a socket that took no more: the close frame would wait as long as the others.
        if taken and not reader.done():
            await _close(send)
    finally:
        reader.cancel()
        await asyncio.wait([reader])


async def _read(
    receive: Receive, connection: Connection, outbox: Outbox, names: Mapping[str, int]
) -> None:
    """Act on each frame in turn, until the socket is gone."""
    try:
        frames = 0
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            text: str | None = message.get("text")
            pause_s = connection.charge(len(message["bytes"] if text is None else text))
            if text is None:
                connection.refuse_binary()
            else:
                await connection.receive(text)
            if pause_s:
                await asyncio.sleep(pause_s)
            frames += 1
            if outbox.pending_bytes > ANSWERS_MAX_BYTES:
                await outbox.drained()
            elif frames % FRAMES_PER_TURN == 0:
                await asyncio.sleep(0)
    except Exception:
        # A bug of ours. The connection ends, and its bot comes back and resends.
        _logger.exception("connection_failed", **names)


def _writer(send: Send) -> Callable[[str], Awaitable[None]]:
    async def send_text(frame: str) -> None:
        try:
            await send({"type": "websocket.send", "text": frame})
        except RuntimeError as error:
            # How uvicorn says that it has closed the socket itself (a frame above the limit, no
            # pong) and that the reader has not been told yet.
            raise ConnectionResetError from error

    return send_text


async def _dismiss(send: Send, frame: str) -> None:
    await send({"type": "websocket.send", "text": frame})
    await _close(send)


async def _close(send: Send) -> None:
    with suppress(OSError, RuntimeError):
        await send({"type": "websocket.close", "code": CLOSE_NORMAL, "reason": ""})


def _query_credentials(query: bytes) -> tuple[str, str]:
    """Return `access_key` and `sdk_token`, each empty where it is missing."""
    try:
        fields = parse_qs(query.decode("latin-1"), max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        return "", ""
    return fields.get("access_key", [""])[0], fields.get("sdk_token", [""])[0]
