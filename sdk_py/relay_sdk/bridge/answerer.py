"""The handler that asks a model: memory in, text and tool calls out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from relay.wire.jsontext import JsonValue
from relay_sdk.bridge.coalesce import coalesce
from relay_sdk.bridge.completions import Completion, CompletionsClient, Request
from relay_sdk.bridge.device_tools import UnusableCall, declare, read_call
from relay_sdk.bridge.failures import FailureKind, ModelFailure
from relay_sdk.bridge.memory import Memory, Message, Turn, as_messages, shows_picture
from relay_sdk.bridge.options import ModelOptions, Vision
from relay_sdk.bridge.status import StatusLine
from relay_sdk.command import Command
from relay_sdk.errors import ReplyClosed
from relay_sdk.reply import Reply

logger = logging.getLogger("relay_sdk")

RETRY_S = 0.25
"""Before the only second attempt, where the endpoint failed and nothing was said yet."""


@dataclass(slots=True)
class _Answer:
    """One answer while it is made."""

    command: Command
    reply: Reply
    turn: Turn
    started: float = field(default_factory=time.monotonic)
    first_at: float | None = None
    tokens: int = 0
    how: str = "failed"
    """How it ended, for the status line."""

    def describe(self) -> str:
        took_s = time.monotonic() - self.started
        first = "" if self.first_at is None else f", first after {self.first_at:.2f} s"
        return f"{self.how}, {self.tokens} tokens in {took_s:.1f} s{first}"


class Answerer:
    """Answers commands with a model. `reply_to` is `Bot.reply`."""

    def __init__(
        self,
        client: CompletionsClient,
        options: ModelOptions,
        reply_to: Callable[[Command], Reply],
        status: StatusLine,
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._client = client
        self._options = options
        self._reply_to = reply_to
        self._status = status
        self._retry_s = retry_s
        self._memory = Memory(options.memory)
        self._tools = declare(options.tools)

    async def __call__(self, command: Command) -> None:
        """Answer one command. A failure of the model is shown, logged and no exception."""
        turn = Turn(command.text, command.images)
        answer = _Answer(command, self._reply_to(command), turn)
        self._status.began()
        try:
            await self._answer(answer)
            answer.how = (await answer.reply.closed()).outcome
        except asyncio.CancelledError:
            answer.how = "cancelled"
            raise
        except ReplyClosed as error:
            answer.how = error.outcome
            raise
        finally:
            self._status.ended(answer.describe())
            logger.info("answer %s: %s", command.stream_id, answer.describe())

    async def _answer(self, answer: _Answer) -> None:
        async with answer.reply as reply:
            try:
                completion = await self._complete(answer)
                await self._call_device(answer, completion)
            except ModelFailure as failure:
                logger.error("answer %s: %s", answer.command.stream_id, failure)  # noqa: TRY400 - the line says it all
                await reply.fail(failure.kind, shown=failure.shown(answer.command.device.lang))
            finally:
                # Also where the answer broke off or was cancelled: the user has seen this much.
                if answer.turn.answer or answer.turn.calls:
                    self._memory.remember(_conversation(answer.command), answer.turn)

    async def _complete(self, answer: _Answer) -> Completion:
        """Ask, where it helps a second time, and write the text. Raises `ModelFailure`."""
        sees = self._options.vision is not Vision.OFF
        retried = False
        while True:
            messages = self._messages(answer, sees=sees)
            completion = Completion(
                self._client, self._options.endpoint, self._request(answer.command, messages)
            )
            try:
                await self._write(answer, completion)
            except ModelFailure as failure:
                auto = self._options.vision is Vision.AUTO
                if failure.is_passing and not retried:
                    retried = True
                    await asyncio.sleep(self._retry_s)
                elif auto and failure.may_be_blindness and shows_picture(messages):
                    logger.warning("asking again without the picture: %s", failure)
                    sees = False
                    answer.turn = replace(answer.turn, blind=True)
                else:
                    raise
            else:
                return completion

    async def _write(self, answer: _Answer, completion: Completion) -> None:
        # Closed at once where the command is cancelled, or the model would write on unheard.
        async with aclosing(coalesce(completion.texts())) as texts:
            async for text in texts:
                if answer.first_at is None:
                    answer.first_at = time.monotonic() - answer.started
                await answer.reply.write(text)
                answer.turn = replace(answer.turn, answer=answer.turn.answer + text)
                self._status.wrote(completion.tokens - answer.tokens)
                answer.tokens = completion.tokens
        answer.tokens = completion.tokens

    async def _call_device(self, answer: _Answer, completion: Completion) -> None:
        """Send the model's calls to the glasses. Raises `ModelFailure` where none can be."""
        unusable: list[str] = []
        for call in completion.calls:
            try:
                command, fields = read_call(call, self._options.tools)
            except UnusableCall as error:
                unusable.append(str(error))
                continue
            await answer.reply.tool_call(command, **fields)
            answer.turn = replace(answer.turn, calls=(*answer.turn.calls, call))
        if not unusable:
            return
        reason = f"the model {self._options.endpoint.model!r} called for what cannot be done: "
        reason += "; ".join(unusable)
        if not answer.turn.answer and not answer.turn.calls:
            raise ModelFailure(FailureKind.TOOL, reason)
        logger.warning("answer %s: %s", answer.command.stream_id, reason)

    # --- the request --------------------------------------------------------------------

    def _messages(self, answer: _Answer, *, sees: bool) -> list[Message]:
        turns = self._memory.recall(_conversation(answer.command))
        prompt = self._options.system_prompt
        system: list[Message] = [{"role": "system", "content": prompt}] if prompt else []
        return system + as_messages(turns, answer.turn, sees=sees)

    def _request(self, command: Command, messages: list[Message]) -> Request:
        user = _session(command) if self._options.keeps_sessions else ""
        return Request(messages, self._tools, user)


def _conversation(command: Command) -> tuple[str, str]:
    return (command.user_id, command.conversation_id)


def _session(command: Command) -> str:
    """Return the endpoint's session: the one that the device chose, else the bot's.

    The relay says either as `openclaw_session_id`.
    """
    session: JsonValue = (command.metadata or {}).get("openclaw_session_id")
    return session if isinstance(session, str) and session else "relay-bot"
