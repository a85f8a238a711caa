"""Every number that somebody may send, on every door: exactly an integer in range, or refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import product

import pytest

from relay.errors import BadRequest
from relay.protocol.events import RefusalCode
from relay.web.admin.operations import query_reader
from relay.web.admin.page_filters import read_filters
from relay.web.admin.schema import TraceListQuery
from relay.wire import jsontext
from relay.wire.bot import PayloadRefused, decode
from relay.wire.bot_client import decode_outbound
from relay.wire.entry import MalformedPosition, parse_position
from relay.wire.jsontext import MalformedJson
from tests.support.admin_api import admin_api
from tests.unit.web.fakes import QUESTION, Served, serving

BAD = ["-1", "true", "1.0", '"1"', "2147483648", "9223372036854775808", "1e400", "1e2", "NaN"]
BAD += ["-0.0", "[1]", '{"a":1}', "01", "0x1", "1_000", '""', "18446744073709551616", "Infinity"]
"""As JSON. Where 2^31 is a number like every other, a door takes it off its list."""

CHUNK = '{"type":"stream_chunk","session_id":"s","content":"x","sequence":%s}'
END = '{"type":"stream_end","session_id":"s","total_chunks":%s}'
SUMMARY = '{"type":"stream_summary","session_id":"s","total_content":"x","total_chunks":%s}'


@pytest.mark.parametrize("number", BAD)
@pytest.mark.parametrize("said", [CHUNK, END, SUMMARY], ids=["sequence", "end", "summary"])
def test_a_bots_number_is_refused(said: str, number: str) -> None:
    """By the JSON, or with a code that says which field: nothing is rounded, cut or guessed."""
    try:
        payload = jsontext.loads(said % number)
    except MalformedJson:
        return
    assert isinstance(payload, dict)
    with pytest.raises(PayloadRefused) as refused:
        decode(payload, must_number=True)
    assert refused.value.code in {RefusalCode.INVALID_SEQUENCE, RefusalCode.INVALID_PAYLOAD}
    assert "integer in 0.." in refused.value.message


ACK = '{"type":"ack","session_id":"s","next_sequence":%s,"received":[[0,%s]],"credit":%s}'
CLOSED = '{"type":"stream_closed","session_id":"s","outcome":"o","missing":[],"total_chunks":%s}'
CONNECTED = '{"type":"connected","bot_id":%s,"session_id":"s","protocol":%s,"window":%s}'
SAID = {
    "ack.next_sequence": ACK % ("%s", "0", "9"),
    "ack.received": ACK % ("1", "%s", "9"),
    "ack.credit": ACK % ("1", "0", "%s"),
    "closed.total_chunks": CLOSED,
    "refused.sequence": '{"type":"refused","code":"late","sequence":%s}',
    "connected.bot_id": CONNECTED % ("%s", "2", "9"),
    "connected.protocol": CONNECTED % ("1", "%s", "9"),
    "connected.window": CONNECTED % ("1", "2", "%s"),
}


@pytest.mark.parametrize("number", ["-1", "true", "1.0", '"1"', "[1]", "-0.0", "1e2", "1e400"])
@pytest.mark.parametrize("field", SAID)
def test_a_relays_number_is_not_believed(field: str, number: str) -> None:
    """The SDK takes such a message for none."""
    try:
        payload = jsontext.loads(SAID[field] % number)
    except MalformedJson:
        return
    assert isinstance(payload, dict)
    assert decode_outbound(payload) is None


@pytest.mark.parametrize("digits", ["-1", "1.0", "01", "1e2", "9" * 16, "١", "+1", " 1", "0x1", ""])
def test_an_offset_is_exactly_what_was_given_out(digits: str) -> None:
    """Of a position in `Last-Event-ID`."""
    with pytest.raises(MalformedPosition):
        parse_position(f"e.{digits}")


IDS = ["-1", "0", "true", "1.0", "9" * 19, "1e400", "١", "+1", " 1", "0x1", "1_0", "%00", ""]


AK = {"Authorization": "Bearer ak_1"}


async def test_a_pollers_numbers_are_refused(web: Served) -> None:
    """`bot_id` and the bare offset of `Last-Event-ID`: 400 that names the field."""
    await web.http.post("/api/rokid/trigger", json=dict(QUESTION), headers=AK)
    good = {"bot_id": "1", "session_id": str(QUESTION["message_id"])}
    for number in IDS:
        answer = await web.http.get(
            "/api/rokid/poll", params={**good, "bot_id": number}, headers=AK
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), number
        assert "bot_id" in answer.json()["error"]
    for number in ("-1", "9" * 16, "1e400", "+1", "0x1", "1_0", "e.-1", "e.01", "e.1e2"):
        headers = {**AK, "Last-Event-ID": number}
        answer = await web.http.get("/api/rokid/poll", params=good, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), number


async def test_an_identifiers_number_opens_nothing_it_should_not(web: Served) -> None:
    """Another bot's id is rejected; a protocol that is none is the oldest one."""
    for number in ("-1", "true", "1.0", "9223372036854775808", "1e400", "[1]"):
        for field in ("bot_id", "protocol"):
            identifier = f'{{"channel":"BotChannel","{field}":{number}}}'
            async with web.cable("?sdk_token=token-1") as cable:
                await cable.send({"command": "subscribe", "identifier": identifier})
                assert (await cable.frame())["type"] == "welcome"
                answer = await cable.frame()
            if number == "1e400":
                assert answer["type"] == "error"
            elif field == "bot_id":
                assert answer["type"] == "reject_subscription"
            else:
                assert answer.get("type") != "reject_subscription"


