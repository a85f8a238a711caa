"""How tokens are made, kept and compared: a copy of the database holds none that works.

A token has at least 128 random bits, so a plain SHA-256 of it cannot be searched; the slow
hashes that passwords need would only slow down each request.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

from relay.errors import BadRequest

PREFIX_CHARS: Final = 8
"""How much of a token is kept in clear, so that an operator can tell two apart."""

TOKEN_CHARS_MAX: Final = 512
"""Tokens travel in URLs and headers, which proxies cut at some length."""

WEAK_CHARS: Final = 22
"""A token shorter than this has under 128 bits even in base 64."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is stored of a token."""

    prefix: str
    hash: str = field(repr=False)
    """SHA-256 in lower-case hexadecimal."""


def new_sdk_token() -> str:
    """Make a bot's token: 64 hexadecimal digits, as existing SDKs are configured with."""
    return secrets.token_hex(32)


def new_access_key() -> str:
    """Make an access key: `ak_` and 64 hexadecimal digits."""
    return "ak_" + secrets.token_hex(32)


def new_admin_token() -> str:
    """Make an administrator's token: `adm_` and 64 hexadecimal digits."""
    return "adm_" + secrets.token_hex(32)


def check_given(token: str) -> str:
    """Return a token that an operator chose, if it can travel in a URL and a header.

    Raises `BadRequest` where it is empty, too long or not visible ASCII.
    """
    if not 0 < len(token) <= TOKEN_CHARS_MAX or not all("!" <= char <= "~" for char in token):
        raise BadRequest(
            f"a token is 1 to {TOKEN_CHARS_MAX} visible ASCII characters without spaces",
            field="token",
        )
    return token


def fingerprint(token: str) -> Fingerprint:
    """Return what is stored of the token. Of a short one, less than a quarter stays in clear."""
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
    return Fingerprint(token[: min(PREFIX_CHARS, len(token) // 4)], digest)


def matches(token: str, stored_hash: str) -> bool:
    """Whether the token is the one that `stored_hash` was made of, in constant time."""
    return hmac.compare_digest(fingerprint(token).hash, stored_hash)
