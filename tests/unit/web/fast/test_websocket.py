"""uvicorn's WebSocket protocol, once its frames are taken straight from the socket."""

from __future__ import annotations

import asyncio

import pytest

from relay.limits.allowance import Allowance
from relay.limits.door import Door
from relay.web.fast import frames, websocket
from relay.web.fast.websocket import PORTION_BYTES, socket_in
from relay.web.hardened.websocket import AFTER_CLOSE_BYTES_MAX
from tests.unit.web.fakes import eventually, serving
from tests.unit.web.fast.stage import EOF, UPGRADE, Stage, User

TEXT, PING, PONG, CLOSE, BINARY = 0x81, 0x89, 0x8A, 0x88, 0x82


def frame(first: int, payload: bytes = b"") -> bytes:
    """A masked frame, with a mask of zeros."""
    if len(payload) > 125:
        return bytes((first, 0x80 | 126)) + len(payload).to_bytes(2) + bytes(4) + payload
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


@pytest.fixture
async def stage() -> Stage:
    """A peer that has connected."""
    return Stage()


async def test_what_comes_is_given_to_who_claimed_the_socket(stage: Stage) -> None:
    """With the bytes that were read for it, those of earlier reads included."""
    await stage.open()
    long = frame(TEXT, b"x" * 200)
    stage.say(frame(TEXT, b"a") + frame(TEXT, b"b") + frame(BINARY, b"123"), long[:50], long[50:])
    assert stage.user.told == [("text", "a"), ("text", "b"), ("binary", 3), ("text", "x" * 200)]
    assert sum(stage.user.sizes) == 7 + 7 + 9 + 208
    await stage.stop()


@pytest.mark.parametrize(
    "early",
    [*(frame(TEXT, b"early")[:size] for size in (11, 3, 8)), frame(0x01, b"ear")],
    ids=["a frame", "half a head", "half a frame", "a fragment"],
)
async def test_what_came_before_the_handshake_was_answered_is_for_who_claims_the_socket(
    stage: Stage, early: bytes
) -> None:
    """No client may send it, but one does. Nothing more is read before."""
    stage.accept.clear()
    stage.say(UPGRADE, early)
    await asyncio.sleep(0)
    assert not stage.wire.is_reading()
    stage.accept.set()
    await eventually(lambda: bool(stage.offered))
    assert stage.offered == [stage.protocol]
    assert stage.wire.is_reading()
    rest = frame(TEXT, b"early")[len(early) :]
    stage.say(frame(0x80, b"ly") if early[0] == 0x01 else rest, frame(TEXT, b"late"))
    assert stage.user.told == [("text", "early"), ("text", "late")]
    await stage.stop()


async def test_a_socket_that_the_application_has_read_from_is_not_offered(stage: Stage) -> None:
    """What the library has begun, it has to finish."""
    stage.claims = False
    await stage.open()
    stage.say(frame(0x01, b"ear"))
    assert stage.protocol.has_frames
    await stage.stop()


async def test_a_ping_is_answered_at_once(stage: Stage) -> None:
    """With its own payload, also between the fragments of a message."""
    await stage.open()
    stage.say(frame(0x01, b"a") + frame(PING, b"p") + frame(0x80, b"b"))
    assert stage.wire.written == frames.frame(10, b"p")
    assert stage.user.told == [("text", "ab")]
    await stage.stop()


async def test_pings_that_come_together_are_answered_together(stage: Stage) -> None:
    """Each of them, before the answer to a close behind them; a write for each takes too long."""
    await stage.open()
    before = stage.wire.writes
    stage.say(frame(PING, b"p") + frame(PING, b"q"))
    assert stage.wire.written == b"\x8a\x01p\x8a\x01q"
    assert stage.wire.writes == before + 1
    stage.say(frame(PING, b"r") + frame(CLOSE, b"\x03\xe8"))
    assert stage.wire.written.endswith(b"\x8a\x01r\x88\x02\x03\xe8")
    await stage.stop()


