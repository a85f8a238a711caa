"""Who is calling: bearer keys, tickets for one stream, and which Origins may open a socket.

Nothing here knows the database: `Directory` is the port, and the composition root puts the
store behind it. Callers authorise from `scope["path"]` and the headers of the scope, never
from `request.url`, which a proxy or a crafted Host header can make say something else
(CVE-2026-48710, CVE-2026-54282).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from itsdangerous import BadSignature, URLSafeSerializer

from relay.admin.people import EVERYTHING, Scope
from relay.devices.base import Ask
from relay.errors import OutOfScope, Unauthorized

CREDENTIAL_MAX_CHARS = 512
"""A longer credential is not looked up. Ours have 67 characters, JWTs of clients about 300."""

_TICKET_SALT = "relay.stream-ticket"


@dataclass(frozen=True, slots=True)
class BotIdentity:
    """A bot that proved its token, or that a user is bound to."""

    bot_id: int
    name: str
    credential: str = field(default="", repr=False)
    """What the token is known by, without being it: another one once the token is replaced."""


@dataclass(frozen=True, slots=True)
class KeyIdentity:
    """An access key that is known and active."""

    key_id: int
    name: str
    scope: Scope = EVERYTHING

    def require(self, ask: Ask, bot: BotIdentity | None) -> None:
        """Raise `OutOfScope` where the key may not ask this user's bot this question."""
        bot_id = None if bot is None else bot.bot_id
        if not self.scope.covers(agent_id=ask.agent_id, bot_id=bot_id, user_id=ask.user_id):
            raise OutOfScope(
                "this access key is for other agents, bots or users; "
                "ask with another key, or have an operator widen its scope"
            )


class Directory(Protocol):
    """Looks credentials up. Each method answers None for what is unknown or revoked.

    Implementations compare hashes in constant time and never log what they were given.
    Raises `StoreError` where the database cannot answer.
    """

    async def bot_by_token(self, token: str) -> BotIdentity | None:
        """The bot whose SDK token this is."""
        ...

    async def bot_by_user(self, user_id: str) -> BotIdentity | None:
        """The bot that this user of a device is bound to."""
        ...

    async def access_key(self, key: str) -> KeyIdentity | None:
        """The active access key that this is."""
        ...


def bearer(header: str | None) -> str | None:
    """Return the credential in an `Authorization` header, or None where there is none.

    Tolerant as the Lingzhu platform's users need it (reference lingzhu.md, section 1): the
    scheme in any case, any number of blanks behind it, or the bare key without a scheme.
    Another scheme (`Basic ...`) is no credential of ours.
    """
    words = (header or "").split()
    match words:
        case [scheme, credential] if scheme.lower() == "bearer":
            found = credential
        case [bare] if bare.lower() != "bearer":
            found = bare
        case _:
            return None
    return found if len(found) <= CREDENTIAL_MAX_CHARS else None


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """Return the first header with this lower-case name from an ASGI scope, or None."""
    for key, value in headers:
        if key == name:
            return value.decode("latin-1")
    return None


async def require_key(directory: Directory, authorization: str | None) -> KeyIdentity:
    """Return the access key that an `Authorization` header carries. Raises `Unauthorized`."""
    credential = bearer(authorization)
    if credential is None:
        raise Unauthorized("send the access key as 'Authorization: Bearer <access key>'")
    identity = await directory.access_key(credential)
    if identity is None:
        raise Unauthorized("this access key is not known, or was revoked")
    return identity


class Tickets:
    """Signed permission to read one stream, for clients that cannot send headers (EventSource).

    A ticket names the stream and its own expiry, and nothing else: it cannot be widened to
    another stream and is worthless once the stream's retention has passed. `now` returns
    Unix seconds, because a ticket outlives the process that signed it.
    """

    __slots__ = ("_now", "_serializer", "_ttl_s")

    def __init__(self, secret: bytes, *, ttl_s: float, now: Callable[[], float]) -> None:
        self._serializer: URLSafeSerializer = URLSafeSerializer(secret, salt=_TICKET_SALT)
        self._ttl_s = ttl_s
        self._now = now

    def sign_ticket(self, stream_id: str) -> str:
        """Return a ticket for this stream: URL-safe characters only."""
        return self._serializer.dumps([stream_id, int(self._now() + self._ttl_s)])

    def read_ticket(self, ticket: str) -> str:
        """Return the stream id that the ticket is for.

        Raises `Unauthorized` for one that is forged, expired or not a ticket at all, without
        saying which.
        """
        try:
            payload = self._serializer.loads(ticket)
        except (BadSignature, UnicodeEncodeError):
            payload = None
        match payload:
            case [str(stream_id), int(expires_at)] if expires_at > self._now():
                return stream_id
            case _:
                raise Unauthorized(
                    "this ticket is not valid (any more); trigger again for a new one"
                )


def origin_allowed(
    origin: str | None, *, host: str | None, allowed: Collection[str], has_credential: bool
) -> bool:
    """Whether a WebSocket with this `Origin` may be opened.

    Browsers send an Origin with every WebSocket, and pages of any site may open one. What
    makes that dangerous is a credential which the browser adds by itself, and `/cable` takes
    none: a token is always given explicitly. So an Origin is never enough, and:

        Origin                          no credential    credential
        absent (SDKs, workers)          refused          allowed
        listed, or the relay's own      refused          allowed
        another, no list configured     refused          allowed (as existing browser clients do)
        another, list configured        refused          refused

    `host` is the `Host` header, `allowed` is in lower case. The scheme is not compared: behind a
    proxy that ends TLS the relay cannot know its own.
    """
    if not has_credential:
        return False
    if origin is None or not allowed:
        return True
    origin = origin.lower()
    _, separator, authority = origin.partition("://")
    own = bool(separator) and host is not None and authority == host.lower()
    return own or origin in allowed
