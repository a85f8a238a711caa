"""Who is let in, who is not, and that a place is free again whoever had it."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from relay.limits.allowance import Allowance, allowance_of
from relay.limits.bucket import BURST_S
from relay.limits.gate import Gate, Holder, Permit
from relay.limits.refusal import Kind, Limit, Refusal
from relay.settings import Settings

HERE, THERE = "192.0.2.1", "198.51.100.1"
KEY: Holder = ("access_key_id", 7)
BOT: Holder = ("bot_id", 7)


def let_in(gate: Gate, address: str = HERE, kind: Kind = Kind.ASK, now: float = 0.0) -> Permit:
    """A permit that must be given."""
    permit = gate.admit(kind, address, now)
    assert isinstance(permit, Permit), permit
    return permit


def kept_out(gate: Gate, address: str = HERE, kind: Kind = Kind.ASK, now: float = 0.0) -> Refusal:
    """A refusal that must be made."""
    with capture_logs():
        refusal = gate.admit(kind, address, now)
    assert isinstance(refusal, Refusal)
    return refusal


def test_a_full_relay_takes_nobody_until_one_leaves() -> None:
    """The third of two is refused, from wherever, and let in once a place is free."""
    gate = Gate(Allowance(connections=2))
    first = let_in(gate)
    let_in(gate, THERE)
    assert kept_out(gate, "203.0.113.1").limit is Limit.CONNECTIONS
    first.release()
    let_in(gate, "203.0.113.1")


def test_a_full_address_leaves_the_others_alone() -> None:
    """What it was refused takes no place of the relay's either."""
    gate = Gate(Allowance(connections=3, connections_per_address=2))
    let_in(gate)
    second = let_in(gate)
    for _ in range(10):
        assert kept_out(gate).limit is Limit.CONNECTIONS_PER_ADDRESS
    let_in(gate, THERE).release()
    second.release()
    let_in(gate)


def test_an_ipv6_network_is_one_address() -> None:
    """Whoever has 2^64 addresses has as many connections as who has one."""
    gate = Gate(Allowance(connections_per_address=2))
    let_in(gate, "2001:db8::1")
    let_in(gate, "2001:db8::2")
    assert kept_out(gate, "2001:db8::3").limit is Limit.CONNECTIONS_PER_ADDRESS
    let_in(gate, "2001:db8:0:1::1")


def test_a_trusted_proxy_is_nobodys_address() -> None:
    """All callers come from it; who is behind it is counted by what the proxy says."""
    allowance = Allowance(
        connections_per_address=1, requests_per_address=0.001, trusted_proxies=("10.0.0.0/8",)
    )
    gate = Gate(allowance)
    for _ in range(10):
        let_in(gate, "10.1.2.3")
    let_in(gate, HERE)
    kept_out(gate, HERE)


@pytest.mark.parametrize(
    ("holder", "limit"), [(KEY, Limit.CONNECTIONS_PER_KEY), (BOT, Limit.CONNECTIONS_PER_BOT)]
)
def test_a_credential_has_so_many_connections_and_others_have_theirs(
    holder: Holder, limit: Limit
) -> None:
    """A bot and a key of the same number are two."""
    gate = Gate(Allowance(connections_per_key=1, connections_per_bot=1))
    first, second, other = let_in(gate), let_in(gate), let_in(gate)
    assert first.claim(holder, 0.0) is None
    with capture_logs() as logs:
        assert second.claim(holder, 0.0) == Refusal(limit)
    assert [(line["limit"], line[holder[0]]) for line in logs] == [(limit.value, 7)]
    assert other.claim(KEY if holder is BOT else BOT, 0.0) is None
    first.release()
    assert second.claim(holder, 0.0) is None


def test_a_release_gives_back_once_what_was_taken() -> None:
    """A second release, or one of a refused claim, frees no place of somebody else."""
    gate = Gate(Allowance(connections_per_address=2, connections_per_key=1))
    first, second = let_in(gate), let_in(gate)
    assert first.claim(KEY, 0.0) is None
    with capture_logs():
        assert second.claim(KEY, 0.0) is not None
    second.release()
    second.release()
    let_in(gate)
    kept_out(gate)


def test_requests_of_one_address_have_a_rate() -> None:
    """Five seconds' worth at once; who is too fast hears when to come back, and is served then."""
    gate = Gate(Allowance(requests_per_address=0.5))
    for _ in range(2):
        let_in(gate).release()
    refusal = kept_out(gate, now=0.5)
    assert (refusal.limit, refusal.retry_after_s) == (Limit.REQUESTS_PER_ADDRESS, 1)
    let_in(gate, THERE, now=0.5)
    let_in(gate, now=0.5 + refusal.retry_after_s)


