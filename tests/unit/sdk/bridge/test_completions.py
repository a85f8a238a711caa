"""With the real `openai` library, against a server that speaks HTTP by hand."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from relay_sdk.bridge.completions import Completion, CompletionsClient, Request, make_client
from relay_sdk.bridge.endpoint import Endpoint
from relay_sdk.bridge.failures import FailureKind, ModelFailure
from relay_sdk.bridge.tool_calls import ToolCall
from relay_sdk.errors import UsageError
from tests.support.openai_server import (
    CUT,
    DONE,
    OpenAIServer,
    burst,
    call,
    event,
    finish,
    part,
    text,
    usage,
)
from tests.support.turns import counted_turns

HI = Request([{"role": "user", "content": "hi"}])


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    """An endpoint."""
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
def endpoint(server: OpenAIServer) -> Endpoint:
    """Its address, with a key."""
    return Endpoint(server.url, "lobster", api_key="k3y")


@pytest.fixture
async def client(endpoint: Endpoint) -> AsyncIterator[CompletionsClient]:
    """The real library."""
    client = make_client(endpoint)
    yield client
    await client.close()


@pytest.fixture
def completion(client: CompletionsClient, endpoint: Endpoint) -> Completion:
    """A question."""
    return Completion(client, endpoint, HI)


async def read(completion: Completion) -> list[str]:
    """Return the pieces of the whole answer."""
    return [text async for text in completion.texts()]


async def failure(completion: Completion) -> ModelFailure:
    """Return what goes wrong with the answer."""
    with pytest.raises(ModelFailure) as caught:
        await read(completion)
    return caught.value


async def test_text_comes_piece_by_piece(server: OpenAIServer, completion: Completion) -> None:
    """As the endpoint sends it, whitespace included."""
    server.say("Hel", "lo", " ", "\n")
    assert await read(completion) == ["Hel", "lo", " ", "\n"]
    assert completion.finish_reason == "stop"
    assert completion.tokens == 4
    assert completion.calls == ()


async def test_the_request_is_what_the_api_wants(
    server: OpenAIServer, completion: Completion
) -> None:
    """Streaming, with the key in the header and nothing that an old endpoint does not know."""
    server.say("x")
    await read(completion)
    (asked,) = server.asked
    assert asked.body == {"model": "lobster", "messages": HI.messages, "stream": True}
    assert asked.headers["authorization"] == "Bearer k3y"


async def test_tools_and_session_are_sent_where_they_are_given(
    server: OpenAIServer, client: CompletionsClient, endpoint: Endpoint
) -> None:
    """As `tools` and `user`."""
    server.say("x")
    await read(Completion(client, endpoint, Request(HI.messages, [{"type": "function"}], "bot_1")))
    assert server.last["tools"] == [{"type": "function"}]
    assert server.last["user"] == "bot_1"


async def test_the_usage_counts_the_tokens(server: OpenAIServer, completion: Completion) -> None:
    """A piece may be several tokens; the part with the usage has no choice."""
    server.script(text("Hello glasses"), finish(), usage(17), DONE)
    await read(completion)
    assert completion.tokens == 17


async def test_the_reason_of_the_end_stands(server: OpenAIServer, completion: Completion) -> None:
    """Some endpoints send parts behind it that say nothing."""
    server.script(text("Hello"), finish("length"), part({}), DONE)
    await read(completion)
    assert completion.finish_reason == "length"


async def test_tool_calls_are_put_together(server: OpenAIServer, completion: Completion) -> None:
    """From pieces, while text may come before them."""
    server.script(
        text("Let me look."),
        call(0, id="call_a", name="take_navigation", arguments=""),
        call(0, arguments='{"action":'),
        call(1, id="call_b", name="take_photo", arguments="{}"),
        call(0, arguments='"close"}'),
        finish("tool_calls"),
        DONE,
    )
    assert await read(completion) == ["Let me look."]
    assert completion.finish_reason == "tool_calls"
    assert completion.calls == (
        ToolCall("call_a", "take_navigation", '{"action":"close"}'),
        ToolCall("call_b", "take_photo", "{}"),
    )


async def test_a_call_alone_is_an_answer(server: OpenAIServer, completion: Completion) -> None:
    """No text is no failure then."""
    server.script(call(0, id="a", name="take_photo", arguments=""), finish("tool_calls"), DONE)
    assert await read(completion) == []


async def test_a_refusal_is_what_the_model_says(
    server: OpenAIServer, completion: Completion
) -> None:
    """Some models refuse in a field of its own."""
    server.script(part({"refusal": "I would rather not."}), finish(), DONE)
    assert await read(completion) == ["I would rather not."]


async def test_what_an_endpoint_leaves_out_is_no_error(
    server: OpenAIServer, completion: Completion
) -> None:
    """No role, no finish reason, no usage, no choices, a null for a delta."""
    server.script(
        event({"choices": None}),
        event({"choices": [{"delta": None}]}),
        event({"choices": [{"delta": {}}]}),
        event({"choices": [{"delta": {"content": "Hello"}}], "usage": {}}),
    )
    assert await read(completion) == ["Hello"]
    assert completion.finish_reason is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureKind.REQUEST),
        (401, FailureKind.KEY),
        (404, FailureKind.MODEL),
        (429, FailureKind.BUSY),
        (500, FailureKind.SERVER),
    ],
)
async def test_a_refused_request_is_asked_once(
    server: OpenAIServer, completion: Completion, status: int, kind: FailureKind
) -> None:
    """The library's own retries would keep the glasses waiting for as long as a server likes."""
    server.refuse(status, "because k3y", Retry_After="30")
    found = await failure(completion)
    assert found.kind is kind
    assert f"({status})" in str(found)
    assert "k3y" not in str(found)
    assert len(server.asked) == 1