async def test_our_own_ping_is_answered_or_the_peer_is_let_go(stage: Stage) -> None:
    """Its pong ends the wait; without one the connection fails with 1011, once for its user."""
    stage.protocol.ping_timeout = 0.0
    await stage.open()
    protocol = stage.protocol
    protocol.send_keepalive_ping()
    stage.say(frame(PONG, stage.wire.written[2:6]))
    assert protocol.pong_timer is None
    protocol.send_keepalive_ping()
    await eventually(lambda: bool(stage.wire.done))
    assert stage.wire.written.endswith(frames.close(1011, "keepalive ping timeout"))
    assert ("lost", None) in stage.user.told
    await stage.stop()


async def test_a_peer_that_we_slow_down_is_not_taken_for_dead(stage: Stage) -> None:
    """Its pong waits behind what is not read."""
    stage.protocol.ping_timeout = 0.0
    await stage.open()
    stage.protocol.pause_reading()
    assert not stage.wire.is_reading()
    stage.protocol.send_keepalive_ping()
    await asyncio.sleep(0.01)
    assert stage.wire.done == []
    stage.protocol.resume_reading()
    assert stage.wire.is_reading()
    await eventually(lambda: bool(stage.wire.done))
    await stage.stop()


async def test_a_close_is_answered_and_ends_the_user(stage: Stage) -> None:
    """At once: a peer that does not read our answer must not keep its place."""
    await stage.open()
    stage.say(frame(TEXT, b"a") + frame(CLOSE, b"\x03\xe8") + frame(TEXT, b"b"))
    assert stage.wire.written == frames.close(1000)
    assert stage.wire.done == ["close"]
    assert stage.user.told == [("text", "a"), ("lost", None)]
    await eventually(lambda: stage.wire.done == ["close", "abort"])
    await stage.stop()


async def test_who_breaks_the_rules_is_told_so(stage: Stage) -> None:
    """What came before counts."""
    await stage.open()
    stage.say(frame(TEXT, b"a") + frame(0xC1, b"b"))
    assert stage.user.told == [("text", "a"), ("lost", None)]
    assert stage.wire.written == frames.close(1002, "no extension was negotiated") + EOF
    await stage.stop()


async def test_who_breaks_the_rules_is_read_on_for_a_while(stage: Stage) -> None:
    """Else the last word would be lost with what is unread. So much, for so long, and unseen."""
    await stage.open()
    stage.protocol.pause_reading()
    stage.say(frame(0xC1, b"b"))
    written, told = stage.wire.written, list(stage.user.told)
    assert stage.wire.is_reading()
    assert stage.wire.done == []
    stage.say(frame(TEXT, b"c"), frame(PING), frame(CLOSE, b"\x03\xe8"))
    assert stage.wire.is_reading()
    stage.say(bytes(AFTER_CLOSE_BYTES_MAX))
    assert not stage.wire.is_reading()
    assert (stage.wire.written, stage.user.told) == (written, told)
    await eventually(lambda: stage.wire.done == ["abort"])
    await stage.stop()


async def test_a_peer_that_says_too_much_reads_why_once_it_has_said_it() -> None:
    """Over a real socket, which is reset where it is closed with something unread."""
    async with serving() as web:
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(UPGRADE.replace(b"GET / ", b"GET /cable?sdk_token=token-2 "))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(bytes((TEXT, 0x80 | 127)) + (2**20).to_bytes(8) + bytes(4))
        for _ in range(25):
            writer.write(bytes(16_384))
            await writer.drain()
            await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            said = await reader.read()  # to its end
        writer.close()
    assert (1009).to_bytes(2) in said


async def test_a_flood_of_pings_is_cut_and_answered_no_more(stage: Stage) -> None:
    """1008, and a mark at the door; the pings behind it cost nothing more."""
    await stage.open()
    stage.say(frame(PING) * 300)
    assert stage.wire.written.endswith(frames.close(1008, "rate_limited"))
    assert stage.wire.written.count(frames.frame(10, b"")) < 100
    assert stage.user.told == [("lost", None)]
    await stage.stop()


