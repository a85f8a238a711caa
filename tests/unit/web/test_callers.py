from __future__ import annotations

from relay.admin.people import EVERYTHING, Scope
from relay.node.revocations import BotCredential, Findings
from relay.web.auth import BotIdentity, KeyIdentity
from relay.web.callers import Callers
from relay.web.outbox import Outbox

BOT = BotIdentity(1, "one", "old")
KEY = KeyIdentity(11, "console", Scope(agents=frozenset({"a"})))


class Socket:
    """What was written to a socket."""

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.outbox = Outbox(too_slow="")

    async def send(self, frame: str) -> None:
        self.frames.append(frame)


def void(*bots: BotCredential, **keys: Scope | None) -> Findings:
    """What a check found; a key is given as `k11`."""
    return Findings(0.0, {int(name[1:]): scope for name, scope in keys.items()}, frozenset(bots))


def test_the_credentials_of_open_sockets_are_in_use() -> None:
    """Until the socket is gone, whatever ends it."""
    callers = Callers()
    with callers.enter(BOT, Socket().outbox), callers.enter(KEY, Socket().outbox):
        with callers.enter(KEY, Socket().outbox):
            assert callers.keys_in_use() == {11}
        assert callers.keys_in_use() == {11}
        assert callers.bots_in_use() == {BotCredential(1, "old")}
    assert not [*callers.keys_in_use(), *callers.bots_in_use()]


async def test_a_bot_is_told_that_its_token_is_of_no_use() -> None:
    """Only on the socket that was opened with it: the bot may have come again with the new one."""
    callers, old, new = Callers(), Socket(), Socket()
    newer = BotIdentity(1, "one", "new")
    with callers.enter(BOT, old.outbox), callers.enter(newer, new.outbox):
        callers.enforce(void(BotCredential(1, "old"), BotCredential(2, "new")))
        assert await old.outbox.run(old.send)
        assert not new.outbox.closing
    assert old.frames == ['{"type":"disconnect","reason":"unauthorized","reconnect":false}']


async def test_a_worker_is_told_that_its_key_is_of_no_use() -> None:
    """A key that is not asked about, or has another scope by now, keeps its socket."""
    callers, worker = Callers(), Socket()
    with callers.enter(KEY, worker.outbox):
        callers.enforce(void(k12=None))
        callers.enforce(void(k11=EVERYTHING))
        callers.enforce(void(k11=Scope(bots=frozenset())))
        assert not worker.outbox.closing
        callers.enforce(void(k11=None))
        callers.enforce(void(k11=None))
        assert await worker.outbox.run(worker.send)
    assert len(worker.frames) == 1
    assert "unauthorized" in worker.frames[0]
