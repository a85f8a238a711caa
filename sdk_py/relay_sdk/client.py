"""A bot: commands in, replies out."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from relay.protocol.events import Abort, Chunk, End, Nack, Refuse
from relay.protocol.sending import Closed, SenderLimits, Stored
from relay.protocol.status import Outcome
from relay.wire import bot_messages as wire
from relay.wire.bot_client import encode_resume, encode_stream_message
from relay_sdk.command import Command, read_command
from relay_sdk.errors import RelaySdkError, ReplyClosed, UsageError
from relay_sdk.handlers import AnyHandler, Handler, run_handler
from relay_sdk.reply import Reply
from relay_sdk.streams import Streams

if TYPE_CHECKING:
    from relay_sdk.connection import ConnectionTimes

logger = logging.getLogger("relay_sdk")

_SDK_CHARS_MAX = 64
_FLUSH_S = 1.0


class Bot:
    """Answers the commands of one bot.

        bot = Bot("http://127.0.0.1:8080", token)

        @bot.on_command
        async def answer(command):
            async with bot.reply(command) as reply:
                await reply.write("Hello")

        bot.run()

    `bot_id` is needed only where the relay asks for it; `name` and `version` are what the
    relay's traces call this program. Programs that do more than answering use `async with bot`.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        bot_id: str = "",
        name: str = "relay-sdk-python",
        version: str = "0.1.0",
        limits: SenderLimits | None = None,
        times: ConnectionTimes | None = None,
    ) -> None:
        # The WebSocket library takes as long to import as all the rest of the SDK. A program that
        # imports a bot and runs none, as a test or `--help` does, does not wait for it.
        from relay_sdk.connection import Connection  # noqa: PLC0415

        identifier: dict[str, str | int] = {"channel": "BotChannel"}
        if bot_id:
            identifier["bot_id"] = bot_id
        identifier["protocol"] = wire.RELIABLE
        identifier["sdk"] = f"{name}/{version}"[:_SDK_CHARS_MAX]
        self._handler: Handler | None = None
        self._streams = Streams(self._transmit, limits or SenderLimits(), self._resume)
        self._connection = Connection(
            url,
            token,
            json.dumps(identifier, separators=(",", ":")),
            self,
            times=times,
            is_busy=lambda: len(self._streams) > 0,
        )
        self._replies: dict[str, Reply] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._subscribed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._stopping = False

    # --- what the author uses -----------------------------------------------------------

    def on_command(self, handler: AnyHandler) -> AnyHandler:
        """Decorate the function that answers commands. Each command runs as its own task.

        The relay cancels a command whose device has gone: the handler then sees
        `asyncio.CancelledError` at its next `await`.
        """
        self._handler = handler
        return handler

    def reply(self, command: Command) -> Reply:
        """Return the reply to a command; use it as `async with bot.reply(command) as reply`."""
        if (reply := self._replies.get(command.stream_id)) is None:
            raise UsageError(
                "a reply belongs to a running command: take it before the handler ends"
            )
        return reply

    def run(self) -> None:
        """Answer commands until Ctrl-C or SIGTERM, then let running answers finish.

        For scripts. Raises `Unauthorized`, `Fenced` or `Rejected` where the relay refuses.
        """
        with suppress(KeyboardInterrupt):
            asyncio.run(self.run_until_signal())

    async def run_until_signal(self) -> None:
        """Do what `run` does within a loop that runs already.

        Signals are handled in the main thread only; elsewhere cancel it, or `stop` the bot.
        """
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        signals = (signal.SIGINT, signal.SIGTERM)

        def on_signal() -> None:
            stop.set()
            for one in signals:  # a second signal does not wait for anybody
                loop.remove_signal_handler(one)

        for one in signals:
            with suppress(NotImplementedError, RuntimeError):  # Windows; not the main thread
                loop.add_signal_handler(one, on_signal)
        async with self:
            waiting = asyncio.ensure_future(stop.wait())
            try:
                await asyncio.wait({waiting, self._started()}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()

    @property
    def is_connected(self) -> bool:
        """Whether the relay has confirmed this bot and the connection stands."""
        return self._subscribed.is_set()

    async def connected(self) -> None:
        """Wait until the relay has confirmed this bot. Raises what `run` raises."""
        running = self._started()
        ready = asyncio.ensure_future(self._subscribed.wait())
        try:
            await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if running.done():
            await running

    async def serve(self) -> None:
        """Answer commands until the relay refuses (raised) or this task is cancelled."""
        await asyncio.shield(self._started())

    async def stop(self, grace_s: float = 10.0) -> None:
        """Take no new command, let running answers finish for `grace_s`, then disconnect.

        A handler may call it, too; its own answer should have ended before.
        """
        self._stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._finished()
        tasks = self._others()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self._connection.flushed()
        self._streams.close()
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError, RelaySdkError):
                await self._running

    async def __aenter__(self) -> Self:
        if self._running is not None:
            raise UsageError("this bot is running or has run already: make a new one")
        self._running = asyncio.create_task(self._connection.run(), name="relay-bot")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        refused = self._started()
        if kind is None and not refused.done():
            await self.stop()
        else:
            await self.stop(grace_s=0.0)
        if kind is None and refused.done() and not refused.cancelled():
            await refused

    # --- what the connection says -------------------------------------------------------

    def on_message(self, message: wire.Outbound) -> None:
        """Take one message of the relay."""
        streams = self._streams
        match message:
            case wire.Connected():
                self._take_up(message)
            case wire.Command():
                self._start(message)
            case wire.Acked(stream_id, _, next_sequence, received, credit):
                streams.receive(stream_id, Stored(next_sequence, received, credit))
            case wire.Missing(stream_id, ranges):
                streams.receive(stream_id, Nack(ranges))
            case wire.Refused(stream_id, sequence, code, text):
                logger.warning("the relay refused %s: %s (%s)", sequence, code, text)
                if stream_id is not None:
                    streams.receive(stream_id, Refuse(code, sequence, text))
            case wire.Closed(stream_id, outcome, total_chunks, missing):
                if outcome == Outcome.CANCELLED:
                    self._cancel(stream_id)
                streams.receive(stream_id, Closed(outcome, total_chunks, missing))
            case wire.Cancel(stream_id):
                self._cancel(stream_id)
            case _:
                pass

    def on_lost(self) -> None:
        """The connection broke; it will be made again."""
        self._subscribed.clear()
        self._streams.connection_lost()

    # --- inside -------------------------------------------------------------------------

    def _transmit(self, stream_id: str, message: Chunk | End | Abort) -> None:
        self._connection.send(encode_stream_message(stream_id, message))

    def _resume(self, stream_id: str, voucher: str) -> None:
        self._connection.send(encode_resume(stream_id, voucher))

    def _take_up(self, connected: wire.Connected) -> None:
        for state in connected.streams:
            if isinstance(state, wire.Closed):
                if state.outcome == Outcome.CANCELLED:
                    self._cancel(state.stream_id)
            elif self._streams.get(state.stream_id) is None:
                # The question of a process that is gone. Without this its device would wait for
                # the relay's idle limit.
                self._transmit(state.stream_id, Abort("the bot was restarted"))
        self._streams.connection_restored(connected.streams)
        self._subscribed.set()
        logger.info("connected as bot %s (durability %s)", connected.bot_id, connected.durability)

    def _start(self, message: wire.Command) -> None:
        if self._streams.get(message.stream_id) is not None:
            return  # said again; it is being answered
        stream = self._streams.open(message.stream_id, message.credit, message.resume)
        if self._stopping or self._handler is None:
            reason = "the bot is stopping" if self._stopping else "the bot has no handler"
            self._streams.abort(stream, reason)
            return
        reply = Reply(stream, self._streams)
        self._replies[stream.id] = reply
        task = asyncio.create_task(self._answer(self._handler, read_command(message), reply))
        self._tasks[stream.id] = task
        task.add_done_callback(lambda _: self._forget(stream.id))

    async def _answer(self, handler: Handler, command: Command, reply: Reply) -> None:
        try:
            await run_handler(handler, command, reply)
            if not reply.opened:
                logger.error("a handler must reply, or return text: %s got no answer", command)
                await reply.fail("the handler gave no answer")
        except asyncio.CancelledError:
            if not reply.opened:
                await reply.fail("the bot was stopped")
            raise
        except ReplyClosed as error:
            logger.info("answer %s: %s", reply.stream_id, error)
        except Exception as error:
            logger.exception("the handler failed on %s", reply.stream_id)
            await reply.fail(type(error).__name__)

    def _cancel(self, stream_id: str) -> None:
        if (task := self._tasks.get(stream_id)) is not None:
            self._replies[stream_id].cancelled()
            task.cancel()

    def _forget(self, stream_id: str) -> None:
        del self._tasks[stream_id]
        del self._replies[stream_id]

    async def _finished(self) -> None:
        while tasks := self._others():
            await asyncio.wait(tasks)
        await self._streams.settled()

    def _others(self) -> list[asyncio.Task[None]]:
        """Return the running handlers but the one that is asking: it cannot wait for itself."""
        asking = asyncio.current_task()
        return [task for task in self._tasks.values() if task is not asking]

    def _started(self) -> asyncio.Task[None]:
        if self._running is None:
            raise UsageError("the bot is not running: use `async with bot` or `bot.run()`")
        return self._running
