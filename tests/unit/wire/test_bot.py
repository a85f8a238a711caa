from __future__ import annotations

from typing import get_args

from relay.wire import bot, bot_decode, bot_encode, bot_messages


def test_all_of_the_relays_half_can_be_imported_from_one_place() -> None:
    """Every message type, both directions, and what reads and writes them."""
    names = {kind.__name__ for kind in (*get_args(bot.Inbound), *get_args(bot.Outbound))}
    assert names <= set(bot.__all__)
    assert all(getattr(bot, name) is getattr(bot_messages, name) for name in names)
    assert bot.decode is bot_decode.decode
    assert bot.encode is bot_encode.encode
