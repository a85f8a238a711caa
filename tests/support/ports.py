"""Ports for programs that must be told one; what can take port 0 and say which it got, does."""

from __future__ import annotations

import os
import socket
from itertools import count

# Below those that systems give to connections by themselves, from 32,768 on, so that none of
# these takes one between now and the program's start.
FIRST, PORTS, BUS = 12_000, 10_000, 10_000

_steps = count()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, also with 10,000 added: a cluster's bus.

    Processes that test at the same time begin at places of their own, and none takes one twice.
    """
    while True:
        # Both numbers are coprime to 10,000: neighbours lie apart, and each port comes once.
        port = FIRST + (os.getpid() * 1_009 + next(_steps) * 7) % PORTS
        with socket.socket() as probe, socket.socket() as bus:
            try:
                probe.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + BUS))
            except OSError:
                continue
            return port
