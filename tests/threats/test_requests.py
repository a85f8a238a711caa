"""Generated requests to the devices' and workers' endpoints: each is answered as the protocol says.

They have no OpenAPI document that schemathesis could read; the shapes here are those of
docs/protocol.md and of the glasses' platform, with any of their values exchanged.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from structlog.testing import capture_logs

from relay.broker.memory import memory_broker
from relay.clock import ManualClock
from relay.node.node import Node
from relay.node.tracer import Tracer
from relay.web.routes import web_routes
from relay.web.sse import Responder
from relay.wire.jsontext import JsonValue
from relay.wire.sse import SseParser
from tests.unit.web.fakes import SETTINGS, FakeDirectory, MemorySink

LATER_S = 3600.0
"""Streams from before the start are not waited for any more."""


class App:
    """The endpoints over a node without bots, called without a port on a loop of their own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        clock = ManualClock()
        node = Node(
            clock=clock,
            broker=memory_broker(),
            settings=SETTINGS,
            tracer=Tracer(MemorySink(), batch_s=0.0),
            call_later=self.loop.call_later,
        )
        clock.advance(LATER_S)
        responder = Responder(keepalive_s=7.0, drain_s=0)
        routes = web_routes(node, FakeDirectory(), responder, SETTINGS, clock)
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(Starlette(routes=[*routes])), base_url="http://relay"
        )

    def send(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read the whole answer."""
        with capture_logs() as logged:
            answer = self.loop.run_until_complete(self.http.send(request))
        assert not [event for event in logged if event["log_level"] == "error"], logged
        return answer


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    """One relay for all examples."""
    app = App()
    yield app
    app.loop.run_until_complete(app.http.aclose())
    app.loop.close()


any_text = st.text(st.characters(codec="utf-8"), max_size=20)
odd_text = st.sampled_from(["", " ", "\0", "\u2028", "a" * 300, "U1", "1", "-1", "en", "嘿🦞"])
json_values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
items = st.fixed_dictionaries(
    {"role": st.just("user"), "type": st.sampled_from(["text", "image"]), "text": any_text},
    optional={"image_url": json_values, "content": json_values, "image": any_text},
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "message_id": st.just("1740000000000") | json_values,
        "agent_id": st.just("agent") | json_values,
        "user_id": st.just("U1") | json_values,
        "message": st.lists(items, min_size=1, max_size=3) | json_values,
        "metadata": st.fixed_dictionaries({"lang": odd_text, "context": json_values}) | json_values,
        "text": any_text,
    },
)
raw_bodies = st.builds(lambda body: json.dumps(body).encode(), bodies) | st.binary(max_size=60)
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
credentials = st.sampled_from(["Bearer ak_1", "bearer  ak_1", "ak_1"]) | printable
tokens = odd_text.filter(str.isascii).map(str.strip).filter(str.isprintable) | printable


@settings(max_examples=150)
@given(body=raw_bodies, authorization=credentials, trigger=st.booleans())
def test_a_question_is_answered_in_the_devices_way(
    app: App, body: bytes, authorization: str, trigger: bool
) -> None:
    """Glasses are always told in words and with an end; workers get JSON with a code."""
    path = "/api/rokid/trigger" if trigger else "/sse/rokid"
    headers = {"Authorization": authorization}
    answer = app.send(httpx.Request("POST", f"http://relay{path}", content=body, headers=headers))
    if trigger:
        assert answer.status_code in {200, 400, 401, 403, 404, 413, 429}
        said = answer.json()
        assert said["session_id"] if answer.is_success else said["code"] and said["error"]
        return
    assert answer.status_code == 200
    events = SseParser().feed(answer.content)
    assert [event.event for event in events[-2:]] == ["message", "done"]
    assert all(isinstance(json.loads(event.data), dict) for event in events)


@settings(max_examples=150)
@given(
    query=st.dictionaries(
        st.sampled_from(["bot_id", "session_id", "ticket", "last_event_id", "lastEventId", "x"]),
        tokens | any_text,
        max_size=4,
    ),
    header=tokens,
    stream=printable | any_text,
    poll=st.booleans(),
)
def test_a_reader_is_answered_with_a_code(
    app: App, query: dict[str, str], header: str, stream: str, poll: bool
) -> None:
    """Nothing that does not exist is found, whatever it is called, and nothing breaks."""
    path = "/api/rokid/poll" if poll else f"/streams/{quote(stream, safe='') or 'x'}/events"
    request = httpx.Request(
        "GET",
        f"http://relay{path}",
        params=query,
        headers={"Authorization": "Bearer ak_1", "Last-Event-ID": header},
    )
    answer = app.send(request)
    assert answer.status_code in {400, 401, 404, 410}
    if answer.headers.get("content-type") == "application/json":
        assert answer.json()["code"]
    else:
        assert answer.text == "Not Found", "a path with a slash in it is no stream's"
