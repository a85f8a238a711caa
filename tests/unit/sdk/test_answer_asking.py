"""How a question is asked, over either protocol, and what is raised where it is not taken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from relay_sdk.answer import DeviceTimes
from relay_sdk.device import Device
from relay_sdk.device_events import Ended
from relay_sdk.errors import Rejected, Unauthorized, Unreachable
from tests.support.fake_http import Exchange, FakeHttp


@pytest.fixture
async def server() -> AsyncIterator[FakeHttp]:
    """A server whose responses the test writes."""
    async with FakeHttp() as made:
        yield made


@pytest.fixture
async def device(server: FakeHttp) -> AsyncIterator[Device]:
    """A device that comes back at once."""
    times = DeviceTimes(first_delay_s=0.01, delay_max_s=0.02)
    async with Device(server.url, "key", times=times) as made:
        yield made


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "unauthorized", Unauthorized),
        (404, "unbound", Rejected),
        (400, "bad_request", Rejected),
        (503, "internal", Unreachable),
    ],
)
@pytest.mark.parametrize("lingzhu", [False, True])
async def test_a_question_that_is_not_taken_raises(
    server: FakeHttp, device: Device, status: int, code: str, error: type[Exception], lingzhu: bool
) -> None:
    """With the relay's own words; the access key is in none of them."""
    answer = device.ask("hi", lingzhu=lingzhu)
    reading = asyncio.create_task(answer.read())
    await (await server.next()).answer(status, {"error": "do this", "code": code})
    with pytest.raises(error) as caught:
        await reading
    if isinstance(caught.value, Rejected):
        assert (caught.value.code, str(caught.value)) == (code, "do this")
    if isinstance(caught.value, Unreachable):
        assert not caught.value.sent
    assert [event async for event in answer] == []


async def test_a_relay_that_is_down_is_told_at_once() -> None:
    """Nobody wants to wait a minute for the first sign of a wrong URL."""
    async with FakeHttp() as server:
        url = server.url
    async with Device(url, "key") as device:
        with pytest.raises(Unreachable, match="is it running") as caught:
            await device.ask("hi").read()
        assert not caught.value.sent


async def test_a_question_whose_fate_is_unknown_is_not_asked_twice(
    server: FakeHttp, device: Device
) -> None:
    """The relay may have it: asking again is the program's decision."""
    answer = device.ask("hi")
    reading = asyncio.create_task(answer.read())
    (await server.next()).cut()
    with pytest.raises(Unreachable) as caught:
        await reading
    assert caught.value.sent
    assert await answer.read() is answer
    assert server.is_quiet()


async def test_an_answer_without_a_stream_comes_from_no_relay(
    server: FakeHttp, device: Device
) -> None:
    """200 and JSON are not enough."""
    reading = asyncio.create_task(device.ask("hi").read())
    await (await server.next()).answer(200, {"hello": "world"})
    with pytest.raises(Unreachable, match="names no stream"):
        await reading


async def _glasses(server: FakeHttp, headers: str = "Relay-Stream-Id: s7\r\n") -> Exchange:
    exchange = await server.next()
    assert (exchange.method, exchange.target) == ("POST", "/sse/rokid")
    await exchange.start_events(headers=headers)
    return exchange


def _frame(name: str, **fields: object) -> bytes:
    data = json.dumps({"role": "agent", "type": "answer", **fields})
    return f"event: {name}\ndata: {data}\n\n".encode()


async def test_glasses_ask_and_read_over_one_connection(server: FakeHttp, device: Device) -> None:
    """`lingzhu=True`: the stream's id is in a header, and the end says nothing of the outcome."""
    answer = device.ask("hi", lingzhu=True)
    reading = asyncio.create_task(answer.read())
    exchange = await _glasses(server)
    await exchange.piece(_frame("message", answer_stream="Hello", is_finish=False))
    await exchange.piece(_frame("message", answer_stream="", is_finish=True))
    await exchange.piece(_frame("done", is_finish=True))
    await exchange.gone()
    await reading
    assert (answer.text, answer.outcome, answer.stream_id) == ("Hello", Ended("finished"), "s7")


async def test_glasses_do_not_resume(server: FakeHttp, device: Device) -> None:
    """Their protocol cannot: what broke is lost."""
    answer = device.ask("hi", lingzhu=True)
    reading = asyncio.create_task(answer.read())
    exchange = await _glasses(server)
    await exchange.piece(_frame("message", answer_stream="Hel", is_finish=False))
    exchange.cut()
    await reading
    assert (answer.text, answer.outcome) == ("Hel", Ended("lost"))
    assert server.is_quiet()


async def test_glasses_are_shown_an_error_as_an_answer(server: FakeHttp, device: Device) -> None:
    """There is no stream then, and the outcome is the code of the error."""
    answer = device.ask("hi", lingzhu=True)
    reading = asyncio.create_task(answer.read())
    exchange = await _glasses(server, "Relay-Error: unauthorized\r\n")
    await exchange.piece(_frame("message", answer_stream="Wrong key.", is_finish=True))
    await exchange.piece(_frame("done", is_finish=True))
    await reading
    assert (answer.text, answer.outcome) == ("Wrong key.", Ended("unauthorized"))


async def test_glasses_that_hang_up_have_no_outcome(server: FakeHttp, device: Device) -> None:
    """Nothing was lost: nobody wanted it."""
    answer = device.ask("hi", lingzhu=True)
    reading = asyncio.create_task(answer.read())
    await _glasses(server)
    async with asyncio.timeout(10):
        while not answer.connections:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)
    answer.close()
    assert (await reading).outcome is None