async def test_an_answer_that_is_cut_is_told(server: OpenAIServer, completion: Completion) -> None:
    """The text before it has been read."""
    server.script(text("Hel"), text("lo"), CUT)
    texts = completion.texts()
    assert [await anext(texts), await anext(texts)] == ["Hel", "lo"]
    with pytest.raises(ModelFailure) as caught:
        await anext(texts)
    assert caught.value.kind is FailureKind.CUT


async def test_an_error_within_the_stream_is_told(
    server: OpenAIServer, completion: Completion
) -> None:
    """The status was 200 already."""
    server.script(event({"error": {"message": "overloaded"}}))
    found = await failure(completion)
    assert found.kind is FailureKind.SERVER
    assert "overloaded" in str(found)


async def test_what_is_not_json_is_told(server: OpenAIServer, completion: Completion) -> None:
    """Some proxies answer 200 with a page."""
    server.script(text("Hel"), b"data: <html>\n\n")
    assert (await failure(completion)).kind is FailureKind.CUT


async def test_an_endpoint_that_is_not_there_is_told() -> None:
    """With the question whether it is running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        endpoint = Endpoint(url, "m", is_it_running="is it running?")
        client = make_client(endpoint)
        found = await failure(Completion(client, endpoint, HI))
        await client.close()
    assert found.kind is FailureKind.UNREACHABLE
    assert str(found).startswith(f"cannot connect to {url} (")
    assert str(found).endswith("is it running?")


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("content_filter", FailureKind.FILTERED), ("length", FailureKind.EMPTY)],
)
async def test_an_empty_answer_is_a_failure(
    server: OpenAIServer, completion: Completion, reason: str, kind: FailureKind
) -> None:
    """The glasses would show nothing, and the user wait."""
    server.script(part({"role": "assistant", "content": ""}), finish(reason), DONE)
    assert (await failure(completion)).kind is kind


async def test_closing_the_text_hangs_up(server: OpenAIServer, completion: Completion) -> None:
    """The endpoint sees the connection end, so the model stops."""
    server.script(text("Hel"), asyncio.Event())
    async with aclosing(completion.texts()) as texts:
        assert await anext(texts) == "Hel"
    async with asyncio.timeout(10):
        await server.hung_up.wait()


async def test_a_burst_is_read_without_a_pause(
    server: OpenAIServer, completion: Completion
) -> None:
    """Tokens of one write come out in one go: this is what `coalesce` stands on."""
    server.script(burst(*"abcdefgh"), finish(), DONE)
    async with aclosing(completion.texts()) as texts:
        await anext(texts)
        async with counted_turns() as turns:
            for _ in "bcdefgh":
                await anext(texts)
            assert turns.count == 0


async def test_the_proxy_of_the_environment_is_not_asked_for_this_machine(
    server: OpenAIServer, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy elsewhere cannot reach what runs here."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.say("Hello")
    client = make_client(endpoint)
    assert await read(Completion(client, endpoint, HI)) == ["Hello"]
    await client.close()


def test_without_the_openai_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The extra is named as it is typed."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UsageError, match=r"pip install 'relay-stream\[openai\]'"):
        make_client(Endpoint("http://127.0.0.1:1/v1", "m"))
