"""The examples of the SDK, each run as its author would run it, against a real relay."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay_sdk import Ended, FollowUp, Text, ToolCall
from relay_sdk.sync import Answer, Device
from tests.support.openai_server import OpenAIServer
from tests.support.server import RelayServer, environment

EXAMPLES = Path(__file__).parents[2] / "sdk_py" / "examples"
ONLINE_S = 20.0


@contextmanager
def example(
    relay: RelayServer, name: str, settings: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a bot until the block ends; it must end well on SIGTERM."""
    said = {"RELAY_URL": relay.url, "RELAY_TOKEN": relay.bot().token, **(settings or {})}
    command = [sys.executable, str(EXAMPLES / name)]
    with subprocess.Popen(command, env=environment(said)) as process:
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()


def ask(relay: RelayServer, text: str) -> Answer:
    """Ask until the bot is online, and read the answer."""
    deadline = time.monotonic() + ONLINE_S
    with Device(relay.url, relay.key, user_id=relay.bot().user_id) as device:
        while True:
            answer = device.ask(text).read()
            assert answer.outcome is not None
            if answer.outcome.outcome != "bot_offline":
                return answer
            assert time.monotonic() < deadline, "the example does not connect"
            time.sleep(0.05)  # between two questions: its program is just starting


def test_echo_answers(relay: RelayServer) -> None:
    """Word by word."""
    with example(relay, "echo.py"):
        answer = ask(relay, "Hello glasses")
    assert answer.text == "Hello glasses "
    assert answer.outcome is not None
    assert answer.outcome.outcome == "completed"


async def test_a_model_answers(relay: RelayServer) -> None:
    """Its tokens arrive, and it was asked what the user said."""
    async with OpenAIServer() as server:
        server.say("It is ", "sunny.")
        settings = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "k", "MODEL": "small"}
        with example(relay, "openai_bot.py", settings):
            answer = await asyncio.to_thread(ask, relay, "What is the weather like?")
        assert answer.text == "It is sunny."
        assert server.last["model"] == "small"
        assert server.last["messages"][-1]["content"] == "What is the weather like?"


def test_the_tools_of_the_glasses_are_used(relay: RelayServer) -> None:
    """A photo is asked for and comes in the same conversation; then suggestions, and the way."""
    with example(relay, "photo.py"):
        ask(relay, "are you there")
        with Device(relay.url, relay.key, user_id=relay.bot().user_id) as device:
            events = list(device.ask("What is this?"))
            assert [type(event) for event in events] == [Text, ToolCall, Ended]
            assert isinstance(events[1], ToolCall)
            assert events[1].command == "take_photo"
            answer = device.ask("", images=["https://pictures.test/1.webp"])
            events = list(answer)
            assert answer.text == "I see a picture from pictures.test."
            assert isinstance(events[1], FollowUp)
            way = events[1].suggestions[1]
            called = [event for event in device.ask(way) if isinstance(event, ToolCall)]
            fields = {"action": "open", "poi_name": "the lake", "navi_type": "1"}
            assert [(call.command, call.fields) for call in called] == [("take_navigation", fields)]


def test_a_script_without_async_asks(relay: RelayServer) -> None:
    """It prints the answer and how it ended."""
    access = {
        "RELAY_URL": relay.url,
        "RELAY_ACCESS_KEY": relay.key,
        "RELAY_USER_ID": relay.bot().user_id,
    }
    with example(relay, "echo.py"):
        ask(relay, "are you there")
        command = [sys.executable, str(EXAMPLES / "sync_script.py"), "Hello", "you"]
        done = subprocess.run(
            command, env=environment(access), capture_output=True, text=True, check=True, timeout=30
        )
    assert done.stdout == "Hello you \n(completed)\n"
    assert done.stderr == ""


def test_the_example_of_a_bots_test_passes() -> None:
    """With the options that it names and none of this project's."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    command += [
        "-o",
        "asyncio_mode=auto",
        "--rootdir",
        str(EXAMPLES),
        str(EXAMPLES / "test_my_bot.py"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def test_every_example_is_run_here() -> None:
    """One that is not would stop working some day."""
    source = Path(__file__).read_text(encoding="utf-8")
    missing = [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in source]
    assert missing == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path: Path) -> None:
    """What needs more than a screen is no example."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
