"""What is so just now on a node, for operators: which streams are open, which bots are there."""

from __future__ import annotations

from collections.abc import Callable

from relay.admin.live import LiveStream
from relay.node.registry import Registry
from relay.node.stream import NodeStream
from relay.node.switchboard import Switchboard


class NodeLive:
    """The `LiveView` of one node: read off what it keeps, when somebody looks."""

    def __init__(
        self, registry: Registry, switchboard: Switchboard, now: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._switchboard = switchboard
        self._now = now

    def live_streams(self) -> list[LiveStream]:
        """See `LiveView.live_streams`."""
        now = self._now()
        still_open = (s for s in self._registry.streams() if s.finished_at is None)
        found = [_live(stream, now) for stream in still_open]
        # Not their order in the registry: one that was lost and reopened stands there as new.
        found.sort(key=lambda stream: stream.opened_at)
        return found

    def online_bots(self) -> frozenset[int]:
        """See `LiveView.online_bots`."""
        return frozenset(link.bot_id for link in self._switchboard.links)


def _live(stream: NodeStream, now: float) -> LiveStream:
    meta, receiver = stream.record.meta, stream.owner.receiver
    return LiveStream(
        stream_id=meta.stream_id,
        trace_id=meta.trace_id,
        message_id=meta.conversation_id,
        agent_id=meta.agent_id,
        user_id=meta.user_id,
        bot_id=meta.bot_id,
        access_key_id=meta.access_key_id,
        sdk_version=stream.record.sdk,
        protocol=stream.record.protocol,
        status=receiver.status.label,
        opened_at=meta.opened_at,
        age_s=max(0.0, now - meta.opened_at),
        received=receiver.received_count,
        delivered=stream.audience.delivered,
        stored=receiver.next_offset - 1,
        held=receiver.held_count,
        missing=receiver.missing_count,
        readers=stream.audience.readers,
        bot_connected=stream.link is not None,
    )
