from __future__ import annotations

import asyncio
import sys

import pytest

from relay_sdk.bridge import main
from tests.support.fake_cable import FakeRelay
from tests.support.openai_server import OpenAIServer


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without the variables of `relay-bot`."""
    for name in ("RELAY_URL", "RELAY_TOKEN", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


def test_a_wrong_url_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 and no traceback."""
    assert main(["--echo", "--token", "t", "--relay", "relay.example"]) == 1
    assert capsys.readouterr().err.startswith("relay-bot: the relay's URL must look like")


def test_a_missing_library_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "openai", None)
    assert main(["--token", "t", "--preset", "ollama", "--model", "m"]) == 1
    assert "pip install 'relay-stream[openai]'" in capsys.readouterr().err


async def test_a_refused_bot_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """`relay-bot` does not try again with a token that nobody knows."""
    async with FakeRelay(refusal="unauthorized") as relay:
        arguments = ["--echo", "--token", "t", "--relay", relay.url]
        assert await asyncio.to_thread(main, arguments) == 1
        assert relay.attempts == 1
    assert "does not accept this token" in capsys.readouterr().err


async def test_a_question_goes_to_the_model_and_its_answer_to_the_relay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The whole way, until the relay says that another process has taken over."""
    monkeypatch.setenv("RELAY_TOKEN", "t0ken")
    async with FakeRelay() as relay, OpenAIServer() as server:
        server.say("Hel", "lo")
        arguments = ["--relay", relay.url, "--llm-base-url", server.url, "--model", "lobster"]
        running = asyncio.create_task(asyncio.to_thread(main, arguments))
        connection = await relay.connection()
        assert connection.authorization == "Bearer t0ken"
        assert '"sdk":"relay-bot/' in connection.identifier
        await connection.connected()
        await connection.ask("s1", "hi", conversation_id="c1")
        assert await connection.take_answer("s1") == "Hello"
        await connection.disconnect("fenced", reconnect=False)
        assert await running == 1


async def test_an_echo_needs_no_model() -> None:
    """And no library."""
    async with FakeRelay() as relay:
        arguments = ["--echo", "--echo-delay-ms", "0", "--token", "t", "--relay", relay.url]
        running = asyncio.create_task(asyncio.to_thread(main, arguments))
        connection = await relay.connection()
        await connection.connected()
        await connection.ask("s1", "hello glasses")
        assert await connection.take_answer("s1") == "hello glasses"
        await connection.disconnect("fenced", reconnect=False)
        assert await running == 1
