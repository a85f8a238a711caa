"""The readers of one stream on this node, whoever owns the stream.

A stream may change its owner while it is read, from this node to another and back. Its readers
read the log and notice nothing: only whom they report to changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from relay.broker.base import StreamLog
from relay.devices.base import DeviceProtocol, StreamView
from relay.node.audience import Audience
from relay.node.subscriber import Encodings, Subscription, SubscriptionHost


class ReadersHost(Protocol):
    """Whoever wants to know about the readers: what this node keeps of the stream."""

    __slots__ = ()

    def handed_over(self) -> None:
        """A device was handed something that none had been handed before."""
        ...

    def readers_changed(self) -> None:
        """A reader came or went."""
        ...


class Readership(SubscriptionHost):
    """Opens readers of one stream, has them share encoded entries, and keeps what they were handed.

    `host` is told about them; whoever takes the stream over sets it.
    """

    __slots__ = ("_encodings", "_log", "_now", "audience", "host", "view", "withdrawn")

    def __init__(
        self, log: StreamLog, view: StreamView, audience: Audience, now: Callable[[], float]
    ) -> None:
        self.view = view
        self.audience = audience
        self.host: ReadersHost | None = None
        self.withdrawn = False
        """Whether its access key may not read it any more: it is opened to nobody."""
        self._log = log
        self._now = now
        self._encodings: dict[str, Encodings] = {}

    def subscribe(
        self, device: DeviceProtocol, *, after: int, finished: bool, reset: bool = False
    ) -> Subscription:
        """Open a reader behind offset `after`; `finished` where that is behind the end."""
        encodings = self._encodings.get(device.name)
        if encodings is None:
            encodings = Encodings(device, self.view, self.audience)
            self._encodings[device.name] = encodings
        subscription = Subscription(
            self._log,
            self.view,
            encodings,
            after=after,
            finished=finished,
            reset=reset,
            host=self,
        )
        self.audience.join(can_resume=device.can_resume)
        self._changed()
        return subscription

    def handed_over(self, offset: int, *, ended: bool) -> None:
        """See `SubscriptionHost.handed_over`."""
        news = self.audience.hand_over(offset, self._now(), ended=ended)
        if news and self.host is not None:
            self.host.handed_over()

    def left(self) -> None:
        """See `SubscriptionHost.left`."""
        self.audience.leave(self._now())
        self._changed()

    def _changed(self) -> None:
        if self.host is not None:
            self.host.readers_changed()
