"""Logins of the admin page: a signed cookie that names an administrator's token, never holds it."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from typing import Final

from itsdangerous import BadSignature, URLSafeSerializer
from starlette.requests import HTTPConnection
from starlette.types import Scope

from relay.web.admin.gate import AdminSession
from relay.web.auth import header

COOKIE: Final = "relay_admin"
LOGIN_COOKIE: Final = "relay_admin_login"
"""Holds what the login form must send back, so that no other site can log a browser in."""

PATH: Final = "/admin"
"""Browsers send the cookies to the page and its API, and to nothing else of the relay."""

SESSION_S: Final = 12 * 3600.0
"""A working day: whoever walks away in the evening is logged out in the morning."""

ENDED_MAX: Final = 10_000
"""Logouts that are remembered, 2 MB at most; beyond it the oldest is forgotten."""

COOKIE_CHARS_MAX: Final = 1024
"""Ours have about 110 characters. A longer one is not looked at."""

TOKEN_BYTES: Final = 18
"""144 bits, 24 characters in base 64."""

_SALT: Final = "relay.admin-session"
_LOGIN_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{24}")


class Sessions:
    """Makes and reads the cookies. `now` returns Unix seconds; a restart ends no session.

    A logout is remembered until the cookie would have expired, in this process only: with several
    relays behind one address, a stolen cookie works on the others until its token is revoked.
    """

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        self._serializer: URLSafeSerializer = URLSafeSerializer(secret, salt=_SALT)
        self._now = now
        self._ended: dict[str, float] = {}

    def start(self, admin_id: int, *, secure: bool) -> str:
        """Return the `Set-Cookie` header of a new session."""
        csrf = secrets.token_urlsafe(TOKEN_BYTES)
        value = self._serializer.dumps([admin_id, csrf, int(self._now() + SESSION_S)])
        return _set_cookie(COOKIE, str(value), int(SESSION_S), secure=secure)

    def end(self, session: AdminSession) -> str:
        """End a session; returns the `Set-Cookie` header that takes the cookie away."""
        now = self._now()
        if len(self._ended) >= ENDED_MAX:
            self._ended = {csrf: until for csrf, until in self._ended.items() if until > now}
        if len(self._ended) >= ENDED_MAX:
            self._ended.pop(next(iter(self._ended)))
        self._ended[session.csrf] = now + SESSION_S
        return _set_cookie(COOKIE, "", 0, secure=False)

    def session_of(self, scope: Scope) -> AdminSession | None:
        """Return the session of a request; None without one, or where it is forged or expired."""
        match self._read(_cookie(scope, COOKIE)):
            case [int(admin_id), str(csrf), int(expires_at)] if (
                expires_at > self._now() and csrf not in self._ended
            ):
                return AdminSession(admin_id, csrf)
            case _:
                return None

    def _read(self, value: str) -> object:
        try:
            return self._serializer.loads(value) if value else None
        except BadSignature:
            return None

    # --- before the login -----------------------------------------------------------------

    def offer_login(self, scope: Scope, *, secure: bool) -> tuple[str, str]:
        """Return what the login form sends back, and the `Set-Cookie` header that proves it.

        A browser that has the cookie keeps it, so that a second window leaves the first one's
        form good.
        """
        known = _cookie(scope, LOGIN_COOKIE)
        token = known if _LOGIN_TOKEN.fullmatch(known) else secrets.token_urlsafe(TOKEN_BYTES)
        return token, _set_cookie(LOGIN_COOKIE, token, int(SESSION_S), secure=secure)

    def login_is_ours(self, scope: Scope, given: str) -> bool:
        """Whether the form that was sent was shown to this browser."""
        return same(_cookie(scope, LOGIN_COOKIE), given)


def same(known: str, given: str) -> bool:
    """Whether these are equal and not empty, compared in constant time."""
    return bool(known) and hmac.compare_digest(known.encode(), given.encode())


def is_https(scope: Scope) -> bool:
    """Whether the browser came by https, to us or to a proxy that says so.

    Who invents that header only makes his own browser keep the cookie to https.
    """
    forwarded = header(scope["headers"], b"x-forwarded-proto") or ""
    return scope.get("scheme") == "https" or forwarded.split(",")[0].strip().lower() == "https"


def _cookie(scope: Scope, name: str) -> str:
    value = HTTPConnection(scope).cookies.get(name, "")
    return value if len(value) <= COOKIE_CHARS_MAX else ""


def _set_cookie(name: str, value: str, max_age_s: int, *, secure: bool) -> str:
    header_value = f"{name}={value}; Path={PATH}; Max-Age={max_age_s}; HttpOnly; SameSite=Strict"
    return f"{header_value}; Secure" if secure else header_value
