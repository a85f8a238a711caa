"""The SDK for programs that are not async: the same classes, without `await`.

    from relay_sdk.sync import Bot

    bot = Bot("http://127.0.0.1:8080", token)

    @bot.on_command
    def answer(command):
        with bot.reply(command) as reply:
            reply.write("Hello")

    bot.run()

Each object runs the async one on an event loop in a thread of its own and waits for it; nothing is
done twice. Errors are raised where the program waits.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Literal, Self, TypeVar

from relay.protocol.sending import SenderLimits
from relay.wire.jsontext import JsonValue
from relay_sdk import answer as async_answer
from relay_sdk import client as async_client
from relay_sdk import device as async_device
from relay_sdk import reply as async_reply
from relay_sdk.answer import DeviceTimes
from relay_sdk.command import Command
from relay_sdk.connection import ConnectionTimes
from relay_sdk.device_events import DeviceEvent, Ended
from relay_sdk.errors import UsageError
from relay_sdk.handlers import AnyHandler
from relay_sdk.portal import Portal
from relay_sdk.reply import ToolCommand
from relay_sdk.streams import ReplyOutcome

__all__ = ["Answer", "Bot", "Device", "Reply"]

_T = TypeVar("_T")


class Reply:
    """The answer to one command, see `relay_sdk.Reply`: `with bot.reply(command) as reply`."""

    def __init__(self, reply: async_reply.Reply, portal: Portal) -> None:
        self._reply = reply
        self._portal = portal

    @property
    def stream_id(self) -> str:
        """The stream's id, as the relay's traces name it."""
        return self._reply.stream_id

    @property
    def outcome(self) -> ReplyOutcome | None:
        """The outcome if it is known already."""
        return self._reply.outcome

    def write(self, text: str) -> None:
        """Send text. Waits while the relay cannot take more.

        A thread cannot be cancelled: where the device has hung up, this raises `ReplyClosed`.
        """
        self._portal.call(lambda: self._reply.write(text))

    def end(self) -> None:
        """End the answer. The end of the `with` block does it, too."""
        self._portal.call(self._reply.end)

    def tool_call(self, command: ToolCommand, **fields: str | bool) -> None:
        """Ask the glasses to do something, see `relay_sdk.Reply.tool_call`."""
        self._portal.call(lambda: self._reply.tool_call(command, **fields))

    def take_photo(self) -> None:
        """Ask for a photo; it comes as the next command of the same conversation."""
        self._portal.call(self._reply.take_photo)

    def navigate(self, place: str, *, by: Literal["car", "foot", "bicycle"]) -> None:
        """Start the navigation to a place."""
        self._portal.call(lambda: self._reply.navigate(place, by=by))

    def create_event(self, title: str, *, start: str, end: str) -> None:
        """Put an event into the calendar, see `relay_sdk.Reply.create_event`."""
        self._portal.call(lambda: self._reply.create_event(title, start=start, end=end))

    def leave_agent(self) -> None:
        """Tell the glasses that the conversation with this agent is over."""
        self._portal.call(self._reply.leave_agent)

    def follow_up(self, *suggestions: str) -> None:
        """Suggest one to three next questions, shown behind the answer; the last call counts."""
        self._portal.call(lambda: self._reply.follow_up(*suggestions))

    def fail(self, error: str, *, shown: str = "") -> None:
        """End the answer as failed: `error` for the trace, `shown` for the person who asked."""
        self._portal.call(lambda: self._reply.fail(error, shown=shown))

    def closed(self) -> ReplyOutcome:
        """Wait until the relay has closed the stream, and return how it ended."""
        return self._portal.call(self._reply.closed)

    def __enter__(self) -> Self:
        self._portal.call(self._reply.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._portal.call(lambda: self._reply.__aexit__(kind, error, traceback))


class Bot:
    """Answers the commands of one bot, see `relay_sdk.Bot`.

    Handlers that are not async run in threads, several at once. `bot.run()` is for scripts;
    `with bot:` answers in the background.
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
        self._bot = async_client.Bot(
            url, token, bot_id=bot_id, name=name, version=version, limits=limits, times=times
        )
        self._portal: Portal | None = None

    def on_command(self, handler: AnyHandler) -> AnyHandler:
        """Decorate the function that answers commands."""
        return self._bot.on_command(handler)

    def reply(self, command: Command) -> Reply:
        """Return the reply to a command; use it as `with bot.reply(command) as reply`."""
        return Reply(self._bot.reply(command), self._running())

    @property
    def is_connected(self) -> bool:
        """Whether the relay has confirmed this bot and the connection stands."""
        return self._bot.is_connected

    def connected(self) -> None:
        """Wait until the relay has confirmed this bot. Raises what `run` raises."""
        self._running().call(self._bot.connected)

    def run(self) -> None:
        """Answer commands until Ctrl-C or SIGTERM, then let running answers finish.

        Raises `Unauthorized`, `Fenced` or `Rejected` where the relay refuses.
        """
        with suppress(KeyboardInterrupt), _sigterm_like_sigint(), self:
            self._running().call(self._serve)

    async def _serve(self) -> None:
        with suppress(asyncio.CancelledError):  # another thread has called `stop`
            await self._bot.serve()

    def stop(self, grace_s: float = 10.0) -> None:
        """Take no new command, let running answers finish for `grace_s`, then disconnect."""
        self._running().call(lambda: self._bot.stop(grace_s))

    def __enter__(self) -> Self:
        if self._portal is not None:
            raise UsageError("this bot is running or has run already: make a new one")
        self._portal = Portal("relay-bot")
        self._portal.call(self._bot.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        portal = self._running()
        # Ctrl-C is how a script is stopped: its answers may finish.
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            kind = error = traceback = None
        try:
            portal.call(lambda: self._bot.__aexit__(kind, error, traceback))
        finally:
            portal.close()

    def _running(self) -> Portal:
        if self._portal is None:
            raise UsageError("the bot is not running: use `with bot` or `bot.run()`")
        return self._portal


class Answer:
    """An answer to be read, see `relay_sdk.Answer`: `for event in answer`, or `answer.read()`."""

    def __init__(self, answer: async_answer.Answer, portal: Portal) -> None:
        self._answer = answer
        self._portal = portal

    @property
    def stream_id(self) -> str:
        """The stream's id, as the relay's traces name it; empty where there is none (yet)."""
        return self._answer.stream_id

    @property
    def text(self) -> str:
        """What a device shows so far."""
        return self._answer.text

    @property
    def outcome(self) -> Ended | None:
        """How the answer ended, once it was read."""
        return self._answer.outcome

    def read(self) -> Self:
        """Read to the end."""
        self._portal.call(self._answer.read)
        return self

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._portal.call(lambda: _async(self._answer.close))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> DeviceEvent:
        if (event := self._portal.call(self._next)) is None:
            raise StopIteration
        return event

    async def _next(self) -> DeviceEvent | None:
        return await anext(self._answer, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Device:
    """Asks as one device of one user, see `relay_sdk.Device`. Use it as `with Device(...)`."""

    def __init__(
        self,
        url: str,
        access_key: str,
        *,
        user_id: str = "",
        agent_id: str = "relay-sdk-device",
        lang: str = "zh-CN",
        times: DeviceTimes | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._device = async_device.Device(
            url, access_key, user_id=user_id, agent_id=agent_id, lang=lang, times=times, tls=tls
        )
        self._portal: Portal | None = None
        self._closed = False

    @property
    def conversation_id(self) -> str:
        """The conversation that the questions belong to."""
        return self._device.conversation_id

    def new_conversation(self) -> None:
        """Begin another conversation: the bot does not connect it with what was said before."""
        self._device.new_conversation()

    def ask(
        self,
        text: str,
        *,
        images: Sequence[str] = (),
        metadata: dict[str, JsonValue] | None = None,
        lingzhu: bool = False,
        repeats: bool = False,
    ) -> Answer:
        """Return the answer to a question; it is asked when reading begins."""
        if self._portal is None:
            raise UsageError("ask within the device's block: `with Device(...) as device`")
        answer = self._device.ask(
            text, images=images, metadata=metadata, lingzhu=lingzhu, repeats=repeats
        )
        return Answer(answer, self._portal)

    def close(self) -> None:
        """Hang up on every answer that is not over. The end of the `with` block does it, too."""
        if self._portal is not None and not self._closed:
            self._closed = True
            self._portal.call(lambda: _async(self._device.close))
            self._portal.close()

    def __enter__(self) -> Self:
        if self._portal is not None:
            raise UsageError("this device was used already: make a new one")
        self._portal = Portal("relay-device")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def _sigterm_like_sigint() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


async def _async(function: Callable[[], _T]) -> _T:
    """Call a function on the loop, which is the only place where its objects may be touched."""
    return function()
