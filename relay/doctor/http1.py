"""One HTTP request, and when each piece of its answer came. A port of the doctor's, not a client.

The standard library's client hands over each piece as the socket brings it, which is all that is
needed here, and the relay has no other HTTP client among its dependencies.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import SplitResult, urlsplit

from relay.errors import BadRequest

BODY_BYTES_MAX: Final = 1 << 20
PIECE_BYTES_MAX: Final = 65_536


class Unreachable(Exception):
    """No answer, or one that is not HTTP. The message says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    arrivals: tuple[float, ...]
    """When each piece of the body came, in seconds since the request was sent."""

    @property
    def spread_s(self) -> float:
        """The time between the first piece and the last one."""
        return self.arrivals[-1] - self.arrivals[0] if self.arrivals else 0.0


def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_s: float = 10.0,
) -> Reply:
    """Send one request and read its answer to the end, or to 1 MiB. Blocks.

    `timeout_s` is for each wait on the socket, and for all of the body. Raises `BadRequest` for
    an address that is none, `Unreachable` for everything that goes wrong on the way.
    """
    parts = _address(url)
    connection: HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = HTTPSConnection(parts.netloc, timeout=timeout_s, context=context)
    else:
        connection = HTTPConnection(parts.netloc, timeout=timeout_s)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target or "/", body, dict(headers or {}))
        asked = time.monotonic()
        response = connection.getresponse()
        pieces, arrivals = [], []
        size = 0
        while size < BODY_BYTES_MAX and time.monotonic() - asked < timeout_s:
            piece = response.read1(PIECE_BYTES_MAX)
            if not piece:
                if response.length:
                    raise Unreachable(f"the answer broke off {response.length} bytes too early")
                break
            size += len(piece)
            pieces.append(piece)
            arrivals.append(time.monotonic() - asked)
        named = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, named, b"".join(pieces), tuple(arrivals))
    except (OSError, HTTPException) as error:
        raise Unreachable(_first_line(error)) from error
    finally:
        connection.close()


def _address(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Reading the port is what checks it.
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # half a bracket, a port that is no port
        pass
    raise BadRequest(f"{url} is not an address such as https://relay.example", field="url")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
