"""Who may administer: the bearer of an administrator's token, or a session of the admin page."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field
from typing import Final, Protocol

from starlette.types import Scope

from relay.errors import Unauthorized
from relay.web.admin.lockout import Lockout
from relay.web.admin.problems import CsrfFailed
from relay.web.admission import client_address
from relay.web.auth import bearer, header

CSRF_HEADER: Final = "X-CSRF-Token"

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""They change nothing, so another site may as well make a browser send them."""

VERIFYING_MAX: Final = 4
"""Credentials that are looked up at once: so many more than the lockout allows may slip through."""


@dataclass(frozen=True, slots=True)
class AdminSession:
    """A login of the admin page, as its signed cookie says."""

    admin_id: int
    """Which administrator's token logged in; the session ends when that is revoked."""
    csrf: str = field(repr=False)
    """What the page sends back as `X-CSRF-Token`, because no other site can read it."""


class SessionReader(Protocol):
    """Knows the admin page's cookies."""

    def session_of(self, scope: Scope) -> AdminSession | None:
        """Return the session of a request; None without one, or where it is forged or expired."""
        ...


class AdminDirectory(Protocol):
    """The part of `relay.admin.ports.AdminStore` that knows administrators."""

    async def find_admin(self, token: str) -> int | None:
        """Return the id of this administrator's token; None for one unknown or revoked."""
        ...

    async def admin_is_active(self, admin_id: int) -> bool:
        """Whether the administrator's token with this id is there and was not revoked."""
        ...


class NoSessions:
    """A `SessionReader` where there is no page."""

    def session_of(self, _scope: Scope) -> AdminSession | None:
        """Return None."""
        return None


class AdminGate:
    """Admits requests. Nothing is cached: a token that was revoked is of no use at once."""

    def __init__(
        self, directory: AdminDirectory, sessions: SessionReader, lockout: Lockout
    ) -> None:
        self._directory = directory
        self._sessions = sessions
        self._lockout = lockout
        self._verifying = asyncio.Semaphore(VERIFYING_MAX)

    async def admit(self, scope: Scope) -> int:
        """Return the id of the administrator who sends this request.

        A token counts before a cookie. Raises `Unauthorized`, `TooManyAttempts` after too many
        wrong tokens, `CsrfFailed` for a session that would change something without its token.
        """
        authorization = header(scope["headers"], b"authorization")
        if authorization is not None:
            return await self.log_in(bearer(authorization) or "", client_address(scope))
        session = self._sessions.session_of(scope)
        if session is None:
            raise Unauthorized("send an admin token as 'Authorization: Bearer <admin token>'")
        if not await self._directory.admin_is_active(session.admin_id):
            raise Unauthorized("the admin token of this session was revoked; log in again")
        if scope["method"] not in SAFE_METHODS:
            given = header(scope["headers"], CSRF_HEADER.lower().encode()) or ""
            if not hmac.compare_digest(given.encode(), session.csrf.encode()):
                raise CsrfFailed(f"send the token of this session as '{CSRF_HEADER}'")
        return session.admin_id

    async def log_in(self, token: str, address: str) -> int:
        """Return the id of this administrator's token. Raises as `admit` does."""
        async with self._verifying:
            self._lockout.check(address)
            admin_id = await self._directory.find_admin(token) if token else None
            if admin_id is None:
                self._lockout.failed(address)
                raise Unauthorized("this admin token is not known, or was revoked")
            self._lockout.succeeded(address)
            return admin_id

    async def still_admits(self, admin_id: int) -> bool:
        """Whether somebody who was admitted would be once more: for answers that last."""
        return await self._directory.admin_is_active(admin_id)
