"""A bridge to a model between a relay that the test plays and an endpoint that it scripts."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from relay.protocol.events import Abort, Chunk, End
from relay.protocol.sending import Closed, Feedback, SenderLimits, Stored
from relay_sdk.bridge.answerer import Answerer
from relay_sdk.bridge.completions import make_client
from relay_sdk.bridge.endpoint import Endpoint
from relay_sdk.bridge.options import ModelOptions
from relay_sdk.bridge.status import StatusLine
from relay_sdk.command import Command
from relay_sdk.reply import Reply
from relay_sdk.streams import Streams
from tests.support.openai_server import OpenAIServer


@dataclass
class Relay:
    """Takes what replies send, and closes each stream when it ends."""

    sent: list[Chunk | End | Abort] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    credit: int = 100
    acknowledges: bool = True
    streams: Streams = field(init=False)

    def __post_init__(self) -> None:
        self.streams = Streams(self._transmit, SenderLimits())

    def reply(self, command: Command) -> Reply:
        stream = self.streams.open(command.stream_id, self.credit)
        return Reply(stream, self.streams)

    def _transmit(self, stream_id: str, message: Chunk | End | Abort) -> None:
        self.sent.append(message)
        self.more.set()
        match message:
            case Chunk(sequence=int(sequence)):
                answer: Feedback = Stored(sequence + 1, (), self.credit)
                if not self.acknowledges:
                    return
            case End():
                answer = Closed("completed", 0, ())
            case _:
                answer = Closed("failed", 0, ())
        # Later, as over a socket.
        asyncio.get_running_loop().call_soon(self.streams.receive, stream_id, answer)

    async def shows(self, *texts: str) -> None:
        """Wait until exactly these chunks have come."""
        async with asyncio.timeout(10):
            while self.texts != list(texts):
                self.more.clear()
                await self.more.wait()

    def close(self, stream_id: str, outcome: str) -> None:
        self.streams.receive(stream_id, Closed(outcome, 0, ()))

    @property
    def texts(self) -> list[str]:
        return [m.content for m in self.sent if isinstance(m, Chunk) and m.content]

    @property
    def calls(self) -> list[str]:
        return [m.part.body for m in self.sent if isinstance(m, Chunk) and m.part]

    @property
    def last(self) -> Chunk | End | Abort:
        return self.sent[-1]


class Bridge:
    """A bot with its model, its relay and its status line."""

    def __init__(self, server: OpenAIServer, **options: Any) -> None:
        self.server = server
        self.relay = Relay()
        self.status = StatusLine(io.StringIO(), live=False)
        self.options = ModelOptions(Endpoint(server.url, "lobster"), **options)
        self.client = make_client(self.options.endpoint)
        self.answerer = Answerer(
            self.client, self.options, self.relay.reply, self.status, retry_s=0.0
        )
        self._asked = 0

    async def ask(
        self, question: str, *images: str, conversation: str = "c1", **metadata: Any
    ) -> list[str]:
        """Ask in a conversation; returns what was said."""
        self._asked += 1
        self.relay.sent.clear()
        command = Command(
            f"s{self._asked}",
            question,
            images,
            conversation_id=conversation,
            user_id="ada",
            metadata=metadata,
        )
        await self.answerer(command)
        return self.relay.texts

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the model was asked with, last."""
        messages: list[dict[str, Any]] = self.server.last["messages"]
        return messages


@asynccontextmanager
async def bridge(**options: Any) -> AsyncIterator[Bridge]:
    """Run a model with a handler in front of it."""
    async with OpenAIServer() as server:
        setup = Bridge(server, **options)
        yield setup
        setup.relay.streams.close()
        await setup.client.close()
