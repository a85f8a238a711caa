"""A connection's subscriptions, and what a failure of ours does to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from relay.limits.allowance import Allowance
from relay.limits.gate import Gate
from relay.web.auth import KeyIdentity
from relay.web.channels import Channel, Channels
from relay.web.connection import Connection
from relay.web.outbox import Outbox
from relay.wire.jsontext import JsonValue

IDENTIFIER = '{"channel":"Test"}'


class BuggyChannel:
    """Fails at everything."""

    closed = 0

    async def perform(self, payload: Mapping[str, JsonValue]) -> None:
        """Fail, with something in the message that nobody may see."""
        raise RuntimeError(f"secret internals of {payload}")

    async def close(self) -> None:
        """Fail as well."""
        self.closed += 1
        raise RuntimeError("secret internals")


class BuggyChannels:
    """Opens one channel, once; fails at the next."""

    def __init__(self, channel: Channel | None) -> None:
        self.channel = channel

    async def open(self, *_: object, **__: object) -> Channel:
        """Hand the channel out."""
        if self.channel is None:
            raise RuntimeError("secret internals")
        return self.channel


class Line:
    """A connection to `channels`, and the frames that it wrote."""

    def __init__(self, channels: BuggyChannels) -> None:
        self.frames: list[dict[str, JsonValue]] = []
        self.outbox = Outbox(too_slow="")
        budget = Gate(Allowance(commands_per_connection=1)).budget(("access_key_id", 1), "", 0.0)
        self.connection = Connection(
            KeyIdentity(1, "key"), cast("Channels", channels), self.outbox, budget, lambda: 0.0
        )

    async def send(self, frame: str) -> None:
        """Take one frame."""
        self.frames.append(json.loads(frame))

    async def command(self, command: str, **rest: str) -> None:
        """Receive one command."""
        frame = {"command": command, "identifier": IDENTIFIER, **rest}
        await self.connection.receive(json.dumps(frame))

    async def flush(self) -> list[dict[str, JsonValue]]:
        """Write what is queued."""
        self.outbox.close()
        await self.outbox.run(self.send)
        return self.frames


async def test_a_message_that_fails_is_answered_without_internals_and_the_next_is_heard() -> None:
    """The shape is the reference's `system-error`; one bad message costs nothing else."""
    line = Line(BuggyChannels(BuggyChannel()))
    await line.command("subscribe")
    await line.command("message", data="{}")
    await line.command("message", data="[]")
    frames = await line.flush()
    assert [frame.get("type") for frame in frames] == ["confirm_subscription", None, None]
    first, second = frames[1]["message"], frames[2]["message"]
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["type"], second["type"]) == ("system-error", "refused")
    assert "secret" not in json.dumps(frames)


async def test_a_subscription_that_fails_is_rejected_and_may_be_tried_again() -> None:
    """A client that waits for an answer gets one."""
    channels = BuggyChannels(None)
    line = Line(channels)
    await line.command("subscribe")
    channels.channel = BuggyChannel()
    await line.command("subscribe")
    kinds = [frame["type"] for frame in await line.flush()]
    assert kinds == ["reject_subscription", "confirm_subscription"]


async def test_a_channel_that_cannot_be_closed_does_not_keep_the_connection() -> None:
    """Closing never raises, and closes each channel once."""
    channel = BuggyChannel()
    line = Line(BuggyChannels(channel))
    await line.command("subscribe")
    await line.connection.close()
    await line.connection.close()
    assert channel.closed == 1


async def test_what_a_closing_connection_receives_is_void() -> None:
    """A fenced bot that goes on sending changes nothing."""
    channel = BuggyChannel()
    line = Line(BuggyChannels(channel))
    line.outbox.close()
    await line.command("subscribe")
    await line.connection.close()
    assert channel.closed == 0
