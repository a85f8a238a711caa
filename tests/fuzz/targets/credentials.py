"""What somebody comes with who wants in: headers, queries, tickets, vouchers, cookies, Origins."""

from __future__ import annotations

from contextlib import suppress
from typing import Final
from urllib.parse import urljoin, urlsplit

from relay.errors import Unauthorized
from relay.node.vouchers import Vouchers
from relay.web.admin.page_frame import safe_next
from relay.web.admin.sessions import Sessions, same
from relay.web.auth import CREDENTIAL_MAX_CHARS, Tickets, bearer, header, origin_allowed
from relay.web.cable import _query_credentials
from tests.fuzz.pieces import text
from tests.fuzz.target import Target

SECRET: Final = b"s" * 32
NOW: Final = 1_700_000_000.0

_OURS: Final = frozenset({"stream-1"})


def now() -> float:
    """The moment of every input."""
    return NOW


def check(data: bytes) -> None:
    """Nothing that we did not sign opens anything, and nothing raises another error."""
    given = text(data)
    found = bearer(given)
    assert found is None or (0 < len(found) <= CREDENTIAL_MAX_CHARS and not found.isspace())
    _query_credentials(data)
    tickets = Tickets(SECRET, ttl_s=60, now=now)
    with suppress(Unauthorized):
        assert tickets.read_ticket(given) in _OURS
    assert Vouchers(SECRET, ttl_s=60).read(given, NOW) is None
    sessions = Sessions(SECRET, now)
    scope = {"type": "http", "headers": [(b"cookie", data), (b"origin", data)]}
    session = sessions.session_of(scope)
    assert session is None or session.admin_id == 1
    assert not sessions.login_is_ours(scope, "guessed")
    same("known", data.decode("utf-8", "ignore"))
    shown = safe_next(given)
    assert shown == "/admin" or shown.startswith(("/admin/", "/admin?"))
    assert urlsplit(urljoin("https://relay/admin/login", shown)).netloc == "relay"
    origin = header([(b"origin", data)], b"origin")
    for allowed in ((), ("https://ours",)):
        assert not origin_allowed(origin, host="relay", allowed=allowed, has_credential=False)


def seeds() -> list[bytes]:
    """One of each that is good, and near misses."""
    ticket = Tickets(SECRET, ttl_s=60, now=now).sign_ticket("stream-1")
    cookie = Sessions(SECRET, now).start(1, secure=False).partition(";")[0]
    given = [
        "/admin/traces?status=anomaly",
        "//elsewhere/admin/",
        "/admin/../x",
        ticket,
        ticket[:-1],
        cookie,
        f"{cookie}; other=1",
        "Bearer ak_1",
        "bearer  x",
        "x",
    ]
    given += ["Basic YTpi", "access_key=ak_1&sdk_token=t", "sdk_token=%00%ff", "https://ours"]
    return [one.encode() for one in given]


TARGET: Final = Target(check, seeds)
