"""The usual case, taken in one go: chunks that come in their order into a stream without a gap.

Nearly every chunk of every stream is one of these. It changes the state as `StreamReceiver`
does for one chunk after the other, which is what a property test compares, and costs a tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Final

from relay.protocol.events import Chunk, Entry
from relay.protocol.limits import CHUNK_COST_BYTES
from relay.protocol.report import Arrival
from relay.protocol.state import StreamState
from relay.protocol.status import Status

_ACTIVE: Final = Status.ACTIVE


def take_in_order(state: StreamState, chunks: Sequence[Chunk], now: float) -> list[Entry] | None:
    """Take all these chunks; returns what to append, after which each is to be acknowledged.

    None, with nothing changed, where anything is unusual: an end, a gap, another number than the
    next, a part, half a character, a stream that is full. What is numbered by its arrival has the
    next number whatever its bot calls it, so it is usual where that is the same.
    """
    if not state.in_order and not _is_usual(state):
        return None
    sequencer = state.sequencer
    first = number = sequencer.next
    contents: list[str] = []
    grown = len(chunks) * CHUNK_COST_BYTES
    for chunk in chunks:
        content = chunk.content
        if chunk.sequence != number or chunk.part is not None:
            return None
        number += 1
        if content.isascii():
            grown += len(content)
        else:
            try:
                grown += len(content.encode())
            except UnicodeEncodeError:
                return None
        contents.append(content)
    if state.size_bytes + grown > state.limits.stream_bytes_max:
        return None
    sequencer.take_next(contents)
    state.size_bytes += grown
    if state.last_chunk_at is None or state.last_chunk_at < now:
        state.last_chunk_at = now
    if state.status is not _ACTIVE:
        state.status = max(state.status, _ACTIVE)
    state.in_order = True
    arrivals = state.tally.arrivals
    if len(contents) == 1:  # mostly, where the relay keeps up
        arrivals.append(Arrival(first, now, len(contents[0])))
    else:
        arrivals.extend(map(Arrival, range(first, number), repeat(now), map(len, contents)))
    return state.writer.chunks(contents, first, now)


def _is_usual(state: StreamState) -> bool:
    """Whether nothing but the next chunk is awaited. Such chunks leave it so, and are not asked."""
    asked = state.retransmission
    return not (
        state.ended
        or state.tally.withheld
        or not state.sequencer.unbroken
        or asked.due_at is not None
        or asked.asked.highest >= state.sequencer.next
        or state.writer.carry
    )
