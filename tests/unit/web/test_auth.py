"""Credentials, tickets and Origins."""

from __future__ import annotations

import pytest

from relay.admin.people import Scope
from relay.devices.base import Ask
from relay.errors import OutOfScope, Unauthorized
from relay.web.auth import (
    BotIdentity,
    KeyIdentity,
    Tickets,
    bearer,
    header,
    origin_allowed,
    require_key,
)
from tests.unit.web.fakes import FakeDirectory

SECRET = b"k" * 32


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Bearer ak_1", "ak_1"),
        ("bearer ak_1", "ak_1"),
        ("BEARER   ak_1 ", "ak_1"),
        ("ak_1", "ak_1"),
        ("Bearer", None),
        ("Bearer a b", None),
        ("Basic dXNlcg==", None),
        ("", None),
        (None, None),
        ("Bearer " + "x" * 513, None),
    ],
)
def test_a_key_is_found_in_any_form_that_consoles_produce(
    given: str | None, expected: str | None
) -> None:
    """Any case of the scheme and the bare key are accepted; another scheme is not."""
    assert bearer(given) == expected


def test_a_header_is_found_by_its_lower_case_name() -> None:
    """The first one wins and a missing one is None."""
    headers = [(b"origin", b"https://a"), (b"origin", b"https://b")]
    assert header(headers, b"origin") == "https://a"
    assert header(headers, b"host") is None


async def test_a_known_key_gives_its_identity() -> None:
    """The identity carries the id under which streams are opened."""
    directory = FakeDirectory(keys={"ak_1": KeyIdentity(7, "console")})
    assert await require_key(directory, "Bearer ak_1") == KeyIdentity(7, "console")


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer ak_3", "Basic ak_1"])
async def test_an_unknown_key_is_unauthorized(authorization: str | None) -> None:
    """Missing, malformed and unknown keys raise the same typed error."""
    directory = FakeDirectory(keys={"ak_1": KeyIdentity(7, "console")})
    with pytest.raises(Unauthorized):
        await require_key(directory, authorization)


def test_a_key_may_ask_within_its_scope_only() -> None:
    """A user without a bot is outside of a scope that names bots; without a scope all is within."""
    ask, bot = Ask("c", "agent", "user", "?"), BotIdentity(1, "one")
    for scope in (Scope(), Scope(agents=frozenset({"agent"})), Scope(bots=frozenset({1}))):
        KeyIdentity(7, "console", scope).require(ask, bot)
    KeyIdentity(7, "console", Scope(users=frozenset({"user"}))).require(ask, None)
    for scope in (Scope(agents=frozenset({"a"})), Scope(users=frozenset())):
        with pytest.raises(OutOfScope, match="widen its scope"):
            KeyIdentity(7, "console", scope).require(ask, bot)
    with pytest.raises(OutOfScope):
        KeyIdentity(7, "console", Scope(bots=frozenset({1}))).require(ask, None)


def test_a_bots_credential_is_not_printed() -> None:
    """It is the hash of a token."""
    assert "canary" not in repr(BotIdentity(1, "one", "canary"))


def test_a_ticket_opens_exactly_its_stream() -> None:
    """What was signed for one stream reads as that stream."""
    tickets = Tickets(SECRET, ttl_s=60, now=lambda: 1_000.0)
    assert tickets.read_ticket(tickets.sign_ticket("s_1")) == "s_1"


def test_a_ticket_expires() -> None:
    """At the end of its life a ticket is refused."""
    now = [1_000.0]
    tickets = Tickets(SECRET, ttl_s=60, now=lambda: now[0])
    ticket = tickets.sign_ticket("s_1")
    now[0] = 1_059.0
    assert tickets.read_ticket(ticket) == "s_1"
    now[0] = 1_060.0
    with pytest.raises(Unauthorized):
        tickets.read_ticket(ticket)


@pytest.mark.parametrize(
    "ticket", ["", "abc", "a.b", "WyJzXzEiLDk5OTk5OTk5OTld.AAAA", "\x00", "é", "\ud83e"]
)
def test_a_forged_ticket_is_unauthorized(ticket: str) -> None:
    """Anything that we did not sign is refused with the typed error."""
    with pytest.raises(Unauthorized):
        Tickets(SECRET, ttl_s=60, now=lambda: 1_000.0).read_ticket(ticket)


def test_a_ticket_of_another_secret_is_unauthorized() -> None:
    """A ticket is bound to the relay's secret."""
    ticket = Tickets(b"o" * 32, ttl_s=60, now=lambda: 1_000.0).sign_ticket("s_1")
    with pytest.raises(Unauthorized):
        Tickets(SECRET, ttl_s=60, now=lambda: 1_000.0).read_ticket(ticket)


@pytest.mark.parametrize(
    ("origin", "allowed", "has_credential", "expected"),
    [
        (None, (), False, False),
        (None, (), True, True),
        (None, ("https://app.example",), True, True),
        ("https://relay.example:8080", ("https://app.example",), True, True),
        ("https://RELAY.example:8080", ("https://app.example",), True, True),
        ("https://relay.example:8080", ("https://app.example",), False, False),
        ("https://app.example", ("https://app.example",), True, True),
        ("https://APP.example", ("https://app.example",), True, True),
        ("https://app.example", ("https://app.example",), False, False),
        ("https://evil.example", (), True, True),
        ("https://evil.example", (), False, False),
        ("https://evil.example", ("https://app.example",), True, False),
        ("https://app.example.evil", ("https://app.example",), True, False),
        ("https://relay.example:8080.evil", ("https://app.example",), True, False),
        ("null", ("https://app.example",), True, False),
        ("relay.example:8080", ("https://app.example",), True, False),
        ("", ("https://app.example",), True, False),
    ],
)
def test_an_origin_is_never_enough_and_a_foreign_one_is_refused_where_a_list_is_set(
    origin: str | None, allowed: tuple[str, ...], has_credential: bool, expected: bool
) -> None:
    """The table of Origins in the docstring of `origin_allowed`."""
    assert (
        origin_allowed(
            origin, host="relay.example:8080", allowed=allowed, has_credential=has_credential
        )
        is expected
    )
