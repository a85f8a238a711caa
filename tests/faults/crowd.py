"""`python -m tests.faults.crowd`: a thousand connections of the SDK that count their attempts.

Reads `{"url", "tokens"}`, says `all` each time that all of them are connected, and at the next
line of stdin prints when each has tried to connect.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
from dataclasses import dataclass, field

from relay.wire.bot_messages import Connected, Outbound
from relay_sdk.connection import Connection

IDENTIFIER = '{"channel":"BotChannel","protocol":2,"sdk":"crowd/1"}'


@dataclass(slots=True)
class Crowd:
    """Who is there."""

    size: int
    there: int = 0
    members: list[Member] = field(default_factory=list)

    def came(self) -> None:
        """One more is connected."""
        self.there += 1
        if self.there == self.size:
            print("all", flush=True)


@dataclass(slots=True)
class Member:
    """One of them."""

    crowd: Crowd
    tries: list[tuple[float, str]] = field(default_factory=list)
    """When an attempt has failed or succeeded, or what had succeeded broke."""
    was_there: bool = False

    def on_message(self, message: Outbound) -> None:
        """See `Listener`."""
        if isinstance(message, Connected):
            self.tries.append((time.monotonic(), "connected"))
            self.was_there = True
            self.crowd.came()

    def on_lost(self) -> None:
        """See `Listener`."""
        self.tries.append((time.monotonic(), "lost"))
        self.crowd.there -= 1

    def jitter(self) -> float:
        """Called when an attempt has failed, and when what had succeeded broke."""
        if not self.was_there:
            self.tries.append((time.monotonic(), "failed"))
        self.was_there = False
        return random.random()


async def main() -> None:
    """Connect all and stay until killed."""
    logging.getLogger("relay_sdk").setLevel(logging.CRITICAL)
    given = json.loads(await asyncio.to_thread(sys.stdin.readline))
    crowd = Crowd(len(given["tokens"]))
    tasks = []
    for token in given["tokens"]:
        member = Member(crowd)
        crowd.members.append(member)
        connection = Connection(
            given["url"],
            token,
            IDENTIFIER,
            member,
            jitter=member.jitter,
            is_busy=lambda: True,
        )
        tasks.append(asyncio.create_task(connection.run()))
        if len(tasks) % 20 == 0:
            await asyncio.sleep(0.05)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps([member.tries for member in crowd.members]), flush=True)
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main())
