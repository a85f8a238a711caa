"""The handshake, the heartbeat and the frames of `/cable`."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import pytest
from starlette.types import Message, Scope
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection

from relay.clock import ManualClock, SystemClock
from relay.limits import gate as gate_module
from relay.limits.allowance import Allowance
from relay.limits.gate import Gate, Permit
from relay.limits.refusal import Kind
from relay.node.node import Node
from relay.web import outbox as outbox_module
from relay.web.cable import CableEndpoint, Heartbeat
from relay.web.callers import Callers
from relay.web.channels import Channels
from relay.web.outbox import Outbox
from relay.wire.jsontext import JsonValue
from tests.unit.web.fakes import FakeDirectory, Served, eventually, serving

SCOPE: Scope = {
    "type": "websocket",
    "path": "/cable",
    "query_string": b"sdk_token=token-1",
    "headers": [],
    "subprotocols": [],
}
"""A bot's handshake."""

REFUSED = {"type": "disconnect", "reason": "unauthorized", "reconnect": False}


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?sdk_token=token-1&bot_id=1", {}),
        ("?access_key=ak_1", {}),
        ("", {"Authorization": "Bearer token-1"}),
        ("", {"Authorization": "bearer ak_1"}),
        ("?access_key=ak_1&sdk_token=wrong", {}),
        ("?access_key=&sdk_token=token-1", {}),
        ("?sdk_token=token-1", {"Authorization": "Bearer wrong"}),
    ],
)
async def test_a_known_credential_is_welcomed(
    web: Served, query: str, headers: dict[str, str]
) -> None:
    """The first one given in the order access_key, sdk_token, Authorization decides."""
    async with web.cable(query, **headers) as cable:
        assert await cable.frame() == {"type": "welcome"}


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("?sdk_token=wrong", {}),
        ("?sdk_token=ak_1", {}),
        ("?access_key=token-1", {}),
        ("", {"Authorization": "Bearer wrong"}),
        ("?access_key=wrong&sdk_token=token-1", {}),
        ("?sdk_token=wrong", {"Authorization": "Bearer token-1"}),
        ("?" + "&".join(f"a{i}=1" for i in range(40)) + "&sdk_token=token-1", {}),
    ],
)
async def test_a_wrong_credential_is_told_so_and_does_not_fall_through(
    web: Served, query: str, headers: dict[str, str]
) -> None:
    """The upgrade succeeds, then one final `disconnect` without a welcome, and close 1000."""
    async with web.cable(query, **headers) as cable:
        assert await cable.frame() == REFUSED
        assert await cable.closed() == 1000


async def test_a_database_that_is_away_refuses_nobody_for_good(web: Served) -> None:
    """A bot whose token cannot be looked up now is asked to come back."""
    web.directory.away = True
    async with web.cable("?sdk_token=token-1") as cable:
        answer = await cable.frame()
    assert answer == {"type": "disconnect", "reason": "unavailable", "reconnect": True}


@pytest.mark.parametrize(
    ("offer", "selected"),
    [
        ((), None),
        (("actioncable-v1-json", "actioncable-unsupported"), "actioncable-v1-json"),
        (("actioncable-v1-ext-json", "actioncable-v1-json"), "actioncable-v1-json"),
        (("actioncable-unsupported",), None),
    ],
)
async def test_the_sub_protocol_is_selected_where_it_is_offered(
    web: Served, offer: tuple[str, ...], selected: str | None
) -> None:
    """Stock clients leave for good where theirs is not selected, and existing SDKs offer none."""
    async with web.cable("?sdk_token=token-1", offer=offer) as cable:
        assert cable.socket.subprotocol == selected
        assert await cable.frame() == {"type": "welcome"}


async def test_an_origin_that_is_not_listed_is_refused() -> None:
    """With a list of Origins, others are refused even with a token, and ours are not."""
    async with serving(allowed_origins=("https://app.example",)) as web:
        for origin, expected in (
            ("https://evil.example", REFUSED),
            ("https://app.example", {"type": "welcome"}),
            (f"http://127.0.0.1:{web.port}", {"type": "welcome"}),
        ):
            async with web.cable("?sdk_token=token-1", Origin=origin) as cable:
                assert await cable.frame() == expected


