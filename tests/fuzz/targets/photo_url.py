"""Where a photo is said to be: within the request, or somewhere on the open Internet."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address, ip_address
from typing import Final

from relay.web.binding import fetch
from relay.web.binding.addresses import is_disguised, is_open
from relay.web.binding.photo import BYTES_MAX, PhotoRefused, within
from tests.fuzz.pieces import text
from tests.fuzz.target import Target


def check(data: bytes) -> None:
    """It is loaded from a plain https place or refused; nothing private is open."""
    given = text(data)
    with suppress(PhotoRefused):
        assert len(within(given)) <= BYTES_MAX
    with suppress(PhotoRefused):
        place = fetch._read(given)  # noqa: SLF001 - `fetch` would connect
        assert not is_disguised(place.host)
        assert place.target.startswith("/")
        assert place.target.isascii()
        assert not set(place.target) & set(" \r\n\t\0")
        assert not set(place.authority) & set("@/?# \r\n\t\0")
    if is_open(given):
        address = ip_address(given)
        own = (address.is_private, address.is_loopback, address.is_link_local)
        nobodys = (address.is_multicast, address.is_unspecified, address.is_reserved)
        assert not any((*own, *nobodys))
        inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
        assert not isinstance(inner, IPv4Address)


def seeds() -> list[bytes]:
    """Data, an address of each kind, and the disguises."""
    hosts = ["cdn.example.com", "8.8.8.8", "127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1"]
    hosts += ["[::1]", "[::ffff:127.0.0.1]", "[2606:4700::1111]", "[fe80::1%25eth0]", "localhost."]
    urls = [f"https://{host}/photo.jpg?size=l#top" for host in hosts]
    urls += ["https://user:word@example.com/", "https://example.com:8443/", "http://example.com/"]
    urls += ["data:image/png;base64,iVBORw0KGgo=", "DATA:;base64,%2B%2F%20", "data:,plain"]
    return [one.encode() for one in [*urls, *(host.strip("[]") for host in hosts)]]


TARGET: Final = Target(check, seeds)
