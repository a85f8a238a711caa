"""Chat completions of any OpenAI-compatible endpoint, as a stream of text."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from relay_sdk.errors import UsageError

Message = dict[str, str]


class _Delta(Protocol):
    content: str | None


class _Choice(Protocol):
    delta: _Delta


class _Part(Protocol):
    choices: Sequence[_Choice]


class _Parts(AbstractAsyncContextManager["_Parts"], AsyncIterator[_Part], Protocol):
    """An open response; leaving it closes the connection, so the model stops."""


class _Completions(Protocol):
    async def create(self, *, model: str, messages: Sequence[Message], stream: bool) -> _Parts: ...


class _Chat(Protocol):
    completions: _Completions


class CompletionsClient(Protocol):
    """The part of `openai.AsyncOpenAI` that the bridge uses."""

    chat: _Chat

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
