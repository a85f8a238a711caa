"""Vouchers: a stream's meta data in its bot's hands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.node.vouchers import Vouchers
from tests.support.node import META, NOW

VOUCHERS = Vouchers(b"secret", ttl_s=60.0)


def test_a_voucher_says_what_it_was_signed_for() -> None:
    """Everything that an owner needs to open the stream again."""
    assert VOUCHERS.read(VOUCHERS.sign(META), NOW + 59.9) == META
    unbound = replace(META, bot_id=None)
    assert VOUCHERS.read(VOUCHERS.sign(unbound), NOW) == unbound


def test_a_voucher_expires_with_the_age_of_a_stream() -> None:
    """Behind it the stream could not run any more."""
    assert VOUCHERS.read(VOUCHERS.sign(META), NOW + 60.0) is None


@pytest.mark.parametrize("forged", ["", "x", "WyJhIl0.x", "\ud83e"])
def test_a_forged_voucher_says_nothing(forged: str) -> None:
    """A bot cannot make streams up."""
    assert VOUCHERS.read(forged, NOW) is None


def test_another_key_signs_nothing_for_this_one() -> None:
    """Every relay has its own."""
    other = Vouchers(b"other", ttl_s=60.0)
    assert VOUCHERS.read(other.sign(META), NOW) is None


def test_a_voucher_of_another_version_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fields would be taken for others."""
    voucher = VOUCHERS.sign(META)
    monkeypatch.setattr("relay.node.vouchers._FIELDS", 7)
    assert VOUCHERS.read(voucher, NOW) is None
