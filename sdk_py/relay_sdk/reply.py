"""One answer, as the bot's author writes it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Literal, Self

from relay.protocol.events import Part
from relay.wire import parts
from relay_sdk.errors import ReplyClosed, UsageError
from relay_sdk.streams import ReplyOutcome, Stream, Streams

ToolCommand = Literal["take_photo", "take_navigation", "notify_agent_off", "control_calendar"]
"""What glasses can be asked to do."""

_ERROR_CHARS_MAX = 2_000


class Reply:
    """The answer to one command: `async with bot.reply(command) as reply`.

    Leaving the block ends the answer; leaving it by an exception tells the device that the
    answer failed. Delivery goes on behind it: what is not acknowledged is sent again, over
    as many connections as it takes. `closed()` waits for the outcome.
    """

    def __init__(self, stream: Stream, streams: Streams) -> None:
        self._stream = stream
        self._streams = streams
        self._opened = False
        self._cancelled = False

    @property
    def stream_id(self) -> str:
        """The stream's id, as the relay's traces name it."""
        return self._stream.id

    @property
    def opened(self) -> bool:
        """Whether anything was done with this reply."""
        return self._opened

    @property
    def outcome(self) -> ReplyOutcome | None:
        """The outcome if it is known already."""
        return self._stream.outcome

    async def write(self, text: str) -> None:
        """Send text. Waits while the relay cannot take more.

        Raises `ReplyClosed` where the relay has closed the answer, and `UsageError` after
        the answer's end and for what is no text.
        """
        checked = _checked(text)
        await self._ready()
        self._streams.write(self._stream, checked)

    async def tool_call(self, command: ToolCommand, **fields: str | bool) -> None:
        """Ask the glasses to do something; it takes its place between the texts.

        `command` and `fields` are those of docs/protocol.md, section 4, for example
        `tool_call("take_navigation", poi_name="the station", navi_type="1")`. After
        `take_photo` the photo comes as the next command of the same conversation. Raises
        `UsageError` where a field is not known or has a wrong value, else as `write` does.
        """
        try:
            part = parts.tool_call({"command": command, **fields})
        except parts.InvalidPart as error:
            raise UsageError(str(error)) from None
        await self._write_part(part)

    async def take_photo(self) -> None:
        """Ask for a photo; it comes as the next command of the same conversation."""
        await self.tool_call("take_photo")

    async def navigate(self, place: str, *, by: Literal["car", "foot", "bicycle"]) -> None:
        """Start the navigation to a place."""
        kind = ("car", "foot", "bicycle").index(by)
        await self.tool_call(
            "take_navigation", action="open", poi_name=place, navi_type=parts.NAVI_TYPES[kind]
        )

    async def create_event(self, title: str, *, start: str, end: str) -> None:
        """Put an event into the calendar; the times are `YYYY-MM-DD HH:MM:SS` where the user is."""
        await self.tool_call(
            "control_calendar", action="create", title=title, start_time=start, end_time=end
        )

    async def leave_agent(self) -> None:
        """Tell the glasses that the conversation with this agent is over."""
        await self.tool_call("notify_agent_off")

    async def follow_up(self, *suggestions: str) -> None:
        """Suggest one to three next questions, shown behind the answer; the last call counts.

        Raises `UsageError` for none, too many, blank or too long ones, else as `write` does.
        """
        try:
            part = parts.follow_up(list(suggestions))
        except parts.InvalidPart as error:
            raise UsageError(str(error)) from None
        await self._write_part(part)

    async def _write_part(self, part: Part) -> None:
        await self._ready()
        self._streams.write_part(self._stream, part)

    async def _ready(self) -> None:
        """Wait for room. Raises where nothing can be written any more."""
        self._opened = True
        await self._stream.room()
        if (outcome := self._stream.outcome) is not None:
            raise ReplyClosed(outcome.outcome)
        if self._stream.sender.ended:
            raise UsageError("this reply has ended; write before the end of its `async with` block")

    async def end(self) -> None:
        """End the answer. The end of the `async with` block does it, too."""
        self._opened = True
        self._streams.end(self._stream)

    async def fail(self, error: str, *, shown: str = "") -> None:
        """End the answer as failed.

        `error` is for the relay's trace. `shown` is for the person who asked, in their
        language; without it the relay shows a sentence of its own.
        """
        self._opened = True
        if not self._cancelled:
            self._streams.abort(self._stream, error[:_ERROR_CHARS_MAX], shown[:_ERROR_CHARS_MAX])

    def cancelled(self) -> None:
        """The relay has taken the question back and is about to close the stream itself."""
        self._cancelled = True

    async def closed(self) -> ReplyOutcome:
        """Wait until the relay has closed the stream, and return how it ended.

        Call it after the end of the answer; it needs no timeout, because an outcome that
        never comes is `lost`.
        """
        return await asyncio.shield(self._stream.settled)

    async def __aenter__(self) -> Self:
        self._opened = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.end()
        else:
            # The text of an exception may hold a key or an address; its name does not.
            await self.fail(kind.__name__)


def _checked(text: object) -> str:
    # The `None` of a model's last delta is the first mistake that a bot's author makes.
    if not isinstance(text, str):
        raise UsageError(f"write takes text, not {type(text).__name__}: leave out what is empty")
    return text
