"""What the run under attack counts, and what its attackers say."""

from __future__ import annotations

import asyncio

import pytest

from bench.abuse import Outcome, read_options
from bench.attackers import FLOODS, Attack, hello, run
from bench.figures import Figures
from bench.load import Result


def result(p99: float, *, lost: int = 0, repeated: int = 0) -> Result:
    """A turn with this 99th percentile."""
    one = Figures(1.0, p99, p99)
    return Result(one, one, 100, lost, repeated, 50.0, 20.0)


def test_the_ratio_is_of_the_medians() -> None:
    """One turn that somebody else's work disturbed decides nothing."""
    outcome = Outcome([result(2.0), result(90.0), result(2.2)], [result(4.4), result(3.0)])
    assert outcome.ratio == pytest.approx(3.7 / 2.2)
    assert outcome.broken == 0
    assert outcome.lines()[-1].startswith("p99 under attack is 1.68 times")


def test_whatever_is_lost_or_comes_twice_breaks_the_run() -> None:
    """In any turn."""
    assert Outcome([result(1.0, lost=2)], [result(1.0, repeated=1)]).broken == 3


def test_the_run_of_the_issue_is_the_default() -> None:
    """A hundred streams, a thousand of each, and pings."""
    options = read_options([])
    assert (options.streams, options.slowloris, options.idle) == (100, 1000, 1000)
    assert options.floods == ("pings",)
    assert read_options(["--floods", *FLOODS]).floods == tuple(FLOODS)


async def test_each_kind_of_attacker_connects_and_comes_back() -> None:
    """Against a server that answers and hangs up, so that all of them are cut."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(b"HTTP/1.1 101 \r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    attack = Attack(f"http://127.0.0.1:{port}", ("t",), 2, 2, dict.fromkeys(FLOODS, 1))
    assert attack.connections == 4 + len(FLOODS)
    stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run(attack, stop))
    await asyncio.sleep(0.5)
    stop.set_result(None)
    tally = await running
    server.close()
    assert set(tally.opened) == {"slowloris", "idle", *FLOODS}
    assert all(tally.cut[kind] for kind in tally.opened)


def test_an_attacker_says_what_its_kind_says() -> None:
    """A head that never ends; a bot that subscribes; and a flood behind a good beginning."""
    assert b"\r\n\r\n" not in hello("slowloris", "t")
    assert b"BotChannel" in hello("idle", "t")
    assert hello("pings", "t").endswith(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in hello("bodies", "t")
    assert all(len(piece) <= 6 for piece in FLOODS.values())
