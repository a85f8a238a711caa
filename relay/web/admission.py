"""The limits of callers, before the endpoints: `relay.limits.Gate` for ASGI applications."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.errors import LimitReached
from relay.limits.gate import Gate, Permit
from relay.limits.refusal import Kind, Refusal
from relay.web.answers import json_error
from relay.web.auth import KeyIdentity

_PLACE: Final = "relay.place"

PROBES: Final = frozenset(("/healthz", "/readyz"))

Refuse = Callable[[LimitReached, Scope, Receive, Send], Awaitable[None]]
"""Answers a request that was not let in, in the form that its caller can read."""


def client_address(scope: Scope) -> str:
    """Return the address that the request came from: what a trusted proxy says, else the peer."""
    client = scope.get("client")
    return str(client[0]) if client else ""


class Admission:
    """Lets requests in, and counts each until it has been answered. `now` returns seconds."""

    __slots__ = ("_gate", "_now")

    def __init__(self, gate: Gate, now: Callable[[], float]) -> None:
        self._gate = gate
        self._now = now

    def before(self, app: ASGIApp, kind: Kind, refuse: Refuse | None = None) -> ASGIApp:
        """Return the application with the limits before it."""
        return _Admitted(app, kind, self._gate, self._now, refuse or _refuse)


class _Admitted:
    def __init__(
        self,
        app: ASGIApp,
        kind: Kind,
        gate: Gate,
        now: Callable[[], float],
        refuse: Refuse,
    ) -> None:
        self._app = app
        self._kind = kind
        self._gate = gate
        self._now = now
        self._refuse = refuse

    def refused(self, kind: Kind, scope: Scope) -> Refusal | None:
        """Count a request that is somebody else's to answer."""
        return self._gate.pace(kind, client_address(scope), self._now())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        permit = self._gate.admit(self._kind, client_address(scope), self._now())
        if isinstance(permit, Refusal):
            await self._refuse(permit.error(), scope, receive, send)
            return
        scope[_PLACE] = permit, self._now
        try:
            await self._app(scope, receive, send)
        finally:
            if _PLACE in scope:
                permit.release()


def keep_place(scope: Scope) -> Callable[[], None]:
    """Keep a request's place though its application returns; call the result to give it back."""
    place: tuple[Permit, Callable[[], float]] | None = scope.pop(_PLACE, None)
    return place[0].release if place is not None else _nothing


def _nothing() -> None: ...


class Paced:
    """The rate of an address for all that no endpoint counts: pages, figures, what is not there.

    Health probes are not counted: whoever restarts what does not answer may share its address with
    somebody who asks too much. `routes` are those of the application, among them endpoints that
    count by themselves: theirs is the gate.
    """

    __slots__ = ("_app", "_counting", "_refused")

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        admitted = [
            (route, route.app)
            for route in routes
            if isinstance(route, Route) and isinstance(route.app, _Admitted)
        ]
        self._counting = [route for route, _ in admitted]
        self._refused = admitted[0][1].refused

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request, or say when to come back."""
        # Not async: a coroutine would take half a kilobyte of every reader.
        if self._is_ours(scope):
            refusal = self._refused(Kind.OTHER, scope)
            if refusal is not None:
                return _refuse(refusal.error(), scope, receive, send)
        return self._app(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["path"] in PROBES:
            return False
        return not any(route.matches(scope)[0] is Match.FULL for route in self._counting)


def claim(scope: Scope, key: KeyIdentity) -> None:
    """Count a request that was let in for its access key. Raises `RateLimited`."""
    place: tuple[Permit, Callable[[], float]] | None = scope.get(_PLACE)
    if place is not None:
        permit, now = place
        refusal = permit.claim(("access_key_id", key.key_id), now())
        if refusal is not None:
            raise refusal.error()


async def _refuse(error: LimitReached, scope: Scope, receive: Receive, send: Send) -> None:
    await json_error(error)(scope, receive, send)


async def refuse_upgrade(error: LimitReached, send: Send) -> None:
    """Answer a WebSocket's handshake with an HTTP error, so that it is never opened."""
    answer = json_error(error)
    start = {"status": answer.status_code, "headers": answer.raw_headers}
    await send({"type": "websocket.http.response.start", **start})
    await send({"type": "websocket.http.response.body", "body": bytes(answer.body)})