def test_a_request_that_takes_no_place_counts_like_any_other() -> None:
    """From the same bucket; and it is there where there is no place left."""
    gate = Gate(Allowance(requests_per_address=0.4, connections_per_address=1))
    let_in(gate)
    assert gate.pace(Kind.OTHER, HERE, 0.0) is None
    with capture_logs() as logged:
        refusal = gate.pace(Kind.OTHER, HERE, 0.0)
    assert refusal == Refusal(Limit.REQUESTS_PER_ADDRESS, 3)
    assert [(line["kind"], line["address"]) for line in logged] == [("other", HERE)]
    assert kept_out(gate).limit is Limit.REQUESTS_PER_ADDRESS
    assert gate.pace(Kind.OTHER, THERE, 0.0) is None


def test_questions_of_one_key_have_a_rate_and_reading_costs_none_of_it() -> None:
    """Its other requests go on, and so do the questions of other keys."""
    gate = Gate(Allowance(asks_per_key=1))
    for _ in range(int(BURST_S)):
        assert let_in(gate).claim(KEY, 0.0) is None
    with capture_logs():
        refusal = let_in(gate).claim(KEY, 0.0)
    assert refusal == Refusal(Limit.ASKS_PER_KEY, 1)
    assert let_in(gate, kind=Kind.READ).claim(KEY, 0.0) is None
    assert let_in(gate).claim(("access_key_id", 8), 0.0) is None


def test_without_limits_everybody_is_let_in() -> None:
    """All of them 0: nothing is counted against anybody."""
    gate = Gate(Allowance())
    for _ in range(5_000):
        assert let_in(gate).claim(KEY, 0.0) is None
    budget = gate.budget(KEY, HERE, 0.0)
    assert budget.charge(10**9, 10**12, 0.0) == 0.0
    assert all(budget.command(0.0) is None for _ in range(10_000))


def test_the_sockets_of_one_credential_share_its_budget() -> None:
    """A second connection brings no second allowance, also after the first has gone."""
    gate = Gate(Allowance(messages_per_key=1.0))
    assert gate.budget(BOT, HERE, 0.0).charge(5, 0, 0.0) == 0.0
    with capture_logs():
        assert gate.budget(BOT, THERE, 0.0).charge(1, 0, 0.0) == pytest.approx(1.0)
    assert gate.budget(("bot_id", 8), HERE, 0.0).charge(5, 0, 0.0) == 0.0


def test_an_address_can_have_a_budget_too() -> None:
    """Then the bots there share it; a proxy's is nobody's."""
    gate = Gate(Allowance(bytes_per_address=10.0, trusted_proxies=("10.0.0.1/32",)))
    assert gate.budget(BOT, HERE, 0.0).charge(1, 50, 0.0) == 0.0
    with capture_logs():
        assert gate.budget(("bot_id", 8), HERE, 0.0).charge(1, 10, 0.0) == pytest.approx(1.0)
    assert gate.budget(BOT, "10.0.0.1", 0.0).charge(1, 10**9, 0.0) == 0.0


def test_the_defaults_slow_no_load_that_the_relay_is_made_for() -> None:
    """10,000 chunks in 3 ms, 160,000 a second over 64 bots, 50 streams of one bot at 35 ms each."""
    gate = Gate(allowance_of(Settings()))
    size = 400
    burst = gate.budget(("bot_id", 1), HERE, 0.0)
    assert all(burst.charge(1, size, 0.003 * n / 10_000) == 0.0 for n in range(10_000))
    for bot in range(2, 66):
        budget = gate.budget(("bot_id", bot), HERE, 0.0)
        assert all(budget.charge(25, 25 * size, n / 100) == 0.0 for n in range(20 * 100))
    one = gate.budget(("bot_id", 100), HERE, 0.0)
    assert all(one.charge(50, 50 * size, n * 0.035) == 0.0 for n in range(2_000))


def test_whoever_flooded_rests_and_nobody_else() -> None:
    """For five seconds, told in whole ones; operators hear of it once, and it is over by itself."""
    gate = Gate(Allowance())
    gate.flooded(BOT, 10.0)
    with capture_logs() as logged:
        assert gate.resting(BOT, 11.5) == Refusal(Limit.COMMANDS_PER_CONNECTION, 4)
        assert gate.resting(BOT, 14.9) == Refusal(Limit.COMMANDS_PER_CONNECTION, 1)
    assert [(line["event"], line["bot_id"]) for line in logged] == [("caller_slowed", 7)]
    assert gate.resting(KEY, 11.5) is None
    assert gate.resting(BOT, 15.0) is None
    assert gate.resting(BOT, 11.5) is None, "forgotten"


def test_a_flood_while_one_rests_makes_it_rest_anew_and_no_longer() -> None:
    """Sixteen connections that flood at once are one mistake."""
    gate = Gate(Allowance())
    for _ in range(16):
        gate.flooded(BOT, 10.0)
    gate.flooded(BOT, 12.0)
    with capture_logs():
        refusal = gate.resting(BOT, 12.0)
    assert refusal == Refusal(Limit.COMMANDS_PER_CONNECTION, 5)
    assert gate.resting(BOT, 17.0) is None
