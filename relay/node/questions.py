"""A device's question: a stream is opened for it, and its bot is asked."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from relay.broker.base import Broker, Letter, LogSnapshot, StreamMeta, settle
from relay.devices.base import Ask, StreamView
from relay.errors import BrokerError
from relay.node.background import Undertake
from relay.node.commands import execute_command
from relay.node.record import EVENTS, StreamRecord
from relay.node.resumption import Resumption
from relay.node.stream import COMMAND, NodeStream
from relay.node.switchboard import Switchboard
from relay.protocol.events import Stop
from relay.protocol.status import Outcome
from relay.wire.jsontext import JsonValue, dumps

Reply = Callable[[StreamView], Awaitable[Stop]]
"""What the relay itself says to a user who has no bot, and in whose stream."""


class Questions:
    """Makes the log first and asks then, so that no chunk can come before its reader.

    `adopt(snapshot)` makes the node's stream of a log.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        resumption: Resumption,
        adopt: Callable[[LogSnapshot], NodeStream],
        now: Callable[[], float],
        new_id: Callable[[], str],
        switchboard: Switchboard,
        background: Undertake,
    ) -> None:
        self._log = broker.log
        self._mailbox = broker.mailbox
        self._resumption = resumption
        self._adopt = adopt
        self._now = now
        self._new_id = new_id
        self._switchboard = switchboard
        self._background = background

    async def open(
        self, ask: Ask, *, bot_id: int | None, access_key_id: int, reply: Reply | None
    ) -> NodeStream:
        """Open a stream and ask. Nobody to ask is an answer too. Raises `BrokerError`."""
        now = self._now()
        meta = StreamMeta(
            stream_id=self._new_id(),
            bot_id=bot_id,
            access_key_id=access_key_id,
            conversation_id=ask.conversation_id,
            agent_id=ask.agent_id,
            user_id=ask.user_id,
            lang=ask.lang,
            trace_id=f"trace_{secrets.token_hex(8)}",
            opened_at=now,
        )
        record = StreamRecord(meta)
        record.note("request_received", now, message_id=ask.conversation_id)
        notes = {EVENTS: record.events_note()}
        if bot_id is not None:
            notes[COMMAND] = self._command(ask, meta)
        stream = self._adopt(await settle(self._log.create(meta, notes)))
        if bot_id is not None:
            await self._ask(stream, bot_id)
        elif reply is not None:
            self._background(self._reply(stream, reply), **stream.view.names)
        else:
            await self._stop(stream, Stop(Outcome.UNBOUND, "no bot is bound to this user"))
        return stream

    async def _reply(self, stream: NodeStream, reply: Reply) -> None:
        stop = Stop(Outcome.FAILED, "the relay could not answer")
        try:
            stop = await reply(stream.view)
        finally:
            await self._stop(stream, stop)

    def _command(self, ask: Ask, meta: StreamMeta) -> str:
        command: dict[str, JsonValue] = execute_command(ask, meta)
        return dumps({**command, "resume": self._resumption.voucher(meta)}).decode()

    async def _ask(self, stream: NodeStream, bot_id: int) -> None:
        letter = Letter(bot_id, stream.stream_id, stream.command.encode())
        # Before the letter is on its way: a bot that comes here now is asked without it.
        self._switchboard.expect(stream)
        try:
            is_online = await settle(self._mailbox.post(letter))
        except BrokerError as error:
            self._switchboard.release(stream)
            await self._stop(stream, Stop(Outcome.LOST, f"not asked: {type(error).__name__}"))
            return
        if not is_online:
            self._switchboard.release(stream)
            await self._stop(stream, Stop(Outcome.BOT_OFFLINE, "the bot was not connected"))

    async def _stop(self, stream: NodeStream, stop: Stop) -> None:
        pending = stream.receive(stop, self._now())
        if pending is not None:
            await pending
