"""The owner of a stream: effects in order, answers behind the writes, dead after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from dataclasses import replace
from unittest.mock import Mock

import pytest

from relay.broker.memory import MemoryLog
from relay.errors import BrokerUnavailable, Fenced, OffsetMismatch, UnknownStream
from relay.node.decisions import AckNext, Stored
from relay.node.owner import FACTS, StreamOwner
from relay.protocol.events import (
    Ack,
    BotBack,
    BotLost,
    Chunk,
    End,
    EntryKind,
    Finish,
    Nack,
    Refuse,
    Summary,
)
from relay.protocol.facts import Facts
from relay.protocol.limits import Limits
from relay.protocol.texthash import content_hash
from relay.wire.facts import write_facts
from tests.support.brokers import DelayedLog
from tests.support.node import META, NOW, settle_down
from tests.support.owned import Owned, far, near


@pytest.mark.parametrize(("since", "grace_from"), [(0.0, 5.0), (90.0, 90.0)])
def test_a_bot_that_was_gone_before_its_relay_gets_its_grace_anew(
    since: float, grace_from: float
) -> None:
    """A relay that was away for a minute must not end what no bot could come back to."""
    log = MemoryLog()
    limits = Limits()
    facts = write_facts(Facts(broken=True, lost_at=NOW + 5.0))
    owner = StreamOwner(
        replace(log.create(META), notes={FACTS: facts}),
        limits=limits,
        can_resend=True,
        log=log,
        host=Mock(),
        failed=lambda error: None,
        since=NOW + since,
    )
    assert owner.receiver.next_deadline() == NOW + grace_from + limits.bot_grace_s
    owner.receive(BotBack(can_resend=True), NOW + grace_from + 1.0)
    assert owner.receiver.next_deadline() == NOW + grace_from + 1.0 + limits.idle_s


def test_with_the_memory_broker_all_is_done_when_the_call_returns() -> None:
    """Received, written and answered, without a task and without an event loop."""
    owned = near()
    assert owned.say(Chunk("a", 0)) is None
    assert owned.say(Chunk("c", 2), 0.1) is None
    assert owned.say(Chunk("b", 1), 0.2) is None
    assert owned.say(End(3, content_hash("abc")), 0.3) is None
    assert owned.log == [("chunk", 0), ("chunk", 1), ("chunk", 2), ("end", None)]
    *others, finish = owned.reactions
    assert others == [Ack(0), Ack(2), Nack(((1, 1),)), Ack(1)]
    assert isinstance(finish, Finish)
    assert [now and now - NOW for _, now, _, _ in owned.told] == pytest.approx(
        [0, 0.1, 0.1, 0.2, 0.3]
    )
    assert owned.owner.receiver.finished
    assert owned.inner.claim("s").held == ()


def test_what_is_stored_is_stated_with_each_answer() -> None:
    """Cumulatively: what lies below, what is early, and the credit that is left."""
    owned = near()
    assert owned.owner.stored == Stored(0, (), 256)
    for sequence in (0, 2, 1):
        owned.say(Chunk(f"{sequence}", sequence))
    acks = [stored for reaction, _, stored, _ in owned.told if isinstance(reaction, Ack)]
    assert acks == [Stored(1, (), 256), Stored(1, ((2, 2),), acks[1].credit), Stored(3, (), 256)]
    assert owned.owner.receive_next([Chunk("3", 3), Chunk("4", 4)], NOW) == (True, None)
    assert owned.told[-1:] == [(AckNext(3, 4), None, Stored(5, (), 256), 5)]


def test_a_timer_writes_too() -> None:
    """The idle limit ends the stream in the log, and then tells."""
    owned = near()
    assert owned.owner.handle_timer(NOW + 1.0) is None
    assert owned.log == []
    assert owned.owner.handle_timer(NOW + 60.0) is None
    assert owned.log == [("end", None)]
    assert isinstance(owned.reactions[0], Finish)


async def test_no_ack_leaves_before_its_write_is_done() -> None:
    """An ACK means stored; until then the sender waits."""
    owned, log = far()
    pending = owned.say(Chunk("a", 0))
    assert pending is not None
    waiter = asyncio.ensure_future(pending)
    await settle_down()
    assert (owned.reactions, owned.log, waiter.done()) == ([], [], False)
    log.step()
    await waiter
    assert owned.told == [(Ack(0), NOW, Stored(1, (), 256), 1)]
    together, pending = owned.owner.receive_next([Chunk("b", 1), Chunk("c", 2)], NOW)
    await settle_down()
    assert (together, len(owned.told)) == (True, 1)
    log.step()
    await (pending or settle_down())
    assert owned.told[1:] == [(AckNext(1, 2), None, Stored(3, (), 256), 3)]


async def test_an_early_chunk_is_acknowledged_behind_its_write() -> None:
    """Held beside the log is stored, and only then is it told; so is what is missing."""
    owned, log = far()
    owned.say(Chunk("c", 2))
    await settle_down()
    assert owned.reactions == []
    log.step()
    await settle_down()
    assert owned.reactions == [Ack(2), Nack(((0, 1),))]
    assert [one.sequence for one in owned.inner.claim("s").held] == [2]


async def test_an_ack_never_states_more_than_what_is_written() -> None:
    """Two chunks arrive behind each other; the first ACK does not cover the second."""
    owned, log = far()
    for sequence in range(4):
        owned.say(Chunk("x", sequence))
    await settle_down()
    assert owned.owner.receiver.next_sequence == 4
    assert owned.owner.stored.next_sequence == 0
    for expected in range(1, 5):
        log.step()
        await settle_down()
        reaction, _, stored, written = owned.told[-1]
        assert (reaction, stored.next_sequence, written) == (Ack(expected - 1), expected, expected)
    assert len(owned.told) == 4


async def test_effects_keep_their_order_across_messages_and_timers() -> None:
    """Whatever comes while a write is awaited waits behind it, refusals and duplicates too."""
    owned, log = far()
    owned.say(Chunk("a", 0))
    owned.say(Chunk("a", 0), 0.1)
    owned.say(Chunk("other", 0), 0.2)
    owned.say(BotLost(), 0.3)
    owned.say(Chunk("b", 1), 0.4)
    owned.owner.handle_timer(NOW + 60.5)
    owned.say(Chunk("c", 2), 61.0)
    await settle_down()
    assert owned.told == []
    for _ in ("a", "lost", "b", "the end"):
        log.step()
        await settle_down()
    kinds = [type(reaction) for reaction in owned.reactions]
    assert kinds[:5] == [Ack, Ack, Refuse, Ack, Finish]
    assert owned.log == [("chunk", 0), ("chunk", 1), ("end", None)]
    # Between them the bot was lost, and behind the end a chunk was refused: facts without entries.
    assert [offset for _, offset, _, _ in log.appends] == [1, 2, 2, 3, 4]


async def test_a_wait_that_is_given_up_does_not_stop_the_write() -> None:
    """The sender's socket may break in the middle: the write and its ACK go on."""
    owned, log = far()
    for pending in (owned.say(Chunk("a", 0)), owned.say(Chunk("b", 1))):
        assert pending is not None
        waiter = asyncio.ensure_future(pending)
        await settle_down()
        waiter.cancel()
        await settle_down()
    for _ in range(2):
        log.step()
        await settle_down()
    assert owned.reactions == [Ack(0), Ack(1)]


