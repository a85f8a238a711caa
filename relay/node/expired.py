"""Which streams there were until not long ago: whoever asks for one is told that it is over."""

from __future__ import annotations

from array import array
from typing import Final

EXPIRED_MAX: Final = 10_000
"""How many are remembered, to answer 410 instead of 404."""

_HASH_BYTES: Final = 8


class Expired:
    """The newest `size` streams that have expired, and whose they were.

    All of its memory is taken at the start, 16 bytes for each. A dictionary takes 65 of each hash,
    or 102 of each id, and fills while the relay runs. To look for one that is not there: 30 us.
    """

    __slots__ = ("_at", "_hashes", "_keys")

    def __init__(self, size: int = EXPIRED_MAX) -> None:
        self._hashes = bytearray(_HASH_BYTES * size)
        self._keys = array("q", bytes(8 * size))
        """Whose each is; 0 is nobody's, for their numbers begin with 1."""
        self._at = 0

    def add(self, stream_id: str, access_key_id: int) -> None:
        """Remember one, in the place of the oldest."""
        at = self._at
        self._hashes[_HASH_BYTES * at : _HASH_BYTES * (at + 1)] = _hash(stream_id)
        self._keys[at] = access_key_id
        self._at = (at + 1) % len(self._keys)

    def key_of(self, stream_id: str) -> int | None:
        """Return which access key's stream it was; None where there was none, or long ago."""
        hashed, found = _hash(stream_id), -1
        while (found := self._hashes.find(hashed, found + 1)) >= 0:
            at, between = divmod(found, _HASH_BYTES)
            if not between and self._keys[at]:
                return self._keys[at]
        return None


def _hash(stream_id: str) -> bytes:
    return hash(stream_id).to_bytes(_HASH_BYTES, signed=True)
