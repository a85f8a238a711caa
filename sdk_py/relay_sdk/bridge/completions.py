"""Chat completions of any OpenAI-compatible endpoint: one request, streamed.

The `openai` library is an extra and is imported only here, when a client is made. What of it is
used stands below as protocols, from the client down to the piece of a tool call.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from relay.wire.jsontext import JsonValue
from relay_sdk.bridge.endpoint import Endpoint
from relay_sdk.bridge.failures import FailureKind, ModelFailure, read_failure
from relay_sdk.bridge.memory import Message
from relay_sdk.bridge.tool_calls import ToolCall, ToolCallParts, ToolCallPiece
from relay_sdk.errors import UsageError

CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 60.0
"""The relay gives an answer up after as long a silence."""


class _Delta(Protocol):
    @property
    def content(self) -> str | None: ...
    @property
    def tool_calls(self) -> Sequence[ToolCallPiece] | None: ...


class _Choice(Protocol):
    @property
    def delta(self) -> _Delta | None: ...
    @property
    def finish_reason(self) -> str | None: ...


class _Usage(Protocol):
    @property
    def completion_tokens(self) -> int | None: ...


class _Part(Protocol):
    @property
    def choices(self) -> Sequence[_Choice] | None: ...
    @property
    def usage(self) -> _Usage | None: ...


class _Parts(Protocol):
    """An open response; leaving it closes the connection, so the model stops."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def __aiter__(self) -> AsyncIterator[_Part]: ...


class _Completions(Protocol):
    async def create(
        self, *, model: str, messages: Sequence[Message], stream: bool, **more: JsonValue
    ) -> _Parts: ...


class _Chat(Protocol):
    @property
    def completions(self) -> _Completions: ...


class CompletionsClient(Protocol):
    """The part of `openai.AsyncOpenAI` that the bridge uses."""

    @property
    def chat(self) -> _Chat:
        """Where the completions are."""
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...


def make_client(endpoint: Endpoint) -> CompletionsClient:
    """Return the `openai` library's client. Raises `UsageError` where it is not installed."""
    try:
        openai = importlib.import_module("openai")
    except ImportError:
        raise UsageError(
            "the bridge to a model needs the `openai` library: "
            "pip install 'relay-stream[openai]' (or try `relay-bot --echo`)"
        ) from None
    timeout = openai.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    # A proxy of the environment cannot reach what runs on this machine.
    http = openai.DefaultAsyncHttpxClient(trust_env=not endpoint.is_here, timeout=timeout)
    client: CompletionsClient = openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key or "none",  # the library insists on one
        timeout=timeout,
        # Its retries wait as long as an endpoint says, up to minutes, and the glasses in silence.
        max_retries=0,
        http_client=http,
    )
    return client


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a model."""

    messages: Sequence[Message]
    tools: Sequence[JsonValue] = ()
    """Functions that the model may call, as the API declares them."""
    user: str = ""
    """The session, for endpoints that keep one; else empty."""


class Completion:
    """One answer of a model: its text as a stream, and what is known once that has ended."""

    def __init__(self, client: CompletionsClient, endpoint: Endpoint, request: Request) -> None:
        self._client = client
        self._endpoint = endpoint
        self._request = request
        self._calls = ToolCallParts()
        self._deltas = 0
        self._usage: int | None = None
        self.finish_reason: str | None = None
        """`stop`, `length`, `tool_calls`, `content_filter`, or None where it was not said."""

    @property
    def tokens(self) -> int:
        """How many tokens the answer has: as the endpoint counts, else one for each piece."""
        return self._deltas if self._usage is None else self._usage

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tool calls, once the text has ended."""
        return self._calls.whole()

    async def texts(self) -> AsyncGenerator[str, None]:
        """Yield the text as it is produced. Raises `ModelFailure`.

        Closing the generator closes the request, which stops the model.
        """
        try:
            async for text in self._read():
                yield text
        except Exception as error:
            begun = self._deltas > 0
            failure = read_failure(error, self._endpoint, begun=begun)
            if failure is None:
                raise
            raise failure from error
        if not self._deltas and not self.calls:
            raise self._nothing_said()

    async def _read(self) -> AsyncGenerator[str, None]:
        more: dict[str, JsonValue] = {}
        if self._request.tools:
            more["tools"] = list(self._request.tools)
        if self._request.user:
            more["user"] = self._request.user
        parts = await self._client.chat.completions.create(
            model=self._endpoint.model, messages=self._request.messages, stream=True, **more
        )
        async with parts:
            async for part in parts:
                if text := self._take(part):
                    yield text

    def _take(self, part: _Part) -> str:
        # The library does not validate, so what an endpoint leaves out is None or missing.
        usage = getattr(part, "usage", None)
        if usage is not None and isinstance(usage.completion_tokens, int):
            self._usage = usage.completion_tokens
        if not part.choices:
            return ""
        choice = part.choices[0]
        self.finish_reason = getattr(choice, "finish_reason", None) or self.finish_reason
        delta = choice.delta
        if delta is None:
            return ""
        self._calls.add(getattr(delta, "tool_calls", None) or ())
        # A refusal is what the model says to the user.
        text: str = getattr(delta, "content", None) or getattr(delta, "refusal", None) or ""
        self._deltas += bool(text)
        return text

    def _nothing_said(self) -> ModelFailure:
        if self.finish_reason == "content_filter":
            return ModelFailure(
                FailureKind.FILTERED, f"{self._endpoint} has filtered the whole answer"
            )
        return ModelFailure(
            FailureKind.EMPTY,
            f"{self._endpoint} gave an empty answer (finish_reason {self.finish_reason}); a model "
            "that thinks first may have used up its tokens",
        )
