"""The streams of a node: made of logs, looked after while they live, let go and taken over."""

from __future__ import annotations

from functools import partial

from relay.broker.base import Broker, LogSnapshot, StreamMeta
from relay.clock import CallLater, Clock
from relay.devices.base import StreamView
from relay.node.audience import Audience
from relay.node.background import Undertake
from relay.node.books import Books
from relay.node.deadlines import Deadlines
from relay.node.lifecycle import Lifecycle
from relay.node.limits import limits_of
from relay.node.readership import Readership
from relay.node.record import StreamRecord
from relay.node.recovery import Recovery
from relay.node.registry import Registry
from relay.node.rounds import Rounds
from relay.node.stream import COMMAND, NodeStream
from relay.node.succession import Succession
from relay.node.switchboard import Switchboard
from relay.protocol.events import BotLost, Stop
from relay.protocol.status import Outcome
from relay.settings import Settings

CUT_OFF_S = 20.0
"""How much longer the bots of a node are waited for that gives no sign of life any more. Where it
is only cut off from the broker they stay connected to it, and are back as soon as it is."""


class Streams:
    """Puts together what a stream needs: an owner, readers, notes, and those who look after it."""

    def __init__(
        self,
        *,
        broker: Broker,
        settings: Settings,
        clock: Clock,
        call_later: CallLater,
        registry: Registry,
        switchboard: Switchboard,
        books: Books,
        background: Undertake,
    ) -> None:
        self._log = broker.log
        self._settings = settings
        self._now = clock.now
        self._registry = registry
        self._switchboard = switchboard
        self._books = books
        self._recovery = Recovery(
            log=broker.log,
            limits=limits_of(settings),
            now=clock.now,
            background=background,
            recovered=self._recovered,
            fenced=self._fenced,
            made_again=self._made_again,
        )
        self._lifecycle = Lifecycle(
            deadlines=partial(Deadlines, clock, call_later),
            log=broker.log,
            settings=settings,
            registry=registry,
            switchboard=switchboard,
            recovery=self._recovery,
            background=background,
        )
        self.succession = Succession(
            broker=broker,
            registry=registry,
            now=clock.now,
            adopt=self.adopt,
            readership=self._readership,
            moved=self._lifecycle.moved,
            released=switchboard.release,
            background=background,
        )
        self._rounds = Rounds(
            self.succession,
            unread_s=settings.retention_seconds,
            orphaned=self._orphaned,
            unasked=switchboard.ask_again,
            call_later=call_later,
            background=background,
        )

    def adopt(self, snapshot: LogSnapshot) -> NodeStream:
        """Own the stream whose log was granted to this node; its readers here read on."""
        owned = self._registry.get(snapshot.meta.stream_id)
        if owned is not None and owned.view.epoch == snapshot.epoch:
            # It was claimed here meanwhile, or waits for an owner with what its bot said.
            if owned.owner.fence < snapshot.fence:
                self._recovery.take_over(owned, snapshot)
            return owned
        kept = self._registry.kept(snapshot.meta.stream_id)
        if kept is not None and kept.readership.view.epoch == snapshot.epoch:
            readership = kept.readership
        else:
            readership = self._readership(snapshot.meta, snapshot.epoch)
        stream = NodeStream(
            readership=readership,
            record=StreamRecord.recall(snapshot.meta, snapshot.notes),
            now=self._now,
            own=partial(self._recovery.own, snapshot),
            moved=self._lifecycle.moved,
            settled=self._books.settled,
            command=snapshot.notes.get(COMMAND, ""),
        )
        self._registry.add(stream)
        self._lifecycle.moved(stream)
        return stream

    @property
    def timers(self) -> int:
        """How many moments are noted at which a stream will be looked at."""
        return self._lifecycle.timers

    def held_up(self, late_s: float) -> None:
        """See `Deadlines.held_up`."""
        self._lifecycle.held_up(late_s)

    async def end_all(self) -> None:
        """End what can run on nowhere else, and have all that has ended traced."""
        self._rounds.close()
        for stream in self._registry.streams():
            is_open = stream.finished_at is None and not stream.owner.dead
            if is_open and self.succession.alone:
                stop = Stop(Outcome.CANCELLED, "the relay is shutting down")
                pending = stream.receive(stop, self._now())
                if pending is not None:
                    await pending
            stream.consider_trace(abandoned=True)

    async def close(self) -> None:
        """Leave what still runs to other nodes, and do nothing more."""
        await self.succession.leave()
        self._lifecycle.close()

    def _readership(self, meta: StreamMeta, epoch: str) -> Readership:
        audience = Audience(
            opened_at=self._now(),
            resume_grace_s=self._settings.device_grace_seconds,
            hangup_grace_s=self._settings.hangup_grace_seconds,
        )
        view = StreamView(
            stream_id=meta.stream_id,
            epoch=epoch,
            conversation_id=meta.conversation_id,
            agent_id=meta.agent_id,
            lang=meta.lang,
            trace_id=meta.trace_id,
            bot_id=meta.bot_id,
        )
        return Readership(self._log, view, audience, self._now)

    def _fenced(self, stream: NodeStream) -> bool:
        return self.succession.fenced(stream)

    def _made_again(self, lost: NodeStream, snapshot: LogSnapshot) -> None:
        """Go on in a new log: the bot is told that nothing is stored, the devices to start over."""
        now, link, asked = self._now(), lost.link, lost.asked
        ends = lost.give_way()
        stream = self.adopt(snapshot)
        stream.asked = asked
        stream.note("reopened", now, reason="the broker had lost its log")
        stream.readership.withdrawn = lost.readership.withdrawn
        stream.audience.can_resume = lost.audience.can_resume
        if link is not None:
            self._switchboard.connect(stream, link)
            self._switchboard.restate(stream)
        for end in ends:
            stream.receive(end, now)

    def _orphaned(self, stream: NodeStream) -> None:
        """The node that owned it is gone, or cut off, and its bot's connection with it."""
        if not self._switchboard.resettle(stream):
            stream.receive(BotLost(CUT_OFF_S), self._now())

    def _recovered(self, stream: NodeStream) -> None:
        # What the bot sent in between was not acknowledged: it hears what is stored, and resends.
        if not stream.owner.dead:
            self._switchboard.restate(stream)
        self._lifecycle.moved(stream)
