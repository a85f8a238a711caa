from __future__ import annotations

import hashlib
import re

import pytest

from relay.errors import BadRequest
from relay.store.secrets import (
    check_given,
    fingerprint,
    matches,
    new_access_key,
    new_admin_token,
    new_sdk_token,
)


def test_tokens_have_the_shapes_that_clients_expect() -> None:
    """64 hexadecimal digits, for keys and administrators behind a prefix that names the kind."""
    assert re.fullmatch("[0-9a-f]{64}", new_sdk_token())
    assert re.fullmatch("ak_[0-9a-f]{64}", new_access_key())
    assert re.fullmatch("adm_[0-9a-f]{64}", new_admin_token())


@pytest.mark.parametrize("make", [new_sdk_token, new_access_key, new_admin_token])
def test_no_token_is_made_twice(make: object) -> None:
    """They are random."""
    assert callable(make)
    assert len({make() for _ in range(50)}) == 50


def test_a_token_is_kept_as_prefix_and_sha_256() -> None:
    """The first eight characters and 64 hexadecimal digits."""
    token = new_access_key()
    stored = fingerprint(token)
    assert stored.prefix == token[:8]
    assert stored.hash == hashlib.sha256(token.encode()).hexdigest()
    assert stored.hash not in repr(stored)


@pytest.mark.parametrize(("length", "kept"), [(1, 0), (3, 0), (8, 2), (20, 5), (64, 8)])
def test_of_a_short_token_only_a_quarter_stays_in_clear(length: int, kept: int) -> None:
    """Eight characters of a token of eight would be the token."""
    assert fingerprint("x" * length).prefix == "x" * kept


def test_a_token_matches_its_own_hash_only() -> None:
    """Whatever a client sends as a token can be compared, half a surrogate pair too."""
    stored = fingerprint("right").hash
    assert matches("right", stored)
    assert not matches("wrong", stored)
    assert not matches("\ud83e", stored)


@pytest.mark.parametrize("token", ["", "a b", "a\n", "é", "\x7f", "x" * 513])
def test_a_given_token_that_cannot_travel_is_refused(token: str) -> None:
    """It must fit into a URL and a header as it is."""
    with pytest.raises(BadRequest, match="visible ASCII"):
        check_given(token)


@pytest.mark.parametrize("token", ["x", "~!", "x" * 512])
def test_a_given_token_that_can_travel_is_taken(token: str) -> None:
    """Existing tokens must go on working, however short."""
    assert check_given(token) == token
