"""Logging in with an admin token, and out again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from relay.errors import RelayError, Unauthorized
from relay.web.admin.page_frame import (
    NOTICES,
    Desk,
    Visit,
    done,
    error_page,
    read_form,
    safe_next,
    then,
)
from relay.web.admin.problems import CsrfFailed, TooManyAttempts
from relay.web.admin.sessions import is_https
from relay.web.admission import client_address
from relay.web.body import ClientGone


def login_routes(desk: Desk) -> list[Route]:
    """Return the routes of `/admin/login` and `/admin/logout`."""
    return [
        Route("/admin/login", _Login(desk), methods=["GET", "POST"]),
        done(desk, "/admin/logout", _log_out),
    ]


class _Login:
    """The only page for those who are not logged in."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientGone:
            return
        except RelayError as error:
            response = error_page(self._desk.renderer, error)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method != "POST":
            told = NOTICES["logged_out"] if "logged_out" in request.query_params else ""
            return self._form(request, request.query_params.get("next", ""), told=told)
        form = await read_form(request.receive)
        if not self._desk.sessions.login_is_ours(request.scope, form.get("login", "")):
            raise CsrfFailed("this form was not shown to this browser; open the login page again")
        onward = form.get("next", "")
        try:
            admin_id = await self._desk.gate.log_in(
                form.get("token", "").strip(), client_address(request.scope)
            )
        except Unauthorized as error:
            return self._form(request, onward, problem=error.message, status=401)
        except TooManyAttempts as error:
            response = self._form(request, onward, problem=error.message, status=429)
            response.headers["Retry-After"] = f"{max(1.0, error.retry_after_s or 1.0):.0f}"
            return response
        response = then(safe_next(onward))
        cookie = self._desk.sessions.start(admin_id, secure=is_https(request.scope))
        response.headers.append("Set-Cookie", cookie)
        return response

    def _form(
        self, request: Request, onward: str, *, told: str = "", problem: str = "", status: int = 200
    ) -> Response:
        login, cookie = self._desk.sessions.offer_login(
            request.scope, secure=is_https(request.scope)
        )
        response = self._desk.renderer.page(
            "login.html", status, login=login, next=safe_next(onward), notice=told, problem=problem
        )
        response.headers.append("Set-Cookie", cookie)
        return response


async def _log_out(visit: Visit) -> Response:
    response = then("/admin/login?logged_out")
    response.headers.append("Set-Cookie", visit.desk.sessions.end(visit.session))
    return response