async def test_frames_that_come_before_the_welcome_are_handled_in_order(web: Served) -> None:
    """A client may send at once; nothing of it is lost or reordered."""
    identifier = '{"channel":"BotChannel"}'
    async with web.cable("?sdk_token=token-1") as cable:
        await cable.send({"command": "subscribe", "identifier": identifier})
        for action in ("ping", "status"):
            data = json.dumps({"action": action})
            await cable.send({"command": "message", "identifier": identifier, "data": data})
        frames = [await cable.frame() for _ in range(5)]
    kinds = [
        frame.get("type") or (isinstance(m := frame["message"], dict) and m["type"])
        for frame in frames
    ]
    assert kinds == ["welcome", "connected", "confirm_subscription", "pong", "status_response"]


async def test_a_ping_follows_the_clock_and_strictly_increases() -> None:
    """Pings are integers of Unix seconds; a clock that stands still does not repeat one."""
    frames: list[str] = []

    async def send(frame: str) -> None:
        frames.append(frame)

    outbox = Outbox(too_slow="")
    heartbeat = Heartbeat(outbox, ManualClock(1_740_000_000.9), 0.001)
    writer = asyncio.create_task(outbox.run(send))
    await eventually(lambda: len(frames) >= 3)
    heartbeat.stop()
    outbox.close()
    await writer
    assert frames[:3] == [
        f'{{"type":"ping","message":{1_740_000_000 + beat}}}' for beat in range(3)
    ]


async def test_sockets_that_came_together_are_not_pinged_in_one_moment() -> None:
    """Each begins somewhere within the interval: a thousand pings at once delay every stream."""
    outboxes = [Outbox(too_slow="") for _ in range(100)]
    beats = [Heartbeat(outbox, ManualClock(1.0), 60.0) for outbox in outboxes]
    now = asyncio.get_running_loop().time()
    first = [beat._timer.when() - now for beat in beats]  # noqa: SLF001 - else it takes a minute
    for beat in beats:
        beat.stop()
    assert max(first) - min(first) > 30.0
    assert max(first) <= 60.0


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{nope", "malformed_json"),
        ("[]", "invalid_payload"),
        ('{"command":"dance"}', "unknown_command"),
        ('{"type":"stream_chunk","content":"x"}', "unknown_command"),
        ('{"command":"message","identifier":"x","data":"{}"}', "not_subscribed"),
        ('{"command":"subscribe","identifier":"{nope"}', "malformed_json"),
        ('{"command":"subscribe","identifier":7}', "invalid_payload"),
        ('{"command":"subscribe","identifier":"' + "x" * 70_000 + '"}', "frame_too_large"),
        (b"\x00binary", "invalid_payload"),
        ("", "malformed_json"),
    ],
)
async def test_a_wrong_frame_is_answered_and_the_connection_lives(
    web: Served, frame: str | bytes, code: str
) -> None:
    """Each gets the typed refusal of docs/protocol.md, in a shape that clients ignore."""
    async with web.cable("?sdk_token=token-1") as cable:
        await cable.frame()
        await cable.socket.send(frame)
        answer = await cable.frame()
        assert (answer["type"], answer["identifier"]) == ("error", "")
        message = answer["message"]
        assert isinstance(message, dict)
        assert (message["type"], message["code"]) == ("refused", code)
        await cable.subscribe(channel="BotChannel")
        assert (await cable.message())["type"] == "connected"


async def test_a_frame_above_the_largest_closes_with_1009(web: Served) -> None:
    """262,144 bytes is the end of every patience."""
    async with web.cable("?sdk_token=token-1") as cable:
        await cable.frame()
        await cable.socket.send("x" * 262_145)
        assert await cable.closed() == 1009


@pytest.mark.parametrize("frame", ['{"type":"pong"}', '{"command":"pong"}'])
async def test_a_pong_is_not_answered(web: Served, frame: str) -> None:
    """Older SDKs answer each ping, in either form."""
    async with web.bot() as bot:
        await bot.socket.send(frame)
        await bot.perform(action="ping")
        assert (await bot.message())["type"] == "pong"


async def test_a_socket_that_breaks_takes_its_bot_offline(web: Served) -> None:
    """Presence is the live connection, and nothing remains of one that was cut."""
    tasks = len(asyncio.all_tasks())
    async with web.bot() as bot:
        assert await web.node.is_online(1)
        abort(bot.socket)
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    assert not await web.node.is_online(1)


