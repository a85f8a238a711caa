from __future__ import annotations

import pytest

from relay.web.binding.addresses import is_disguised, is_open


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "203.119.25.1", "2606:4700:4700::1111", "240e::1"]
)
def test_an_address_of_the_internet_is_open(address: str) -> None:
    """Public hosts, of both versions."""
    assert is_open(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",  # noqa: S104 - it is refused
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::a00:1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700:4700::1111%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "100::1",
        "2130706433",
        "0177.0.0.1",
        "localhost",
        "",
    ],
)
def test_every_other_address_is_refused(address: str) -> None:
    """Own networks, several hosts at once, reserved ranges, and what another address is in."""
    assert not is_open(address)


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7F.1", "0177.0.0.1", "127.1", "127.0.0.1.", "a.b.1", "0x", "1"],
)
def test_an_address_in_disguise_is_seen(host: str) -> None:
    """A resolver would read it as an address."""
    assert is_disguised(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "example.com", "1.example.com", "8.8.8.8"])
def test_plain_addresses_and_names_are_no_disguise(host: str) -> None:
    """Where they lead is looked at elsewhere."""
    assert not is_disguised(host)
