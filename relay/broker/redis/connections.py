"""redis-py's connections, on a loop that may be uvloop's.

A transport of asyncio's that has been closed drops what is written to it, and the reader says why.
One of uvloop's raises `RuntimeError` for that, which redis-py passes on: neither its own pool nor
those who expect a `RedisError` would take it for what it is, a connection that broke.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as RedisConnectionError


class _Breaking(AbstractConnection):
    async def send_packed_command(
        self,
        command: bytes | str | Iterable[bytes],
        check_health: bool = True,  # noqa: FBT001, FBT002 - theirs
    ) -> None:
        """Send; raises redis-py's `ConnectionError` where the transport is closed already."""
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError(f"the connection broke: {error}") from error


class TcpConnection(_Breaking, Connection):
    """See `redis.asyncio.Connection`."""


class TlsConnection(_Breaking, SSLConnection):
    """See `redis.asyncio.SSLConnection`."""


class UnixConnection(_Breaking, UnixDomainSocketConnection):
    """See `redis.asyncio.UnixDomainSocketConnection`."""


CONNECTION_CLASSES: Final[Mapping[type[AbstractConnection], type[AbstractConnection]]] = {
    Connection: TcpConnection,
    SSLConnection: TlsConnection,
    UnixDomainSocketConnection: UnixConnection,
}
"""For each class that a URL asks for, the one that is used."""
