"""`relay-bot` as a process, between a real relay with glasses and an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.glasses import Answer, Glasses, Object, assert_finished, question
from tests.support.openai_server import (
    CUT,
    DONE,
    OpenAIServer,
    burst,
    call,
    finish,
    text,
    usage,
)
from tests.support.server import RelayServer, environment

RELAY_BOT = Path(sys.executable).parent / "relay-bot"
KEY = "sk-a-key-that-is-in-no-log"
LIMIT_S = 20.0


class RelayBot:
    """The process, and what it has written to stderr."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said = ""
        self._reading = asyncio.create_task(self._read())
        self._more = asyncio.Event()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.said += line.decode()
            self._more.set()

    async def says(self, told: str) -> None:
        """Wait until it has said this."""
        async with asyncio.timeout(LIMIT_S):
            while told not in self.said:
                assert self.process.returncode is None, self.said
                self._more.clear()
                await self._more.wait()

    async def stop(self) -> int:
        """Send SIGTERM; returns the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            await self._reading
            return await self.process.wait()


@asynccontextmanager
async def relay_bot(relay: RelayServer, number: int, *arguments: str) -> AsyncIterator[RelayBot]:
    """Run `relay-bot` as a user does: secrets in the environment, the rest typed."""
    secrets = {"RELAY_TOKEN": relay.bot(number).token, "RELAY_URL": relay.url}
    given = environment({**secrets, "OPENAI_API_KEY": KEY})
    for name in ("OPENAI_BASE_URL", "OPENAI_MODEL", "OPENAI_LOG"):
        given.pop(name, None)
    bot = RelayBot(
        await asyncio.create_subprocess_exec(RELAY_BOT, *arguments, env=given, stderr=PIPE)
    )
    try:
        await bot.says("connected as bot")
        yield bot
        assert await bot.stop() == 0
    finally:
        if bot.process.returncode is None:
            bot.process.kill()
            await bot.stop()
        print(bot.said)  # noqa: T201 - pytest keeps it for failures
    assert KEY not in bot.said
    assert relay.bot(number).token not in bot.said
    assert "Traceback" not in bot.said


def model(server: OpenAIServer, *more: str) -> tuple[str, ...]:
    """Return the arguments that name the endpoint, and more."""
    return ("--llm-base-url", server.url, "--model", "lobster", *more)


def asking(user_id: str, words: str, conversation: str, **changes: object) -> Object:
    """Return a question in English, in a conversation."""
    item = {"role": "user", "type": "text", "text": words, "image_url": None}
    english = {"lang": "en-US"}
    return question(
        user_id, **{"message_id": conversation, "message": [item], "metadata": english, **changes}
    )


def calls(answer: Answer) -> list[Any]:
    """Return the tool calls that the glasses were given."""
    return [e.data["tool_call"] for e in answer.events if e.data["type"] == "tool_call"]


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    """An endpoint."""
    async with OpenAIServer() as server:
        yield server


async def test_a_model_speaks_on_the_glasses(
    relay: RelayServer, glasses: Glasses, server: OpenAIServer
) -> None:
    """Text, a burst, whitespace and the usage: every character once; then it is remembered."""
    words = [f" word{number}" for number in range(200)]
    server.script(text("你好"), text("\n\n"), burst(*words), finish(), usage(207), DONE)
    server.say("Yes.")
    user = relay.bot().user_id
    # The detailed log, too, holds neither a secret nor what was said.
    more = ("--system-prompt", "Be brief.", "--verbose")
    async with relay_bot(relay, 0, *model(server, *more)) as bot:
        answer = await glasses.ask_and_read(asking(user, "hi", "conversation 1"))
        assert_finished(answer)
        assert answer.text == "你好\n\n" + "".join(words)
        assert len(answer.pieces) < 50
        await bot.says("completed, 207 tokens in ")
        assert (await glasses.ask_and_read(asking(user, "and?", "conversation 1"))).text == "Yes."
    assert [message["role"] for message in server.last["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]
    assert "Be brief." not in bot.said
    assert "word7" not in bot.said
    assert "HTTP Request" not in bot.said
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["sse_content"]) == ("completed", answer.text)


async def test_the_first_token_is_shown_at_once(
    relay: RelayServer, glasses: Glasses, server: OpenAIServer
) -> None:
    """While the model has not yet said the second one."""
    more = asyncio.Event()
    server.script(text("Hel"), more, text("lo"), finish(), DONE)
    async with relay_bot(relay, 0, *model(server)):
        async with glasses.ask(asking(relay.bot().user_id, "hi", "conversation 2")) as answer:
            await answer.until(lambda got: got.text == "Hel")
            more.set()
            await answer.read()
        assert_finished(answer)
        assert answer.text == "Hello"


async def test_a_photo_that_the_model_asks_for_continues_the_conversation(
    relay: RelayServer, glasses: Glasses, server: OpenAIServer
) -> None:
    """Question, tool call on the glasses, the photo's own request, the model's answer to it."""
    server.script(
        call(0, id="call_a", name="take_photo", arguments=""),
        call(0, arguments="{}"),
        finish("tool_calls"),
        DONE,
    )
    server.say("A lobster.")
    user = relay.bot(1).user_id
    picture = {"role": "user", "type": "image", "text": None, "image_url": "https://cdn.example/1"}
    async with relay_bot(relay, 1, *model(server, "--device-tools", "take_photo")):
        asked = await glasses.ask_and_read(asking(user, "what is this?", "conversation 3"))
        assert calls(asked) == [{"command": "take_photo"}]
        assert asked.text == ""
        answer = await glasses.ask_and_read(asking(user, "", "conversation 3", message=[picture]))
    assert answer.text == "A lobster."
    messages = server.last["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user"]
    assert messages[3]["content"][-1]["image_url"]["url"] == "https://cdn.example/1"


@pytest.mark.parametrize(
    ("status", "shown", "told"),
    [
        (401, "is not set up correctly", "refuses the key (401): check OPENAI_API_KEY"),
        (404, "is not set up correctly", "does not know the model 'lobster'"),
        (429, "is too busy right now", "limits the rate"),
        (500, "cannot be reached right now", "fails (500)"),
    ],
)
async def test_a_refusal_of_the_model_is_an_answer_and_a_line(
    relay: RelayServer, glasses: Glasses, server: OpenAIServer, status: int, shown: str, told: str
) -> None:
    """The wearer reads what helps, the owner whose fault it is; the trace says that it failed."""
    server.refuse(status, f"no, not with {KEY}")
    async with relay_bot(relay, 2, *model(server)) as bot:
        answer = await glasses.ask_and_read(asking(relay.bot(2).user_id, "hi", f"refused {status}"))
        await bot.says(told)
    assert_finished(answer)
    assert shown in answer.text
    assert relay.trace(answer.stream_id)["status"] == "anomaly"


async def test_an_endpoint_that_is_not_running_is_named(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The owner is asked the question that helps."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        arguments = ("--preset", "ollama", "--llm-base-url", url, "--model", "m")
        async with relay_bot(relay, 2, *arguments) as bot:
            answer = await glasses.ask_and_read(asking(relay.bot(2).user_id, "hi", "refused"))
            await bot.says("is Ollama running?")
    assert answer.text == (
        "Your assistant's model cannot be reached right now. Please try again later."
    )


async def test_a_model_that_breaks_off_leaves_what_it_said(
    relay: RelayServer, glasses: Glasses, server: OpenAIServer
) -> None:
    """The text stays, and the glasses say that it was interrupted."""
    server.script(text("Once upon "), text("a time"), CUT)
    async with relay_bot(relay, 2, *model(server)) as bot:
        answer = await glasses.ask_and_read(asking(relay.bot(2).user_id, "hi", "cut"))
        await bot.says("broke off in the middle of the answer")
    assert_finished(answer)
    assert answer.text == "Once upon a time\nThe answer was interrupted. Please ask again."


async def test_glasses_that_hang_up_stop_the_model(
    relay: RelayServer, glasses: Glasses, server: OpenAIServer
) -> None:
    """The endpoint sees its client go."""
    server.script(text("Hel"), asyncio.Event())
    async with relay_bot(relay, 3, *model(server)) as bot:
        async with glasses.ask(asking(relay.bot(3).user_id, "hi", "hung up")) as answer:
            await answer.until(lambda got: got.text == "Hel")
            assert not server.hung_up.is_set()
        async with asyncio.timeout(LIMIT_S):
            await server.hung_up.wait()
        await bot.says("cancelled, 1 tokens")


async def test_openclaw_is_asked_by_session(
    relay: RelayServer, glasses: Glasses, server: OpenAIServer
) -> None:
    """The question alone, with `user` as the relay names the session."""
    server.say("Hello")
    user = relay.bot(3).user_id
    arguments = ("--preset", "openclaw", "--llm-base-url", server.url)
    async with relay_bot(relay, 3, *arguments):
        await glasses.ask_and_read(asking(user, "hi", "openclaw"))
        await glasses.ask_and_read(asking(user, "and?", "openclaw"))
        assert server.last["user"] == f"bot_{relay.bot(3).bot_id}"
        chosen = {"openclaw_session_id": "kitchen"}
        await glasses.ask_and_read(asking(user, "hm?", "openclaw", metadata=chosen))
    assert server.last == {
        "model": "openclaw:main",
        "messages": [{"role": "user", "content": "hm?"}],
        "stream": True,
        "user": "kitchen",
    }
    # The variable of another service.
    assert KEY not in json.dumps([asked.headers for asked in server.asked])


async def test_a_terminal_shows_a_status_line(
    relay: RelayServer, glasses: Glasses, server: OpenAIServer
) -> None:
    """Connected, answering, tokens per second, and how the last answer ended."""
    server.say("Hel", "lo")
    ours, theirs = os.openpty()
    secrets = {"RELAY_TOKEN": relay.bot().token, "RELAY_URL": relay.url, "COLUMNS": "160"}
    process = await asyncio.create_subprocess_exec(
        RELAY_BOT, *model(server), env=environment(secrets), stdin=theirs, stderr=theirs
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()
    screen = ""

    async def shows(told: str) -> None:
        nonlocal screen
        async with asyncio.timeout(LIMIT_S):
            while told not in screen:
                screen += (await loop.run_in_executor(None, os.read, ours, 4096)).decode()

    try:
        await shows("\r\x1b[Kconnected | 0 answering | 0 tokens/s")
        await glasses.ask_and_read(asking(relay.bot().user_id, "hi", "terminal"))
        await shows("connected | 1 answering")
        await shows("connected | 0 answering | 2 tokens/s | last: completed, 2 tokens in ")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        os.close(ours)
