"""The listening socket. What is set on it is inherited by every connection that it accepts."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

SEND_BUFFER_BYTES = 65_536
"""Linux doubles it. With its automatic 4 MiB a stalled device hides for that long, and costs it."""

UNACKNOWLEDGED_MS = 10_000
"""A peer that acknowledges nothing of what we sent for this long is gone."""

BEHIND_MS = 300_000
"""The same for a peer that was behind once. The kernel counts from when the peer's window was
closed until the next segment fits in whole, which may never be: who reads slowly, all the while,
would be gone after 10 s. Whether it reads at all is judged by whoever writes (`relay.web.sse`)."""

KEEPALIVE_IDLE_S, KEEPALIVE_EVERY_S, KEEPALIVE_PROBES = 5, 2, 3
"""An idle peer is asked after 5 s, and gone after three silent probes, 2 s apart."""


def listen(host: str, port: int) -> socket.socket:
    """Return a bound TCP socket; port 0 takes a free one. Raises `OSError` that says where."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _at(host, port, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _set_up(listener)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _at(host, port, error) from None
    return listener


def be_patient(transport: asyncio.BaseTransport) -> None:
    """Let a peer be behind for longer: it has just been found to read slowly."""
    connection = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if connection is not None and option is not None:
        with suppress(OSError):  # it is gone
            connection.setsockopt(socket.IPPROTO_TCP, option, BEHIND_MS)


def _set_up(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in (
        # By name, because systems other than Linux lack some of them.
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS),
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_EVERY_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)


def _at(host: str, port: int, error: OSError) -> OSError:
    return OSError(f"cannot listen on {host}:{port}: {error.strerror or error}")
