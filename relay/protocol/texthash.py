"""The content hash of the wire: what a summary and `stream_end` say of the whole text.

It is the 31-multiplier string hash of JavaScript SDKs, so it runs over UTF-16 code units and a lone
surrogate counts as one. docs/protocol.md section 7 has the definition and the vectors. It finds
accidents, not forgers.
"""

from __future__ import annotations

import struct

_MODULUS = 1 << 32
_31_TO_4 = 31**4
_UNITS_PER_WORD = 4


def content_hash(text: str) -> str:
    """Return the hash as signed base 16, lower case, without padding: `"0"` for the empty text.

    One text of a stream's largest size is hashed at its end on the event loop, so this is worth
    some care: two rounds of arithmetic on one huge integer fold four code units into each 64-bit
    word, all words at once, and the loop over the words is a quarter as long as one over the units.
    """
    units = text.encode("utf-16-le", "surrogatepass")
    # Leading zero units do not change the hash: h = 31 * 0 + 0.
    size = 2 * _UNITS_PER_WORD
    units = bytes(-len(units) % size) + units
    words = len(units) // size
    packed = int.from_bytes(units, "little")
    low = int.from_bytes(b"\xff\xff\0\0" * (2 * words), "little")
    packed = (packed & low) * 31 + ((packed >> 16) & low)  # at most 21 bits in each 32
    low = int.from_bytes(b"\xff\xff\xff\xff\0\0\0\0" * words, "little")
    packed = (packed & low) * 31**2 + ((packed >> 32) & low)  # at most 31 bits in each 64
    value = 0
    for word in struct.unpack(f"<{words}Q", packed.to_bytes(size * words, "little")):
        value = (value * _31_TO_4 + word) % _MODULUS
    return f"{value - _MODULUS if value >= _MODULUS // 2 else value:x}"
