from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from relay_sdk.answer import DeviceTimes
from relay_sdk.backoff import Backoff
from relay_sdk.device import Device
from relay_sdk.device_events import Ended, Text
from relay_sdk.errors import Unauthorized
from tests.support.fake_http import FakeHttp

QUICK = DeviceTimes(first_delay_s=0.01, delay_max_s=0.02)
"""Nothing in a test with these times ends because time has passed."""
HASTY = DeviceTimes(first_delay_s=0.01, delay_max_s=0.02, give_up_s=0.05, unknown_s=0.05)


@pytest.fixture
async def server() -> AsyncIterator[FakeHttp]:
    """A server whose responses the test writes."""
    async with FakeHttp() as made:
        yield made


@pytest.fixture
async def device(server: FakeHttp) -> AsyncIterator[Device]:
    """A device that comes back at once."""
    async with Device(server.url, "key", times=QUICK) as made:
        yield made


async def until(holds: Callable[[], bool]) -> None:
    """Let the other tasks run until this holds."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


async def test_a_broken_connection_is_made_again_behind_the_last_event(
    server: FakeHttp, device: Device
) -> None:
    """The second request says where the first one stopped; the text is there once."""
    answer = device.ask("hi")
    reading = asyncio.create_task(answer.read())
    exchange = await server.triggered()
    assert (exchange.method, exchange.target) == ("GET", "/streams/s1/events")
    assert exchange.headers["authorization"] == "Bearer key"
    assert "last-event-id" not in exchange.headers
    await exchange.start_events()
    await exchange.chunks("a", 0, "Hello", " ")
    exchange.cut()
    exchange = await server.next()
    assert exchange.headers["last-event-id"] == "a.2"
    await exchange.start_events()
    await exchange.chunks("a", 2, "glasses.")
    await exchange.end("a.5", total=3)
    await reading
    assert (answer.text, answer.outcome) == ("Hello glasses.", Ended("completed", 3))
    assert (answer.stream_id, answer.connections) == ("s1", 2)
    assert server.is_quiet()


@pytest.mark.parametrize("how", ["in good order", "within an event"])
async def test_an_end_of_the_response_is_no_end_of_the_answer(
    server: FakeHttp, device: Device, how: str
) -> None:
    """Only the stream's own end is: a relay that shuts down closes in good order, too."""
    answer = device.ask("hi")
    reading = asyncio.create_task(answer.read())
    exchange = await server.triggered()
    await exchange.start_events()
    await exchange.chunks("a", 0, "one ")
    if how == "within an event":
        await exchange.piece(b'id: a.2\ndata: {"type":"stream_chunk","sequence":1,"cont')
    await exchange.finish()
    exchange = await server.next()
    assert exchange.headers["last-event-id"] == "a.1"
    await exchange.start_events()
    await exchange.chunks("a", 1, "two")
    await exchange.end("a.3")
    await reading
    assert answer.text == "one two"


async def test_a_relay_that_lost_its_memory_is_read_from_the_start_without_repeats(
    server: FakeHttp, device: Device
) -> None:
    """410: the position is of another log. What was shown is skipped by its sequence."""
    answer = device.ask("hi")
    reading = asyncio.create_task(answer.read())
    exchange = await server.triggered()
    await exchange.start_events()
    await exchange.chunks("a", 0, "a", "b", "c")
    exchange.cut()
    await (await server.next()).answer(410, {"error": "gone", "code": "position_gone"})
    exchange = await server.next()
    assert "last-event-id" not in exchange.headers
    await exchange.start_events()
    await exchange.chunks("b", 0, "a", "b", "c", "d")
    await exchange.end("b.6")
    await reading
    assert answer.text == "abcd"


async def test_a_log_that_starts_over_by_itself_shows_no_repeats(
    server: FakeHttp, device: Device
) -> None:
    """`stream_reset`: the relay serves another log from its start."""
    events = [event async for event in _read_through_a_reset(server, device, repeats=False)]
    assert [event for event in events if isinstance(event, Text)] == [
        Text("a", 0, "a.1"),
        Text("b", 1, "b.2"),
    ]


async def test_repeats_are_shown_and_marked_where_they_are_asked_for(
    server: FakeHttp, device: Device
) -> None:
    """A device that draws everything anew after a break wants them."""
    events = [event async for event in _read_through_a_reset(server, device, repeats=True)]
    assert [event for event in events if isinstance(event, Text)] == [
        Text("a", 0, "a.1"),
        Text("a", 0, "b.1", repeated=True),
        Text("b", 1, "b.2"),
    ]


async def _read_through_a_reset(
    server: FakeHttp, device: Device, *, repeats: bool
) -> AsyncIterator[object]:
    answer = device.ask("hi", repeats=repeats)
    asking = asyncio.ensure_future(anext(answer))
    exchange = await server.triggered()
    await exchange.start_events()
    await exchange.chunks("a", 0, "a")
    yield await asking
    exchange.cut()
    asking = asyncio.ensure_future(anext(answer))
    exchange = await server.next()
    await exchange.start_events()
    await exchange.piece(b'data: {"type":"stream_reset","session_id":"s1"}\n\n')
    await exchange.chunks("b", 0, "a", "b")
    await exchange.end("b.3")
    yield await asking
    async for event in answer:
        yield event
    assert answer.text == "ab"


async def test_a_relay_that_does_not_know_the_stream_yet_is_asked_again(
    server: FakeHttp, device: Device
) -> None:
    """It was restarted, and the bot is not back yet."""
    answer = device.ask("hi")
    reading = asyncio.create_task(answer.read())
    await (await server.triggered()).answer(404, {"code": "unknown_stream"})
    exchange = await server.next()
    await exchange.start_events()
    await exchange.end("b.1")
    await reading
    assert answer.outcome == Ended("completed", 0)


