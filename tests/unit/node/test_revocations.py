from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from relay.admin.people import EVERYTHING, Scope
from relay.errors import StoreError
from relay.node import revocations as module
from relay.node.revocations import BotCredential, Findings, Revocations, Standing
from tests.support.turns import counted_turns

NARROW = Scope(agents=frozenset({"a"}))


@dataclass
class FakeStore:
    """A `CredentialStore` of dictionaries, that can be away."""

    keys: dict[int, Scope] = field(default_factory=dict)
    bots: dict[int, str] = field(default_factory=dict)
    error: Exception | None = None
    asked: list[tuple[list[int], Mapping[str, int]]] = field(default_factory=list)
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def standing(self, key_ids: Sequence[int], bots: Mapping[str, int]) -> Standing:
        self.asked.append((sorted(key_ids), bots))
        self.looked.set()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return Standing(
            {key: self.keys[key] for key in key_ids if key in self.keys},
            frozenset(one for one, bot in bots.items() if self.bots.get(bot) != one),
        )


@dataclass
class FakeHolder:
    """A `Holder` that notes what it is told."""

    keys: set[int] = field(default_factory=set)
    bots: set[BotCredential] = field(default_factory=set)
    told: list[Findings] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def keys_in_use(self) -> set[int]:
        return self.keys

    def bots_in_use(self) -> set[BotCredential]:
        return self.bots

    def enforce(self, findings: Findings) -> None:
        self.told.append(findings)
        self.news.set()


def watch(store: FakeStore, *holders: FakeHolder, every_s: float = 60.0) -> Revocations:
    """A watcher whose clock stands at 7."""
    return Revocations(store, holders, every_s=every_s, now=lambda: 7.0)


async def test_what_is_in_use_is_asked_about_and_nothing_else() -> None:
    """Each holder hears of all findings; a credential that was replaced is void."""
    store = FakeStore({1: EVERYTHING, 2: NARROW, 3: EVERYTHING}, {8: "new", 9: "same"})
    old, same, gone = BotCredential(8, "old"), BotCredential(9, "same"), BotCredential(10, "x")
    first, second = FakeHolder({1, 4}, {old}), FakeHolder({1, 2}, {same, gone})
    await watch(store, first, second).check()
    assert store.asked == [([1, 2, 4], {"old": 8, "same": 9, "x": 10})]
    expected = Findings(7.0, {1: EVERYTHING, 2: NARROW, 4: None}, frozenset({old, gone}))
    assert first.told == second.told == [expected]


async def test_while_nothing_is_in_use_nothing_is_asked() -> None:
    """An idle relay leaves its database alone."""
    store, holder = FakeStore(), FakeHolder()
    await watch(store, holder).check()
    assert (store.asked, holder.told) == ([], [])


async def test_what_comes_while_the_store_is_asked_is_not_judged() -> None:
    """A bot that comes with its new token must not fall to an answer about the old one."""
    store, holder = FakeStore({}, {8: "old"}), FakeHolder({1}, {BotCredential(8, "old")})
    checking = asyncio.create_task(watch(store, holder).check())
    await store.looked.wait()
    holder.bots = {BotCredential(8, "new")}
    holder.keys = {1, 2}
    await checking
    assert holder.told == [Findings(7.0, {1: None}, frozenset())]


async def test_a_store_that_is_away_changes_nothing_and_is_logged_once() -> None:
    """Everything stays as it is until it answers again."""
    store, holder = FakeStore(error=StoreError("locked")), FakeHolder({1})
    revocations = watch(store, holder)
    with capture_logs() as logs:
        await revocations.check()
        await revocations.check()
        assert holder.told == []
        store.error = None
        await revocations.check()
        await revocations.check()
    assert [line["event"] for line in logs] == ["revocations_unknown", "revocations_known_again"]
    assert holder.told == [Findings(7.0, {1: None}, frozenset())] * 2


async def test_a_query_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many bots are asked about in steps, and each is found."""
    monkeypatch.setattr(module, "ASKED_MAX", 2)
    monkeypatch.setattr(module, "STEP_PAUSE_S", 0.0)
    bots = {BotCredential(number, f"x{number}") for number in range(5)}
    store = FakeStore({1: EVERYTHING}, {number: f"x{number}" for number in range(4)})
    holder = FakeHolder({1}, bots)
    await watch(store, holder).check()
    assert [len(keys) for keys, _ in store.asked] == [1, 0, 0]
    assert [len(some) for _, some in store.asked] == [2, 2, 1]
    assert {bot for _, some in store.asked for bot in some.values()} == set(range(5))
    assert holder.told[0].void_bots == frozenset({BotCredential(4, "x4")})
    assert holder.told[0].keys == {1: EVERYTHING}


async def test_it_looks_again_and_again_until_it_is_stopped() -> None:
    """Also after a bug of ours, which must not be the last that is heard of revocations."""

    class Buggy(FakeHolder):
        def enforce(self, findings: Findings) -> None:
            super().enforce(findings)
            if len(self.told) == 1:
                self.news.clear()
                raise ValueError("a bug")

    holder = Buggy({1})
    revocations = watch(FakeStore(), holder, every_s=0.001)
    await revocations.stop()
    with capture_logs() as logs:
        revocations.start()
        async with asyncio.timeout(5):
            await holder.news.wait()
        await revocations.stop()
    assert logs[0]["event"] == "revocations_failed"
    assert revocations._task is None  # noqa: SLF001 - stopped for good


def test_a_credential_is_not_printed() -> None:
    """It is the hash of a token."""
    assert "canary" not in repr(BotCredential(1, "canary"))


def test_credentials_are_told_apart_by_both_of_their_parts() -> None:
    """A bot whose token was replaced has another one."""
    assert BotCredential(1, "a") == BotCredential(1, "a")
    assert len({BotCredential(1, "a"), BotCredential(1, "b"), BotCredential(2, "a")}) == 3


async def test_others_have_their_turn_between_the_parts_of_a_check() -> None:
    """With thousands connected each part takes a while, and chunks share the event loop."""
    holders = [FakeHolder({number}) for number in range(3)]
    async with counted_turns() as turns:
        await watch(FakeStore(), *holders).check()
    assert turns.count >= 8, "behind each that is asked, before and in the store, behind each told"
