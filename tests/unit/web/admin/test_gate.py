"""Who may administer."""

from __future__ import annotations

import pytest
from starlette.types import Scope

from relay.clock import ManualClock
from relay.errors import StoreError, Unauthorized
from relay.web.admin.gate import AdminGate, NoSessions
from relay.web.admin.lockout import ATTEMPTS_MAX, Lockout
from relay.web.admin.problems import CsrfFailed, TooManyAttempts
from tests.support.admin import ADMIN_TOKEN, FakeAdminStore
from tests.support.admin_api import COOKIE, CSRF, FakeSessions


def scope(method: str = "GET", address: str = "10.0.0.1", **headers: str) -> Scope:
    """A request; underscores of a header stand for hyphens."""
    pairs = [(name.replace("_", "-").lower(), value) for name, value in headers.items()]
    return {
        "type": "http",
        "method": method,
        "client": (address, 1234),
        "headers": [(name.encode(), value.encode()) for name, value in pairs],
    }


def gate(store: FakeAdminStore) -> AdminGate:
    """A gate over a store, with one session."""
    return AdminGate(store, FakeSessions(), Lockout(ManualClock().now))


async def test_a_token_is_admitted_until_it_is_revoked() -> None:
    """Nothing is cached: the request after the revocation is refused."""
    store = FakeAdminStore()
    one = gate(store)
    assert await one.admit(scope(authorization=f"Bearer {ADMIN_TOKEN}")) == 1
    assert await one.still_admits(1)
    del store.admins[1]
    with pytest.raises(Unauthorized):
        await one.admit(scope(authorization=f"Bearer {ADMIN_TOKEN}"))
    assert not await one.still_admits(1)


async def test_wrong_tokens_lock_their_address_and_no_other() -> None:
    """The right token waits too, or the lock could be used to find it."""
    one = gate(FakeAdminStore())
    for _ in range(ATTEMPTS_MAX):
        with pytest.raises(Unauthorized):
            await one.admit(scope(authorization="Bearer wrong"))
    with pytest.raises(TooManyAttempts):
        await one.admit(scope(authorization=f"Bearer {ADMIN_TOKEN}"))
    assert await one.admit(scope(address="10.0.0.2", authorization=f"Bearer {ADMIN_TOKEN}")) == 1


async def test_nothing_given_is_no_attempt() -> None:
    """A browser that is not logged in does not lock its user out; neither does a database away."""
    store = FakeAdminStore()
    one = gate(store)
    for _ in range(ATTEMPTS_MAX + 1):
        with pytest.raises(Unauthorized):
            await one.admit(scope())
    store.away = True
    for _ in range(ATTEMPTS_MAX + 1):
        with pytest.raises(StoreError):
            await one.admit(scope(authorization=f"Bearer {ADMIN_TOKEN}"))
    store.away = False
    assert await one.admit(scope(authorization=f"Bearer {ADMIN_TOKEN}")) == 1


async def test_a_session_reads_by_its_cookie_and_changes_with_its_token() -> None:
    """Another site can make a browser send the cookie, and cannot know the token."""
    one = gate(FakeAdminStore())
    assert await one.admit(scope(**COOKIE)) == 1
    assert await one.admit(scope("POST", x_csrf_token=CSRF, **COOKIE)) == 1
    for headers in ({}, {"x_csrf_token": "another"}, {"x_csrf_token": "ü"}):
        with pytest.raises(CsrfFailed):
            await one.admit(scope("POST", **headers, **COOKIE))


async def test_a_session_ends_with_the_token_that_logged_in() -> None:
    """The cookie is still well signed, and of no use."""
    store = FakeAdminStore()
    del store.admins[1]
    with pytest.raises(Unauthorized):
        await gate(store).admit(scope(**COOKIE))


async def test_a_token_counts_before_a_cookie() -> None:
    """A wrong token is not made good by a cookie that a browser adds."""
    with pytest.raises(Unauthorized):
        await gate(FakeAdminStore()).admit(scope(authorization="Bearer wrong", **COOKIE))


async def test_without_a_page_no_cookie_counts() -> None:
    """`NoSessions` knows none."""
    one = AdminGate(FakeAdminStore(), NoSessions(), Lockout(ManualClock().now))
    with pytest.raises(Unauthorized):
        await one.admit(scope(**COOKIE))
