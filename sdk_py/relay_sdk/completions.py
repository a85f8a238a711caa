"""Chat completions of any OpenAI-compatible endpoint, as a stream of text."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from relay_sdk.errors import UsageError

Message = dict[str, str]


class _Delta(Protocol):
    @property
    def content(self) -> str | None: ...


class _Choice(Protocol):
    @property
    def delta(self) -> _Delta: ...


class _Part(Protocol):
    @property
    def choices(self) -> Sequence[_Choice]: ...


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
    async def create(self, *, model: str, messages: Sequence[Message], stream: bool) -> _Parts: ...


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


def make_client(base_url: str, api_key: str) -> CompletionsClient:
    """Return the `openai` library's client. Raises `UsageError` where it is not installed."""
    try:
        openai = importlib.import_module("openai")
    except ImportError:
        raise UsageError(
            "the bridge to a model needs the `openai` library: "
            "pip install 'relay-stream[openai]' (or try `relay-bot --echo`)"
        ) from None
    client: CompletionsClient = openai.AsyncOpenAI(base_url=base_url, api_key=api_key)
    return client


async def complete(
    client: CompletionsClient, model: str, messages: Sequence[Message]
) -> AsyncGenerator[str, None]:
    """Yield the text of one completion as it is produced. Closing the generator stops the model."""
    parts = await client.chat.completions.create(model=model, messages=messages, stream=True)
    async with parts:
        async for part in parts:
            # The last part of some endpoints carries the usage and no choice.
            if part.choices and (text := part.choices[0].delta.content):
                yield text
