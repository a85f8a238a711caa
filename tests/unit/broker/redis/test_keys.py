from __future__ import annotations

import pytest
from redis.crc import key_slot

from relay.broker.redis.keys import (
    BUCKETS,
    NODES,
    Keys,
    bucket_of_bot,
    bucket_of_stream,
    decode,
    encode,
)

KEYS = Keys("relay", "here")


def test_all_keys_of_a_stream_have_one_slot() -> None:
    """A script on a cluster touches nothing else."""
    for number in range(50):
        stream_id = f"stream:{number}"
        kinds = (KEYS.meta, KEYS.log, KEYS.held, KEYS.reports)
        slots = {key_slot(kind(stream_id)) for kind in kinds}
        assert len(slots) == 1


def test_all_keys_of_a_bot_have_the_slot_of_its_nodes_mailbox() -> None:
    """Looking who listens and posting is one script."""
    for bot_id in (1, 17, BUCKETS + 5):
        bucket = bucket_of_bot(bot_id)
        keys = (KEYS.bots(bucket), KEYS.fences(bucket), KEYS.mail(bucket), KEYS.streams(bot_id))
        assert len({key_slot(key) for key in keys}) == 1


def test_what_concerns_all_nodes_has_one_slot() -> None:
    """A stream moves from one node's set into another's at once."""
    keys = (KEYS.nodes(), KEYS.owned("a"), KEYS.owned("b"), KEYS.hints("a"), KEYS.bell(NODES))
    assert len({key_slot(key) for key in keys}) == 1


def test_streams_are_spread_over_the_buckets() -> None:
    """And a cluster's primaries share them: a prefix alone would have put all in one slot."""
    buckets = [bucket_of_stream(f"{number:032x}") for number in range(20 * BUCKETS)]
    assert set(buckets) == set(range(BUCKETS))
    assert len({key_slot(KEYS.bots(bucket)) for bucket in range(BUCKETS)}) > BUCKETS * 0.9


def test_no_two_keys_are_the_same() -> None:
    """Of two prefixes, two nodes, two streams, or two kinds."""
    keys = []
    for one in (Keys("a", "n1"), Keys("a", "n2"), Keys("b", "n1")):
        keys += [one.mail(1), one.bell(1), one.mail(2)]
    keys += [KEYS.meta("s"), KEYS.log("s"), KEYS.held("s"), KEYS.log("s2"), KEYS.streams(1)]
    keys += [KEYS.bots(1), KEYS.fences(1), KEYS.nodes(), KEYS.owned("n"), KEYS.hints("n")]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("text", ["", "a", "嘿🦞", "\ud83e", "\0\n"])
def test_any_text_can_be_stored(text: str) -> None:
    """Half of a surrogate pair, too: user ids are what devices say they are."""
    assert decode(encode(text)) == text


def test_a_mailbox_may_be_another_nodes() -> None:
    """The one that listens for the bot."""
    assert KEYS.mail(3, "there") == Keys("relay", "there").mail(3)