async def test_our_close_is_said_once_and_its_answer_ends_the_connection(stage: Stage) -> None:
    """The user is gone with it. Pings behind it are not answered, nor kept."""
    await stage.open()
    stage.protocol.pause_reading()
    stage.protocol.out.write(frames.texts(["bye"]))
    stage.protocol.close()
    stage.protocol.close()
    assert stage.wire.written == frames.text("bye") + frames.close(1000)
    assert stage.user.told == [("lost", None)]
    assert stage.wire.is_reading()
    stage.say(frame(PING, b"p") * 3)
    assert stage.wire.written.endswith(frames.close(1000))
    assert stage.protocol.conn.data_to_send() == []
    assert stage.wire.done == []
    stage.say(frame(CLOSE, b"\x03\xe8"))
    assert stage.wire.done == ["close"]
    await stage.stop()


async def test_a_close_that_is_not_answered_ends_the_connection_in_time(stage: Stage) -> None:
    """Whatever is left to write."""
    await stage.open()
    stage.protocol.close()
    await eventually(lambda: stage.wire.done == ["abort"])
    await stage.stop()


async def test_a_server_that_stops_says_so(stage: Stage) -> None:
    """1012, and the user is gone."""
    await stage.open()
    stage.protocol.shutdown()
    assert stage.wire.written == frames.close(1012)
    assert stage.user.told == [("lost", None)]
    assert stage.wire.done == ["close"]
    await stage.stop()


async def test_a_full_socket_says_so_until_it_is_read() -> None:
    """The user asks before it writes, and is told when it may again."""
    stage = Stage()
    await stage.open()
    full = [stage.protocol.is_full]
    for change in (stage.protocol.pause_writing, stage.protocol.resume_writing):
        change()
        full.append(stage.protocol.is_full)
    assert full == [False, True, False]
    assert stage.user.told == [("may write", None)]
    await stage.stop()


async def test_what_was_read_before_reading_stopped_is_taken_when_it_goes_on(
    stage: Stage,
) -> None:
    """In portions: a socket that is read again has something to take before it reads."""
    await stage.open()
    piece = frame(TEXT, b"x" * 100)
    stage.protocol.data_received(piece * 10_000)
    stage.protocol.pause_reading()
    seen = len(stage.user.told)
    assert 0 < seen < 10_000
    stage.protocol.resume_reading()
    await eventually(lambda: len(stage.user.told) == 10_000)
    assert stage.wire.is_reading()
    await stage.stop()


async def test_what_is_decoded_in_a_turn_is_told_together(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that those of one stream are acted on together, where the relay is behind.

    What is no text is answered behind its portion.
    """
    monkeypatch.setattr(websocket, "TURN_S", 100.0)
    await stage.open()
    piece = frame(TEXT, b"x" * 100)
    count = 2 * PORTION_BYTES // len(piece)
    stage.say(piece * count)
    assert (len(stage.user.told), stage.user.sizes) == (count, [count * len(piece)])
    stage.say(piece * count + frame(PING, b"?") + piece * count)
    assert stage.wire.written == bytes((PONG, 1)) + b"?"
    assert (len(stage.user.told), len(stage.user.sizes)) == (3 * count, 3)
    assert sum(stage.user.sizes) == 3 * count * len(piece) + 7
    stage.say(piece * count + frame(BINARY, b"123"))
    assert stage.user.told == [("text", "x" * 100)] * (4 * count) + [("binary", 3)]
    await stage.stop()


async def test_a_peer_that_is_gone_leaves_the_door_and_its_user() -> None:
    """A place for the next one."""
    door = Door(Allowance(connections_per_address=1))
    stage = Stage(door)
    assert door.enter(stage.wire, "192.0.2.1", 0.0) is None
    assert len(door) == 1
    await stage.open()
    stage.protocol.connection_lost(ConnectionResetError())
    assert (len(door), stage.user.told) == (0, [("lost", None)])
    late = User()
    stage.protocol.claim(late)
    assert late.told == [("lost", None)]
    stage.protocol.close()
    await stage.stop()


def test_a_scope_without_a_socket_offers_none() -> None:
    """Another server."""
    assert socket_in({"type": "websocket"}) is None
    assert socket_in({"type": "websocket", "extensions": {"relay.socket": {}}}) is None
