"""A device: asks questions and reads the answers, each character once, whatever the network does.

    async with Device("http://127.0.0.1:8080", access_key, user_id="ada") as device:
        async for event in device.ask("What is the weather like?"):
            if isinstance(event, Text):
                print(event.text, end="")

A question is asked over `POST /api/rokid/trigger` and its answer read from
`GET /streams/{id}/events`. A connection that breaks is made again and goes on behind the last
event that was read. `lingzhu=True` asks like the glasses do, over `POST /sse/rokid`: one
connection, no resuming.
"""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from relay.wire import jsontext
from relay.wire.jsontext import JsonValue
from relay_sdk.answer import Answer, DeviceTimes, Link
from relay_sdk.errors import UsageError
from relay_sdk.fetch import read_url


class Device:
    """Asks as one device of one user.

    `user_id` says whose bot is asked; the relay rejects one that no bot belongs to.

    All questions of one object are one conversation, which the bot may remember;
    `new_conversation()` begins another one, and `conversation_id` names it. Answers that were not
    read to their end are hung up when the `async with` block ends. The relay tells the bot to
    stop once the device has not come back for 30 s, or for 2 s where it asked with `lingzhu`.

    `tls` is the context of an https URL, by default the system's certificates.
    """

    def __init__(
        self,
        url: str,
        access_key: str,
        *,
        user_id: str = "",
        agent_id: str = "relay-sdk-device",
        lang: str = "zh-CN",
        times: DeviceTimes | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not (access_key.isascii() and access_key.isprintable()):
            raise UsageError("an access key is printable ASCII on one line: was all of it copied?")
        self.user_id = user_id
        self.agent_id = agent_id
        self.lang = lang
        self.conversation_id = secrets.token_hex(8)
        self._link = Link(read_url(url), access_key, times or DeviceTimes(), tls)
        self._answers: set[Answer] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"Device({self._link.server.authority})"

    def new_conversation(self) -> None:
        """Begin another conversation: the bot does not connect it with what was said before."""
        self.conversation_id = secrets.token_hex(8)

    def ask(
        self,
        text: str,
        *,
        images: Sequence[str] = (),
        metadata: dict[str, JsonValue] | None = None,
        lingzhu: bool = False,
        repeats: bool = False,
    ) -> Answer:
        """Return the answer to a question; it is asked when reading begins.

        `images` are URLs (`https:`, or `data:` below a megabyte in all). `metadata` is what the
        device says about itself: `location`, `battery`, ... With `repeats` the answer also has
        the events again that were shown before a connection broke, marked as repeated.
        """
        if self._closed:
            raise UsageError("this device is closed: ask within its `async with` block")
        answer = Answer(
            self._link,
            self._body(text, images, metadata or {}),
            lingzhu=lingzhu,
            repeats=repeats,
            over=self._answers.discard,
        )
        self._answers.add(answer)
        return answer

    def _body(self, text: str, images: Sequence[str], metadata: dict[str, JsonValue]) -> bytes:
        items: list[JsonValue] = [
            {"role": "user", "type": "image", "text": None, "image_url": url} for url in images
        ]
        if text or not images:
            items.append({"role": "user", "type": "text", "text": text, "image_url": None})
        return jsontext.dumps(
            {
                "message_id": self.conversation_id,
                "agent_id": self.agent_id,
                "user_id": self.user_id,
                "message": items,
                "metadata": {"lang": self.lang, **metadata},
            }
        )

    def close(self) -> None:
        """Hang up on every answer that is not over. Idempotent."""
        self._closed = True
        for answer in list(self._answers):
            answer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
