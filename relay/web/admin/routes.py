"""The admin API on its paths. Nothing is told to whom the gate does not admit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.admin.ports import AdminStore, LiveView
from relay.clock import Clock
from relay.errors import NotFound, RelayError
from relay.logs import get_logger
from relay.release import release
from relay.web.admin import reference
from relay.web.admin.catalog import operations
from relay.web.admin.desk import Desk
from relay.web.admin.gate import AdminGate
from relay.web.admin.live_feed import LiveFeed
from relay.web.admin.openapi import PREFIX, document
from relay.web.admin.operations import JSON, Operation, Received, write_json
from relay.web.admin.problems import (
    MethodNotAllowed,
    NotAcceptable,
    UnsupportedMediaType,
    problem,
)
from relay.web.auth import header
from relay.web.body import ClientGone, read_body

BODY_MAX_BYTES: Final = 1_048_576
"""A scope of 3,000 long names fits."""

_logger = get_logger(__name__)


def admin_api_routes(
    store: AdminStore, live: LiveView, gate: AdminGate, clock: Clock, feed: LiveFeed
) -> list[Route]:
    """Return the routes of the API and its reference. `feed.end_all` belongs into the drain."""
    desk, table = Desk(store, live, feed, clock), operations()
    told = document(table, release())
    page = reference.render(table, told)
    html = {"Content-Security-Policy": reference.CSP, "Referrer-Policy": "no-referrer"}
    routes = [
        _page("/openapi.json", write_json(told), JSON, {}, gate),
        _page("/reference.css", reference.stylesheet(), "text/css", {}, gate),
        *(_page(path, page, "text/html", html, gate) for path in ("", "/")),
    ]
    # Sorted, because `{` comes behind every letter: `/traces/export` is no trace.
    for path, grouped in groupby(sorted(table, key=_path), key=_path):
        routes.append(Route(PREFIX + path, Endpoint(list(grouped), desk, gate)))
    return [*routes, Route(PREFIX + "/{rest:path}", Endpoint([], desk, gate))]


def _path(one: Operation[Desk]) -> str:
    return one.path


class Endpoint:
    """One path: admits, finds the operation, decodes, runs it. What is raised becomes JSON."""

    def __init__(self, operations_: Sequence[Operation[Desk]], desk: Desk, gate: AdminGate) -> None:
        self._by_method = {one.method: one for one in operations_}
        self._desk = desk
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response: ASGIApp
        try:
            response = await self._respond(scope, receive)
        except ClientGone:
            return
        except RelayError as error:
            response = problem(error)
        except Exception as error:
            _logger.exception("admin_request_failed")
            response = problem(error)
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> ASGIApp:
        # Before anything else: who is not admitted is not told what there is.
        admin_id = await self._gate.admit(scope)
        if not self._by_method:
            raise NotFound(f"there is no such path; see {PREFIX}")
        one = self._by_method.get(scope["method"])
        if one is None:
            raise MethodNotAllowed(list(self._by_method))
        check_accept(header(scope["headers"], b"accept"), one.answers.media)
        body = b""
        if one.body_type is not None:
            check_content_type(header(scope["headers"], b"content-type"))
            body = await read_body(receive, max_bytes=BODY_MAX_BYTES)
        received = Received(scope["path_params"], scope["query_string"], body, admin_id)
        return await one.run(self._desk, received)


class Page:
    """One answer that is always the same."""

    def __init__(self, response: Response, gate: AdminGate) -> None:
        self._response = response
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response: ASGIApp = self._response
        try:
            await self._gate.admit(scope)
            if scope["method"] != "GET":
                raise MethodNotAllowed(["GET"])
        except RelayError as error:
            response = problem(error)
        await response(scope, receive, send)


def check_accept(accept: str | None, media: Sequence[str]) -> None:
    """Raise `NotAcceptable` where none of `media` is among what the caller takes.

    An answer without a body is acceptable to everybody, and a weight of 0 means: not this.
    """
    if not accept or not media:
        return
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters):
            continue
        whole, _, rest = name.partition("/")
        if name in ("*/*", "*", *media) or (
            rest == "*" and any(one.startswith(f"{whole}/") for one in media)
        ):
            return
    raise NotAcceptable(f"this is answered as {' or '.join(media)}")


def check_content_type(content_type: str | None) -> None:
    """Raise `UnsupportedMediaType` where a body is not said to be JSON."""
    if (content_type or "").partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType(f"send the body as 'Content-Type: {JSON}'")


def _page(path: str, body: bytes, media: str, headers: dict[str, str], gate: AdminGate) -> Route:
    response = Response(
        body,
        headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", **headers},
        media_type=media,
    )
    return Route(PREFIX + path, Page(response, gate))
