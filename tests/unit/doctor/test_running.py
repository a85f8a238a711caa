from __future__ import annotations

import json

import pytest

from relay.doctor.finding import Level
from relay.doctor.http1 import Reply
from relay.doctor.running import (
    SUBPROTOCOL,
    judge_answer,
    judge_buffering,
    judge_cable,
    judge_health,
    judge_readiness,
    look_at_relay,
)
from tests.support.canned import canned

ONE_BY_ONE = (0.01, 0.11, 0.21, 0.31, 0.41)
STREAM = {"content-type": "text/event-stream; charset=utf-8"}


def reply(
    body: object, status: int = 200, arrivals: tuple[float, ...] = (0.01,), **headers: str
) -> Reply:
    """An answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, data, arrivals)


@pytest.mark.parametrize(
    ("given", "level", "said"),
    [
        (reply({"status": "ok"}), Level.OK, "answers in 10 ms"),
        (reply(b"<h1>It works!</h1>"), Level.FAIL, "not a relay"),
        (reply(b"Bad Gateway", 502), Level.FAIL, "answers 502"),
    ],
)
def test_health_is_judged(given: Reply, level: Level, said: str) -> None:
    """A relay, something else, a proxy without one."""
    finding = judge_health("http://r", given)
    assert finding.level is level
    assert said in finding.what


def test_readiness_is_judged() -> None:
    """Each part that is not ready by its name."""
    assert [f.level for f in judge_readiness(reply({"status": "ready"}))] == [Level.OK]
    reasons = {"database": "the database does not answer", "relay": "the relay is draining"}
    unready = judge_readiness(reply({"status": "unready", "reasons": reasons}, 503))
    assert [finding.what for finding in unready] == [
        "not ready, database: the database does not answer",
        "not ready, relay: the relay is draining",
    ]
    assert judge_readiness(reply(b"nginx", 404))[0].level is Level.FAIL


@pytest.mark.parametrize(
    ("subprotocol", "first", "known", "level", "said"),
    [
        (SUBPROTOCOL, '{"type":"disconnect","reason":"unauthorized"}', False, Level.OK, "token"),
        (SUBPROTOCOL, '{"type":"welcome"}', True, Level.OK, "key is taken"),
        (SUBPROTOCOL, '{"type":"disconnect","reason":"unauthorized"}', True, Level.FAIL, "refused"),
        (None, '{"type":"disconnect"}', False, Level.WARN, "got lost"),
        (SUBPROTOCOL, "hello", False, Level.FAIL, "something else"),
        (SUBPROTOCOL, b"\xff", False, Level.FAIL, "something else"),
        (SUBPROTOCOL, "[]", False, Level.FAIL, "something else"),
    ],
)
def test_a_handshake_is_judged(
    subprotocol: str | None, first: str | bytes, known: bool, level: Level, said: str
) -> None:
    """Without a key the relay refuses, but in its own words."""
    finding = judge_cable(subprotocol, first, known=known)
    assert finding.level is level
    assert said in finding.what


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        (reply(b": piece", arrivals=ONE_BY_ONE), [Level.OK]),
        (reply(b": piece", arrivals=(0.41, 0.4101)), [Level.FAIL]),
        (reply(b": piece", arrivals=(0.41,)), [Level.FAIL]),
        (reply(b": piece", arrivals=(0.21, 0.41)), [Level.WARN]),
        (reply(b"\x1f\x8b", arrivals=ONE_BY_ONE, content_encoding="gzip"), [Level.WARN, Level.OK]),
        (reply(b"", 404), [Level.SKIP]),
        (reply(b"", 503), [Level.SKIP]),
        (reply(b"", arrivals=()), [Level.SKIP]),
    ],
)
def test_buffering_is_judged_by_when_the_pieces_came(given: Reply, levels: list[Level]) -> None:
    """One by one, in one lump, in a few; compressed; or nothing to go by."""
    assert [finding.level for finding in judge_buffering(given)] == levels


@pytest.mark.parametrize(
    ("given", "level", "said"),
    [
        (Reply(200, STREAM, b"event:done\n\n", (0.02,)), Level.OK, "to its end, 20 ms"),
        (
            Reply(200, {**STREAM, "relay-error": "unauthorized"}, b"", ()),
            Level.FAIL,
            "unauthorized",
        ),
        (Reply(413, {"content-type": "text/html"}, b"", ()), Level.FAIL, "413 with text/html"),
        (Reply(200, STREAM, b"event:message\n", (0.02,)), Level.FAIL, "without its end"),
    ],
)
def test_an_answer_is_judged(given: Reply, level: Level, said: str) -> None:
    """A device must read an answer to its end."""
    finding = judge_answer(given)
    assert finding.level is level
    assert said in finding.what


@pytest.mark.parametrize(
    "url", ["relay.example", "ws://relay.example", "", "http://[x", "http://x:99999", "http://x:y"]
)
async def test_what_is_no_address_is_a_finding(url: str) -> None:
    """The findings about everything else are told all the same."""
    (finding,) = await look_at_relay(url, None)
    assert (finding.level, finding.what) == (Level.FAIL, f"{url} is no address")
    assert "https://relay.example" in finding.mend


async def test_where_nothing_listens_nothing_more_is_looked_at() -> None:
    """One failure, and what to do."""
    (finding,) = await look_at_relay("http://127.0.0.1:1", None)
    assert finding.level is Level.FAIL
    assert "refused" in finding.what


async def test_what_is_not_a_relay_is_not_asked_more() -> None:
    """Some other server."""
    async with canned(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as url:
        (finding,) = await look_at_relay(url + "/", "k")
    assert "not a relay" in finding.what


async def test_a_proxy_that_passes_no_upgrade_is_told() -> None:
    """It answers everything alike: healthy, but a WebSocket does not open, and no stream comes."""
    healthy = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"ok"}'
    async with canned(healthy) as url:
        found = await look_at_relay(url, None)
    (cable,) = [finding for finding in found if finding.area == "cable"]
    assert cable.level is Level.FAIL
    assert "200" in cable.what
    assert "proxy_set_header Upgrade" in cable.mend
