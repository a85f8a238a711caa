from __future__ import annotations

import asyncio

import pytest

from relay.clock import ManualClock
from relay.errors import StoreError
from relay.store.remembered import ENTRIES_MAX, Remembered


class World:
    """What is looked up: slowly, and counted."""

    def __init__(self) -> None:
        self.clock = ManualClock(1_000.0)
        self.version = 0
        self.asked: list[str] = []
        self.known: dict[str, str] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = False
        self.remembered: Remembered[str] = Remembered(
            for_s=2.0, now=self.clock.now, version=lambda: self.version
        )

    async def get(self, name: str) -> str | None:
        """Ask for a name."""

        async def look_up() -> str | None:
            self.asked.append(name)
            found, fails = self.known.get(name), self.fails
            await self.gate.wait()
            if fails:
                raise StoreError("the database is away")
            return found

        return await self.remembered.get(name, look_up)

    async def begin(self, *names: str) -> list[asyncio.Task[str | None]]:
        """Ask for all of these, up to where the database has to answer."""
        self.gate.clear()
        tasks = [asyncio.create_task(self.get(name)) for name in names]
        await asyncio.sleep(0)
        return tasks


@pytest.fixture
def world() -> World:
    """A world that knows one name."""
    world = World()
    world.known["a"] = "Ada"
    return world


async def test_many_askers_are_one_question(world: World) -> None:
    """At the same time, and one after another."""
    tasks = await world.begin(*["a"] * 100)
    world.gate.set()
    assert await asyncio.gather(*tasks) == ["Ada"] * 100
    assert [await world.get("a") for _ in range(100)] == ["Ada"] * 100
    assert world.asked == ["a"]


async def test_an_answer_counts_from_when_it_was_asked_for(world: World) -> None:
    """A slow database makes it no younger: for two seconds, and no longer."""
    (task,) = await world.begin("a")
    world.clock.advance(1.5)
    world.gate.set()
    await task
    world.clock.advance(0.25)
    assert (await world.get("a"), world.asked) == ("Ada", ["a"])
    assert world.remembered.values() == ["Ada"]
    world.clock.advance(0.25)
    assert world.remembered.values() == []
    world.known["a"] = "Eve"
    assert (await world.get("a"), world.asked) == ("Eve", ["a", "a"])


async def test_what_is_not_there_is_looked_up_each_time(world: World) -> None:
    """So that it is found as soon as it is added; also by those who waited for another's answer."""
    tasks = await world.begin("b", "b")
    world.known["b"] = "Ben"
    world.gate.set()
    assert await asyncio.gather(*tasks) == [None, "Ben"]
    assert await world.get("c") is await world.get("c") is None
    assert world.asked == ["b", "b", "c", "c"]


async def test_a_change_forgets_what_was_before(world: World) -> None:
    """At once, and also what was being looked up meanwhile."""
    assert await world.get("a") == "Ada"
    world.known["a"], world.version = "Eve", 1
    assert await world.get("a") == "Eve"
    world.version = 2
    old = await world.begin("a")
    world.known["a"], world.version = "Mia", 3
    new = [asyncio.create_task(world.get("a"))]
    world.gate.set()
    assert await asyncio.gather(*old, *new) == ["Eve", "Mia"]
    assert await world.get("a") == "Mia"
    assert len(world.asked) == 4


async def test_what_is_forgotten_is_not_kept_though_it_comes_later(world: World) -> None:
    """Who waited for it looks it up himself."""
    tasks = await world.begin("a", "a")
    world.remembered.forget()
    world.known["a"] = "Eve"
    world.gate.set()
    assert await asyncio.gather(*tasks) == ["Ada", "Eve"]
    assert world.remembered.values() == []


async def test_a_failure_is_its_askers_own(world: World) -> None:
    """Who waited tries again, and nothing is left behind."""
    world.fails = True
    tasks = await world.begin("a", "a")
    world.fails = False
    world.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(item) for item in found] == ["the database is away", "Ada"]


async def test_an_asker_who_leaves_takes_nobody_along(world: World) -> None:
    """The first one is cancelled, the second one is answered; and the other way round."""
    first, second = await world.begin("a", "a")
    first.cancel()
    world.gate.set()
    assert await second == "Ada"
    world.version += 1
    third, fourth = await world.begin("a", "a")
    fourth.cancel()
    world.gate.set()
    assert await third == "Ada"
    await asyncio.wait([first, fourth])
    assert first.cancelled()
    assert fourth.cancelled()


async def test_only_so_many_are_kept(world: World) -> None:
    """The oldest go first; asking again makes one young."""
    for number in range(ENTRIES_MAX):
        world.known[str(number)] = "somebody"
        await world.get(str(number))
    world.clock.advance(2.0)
    await world.get("5")
    assert len(world.remembered) == ENTRIES_MAX
    await world.get("a")
    assert len(world.remembered) == ENTRIES_MAX
    assert world.remembered.values() == ["somebody", "Ada"]
    before = len(world.asked)
    await world.get("5")
    assert len(world.asked) == before