@pytest.mark.parametrize("status", [404, 500, 503, 429])
async def test_an_answer_that_stays_away_is_lost(server: FakeHttp, status: int) -> None:
    """It is told as the outcome, not raised: half an answer was shown."""
    async with Device(server.url, "key", times=HASTY) as device:
        answer = device.ask("hi")
        reading = asyncio.create_task(answer.read())
        exchange = await server.triggered()
        while not reading.done():
            await exchange.answer(status, {"code": "whatever"})
            waiting = asyncio.ensure_future(server.next())
            await asyncio.wait({waiting, reading}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                exchange = waiting.result()
            waiting.cancel()
        assert (await reading).outcome == Ended("lost")


async def test_a_connection_that_brought_something_renews_the_patience(server: FakeHttp) -> None:
    """Two breaks with minutes between them are two, not one that lasts for minutes."""
    async with Device(server.url, "key", times=HASTY) as device:
        reading = asyncio.create_task(device.ask("hi").read())
        exchange = await server.triggered()
        for number in range(3):
            await exchange.start_events()
            await exchange.chunks("a", number, "x")
            await asyncio.sleep(HASTY.give_up_s)
            exchange.cut()
            exchange = await server.next()
        await exchange.start_events()
        await exchange.end("a.4")
        assert (await reading).text == "xxx"


async def test_delays_grow_until_there_is_an_event(
    server: FakeHttp, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that accepts and closes is not hammered; one that served is come back to at once."""
    told: list[str] = []

    def next_delay(_: Backoff) -> float:
        told.append("delay")
        return 0.0

    monkeypatch.setattr(Backoff, "reset", lambda _: told.append("reset"))
    monkeypatch.setattr(Backoff, "next_delay", next_delay)
    reading = asyncio.create_task(device.ask("hi").read())
    exchange = await server.triggered()
    for _ in range(2):
        await exchange.start_events()
        exchange.cut()
        exchange = await server.next()
    await exchange.start_events()
    await exchange.chunks("a", 0, "x")
    exchange.cut()
    exchange = await server.next()
    await exchange.start_events()
    await exchange.end("a.2")
    await reading
    assert told == ["delay", "delay", "reset", "delay", "reset"]


@pytest.mark.parametrize("status", [204, 400, 410])
async def test_a_final_word_on_a_stream_loses_it_at_once(
    server: FakeHttp, device: Device, status: int
) -> None:
    """There is nothing to wait for."""
    answer = device.ask("hi")
    reading = asyncio.create_task(answer.read())
    exchange = await server.triggered()
    if status == 204:
        await exchange.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    else:
        await exchange.answer(status, {"code": "whatever"})
    assert (await reading).outcome == Ended("lost")
    assert server.is_quiet()


async def test_a_key_that_is_revoked_is_final(server: FakeHttp, device: Device) -> None:
    """Coming back would not help."""
    answer = device.ask("hi")
    reading = asyncio.create_task(answer.read())
    await (await server.triggered()).answer(401, {"code": "unauthorized"})
    with pytest.raises(Unauthorized, match="relay key add"):
        await reading
    assert [event async for event in answer] == []
    assert server.is_quiet()


async def test_a_page_in_place_of_the_events_is_a_break(server: FakeHttp, device: Device) -> None:
    """A proxy's error page with status 200 ends nothing."""
    reading = asyncio.create_task(device.ask("hi").read())
    exchange = await server.triggered()
    await exchange.send(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno")
    exchange = await server.next()
    await exchange.start_events()
    await exchange.end("a.1")
    assert (await reading).outcome == Ended("completed", 0)


async def test_a_silent_connection_is_made_again(server: FakeHttp) -> None:
    """No keep-alive for three of their times: it is dead, whatever TCP believes."""
    times = DeviceTimes(stale_s=0.1, first_delay_s=0.01)
    async with Device(server.url, "key", times=times) as device:
        answer = device.ask("hi")
        reading = asyncio.create_task(answer.read())
        exchange = await server.triggered()
        await exchange.start_events()
        await exchange.gone()
        exchange = await server.next()
        await exchange.start_events()
        await exchange.end("a.1")
        await reading
        assert answer.connections == 2


async def test_closing_an_answer_hangs_up_and_ends_whoever_reads_it(
    server: FakeHttp, device: Device
) -> None:
    """The read in the other task sees the end of the answer, not an error."""
    answer = device.ask("hi")
    reading = asyncio.create_task(answer.read())
    exchange = await server.triggered()
    await exchange.start_events()
    await until(lambda: answer.connections == 1)
    answer.close()
    await exchange.gone()
    assert (await reading).outcome is None
    assert server.is_quiet()


async def test_closing_an_answer_ends_its_wait_for_the_next_attempt(
    server: FakeHttp, caplog: pytest.LogCaptureFixture
) -> None:
    """A device that is switched off does not wait for a delay to pass."""
    caplog.set_level("INFO", "relay_sdk")
    times = DeviceTimes(first_delay_s=3600.0, delay_max_s=3600.0)
    async with Device(server.url, "key", times=times) as device:
        answer = device.ask("hi")
        reading = asyncio.create_task(answer.read())
        (await server.triggered()).cut()
        await until(lambda: answer.connections == 0 and bool(caplog.records))
        answer.close()
        assert (await reading).outcome is None


async def test_leaving_the_answers_block_hangs_up(server: FakeHttp, device: Device) -> None:
    """For a device that has heard enough."""
    async with device.ask("hi") as answer:
        asking = asyncio.ensure_future(anext(answer))
        exchange = await server.triggered()
        await exchange.start_events()
        await exchange.chunks("a", 0, "enough")
        await asking
    await exchange.gone()
    assert answer.text == "enough"
