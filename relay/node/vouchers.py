"""A stream's meta data, signed, in its bot's hands.

With the memory broker a relay that dies takes its logs with it, but the bot still has every
chunk. With each command it is given a voucher; when a restarted relay does not know the
stream, the voucher proves that it was opened, by whom and for whom, and the stream is opened
again under its old id. The relay keeps nothing for it.
"""

from __future__ import annotations

from dataclasses import astuple, fields

from itsdangerous import BadSignature, URLSafeSerializer

from relay.broker.base import StreamMeta

_SALT = "relay.stream-voucher"
_FIELDS = len(fields(StreamMeta))


class Vouchers:
    """Signs and reads vouchers. They are worthless once a stream of that age cannot run."""

    __slots__ = ("_serializer", "_ttl_s")

    def __init__(self, secret: bytes, *, ttl_s: float) -> None:
        self._serializer: URLSafeSerializer = URLSafeSerializer(secret, salt=_SALT)
        self._ttl_s = ttl_s

    def sign(self, meta: StreamMeta) -> str:
        """Return the voucher of a stream: URL-safe characters only."""
        return self._serializer.dumps(list(astuple(meta)))

    def read(self, voucher: str, now: float) -> StreamMeta | None:
        """Return what the voucher says; None for one that is forged or has expired."""
        try:
            values = self._serializer.loads(voucher)
        except (BadSignature, UnicodeEncodeError):  # a bot's JSON may hold half a character
            return None
        if not isinstance(values, list) or len(values) != _FIELDS:
            return None  # ours, of another version
        meta = StreamMeta(*values)
        return meta if now < meta.opened_at + self._ttl_s else None
