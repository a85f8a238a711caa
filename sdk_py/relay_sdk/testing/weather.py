"""What happens to messages on their way, as `with` blocks. Pure: it decides, others do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from relay.protocol.events import Chunk, Message
from relay.wire.bot import Acked, Outbound
from relay_sdk.errors import UsageError

_T = TypeVar("_T")


@dataclass(slots=True)
class _Every:
    """Picks each n-th."""

    n: int
    seen: int = 0

    def picks(self) -> bool:
        self.seen += 1
        return self.seen % self.n == 0


class Weather:
    """The blocks that are open. Each counts for itself, from its beginning."""

    def __init__(self) -> None:
        self._drop_chunks: list[_Every] = []
        self._repeat_chunks: list[_Every] = []
        self._drop_acks: list[_Every] = []
        self._delays: list[float] = []
        self.withholding = 0
        """How many blocks hold all acknowledgements back."""

    def copies(self, message: Message) -> int:
        """Return how many of this message arrive: none, itself, or more."""
        if not isinstance(message, Chunk):
            return 1
        # Every block has to see the chunk, or they would not count for themselves.
        dropped = [every.picks() for every in self._drop_chunks]
        repeated = [every.picks() for every in self._repeat_chunks]
        return 0 if any(dropped) else 1 + sum(repeated)

    def loses(self, message: Outbound) -> bool:
        """Whether this message does not get to the bot."""
        if not isinstance(message, Acked):
            return False
        return any([every.picks() for every in self._drop_acks])  # noqa: C419 - all of them count

    def delay_s(self, message: Outbound) -> float:
        """How long this message takes."""
        return sum(self._delays) if isinstance(message, Acked) else 0.0

    @contextmanager
    def drop_chunks(self, *, every: int) -> Iterator[None]:
        """Lose each n-th chunk, counting repeats."""
        with _added(self._drop_chunks, _Every(_checked(every, 2))):
            yield

    @contextmanager
    def repeat_chunks(self, *, every: int) -> Iterator[None]:
        """Let each n-th chunk arrive twice."""
        with _added(self._repeat_chunks, _Every(_checked(every, 1))):
            yield

    @contextmanager
    def drop_acks(self, *, every: int) -> Iterator[None]:
        """Lose each n-th acknowledgement."""
        with _added(self._drop_acks, _Every(_checked(every, 1))):
            yield

    @contextmanager
    def delay_acks(self, seconds: float) -> Iterator[None]:
        """Let acknowledgements take so much longer."""
        with _added(self._delays, seconds):
            yield


def _checked(every: int, least: int) -> int:
    if every < least:
        raise UsageError(f"`every` is at least {least}: with less, no answer could ever arrive")
    return every


@contextmanager
def _added(blocks: list[_T], block: _T) -> Iterator[None]:
    blocks.append(block)
    try:
        yield
    finally:
        # By identity: two blocks may be equal.
        del blocks[next(at for at, one in enumerate(blocks) if one is block)]
