"""The JSON of the usual frame, a plain `stream_chunk`, as far as a decoder can check it."""

from __future__ import annotations

from typing import Literal

import msgspec


class Frame(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message of a client on one of its subscriptions."""

    command: Literal["message"]
    identifier: str
    data: str


class Payload(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A chunk without a part, in a frame's `data`."""

    type: Literal["stream_chunk"]
    session_id: str
    content: str
    sequence: int | float
    """A float only to tell 1.0, which is no sequence, from 1."""


read_frame = msgspec.json.Decoder(Frame).decode
"""Raises `msgspec.DecodeError` for JSON that is none, and for every other frame."""

read_payload = msgspec.json.Decoder(Payload).decode
"""The same for every other payload."""
