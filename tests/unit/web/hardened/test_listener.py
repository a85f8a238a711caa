"""The listening socket and what every connection inherits from it."""

from __future__ import annotations

import socket

import pytest

from relay.web.hardened.listener import listen


def test_connections_inherit_a_small_buffer_and_short_patience() -> None:
    """64 KiB (doubled by Linux), TCP_USER_TIMEOUT 10 s, keep-alive 5/2/3, no delay."""
    with listen("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _ = listener.accept()
            with accepted:
                assert client.fileno() > 0
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 65_536
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                assert [
                    accepted.getsockopt(socket.IPPROTO_TCP, option)
                    for option in (
                        socket.TCP_USER_TIMEOUT,
                        socket.TCP_KEEPIDLE,
                        socket.TCP_KEEPINTVL,
                        socket.TCP_KEEPCNT,
                        socket.TCP_NODELAY,
                    )
                ] == [10_000, 5, 2, 3, 1]


def test_port_0_takes_a_free_one() -> None:
    """The real port can be read from the socket."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    """It says where, so that an operator need not guess which address is meant."""
    with listen("127.0.0.1", 0) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: "):
            listen("127.0.0.1", port)


def test_an_address_that_does_not_exist_is_one_clear_line() -> None:
    """The same for a name that nobody knows."""
    with pytest.raises(OSError, match="cannot listen on no such host:1: "):
        listen("no such host", 1)
