"""What counts as one address."""

from __future__ import annotations

import pytest

from relay.limits.address import Proxies, network_of


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("x" * 1_000, "x" * 64),
    ],
)
def test_an_address_counts_under_one_name(address: str, name: str) -> None:
    """All of an IPv6 /64 is one, a mapped IPv4 address is itself, and nothing is long."""
    assert network_of(address) == name


def test_a_proxy_is_known_by_its_address_or_its_network() -> None:
    """What is no address is none."""
    proxies = Proxies(("10.0.0.0/8", "2001:db8::1/128"))
    assert [
        address in proxies for address in ("10.1.2.3", "2001:db8::1", "11.0.0.1", "2001:db8::2", "")
    ] == [True, True, False, False, False]
    assert "10.0.0.1" not in Proxies(())