async def test_a_bot_that_never_reads_is_let_go_and_goes_offline(
    web: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others have to tell it is bounded; no close frame is waited for either."""
    monkeypatch.setattr(outbox_module, "CLOSE_TIMEOUT_S", 0.05)
    subscribe = '{"command":"subscribe","identifier":"{\\"channel\\":\\"BotChannel\\"}"}'
    incoming: list[Message] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": subscribe},
    ]
    written: list[str] = []
    stalled = asyncio.Event()

    async def receive() -> Message:
        if not incoming:
            await asyncio.get_running_loop().create_future()
        return incoming.pop(0)

    async def send(message: Message) -> None:
        written.append(message["type"])
        if len(written) > 4:  # the upgrade, welcome, connected, confirmation
            stalled.set()
            await asyncio.get_running_loop().create_future()

    clock = SystemClock()
    endpoint = CableEndpoint(
        channels=Channels(web.node, web.directory, clock),
        directory=web.directory,
        clock=clock,
        allowed_origins=(),
        ping_seconds=30.0,
        callers=Callers(),
    )
    async with asyncio.timeout(5):
        serving_it = asyncio.create_task(endpoint(SCOPE, receive, send))
        await eventually(lambda: len(written) == 4)
        for _ in range(6):
            await web.trigger(message=[{"role": "user", "type": "text", "text": "y" * 100_000}])
        await stalled.wait()
        await serving_it
    assert not await web.node.is_online(1)
    assert written == ["websocket.accept", *["websocket.send"] * 4]


async def test_a_bot_that_asks_for_more_than_it_reads_slows_itself_down(web: Served) -> None:
    """8 MiB of its own echoes are no reason to let a bot go: it is not read from meanwhile."""
    async with web.bot(1) as bot:

        async def read() -> list[JsonValue]:
            return [(await bot.message())["type"] for _ in range(200)]

        reading = asyncio.create_task(read())
        for _ in range(200):
            await bot.perform(action="log", message="y" * 40_000)
        assert set(await reading) == {"log"}


async def test_a_newer_connection_of_a_bot_closes_the_older_for_good(web: Served) -> None:
    """The loser is told `fenced` and must not come back; the winner speaks for the bot."""
    async with web.bot() as older, web.bot() as newer:
        assert await older.frame() == {
            "type": "disconnect",
            "reason": "fenced",
            "reconnect": False,
        }
        assert await older.closed() == 1000
        await newer.perform(action="status")
        assert (await newer.until("status_response"))["online"] is True
        assert await web.node.is_online(1)


def abort(socket: ClientConnection) -> None:
    """Cut a connection without a close frame."""
    socket.transport.abort()


UPGRADE = (
    b"GET /cable?sdk_token=token-1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize("fast_path", ["on", "off"])
async def test_whoever_was_cut_for_a_flood_waits_for_its_next_welcome(
    fast_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is slowed down, needs to know nothing of it, and no other bot notices.

    To make a connection costs more than to see that it floods, so a flood must not come back at
    once.
    """
    monkeypatch.setattr(gate_module, "FLOOD_REST_S", 0.5)
    async with serving(fast_path=fast_path) as web, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(UPGRADE)
        await reader.readuntil(b"welcome")
        writer.write(bytes([0x89, 0x80, 0, 0, 0, 0]) * 300)
        assert b"rate_limited" in await reader.read()
        writer.close()
        for token, waits in (("token-2", 0), ("token-1", 1)):
            with capture_logs() as logged:
                async with web.cable(f"?sdk_token={token}") as cable:
                    assert await cable.frame() == {"type": "welcome"}
            assert [line["event"] for line in logged].count("caller_slowed") == waits


async def test_who_leaves_while_it_waits_is_not_let_in_and_keeps_no_place() -> None:
    """It is refused with the time that is left, in case it still hears it."""
    gate = Gate(Allowance(connections_per_bot=1))
    clock = ManualClock(100.0)
    directory = FakeDirectory()
    incoming: list[Message] = [{"type": "websocket.connect"}, {"type": "websocket.disconnect"}]
    written: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        written.append(message)

    endpoint = CableEndpoint(
        channels=Channels(cast("Node", None), directory, clock),
        directory=directory,
        clock=clock,
        allowed_origins=(),
        ping_seconds=30.0,
        callers=Callers(),
        gate=gate,
    )
    gate.flooded(("bot_id", 1), clock.now() - 2)
    await endpoint(SCOPE, receive, send)
    assert [message.get("status") for message in written] == [429, None]
    assert (b"retry-after", b"3") in written[0]["headers"]
    permit = gate.admit(Kind.SOCKET, "", clock.now())
    assert isinstance(permit, Permit)
    assert permit.claim(("bot_id", 1), clock.now()) is None
