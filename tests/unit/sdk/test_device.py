from __future__ import annotations

import asyncio

import pytest

from relay.devices.lingzhu_request import read_request
from relay_sdk.device import Device
from relay_sdk.errors import UsageError
from tests.support.fake_http import FakeHttp


async def test_a_question_is_what_glasses_send() -> None:
    """The relay's own reader of glasses' requests understands every part of it."""
    async with (
        FakeHttp() as server,
        Device(server.url, "key", user_id="ada", agent_id="a1", lang="en-GB") as device,
    ):
        asking = asyncio.ensure_future(
            device.ask(
                "What is this?", images=["https://h/1.webp"], metadata={"battery": "28"}
            ).read()
        )
        exchange = await server.next()
        assert exchange.headers["content-type"] == "application/json"
        ask = read_request(exchange.body)
        assert (ask.text, ask.images, ask.lang) == ("What is this?", ("https://h/1.webp",), "en")
        assert (ask.user_id, ask.agent_id) == ("ada", "a1")
        assert ask.conversation_id == device.conversation_id
        assert ask.metadata == {"lang": "en-GB", "battery": "28"}
        asking.cancel()


async def test_an_image_may_come_alone() -> None:
    """As the photo does that a bot has asked for."""
    async with FakeHttp() as server, Device(server.url, "key") as device:
        asking = asyncio.ensure_future(device.ask("", images=["https://h/1.webp"]).read())
        ask = read_request((await server.next()).body)
        assert ask.images == ("https://h/1.webp",)
        assert len(ask.messages) == 1
        asking.cancel()


async def test_a_device_is_in_one_conversation_until_it_begins_another() -> None:
    """Two devices are never in the same one."""
    async with (
        FakeHttp() as server,
        Device(server.url, "key") as one,
        Device(server.url, "k") as two,
    ):
        assert one.conversation_id != two.conversation_id
        before = one.conversation_id
        one.new_conversation()
        assert one.conversation_id != before


async def test_nothing_is_asked_before_somebody_reads() -> None:
    """An answer that nobody reads would keep a bot busy for nothing."""
    async with FakeHttp() as server, Device(server.url, "key") as device:
        device.ask("hi")
        await asyncio.sleep(0)
        assert server.is_quiet()


async def test_leaving_the_block_hangs_up_on_every_answer() -> None:
    """Breaking out of `async for` is the common way to leave an answer."""
    async with FakeHttp() as server:
        async with Device(server.url, "key") as device:
            asking = asyncio.ensure_future(anext(device.ask("hi")))
            exchange = await server.triggered()
            await exchange.start_events()
            await exchange.chunks("a", 0, "enough")
            await asking
        await exchange.gone()
        with pytest.raises(UsageError, match="async with"):
            device.ask("again")


@pytest.mark.parametrize("key", ["two\nlines", "Schl\u00fcssel"])
def test_a_key_that_no_header_can_carry_is_a_mistake(key: str) -> None:
    """It is said before anything is sent, and without the key."""
    with pytest.raises(UsageError, match="copied") as caught:
        Device("http://127.0.0.1", key)
    assert key not in str(caught.value)


def test_a_device_shows_where_it_asks_and_no_secret() -> None:
    """Its representation may end up in a log."""
    device = Device("http://user:password@127.0.0.1:8080", "secret-key")
    assert repr(device) == "Device(127.0.0.1:8080)"