async def test_after_the_queue_is_empty_the_next_message_starts_anew() -> None:
    """No worker is left behind."""
    owned, log = far()
    owned.say(Chunk("a", 0))
    await settle_down()
    log.step()
    await settle_down()
    log.held = False
    pending = owned.say(Chunk("b", 1))
    assert pending is not None
    await pending
    assert owned.reactions == [Ack(0), Ack(1)]
    assert len(asyncio.all_tasks()) == 1


async def test_a_repair_and_its_end_are_one_append() -> None:
    """Torn by a failure between the two, the text would be shown twice."""
    owned = Owned(log := MemoryLog(), log, can_resend=False)
    owned.say(Chunk("a", 0))
    owned.say(End())
    owned.say(Summary("ab", 2, content_hash("ab")))
    kinds = [entry.kind for entry in log.read("s", 0, 10)]
    assert kinds == [EntryKind.CHUNK, EntryKind.ENDING, EntryKind.REPAIR, EntryKind.END]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_failed_write_kills_the_owner(when: str) -> None:
    """No ACK, nothing of what waits behind is written, and the failure is told once."""
    owned, log = far()
    log.fail_next = when
    waiters = [owned.say(Chunk("a", 0)), owned.say(Chunk("b", 1))]
    await settle_down()
    log.step()
    for waiter in waiters:
        assert waiter is not None
        await waiter
    assert owned.owner.dead
    assert [type(failure) for failure in owned.failures] == [BrokerUnavailable]
    assert owned.reactions == []
    assert len(log.appends) == 1
    assert owned.owner.stored.next_sequence == 0


