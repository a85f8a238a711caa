"""A relay in the test's own process, for whoever writes a bot.

    async with FakeRelay() as relay:
        async with make_my_bot(relay.url, relay.token):
            answer = await relay.ask("What is the weather like?")
            assert answer.text == "Sunny."

It speaks the bot protocol over a real socket with the relay's own core (`relay.protocol` and
`relay.wire`), so a bot cannot tell it from the real one; what it lacks is everything behind: no
database, no devices, no server package. Bad weather is a `with` block:

    with relay.drop_chunks(every=5), relay.delay_acks(0.1):
        answer = await relay.ask("Tell me a story.")
"""

from __future__ import annotations

from relay.protocol.limits import Limits
from relay_sdk.testing.relay import FakeRelay, Question
from relay_sdk.testing.stream import BotAnswer

__all__ = ["BotAnswer", "FakeRelay", "Limits", "Question"]
