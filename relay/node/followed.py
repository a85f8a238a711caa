"""A stream that is read on this node and owned by another."""

from __future__ import annotations

from collections.abc import Callable

from relay.broker.base import ReadReport, StreamMeta
from relay.node.readership import Readership


class FollowedStream:
    """The readers' side of a stream, without its owner.

    `tell(stream)` is called when there is something new that its owner has to know: a reader
    came or went, or the end was handed over.
    """

    def __init__(
        self, meta: StreamMeta, readership: Readership, *, tell: Callable[[FollowedStream], None]
    ) -> None:
        self.meta = meta
        self.readership = readership
        self._tell = tell
        readership.host = self

    @property
    def stream_id(self) -> str:
        """Which stream."""
        return self.meta.stream_id

    def handed_over(self) -> None:
        """See `ReadersHost.handed_over`. Only the end is worth a report."""
        if self.readership.audience.read_to_end:
            self._tell(self)

    def readers_changed(self) -> None:
        """See `ReadersHost.readers_changed`."""
        self._tell(self)

    def report(self, node_id: str) -> ReadReport:
        """Return what its owner has to know."""
        audience = self.readership.audience
        return ReadReport(
            node_id,
            audience.readers,
            audience.can_resume,
            audience.read_to_end,
            audience.delivery_times(),
        )
