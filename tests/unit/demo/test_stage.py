from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from relay.demo.device import Question, ask
from relay.demo.ledger import Heard, Ledger
from relay.demo.scenarios import SCENARIOS
from relay.demo.stage import Options, Scene, exit_code, painting, play
from relay.demo.verdict import Row

FAST = Options(speed=50.0, barrier_s=0.3)
LEGACY_TURN_1 = SCENARIOS[1]


class Dark:
    """A screen that nobody watches."""

    def __init__(self) -> None:
        self.scenes: list[Scene] = []
        self.rows: list[Row] = []

    def say(self, words: str) -> None: ...

    @asynccontextmanager
    async def watch(self, scene: Scene) -> AsyncIterator[None]:
        self.scenes.append(scene)
        yield

    async def took(self, scene: Scene, row: Row) -> None:
        self.rows.append(row)


async def test_every_scenario_is_as_it_must_be() -> None:
    """Through a real relay: each text whole or exactly as sent, and each trace true."""
    screen = Dark()
    rows = await play(screen, FAST)
    assert [row.complaints for row in rows] == [()] * len(SCENARIOS)
    assert exit_code(rows) == 0
    assert [(row.sent, row.delivered) for row in rows[:4]] == [(3, 3), (60, 60)] * 2
    assert [row.repaired_by for row in rows[4:]] == ["summary"] * 4 + [None] * 2
    assert screen.rows == rows
    assert [scene.number for scene in screen.scenes] == list(range(1, 11))


def losing(text_number: int) -> Callable[[Question], AsyncIterator[Heard]]:
    """A device that loses one piece of the answer."""

    async def device(question: Question) -> AsyncIterator[Heard]:
        number = 0
        async for heard in ask(question):
            number += 1
            if number != text_number:
                yield heard

    return device


async def inventing(question: Question) -> AsyncIterator[Heard]:
    """A device that shows something that nobody said."""
    async for heard in ask(question):
        yield heard
        if heard.text and heard.text.isspace():
            yield Heard(heard.at, "?")


async def hanging(question: Question) -> AsyncIterator[Heard]:
    """A device whose connection breaks."""
    async for heard in ask(question):
        yield heard
        raise ConnectionResetError("the device was unplugged")


@pytest.mark.parametrize(
    ("device", "complaint"),
    [
        (losing(6), "the text is not whole"),
        (losing(61), "the answer has no end"),
        (inventing, "the device shows '?', which is not the bot's next word"),
        (hanging, "ConnectionResetError: the device was unplugged"),
    ],
)
async def test_damage_is_noticed(
    device: Callable[[Question], AsyncIterator[Heard]], complaint: str
) -> None:
    """Whatever the device loses or invents, the exit code is 1 and the row says what."""
    rows = await play(Dark(), FAST, scenarios=[LEGACY_TURN_1], device=device)
    assert exit_code(rows) == 1
    assert complaint in rows[0].complaints


def test_no_rows_are_no_success() -> None:
    """A demo that played nothing has shown nothing."""
    assert exit_code([]) == 1


async def test_it_is_painted_in_the_pauses_and_once_at_the_end() -> None:
    """So that painting delays nothing that is measured."""
    ledger = Ledger(("a",), 2.0, next_at=float("inf"))
    painted = asyncio.Event()
    count = 0

    def paint() -> None:
        nonlocal count
        count += 1
        painted.set()

    async with painting(ledger, paint, every_s=0.0):
        await painted.wait()
        during = count
    assert during >= 1
    assert count > during
