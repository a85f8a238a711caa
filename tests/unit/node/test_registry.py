"""The streams that a node keeps. Who may read them: tests/unit/node/test_node_readers.py."""

from __future__ import annotations

import gc
import weakref

import pytest

from relay.admin.people import Scope
from relay.errors import PositionGone, UnknownStream
from relay.node.followed import FollowedStream
from relay.node.registry import Registry, within
from tests.support.node import KEY, World


async def test_a_stream_is_kept_until_it_expires() -> None:
    """Behind that it is remembered for its readers, and for nobody else."""
    world = World()
    stream = world.node.stream_of(1, (await world.ask()).stream_id)
    assert stream is not None
    registry = Registry()
    registry.add(stream)
    assert registry.streams() == (stream,)
    assert registry.get(stream.stream_id) is registry.readable(stream.stream_id, KEY) is stream
    assert registry.find(KEY, "c") is stream
    registry.expire(stream)
    assert registry.streams() == ()
    assert registry.has_expired(stream.stream_id)
    with pytest.raises(PositionGone):
        registry.readable(stream.stream_id, KEY)
    with pytest.raises(UnknownStream):
        registry.readable(stream.stream_id, KEY + 1)
    with pytest.raises(UnknownStream):
        registry.find(KEY, "c")


async def test_an_older_stream_of_a_conversation_leaves_the_newer_one_in_its_place() -> None:
    """Its retention ends first, and must not take the conversation with it."""
    world = World()
    registry = Registry()
    streams = [world.node.stream_of(1, (await world.ask()).stream_id) for _ in range(2)]
    for stream in streams:
        assert stream is not None
        registry.add(stream)
    assert streams[0] is not None
    registry.expire(streams[0])
    assert registry.find(KEY, "c") is streams[1]


async def test_a_stream_of_another_node_is_freed_once_nobody_reads_it_here() -> None:
    """At once, and not when somebody looks for garbage."""
    world = World()
    stream = world.node.stream_of(1, (await world.ask()).stream_id)
    assert stream is not None
    registry = Registry()
    gc.disable()
    try:
        followed = FollowedStream(stream.meta, stream.readership, tell=lambda _: None)
        registry.follow(followed)
        registry.unfollow(followed)
        left = weakref.ref(followed)
        del followed
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        (Scope(), True),
        (Scope(frozenset({"agent"}), frozenset({1}), frozenset({"user"})), True),
        (Scope(agents=frozenset({"agent", "other"})), True),
        (Scope(agents=frozenset({"age", "agent_", "AGENT"})), False),
        (Scope(agents=frozenset()), False),
        (Scope(bots=frozenset({11})), False),
        (Scope(frozenset({"agent"}), frozenset({1}), frozenset({"users"})), False),
    ],
)
async def test_a_stream_outside_of_a_keys_scope_is_unknown_to_it(scope: Scope, may: bool) -> None:
    """Also to the key that opened it: its scope may have been narrowed since."""
    world = World()
    stream = world.node.stream_of(1, (await world.ask()).stream_id)
    assert stream is not None
    registry = Registry()
    registry.add(stream)
    assert within(scope, stream.meta) is may
    if may:
        assert registry.readable(stream.stream_id, KEY, scope) is stream
        assert registry.find(KEY, "c", scope) is stream
        return
    with pytest.raises(UnknownStream):
        registry.readable(stream.stream_id, KEY, scope)
    with pytest.raises(UnknownStream):
        registry.find(KEY, "c", scope)


async def test_a_stream_that_was_withdrawn_is_opened_to_nobody() -> None:
    """Not even to a ticket, which was signed while its key was good."""
    world = World()
    stream = world.node.stream_of(1, (await world.ask()).stream_id)
    assert stream is not None
    registry = Registry()
    registry.add(stream)
    stream.readership.withdrawn = True
    for key in (KEY, None):
        with pytest.raises(UnknownStream):
            registry.readable(stream.stream_id, key)
