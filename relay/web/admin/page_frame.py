"""What all pages have in common: the session, the token on each form, errors as pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from relay.admin.ports import AdminStore, LiveView
from relay.errors import (
    BadRequest,
    LimitReached,
    NotFound,
    RelayError,
    RequestError,
    StoreError,
    Unauthorized,
)
from relay.logs import get_logger
from relay.web.admin.gate import AdminGate, AdminSession
from relay.web.admin.page_render import NO_STORE, Renderer
from relay.web.admin.problems import CsrfFailed, TooManyAttempts
from relay.web.admin.sessions import Sessions, same
from relay.web.body import ClientGone, read_body

FORM_BYTES_MAX: Final = 65_536
FORM_FIELDS_MAX: Final = 200
NEXT_CHARS_MAX: Final = 2_000

NOTICES: Final[Mapping[str, str]] = {
    "deleted": "The trace was deleted.",
    "deleted_many": "{n} traces were deleted.",
    "bot_revoked": "The bot's token was revoked; its connection ends.",
    "unbound": "The bot was parted from its user.",
    "key_revoked": "The access key was revoked; its live streams end within 5 seconds.",
    "key_scoped": "The access key has its new scope.",
    "binding_deleted": "The binding token is of no use any more.",
    "logged_out": "You are logged out.",
}
"""What a page says after something was done, by the name in its address: never a given text."""

_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages work with."""

    store: AdminStore
    live: LiveView
    gate: AdminGate
    sessions: Sessions
    renderer: Renderer
    now: Callable[[], float]
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is logged in."""

    desk: Desk
    request: Request
    session: AdminSession
    form: ImmutableMultiDict[str, str] = field(default_factory=ImmutableMultiDict)
    """What was sent; empty for a page that is only read. Its token was checked."""

    def page(self, template: str, status: int = 200, **values: object) -> Response:
        """Return a page with the frame around it."""
        return self.desk.renderer.page(
            template,
            status,
            csrf=self.session.csrf,
            here=self.request.scope["path"],
            now=self.desk.now(),
            notice=_notice(self.request.query_params),
            **values,
        )

    def number(self, name: str) -> int:
        """Return an id of the path. Raises `NotFound` where it is none."""
        raw = str(self.request.path_params[name])
        if not (raw.isascii() and raw.isdecimal() and len(raw) < 19):  # noqa: PLR2004 - 2^63
            raise NotFound(f"there is nothing with the number {raw[:40]}")
        return int(raw)


Handler = Callable[[Visit], Awaitable[Response]]


def seen(desk: Desk, path: str, handler: Handler) -> Route:
    """Return the route of a page that is read."""
    return Route(path, _Page(desk, handler), methods=["GET"])


def done(desk: Desk, path: str, handler: Handler) -> Route:
    """Return the route of a form that is sent."""
    return Route(path, _Page(desk, handler), methods=["POST"])


def then(path: str, notice: str = "", n: int | None = None) -> Response:
    """Return the way to the page that shows what was done."""
    mark = "&" if "?" in path else "?"
    told = f"{mark}notice={notice}" + ("" if n is None else f"&n={n}") if notice else ""
    return RedirectResponse(path + told, status_code=303, headers=dict(NO_STORE))


def safe_next(given: str) -> str:
    """Return where to go after the login: only to a page of ours, whatever the address says."""
    ours = given == "/admin" or given.startswith(("/admin/", "/admin?"))
    plain = given.isprintable() and "\\" not in given and len(given) <= NEXT_CHARS_MAX
    return given if ours and plain and not given.startswith("/admin/log") else "/admin"


async def read_form(receive: Receive) -> ImmutableMultiDict[str, str]:
    """Return the fields of a form. Raises `BadRequest`, `LimitReached`, `ClientGone`."""
    raw = await read_body(receive, max_bytes=FORM_BYTES_MAX)
    try:
        fields = parse_qsl(
            raw.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict"
        )
    except ValueError:
        raise BadRequest("this is not a form") from None
    return ImmutableMultiDict(fields)


class _Page:
    """An endpoint that answers those who are logged in, and errors as pages. Pure ASGI."""

    def __init__(self, desk: Desk, handler: Handler) -> None:
        self._desk = desk
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientGone:
            return
        except RelayError as error:
            response = error_page(self._desk.renderer, error)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        reads = request.method in {"GET", "HEAD"}
        session = self._desk.sessions.session_of(request.scope)
        if session is None or not await self._desk.gate.still_admits(session.admin_id):
            if not reads:
                raise Unauthorized("your session has ended; log in again")
            query = request.scope["query_string"].decode("latin-1")
            here = quote(request.scope["path"]) + (f"?{query}" if query else "")
            return then("/admin/login?next=" + quote(here, safe=""))
        form: ImmutableMultiDict[str, str] = ImmutableMultiDict()
        if not reads:
            form = await read_form(request.receive)
            if not same(session.csrf, form.get("csrf", "")):
                raise CsrfFailed("this form was not shown by this session; load its page again")
        return await self._handler(Visit(self._desk, request, session, form))


def error_page(renderer: Renderer, error: RelayError) -> Response:
    """Return an error as a page that says what to do."""
    headers: dict[str, str] = {}
    match error:
        case Unauthorized():
            status, message = 401, error.message
        case CsrfFailed():
            status, message = 403, error.message
        case NotFound():
            status, message = 404, error.message
        case TooManyAttempts():
            status, message = 429, error.message
            headers["Retry-After"] = f"{max(1.0, error.retry_after_s or 1.0):.0f}"
        case LimitReached():
            status, message = 413, error.message
        case RequestError():
            status, message = 400, error.message
        case _:
            cause = "the database" if isinstance(error, StoreError) else "the relay"
            status, message = 503, f"{cause} cannot answer right now; try again in a moment"
            _logger.warning("admin_page_failed", kind=type(error).__name__)
    response = renderer.page("error.html", status, code=status, message=message)
    response.headers.update(headers)
    return response


def _notice(query: Mapping[str, str]) -> str:
    words = NOTICES.get(query.get("notice", ""), "")
    n = query.get("n", "")
    return words.replace("{n}", n if n.isascii() and n.isdecimal() else "Some")
