from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from relay_sdk.bridge.coalesce import coalesce


class Model:
    """Yields tokens; between two of them it waits where the test says so."""

    def __init__(self, *steps: str | asyncio.Event | Exception) -> None:
        self.produced = 0
        self.closed = False
        self._steps = steps

    async def texts(self) -> AsyncGenerator[str, None]:
        try:
            for step in self._steps:
                match step:
                    case str():
                        self.produced += 1
                        yield step
                    case asyncio.Event():
                        await step.wait()
                    case _:
                        raise step
        finally:
            self.closed = True


async def test_tokens_of_one_burst_become_one_piece() -> None:
    """What comes without a pause in between is joined."""
    model = Model("Hel", "lo ", "glasses")
    assert [text async for text in coalesce(model.texts())] == ["Hello glasses"]


async def test_a_token_does_not_wait_for_the_next() -> None:
    """The first one is there before the model has a second one."""
    more = asyncio.Event()
    async with aclosing(coalesce(Model("Hel", more, "lo", "!").texts())) as texts:
        assert await anext(texts) == "Hel"
        more.set()
        assert await anext(texts) == "lo!"


async def test_what_came_while_the_reader_was_busy_is_one_piece() -> None:
    """A reader without credit finds everything that gathered, in order."""
    pauses = [asyncio.Event() for _ in range(3)]
    model = Model("a", pauses[0], "b", pauses[1], "c", pauses[2], "d")
    async with aclosing(coalesce(model.texts())) as texts:
        assert await anext(texts) == "a"
        for number, pause in enumerate(pauses):
            pause.set()
            for _ in range(5):
                await asyncio.sleep(0)
            assert model.produced == number + 2
        assert await anext(texts) == "bcd"


async def test_a_reader_that_is_stuck_stops_the_model() -> None:
    """No more is read ahead than the limit; the rest comes once there is room."""
    model = Model(*["ab"] * 100)
    async with aclosing(coalesce(model.texts(), chars_max=10)) as texts:
        assert await anext(texts) == "ab" * 5
        await asyncio.sleep(0)
        assert model.produced <= 10
        assert "".join([text async for text in texts]) == "ab" * 95


async def test_an_error_comes_after_the_text_before_it() -> None:
    """Nothing that was said is lost by what went wrong then."""
    texts = coalesce(Model("Hel", "lo", ValueError("broken")).texts())
    assert await anext(texts) == "Hello"
    with pytest.raises(ValueError, match="broken"):
        await anext(texts)


async def test_a_reader_that_leaves_closes_the_model() -> None:
    """At once, not when somebody collects the garbage."""
    model = Model("a", asyncio.Event())
    async with aclosing(coalesce(model.texts())) as texts:
        await anext(texts)
    assert model.closed


async def test_a_reader_that_leaves_while_the_model_waits_closes_it() -> None:
    """A model that was stopped between two tokens is closed, too, not left to the collector."""
    model = Model("a", "b", "c")
    texts = model.texts()
    async with aclosing(coalesce(texts, chars_max=1)) as pieces:
        assert await anext(pieces) == "a"
        await asyncio.sleep(0)
    assert model.produced < 3
    assert model.closed


async def test_a_cancelled_reader_closes_the_model() -> None:
    """Before the reader's task has ended, and the cancellation is not swallowed."""
    model = Model("a", asyncio.Event())
    first = asyncio.Event()

    async def read() -> None:
        async with aclosing(coalesce(model.texts())) as texts:
            async for _ in texts:
                first.set()

    task = asyncio.create_task(read())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.closed


async def test_an_error_that_nobody_waits_for_is_not_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A reader that left has no use for what the model says about it."""
    pause = asyncio.Event()
    model = Model("a", pause, ValueError("broken"))
    async with aclosing(coalesce(model.texts())) as texts:
        await anext(texts)
        pause.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert model.closed
    del texts
    gc.collect()  # asyncio reports it when the task is collected
    assert caplog.records == []


async def test_no_text_is_no_piece() -> None:
    """A model that says nothing yields nothing."""
    assert [text async for text in coalesce(Model().texts())] == []
