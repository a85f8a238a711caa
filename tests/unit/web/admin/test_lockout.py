"""Who has to wait after too many wrong credentials."""

from __future__ import annotations

import pytest

from relay.clock import ManualClock
from relay.web.admin.lockout import FORGET_S, LOCK_MAX_S, LOCK_S, Lockout
from relay.web.admin.problems import TooManyAttempts


def locked_for(lockout: Lockout, address: str) -> float:
    """How long an address has to wait; 0 where it has not."""
    try:
        lockout.check(address)
    except TooManyAttempts as error:
        return error.retry_after_s or 0.0
    return 0.0


def test_an_address_waits_after_so_many_wrong_ones() -> None:
    """The last free attempt still goes through; the wait ends by itself; others are not held."""
    clock = ManualClock(1000.0)
    lockout = Lockout(clock.now, attempts_max=3)
    for _ in range(2):
        lockout.failed("10.0.0.1")
    assert locked_for(lockout, "10.0.0.1") == 0
    lockout.failed("10.0.0.1")
    assert locked_for(lockout, "10.0.0.1") == LOCK_S
    assert locked_for(lockout, "10.0.0.2") == 0
    clock.advance(LOCK_S)
    assert locked_for(lockout, "10.0.0.1") == 0


def test_each_further_wrong_one_doubles_the_wait_up_to_a_limit() -> None:
    """However many there are, nobody waits longer than the limit."""
    lockout = Lockout(ManualClock().now, attempts_max=1)
    waits = []
    for _ in range(40):
        lockout.failed("a")
        waits.append(locked_for(lockout, "a"))
    assert waits[:3] == [LOCK_S, 2 * LOCK_S, 4 * LOCK_S]
    assert waits[-1] == LOCK_MAX_S


def test_a_right_credential_forgives() -> None:
    """Who knows it was only mistaken before."""
    lockout = Lockout(ManualClock().now, attempts_max=2)
    lockout.failed("a")
    lockout.succeeded("a")
    lockout.failed("a")
    assert locked_for(lockout, "a") == 0


def test_time_forgives() -> None:
    """A wrong one of long ago counts no more."""
    clock = ManualClock()
    lockout = Lockout(clock.now, attempts_max=2)
    lockout.failed("a")
    clock.advance(FORGET_S + 1)
    lockout.failed("a")
    assert locked_for(lockout, "a") == 0


def test_memory_is_bounded() -> None:
    """Whose last attempt is longest ago is forgotten first."""
    lockout = Lockout(ManualClock().now, attempts_max=1, addresses_max=2)
    for address in ("a", "b", "a", "c"):
        lockout.failed(address)
    assert len(lockout) == 2
    assert [locked_for(lockout, one) > 0 for one in ("a", "b", "c")] == [True, False, True]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("not an address", "not an address", True),
    ],
)
def test_one_machine_is_one_address(one: str, other: str, *, same: bool) -> None:
    """An IPv6 /64 belongs to one machine; a mapped IPv4 address is its own."""
    lockout = Lockout(ManualClock().now, attempts_max=1)
    lockout.failed(one)
    assert (locked_for(lockout, other) > 0) is same