@pytest.fixture(params=["on", "off"], ids=["fast", "plain"])
async def web(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """A relay whose bots are away, on both of its ways to a socket."""
    async with serving(fast_path=request.param) as served:
        yield served


async def test_a_devices_number_is_an_answer_or_an_id(web: Served) -> None:
    """Ids may be numbers on this door; whatever comes is HTTP 200 with an end, never a 500."""
    for number in BAD:
        for field in ("message_id", "agent_id", "user_id"):
            body = json.dumps({**QUESTION, field: "HERE"}).replace('"HERE"', number)
            answer = await web.http.post("/sse/rokid", content=body.encode(), headers=AK)
            assert answer.status_code == 200
            assert "event: done" in answer.text
            assert answer.headers.get("relay-error", "bad_request") == "bad_request"


QUERIES = {
    "/traces": ("limit", "bot_id"),
    "/statistics": ("step",),
    "/live": ("limit",),
    "/traces/export": ("bot_id",),
}
NUMBERS = ["-1", "0", "true", "1.0", "9223372036854775808", "1e400", "١", "0x1", "", "%00", "1_0"]


async def test_an_administrators_number_is_refused() -> None:
    """In queries and in paths: 400 and 404, with a code."""
    async with admin_api() as api:
        for number, (path, names) in product(NUMBERS, QUERIES.items()):
            for name in names:
                answer = await api.http.get(f"/admin/api{path}?{name}={number}")
                assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
        for number in set(NUMBERS) - {""}:
            answer = await api.http.post(f"/admin/api/keys/{number}/rotate")
            assert answer.status_code == 404, answer.text


async def test_a_number_in_an_administrators_body_is_refused() -> None:
    """A scope's bots: 400, and no key is made. 1.0 is an integer there, as JSON Schema has it."""
    async with admin_api() as api:
        for number in ("-1", "0", "true", '"1"', "1.5", "9223372036854775808", "1e400", "[1]"):
            body = f'{{"name":"n","scope":{{"bots":[{number}]}}}}'
            answer = await api.http.post(
                "/admin/api/keys", content=body, headers={"Content-Type": "application/json"}
            )
            assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), number
        assert api.store.keys == {}


@pytest.mark.parametrize("number", ["-1", "true", "1.0", "9" * 19, "1e400", "١", "NaN"])
def test_a_number_in_the_pages_address_is_left_out_and_named(number: str) -> None:
    """A filter that cannot be understood must not select something else in silence."""
    for name in ("bot_id", "since", "until"):
        if name != "bot_id" and number == "1.0":
            continue  # a second after the beginning of 1970
        filters = read_filters({name: number}, 1_700_000_000.0)
        assert any(problem.startswith(name) for problem in filters.problems), name
        assert filters.where.bot_id is None
        assert filters.where.since is None


def test_the_types_of_a_query_say_so_too() -> None:
    """What the table above tries is refused by one reader, so that a new parameter is as strict."""
    with pytest.raises(BadRequest, match="limit"):
        query_reader(TraceListQuery)(b"limit=2147483648")
