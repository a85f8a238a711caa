from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_sdk.bridge import Completer, echo, main, split_words
from relay_sdk.command import Command
from relay_sdk.completions import Message
from tests.support.fake_cable import FakeRelay


@dataclass
class Delta:
    content: str | None


@dataclass
class Choice:
    delta: Delta


@dataclass
class Part:
    choices: list[Choice]


class Model:
    """What the bridge needs of `openai.AsyncOpenAI`, itself being all three of its layers."""

    def __init__(self, *texts: str | None) -> None:
        self.asked: list[Sequence[Message]] = []
        self.closed = False
        self.stuck = False
        self._parts = [Part([Choice(Delta(text))]) for text in texts]

    @property
    def chat(self) -> Self:
        return self

    @property
    def completions(self) -> Self:
        return self

    async def create(self, *, model: str, messages: Sequence[Message], stream: bool) -> Self:
        assert (model, stream) == ("lobster", True)
        self.asked.append(messages)
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closed = True

    async def __aiter__(self) -> AsyncIterator[Part]:
        for part in self._parts:
            yield part
        yield Part([])  # the usage
        if self.stuck:
            await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed = True


@given(st.text())
def test_words_join_to_the_text(text: str) -> None:
    """No white space is lost between the words, before or behind them."""
    assert "".join(split_words(text)) == text


def test_each_word_is_a_chunk_of_its_own() -> None:
    """A word comes with the space before it."""
    assert split_words("how are  you\n") == ["how", " are", "  you\n"]


async def test_echo_answers_with_the_question() -> None:
    """Word by word."""
    assert [word async for word in echo(Command("s1", "hello  glasses"))] == ["hello", "  glasses"]


async def test_a_model_is_asked_with_the_system_prompt() -> None:
    """The prompt comes first; parts without text are skipped."""
    model = Model("Hel", None, "", "lo")
    texts = [text async for text in Completer(model, "lobster", "Be brief.")(Command("s1", "hi"))]
    assert texts == ["Hel", "lo"]
    assert model.asked == [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    ]
    assert model.closed


async def test_a_cancelled_question_stops_the_model() -> None:
    """The response is closed before the handler's task ends."""
    model = Model("Hel")
    model.stuck = True
    first = asyncio.Event()

    async def ask() -> None:
        async for _ in Completer(model, "lobster", "")(Command("s1", "hi")):
            first.set()

    task = asyncio.create_task(ask())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.closed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--echo"], "--token or RELAY_TOKEN"),
        (["--token", "t"], "--llm-base-url and --model, or --echo"),
        (["--token", "t", "--model", "m"], "--llm-base-url and --model, or --echo"),
    ],
)
def test_a_command_line_that_cannot_work_is_explained(
    arguments: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 2, and the message names the option."""
    monkeypatch.delenv("RELAY_TOKEN", raising=False)
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert told in capsys.readouterr().err


def test_a_wrong_url_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 and no traceback."""
    assert main(["--echo", "--token", "t", "--relay", "relay.example"]) == 1
    assert capsys.readouterr().err.startswith("relay-bot: the relay's URL must look like")


async def test_a_refused_bot_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """`relay-bot` does not try again with a token that nobody knows."""
    async with FakeRelay(refusal="unauthorized") as relay:
        arguments = ["--echo", "--token", "t", "--relay", relay.url]
        assert await asyncio.to_thread(main, arguments) == 1
        assert relay.attempts == 1
    assert "does not accept this token" in capsys.readouterr().err
