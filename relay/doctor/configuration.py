"""Settings that are allowed one by one and do harm together, and the key that signs tickets."""

from __future__ import annotations

import stat
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from relay.doctor.finding import Finding, failure, fine, unseen, warning
from relay.settings import Settings
from relay.store.dev import tokens_file
from relay.store.engine import database_url
from relay.store.signing_key import SUFFIX

SETTINGS: Final = "settings"
SECRET: Final = "secret"  # noqa: S105 - the name of an area

PROXY_IDLE_S: Final = 30.0
"""Many proxies cut a connection that is silent for 60 s, some after 30 s."""

STALE_CABLE_S: Final = 6.0
"""Clients of ActionCable call a connection stale that brought no ping for two of its 3 s."""

KILLED_AFTER_S: Final = 30.0
"""When Kubernetes kills what was asked to end; Docker waits only 10 s."""


def look_at_settings(settings: Settings) -> list[Finding]:
    """Judge what the settings mean together."""
    s = settings
    odd: list[tuple[bool, str, str]] = [
        (
            s.keepalive_seconds > PROXY_IDLE_S,
            f"a silent device stream gets a comment only every {s.keepalive_seconds:g} s",
            f"set RELAY_KEEPALIVE_SECONDS below {PROXY_IDLE_S:g}: proxies cut what is silent",
        ),
        (
            s.cable_ping_seconds > STALE_CABLE_S,
            f"bots are pinged only every {s.cable_ping_seconds:g} s",
            "set RELAY_CABLE_PING_SECONDS to 3: clients take a longer silence for a dead relay",
        ),
        (
            s.poll_seconds > PROXY_IDLE_S,
            f"a poll waits {s.poll_seconds:g} s for news",
            f"set RELAY_POLL_SECONDS to at most {PROXY_IDLE_S:g}: proxies cut what is silent",
        ),
        (
            s.retention_seconds < s.device_grace_seconds,
            "a finished stream is forgotten before its device has to be back",
            "set RELAY_RETENTION_SECONDS to at least RELAY_DEVICE_GRACE_SECONDS",
        ),
        (
            s.bot_grace_seconds >= s.idle_seconds,
            "a bot that lost its connection is given up for its silence before its grace is over",
            "set RELAY_BOT_GRACE_SECONDS below RELAY_IDLE_SECONDS",
        ),
        (
            s.gap_seconds >= s.idle_seconds,
            "a gap holds what came behind it for as long as the whole stream may be silent",
            "set RELAY_GAP_SECONDS well below RELAY_IDLE_SECONDS",
        ),
        (
            s.guess_seconds > s.barrier_seconds,
            "RELAY_GUESS_SECONDS is above RELAY_BARRIER_SECONDS, which ends every hold",
            "set it to at most RELAY_BARRIER_SECONDS",
        ),
        (
            s.held_bytes_max > s.stream_bytes_max,
            "more may be held of a stream than a stream may hold",
            "set RELAY_HELD_BYTES_MAX to at most RELAY_STREAM_BYTES_MAX",
        ),
        (
            s.stream_max_seconds <= s.idle_seconds,
            "a stream reaches its greatest age before it can be silent for too long",
            "set RELAY_STREAM_MAX_SECONDS above RELAY_IDLE_SECONDS",
        ),
        (
            s.drain_seconds >= KILLED_AFTER_S,
            f"a drain may take {s.drain_seconds:g} s, and supervisors kill after 10 to 90 s",
            "let the supervisor wait longer: TimeoutStopSec, terminationGracePeriodSeconds",
        ),
        (
            not s.trace_ttl_seconds and not s.trace_bytes_max,
            "traces are kept for ever, however many there are",
            "set RELAY_TRACE_TTL_SECONDS or RELAY_TRACE_BYTES_MAX",
        ),
        (
            bool(s.redis_wait_replicas) and s.broker_url == "memory://",
            "memory:// has no replicas to wait for, so the relay will not start",
            "set RELAY_BROKER_URL to a redis://HOST:PORT, or RELAY_REDIS_WAIT_REPLICAS to 0",
        ),
    ]
    found = [warning(SETTINGS, what, mend) for is_so, what, mend in odd if is_so]
    return found or [fine(SETTINGS, "they fit together")]


def look_at_extras(settings: Settings) -> list[Finding]:
    """Look whether what the settings switch on is installed."""
    needed = (
        (settings.otel == "on", "RELAY_OTEL", "otel", "opentelemetry"),
        (settings.binding_photo != "off", "RELAY_BINDING_PHOTO", "qr", "zxingcpp"),
    )
    return [
        failure(
            SETTINGS,
            f"{variable} needs the extra {extra}, which is not installed",
            f"pip install 'relay-stream[{extra}]'",
        )
        for is_on, variable, extra, package in needed
        if is_on and find_spec(package) is None
    ]


def look_at_secret(settings: Settings) -> list[Finding]:
    """Judge where the key comes from that signs tickets and vouchers, and who can read it."""
    url = database_url(settings.database_url)
    if settings.secret:
        return [fine(SECRET, "RELAY_SECRET is set")]
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return [_random(settings)]
    path = Path(f"{url.database}{SUFFIX}")
    found = [_private(path, "the signing key") or fine(SECRET, f"the signing key is in {path}")]
    tokens = tokens_file(settings.database_url)
    if tokens.exists() and not _is_loopback(settings.host):
        found.append(
            warning(
                SECRET,
                f"development tokens lie in {tokens}, and the relay is open to a network",
                "revoke them (`relay key list`, `relay bot list`) and delete the file",
            )
        )
    return found


def _random(settings: Settings) -> Finding:
    mend = "set RELAY_SECRET, the same for all processes: `openssl rand -hex 32`"
    if settings.broker_url != "memory://":
        return failure(
            SECRET,
            "each process signs with a key of its own, so one refuses what the other signed",
            mend,
        )
    return warning(
        SECRET,
        "tickets are signed with a key that is new after each start: a device and a bot that "
        "come back after a restart are turned away",
        mend,
    )


def _private(path: Path, what: str) -> Finding | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return fine(SECRET, f"{what} will be made at the first start, in {path}")
    except OSError as error:
        return unseen(SECRET, f"{path} cannot be looked at: {error.strerror}")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return failure(SECRET, f"others may read {what} in {path}", f"`chmod 600 {path}`")
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
