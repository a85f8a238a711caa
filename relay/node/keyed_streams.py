"""The streams of a node as holders of access keys: each lives only as long as its key allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from relay.admin.people import EVERYTHING
from relay.devices.texts import text
from relay.node.background import Undertake
from relay.node.registry import Registry, within
from relay.node.revocations import BotCredential, Findings
from relay.node.stream import NodeStream
from relay.protocol.events import Stop
from relay.protocol.status import Outcome
from relay.wire.bot import Cancel


class KeyedStreams:
    """A `Holder`: the streams that were opened by access keys, also those that have ended."""

    def __init__(
        self, registry: Registry, *, now: Callable[[], float], background: Undertake
    ) -> None:
        self._registry = registry
        self._now = now
        self._background = background
        self._logger = structlog.get_logger("relay.node")

    def keys_in_use(self) -> Iterable[int]:
        """See `Holder.keys_in_use`. Tickets live by the key that opened their stream, too."""
        return {stream.meta.access_key_id for stream in self._registry.all_kept()}

    def bots_in_use(self) -> Iterable[BotCredential]:
        """See `Holder.bots_in_use`. A bot's streams follow its connection, which others hold."""
        return ()

    def enforce(self, findings: Findings) -> None:
        """See `Holder.enforce`. A stream that is another node's is ended there."""
        for stream in self._registry.all_kept():
            meta = stream.meta
            if meta.access_key_id not in findings.keys or meta.opened_at > findings.asked_at:
                continue
            scope = findings.keys[meta.access_key_id]
            if scope is EVERYTHING or stream.readership.withdrawn:
                continue
            if scope is None:
                code, detail = "revoked", "its access key was revoked"
            elif not within(scope, meta):
                code, detail = "out_of_scope", "it is outside of its access key's scope by now"
            else:
                continue
            # Before its last words are written: who comes now comes too late.
            stream.readership.withdrawn = True
            if isinstance(stream, NodeStream) and stream.finished_at is None:
                self._end(stream, code, detail)

    def _end(self, stream: NodeStream, code: str, detail: str) -> None:
        self._logger.info("stream_withdrawn", **stream.view.names, reason=code)
        stream.note("withdrawn", self._now(), reason=code)
        if stream.link is not None and stream.link.reliable:
            stream.link.send(Cancel(stream.stream_id, code))
        stop = Stop(Outcome.CANCELLED, detail, text(code, stream.meta.lang))
        pending = stream.receive(stop, self._now())
        if pending is not None:
            self._background(pending, **stream.view.names)