async def test_a_write_that_fails_behind_another_is_the_last() -> None:
    """The first one's ACK stands."""
    owned, log = far()
    owned.say(Chunk("a", 0))
    owned.say(Chunk("b", 1))
    owned.say(Chunk("c", 2))
    await settle_down()
    log.step()
    await settle_down()
    log.fail_next = "before"
    log.step()
    await settle_down()
    assert owned.reactions == [Ack(0)]
    assert owned.log == [("chunk", 0)]
    assert len(owned.failures) == 1


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda log: log.claim("s"), Fenced),
        (lambda log: log.append("s", 1, 1, log_entry(), []), OffsetMismatch),
        (lambda log: log.drop("s"), UnknownStream),
    ],
    ids=["a newer owner", "a stranger's entry", "a dropped log"],
)
def test_an_append_that_is_refused_kills_the_owner_at_once(
    spoil: object, error: type[Exception]
) -> None:
    """Nothing is told of that message or of any later one."""
    owned = near()
    assert callable(spoil)
    spoil(owned.inner)
    assert owned.say(Chunk("b", 2)) is None
    assert owned.owner.dead
    assert [type(failure) for failure in owned.failures] == [error]
    assert owned.say(Chunk("c", 1)) is None
    assert owned.owner.handle_timer(NOW + 100.0) is None
    assert owned.reactions == []
    assert owned.owner.stored == Stored(0, (), 256)


def log_entry() -> list[object]:
    """One entry that another writer has slipped in."""
    other = MemoryLog()
    owned = Owned(other, other)
    owned.say(Chunk("a", 0))
    return list(other.read("s", 0, 1))


async def test_a_failure_deep_in_the_queue_ends_the_worker() -> None:
    """An append that is refused at once while others wait behind it."""

    class Mixed(DelayedLog):
        """Answers the first append later, and refuses the second at once."""

        def append(self, *args: object) -> Awaitable[None]:  # type: ignore[override]
            if self.appends:
                raise Fenced("fence 1 is not 2")
            return super().append(*args)  # type: ignore[arg-type]

    inner = MemoryLog()
    owned = Owned(Mixed(inner), inner)
    for sequence in range(3):
        owned.say(Chunk("x", sequence))
    await settle_down()
    assert owned.reactions == [Ack(0)]
    assert owned.owner.dead
    assert owned.owner.stored.next_sequence == 1
    assert len(owned.failures) == 1


def test_a_message_without_effects_writes_nothing() -> None:
    """A lost and restored connection is no news for the log."""
    owned = near()
    assert owned.say(BotLost()) is None
    assert owned.say(BotBack(can_resend=True)) is None
    assert (owned.log, owned.told) == ([], [])


async def test_the_worker_knows_nothing_of_who_started_it() -> None:
    """A task inherits its maker's context: a later bot's lines would bear the first one's name."""
    who: ContextVar[str] = ContextVar("who", default="nobody")
    seen: list[str] = []

    class Curious(DelayedLog):
        async def append(self, *args: object) -> None:
            await asyncio.sleep(0)
            seen.append(who.get())
            await super().append(*args)  # type: ignore[arg-type]

    inner = MemoryLog()
    owned = Owned(Curious(inner), inner)
    who.set("the first bot")
    owned.say(Chunk("a", 0))
    await settle_down()
    assert seen == ["nobody"]


def test_an_owner_goes_on_where_the_log_stands() -> None:
    """Rebuilt, it appends at the next offset and knows what is held."""
    owned = near()
    for sequence in (0, 2):
        owned.say(Chunk(f"{sequence}", sequence))
    successor = StreamOwner(
        owned.inner.claim("s"),
        limits=Limits(),
        can_resend=True,
        log=owned.inner,
        host=owned,
        failed=owned.failures.append,
    )
    assert (successor.fence, successor.stored.next_sequence) == (2, 1)
    assert successor.stored.received == ((2, 2),)
    successor.receive(Chunk("1", 1), NOW)
    assert owned.log == [("chunk", 0), ("chunk", 1), ("chunk", 2)]


async def test_a_bug_behind_a_write_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner dies, and is rebuilt; what waited behind it is not acknowledged."""
    owned, log = far()
    owned.say(Chunk("a", 0))
    waiting = owned.say(Chunk("b", 1))
    assert waiting is not None
    await settle_down()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(owned, "react", fail)
    log.step()
    with pytest.raises(ZeroDivisionError):
        await waiting
    assert owned.owner.dead
    assert [type(failure) for failure in owned.failures] == [BrokerUnavailable]
