"""The settings of the relay: one table, read from `RELAY_*` environment variables.

`Settings` is that table: each field carries its help and its unit, and `settings_table` prints
them, for `relay settings` and for docs/settings.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Final, TypeVar, cast

from relay.errors import SettingsError
from relay.settings_parsed import (
    BindingPhoto,
    LogFormat,
    LogLevel,
    OnOff,
    SettingValue,
    TraceContent,
    parse,
)

PREFIX: Final = "RELAY_"

FOREIGN: Final = frozenset({"RELAY_ACK_TIMEOUT_SECONDS", "RELAY_TOKEN", "RELAY_URL"})
"""Variables of the SDK. A bot may be started from the same shell as the relay."""

KEPT_S_MAX: Final = 100 * 365 * 86400.0
"""A century. What is kept longer is kept for ever, which is 0."""

_T = TypeVar("_T")


def _about(
    about: str, unit: str = "", *, at_least: float | None = None, at_most: float | None = None
) -> Mapping[str, str | float | None]:
    return {"about": about, "unit": unit, "at_least": at_least, "at_most": at_most}


def _setting(
    default: _T,
    about: str,
    unit: str = "",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> _T:
    metadata = _about(about, unit, at_least=at_least, at_most=at_most)
    value: _T = field(default=default, metadata=metadata)
    return value


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator can set. Times are seconds, sizes are bytes."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(
        8080, "TCP port to listen on; 0 takes a free one.", at_least=0, at_most=65535
    )
    metrics_port: int = _setting(
        0,
        "Port on which `/metrics` is served, instead of on RELAY_PORT; with `--workers` the "
        "first of one each. 0 is none.",
        at_least=0,
        at_most=65535,
    )
    database_url: str = field(
        default="sqlite+aiosqlite:///relay.db",
        repr=False,
        metadata=_about("Where bots, keys and traces are stored: SQLite or PostgreSQL."),
    )
    broker_url: str = field(
        default="memory://",
        repr=False,
        metadata=_about(
            "Where stream logs live. `memory://` is this process; Redis is for several, or to "
            "outlive this one."
        ),
    )
    redis_prefix: str = _setting("relay", "How all keys in Redis begin: relays may share one.")
    redis_wait_replicas: int = _setting(
        0, "How many Redis replicas must have a chunk before its ACK.", at_least=0, at_most=16
    )
    redis_wait_seconds: float = _setting(
        1.0, "How long they may take; then the chunk is not acknowledged.", "s", at_least=0.001
    )
    barrier_seconds: float = _setting(
        2.0, "How long `stream_end` is held for missing sequences.", "s", at_least=0
    )
    guess_seconds: float = _setting(
        0.15, "The same where a legacy bot's count is only guessed.", "s", at_least=0
    )
    gap_seconds: float = _setting(
        8.0, "How long a gap in mid-stream holds later chunks.", "s", at_least=0
    )
    idle_seconds: float = _setting(
        60.0, "How long a bot may be silent between two chunks.", "s", at_least=1
    )
    bot_grace_seconds: float = _setting(
        8.0, "How long a stream waits for its bot to reconnect.", "s", at_least=0
    )
    device_grace_seconds: float = _setting(
        30.0, "How long a stream waits for a device that can resume.", "s", at_least=0
    )
    hangup_grace_seconds: float = _setting(
        2.0, "The same for a device that cannot; then the bot is told to cancel.", "s", at_least=0
    )
    retention_seconds: float = _setting(
        300.0, "How long a finished stream stays readable.", "s", at_least=0
    )
    stream_max_seconds: float = _setting(
        3600.0, "How long a stream may last in all.", "s", at_least=1
    )
    stream_bytes_max: int = _setting(
        4 * 1024 * 1024, "How much one answer may hold.", "bytes", at_least=1024
    )
    window: int = _setting(
        1024, "How far a sequence may lie ahead of the first missing one.", "chunks", at_least=1
    )
    held_bytes_max: int = _setting(
        256 * 1024, "How much of one stream may wait for a missing chunk.", "bytes", at_least=16384
    )
    credit: int = _setting(
        256,
        "How many chunks a bot may have unacknowledged; at most the window.",
        "chunks",
        at_least=1,
    )
    keepalive_seconds: float = _setting(
        7.0, "How often a silent device stream gets a comment.", "s", at_least=0.1
    )
    poll_seconds: float = _setting(
        25.0, "How long `GET /api/rokid/poll` waits for news.", "s", at_least=0
    )
    cable_ping_seconds: float = _setting(
        3.0, "How often `/cable` sends its ping; clients expect 3.", "s", at_least=0.1
    )
    drain_seconds: float = _setting(
        10.0, "How long open streams may run on after SIGTERM.", "s", at_least=0
    )
    allowed_origins: tuple[str, ...] = _setting(
        (), "Web pages that may open `/cable`: `https://a.example,https://b.example`."
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (), "Proxies whose `X-Forwarded-For` is believed: `127.0.0.1,10.0.0.0/8`."
    )
    connections_max: int = _setting(
        16_384,
        "How many WebSockets, streams and requests one process has open; one more gets 503. "
        "0, as for all limits up to RELAY_READERS_PER_STREAM, is without a limit.",
        at_least=0,
    )
    connections_per_address: int = _setting(
        8_192,
        "How many connections one address has; one more gets 429. An IPv6 /64 is one address, "
        "and a trusted proxy is none.",
        at_least=0,
    )
    connections_per_key: int = _setting(
        8_192,
        "How many WebSockets, streams and waiting requests one access key has; one more gets 429.",
        at_least=0,
    )
    connections_per_bot: int = _setting(
        16, "How many WebSockets one bot's token has; one more gets 429.", at_least=0
    )
    requests_per_address: int = _setting(
        2_000,
        "How many requests and new WebSockets one address may send, whatever they ask for but "
        "`/healthz` and `/readyz`; more get 429. A burst may have 5 s' worth of this and of each "
        "rate below.",
        "per s",
        at_least=0,
    )
    asks_per_key: int = _setting(
        1_000, "How many questions one access key may ask; more get 429.", "per s", at_least=0
    )
    messages_per_key: int = _setting(
        20_000,
        "How many frames the WebSockets of one bot or access key may send; above it they are "
        "read more slowly, and nothing is lost.",
        "per s",
        at_least=0,
    )
    bytes_per_key: int = _setting(
        16 * 1024 * 1024, "The same for their size.", "bytes per s", at_least=0
    )
    messages_per_address: int = _setting(
        0, "The same for all WebSockets of one address.", "per s", at_least=0
    )
    bytes_per_address: int = _setting(0, "The same for their size.", "bytes per s", at_least=0)
    commands_per_connection: int = _setting(
        100,
        "How much one WebSocket may say that is no message of a stream: subscriptions, pings, "
        "what cannot be read; above it it is closed with `rate_limited`.",
        "per s",
        at_least=0,
    )
    streams_per_key: int = _setting(
        10_000,
        "How many streams of one access key may be open; one more question gets 429.",
        at_least=0,
    )
    readers_per_stream: int = _setting(
        10_000, "How many readers one stream may have; one more gets 429.", at_least=0
    )
    secret: str = field(
        default="",
        repr=False,
        metadata=_about(
            "Key that signs tickets. Where empty: kept in a file beside a SQLite database, "
            "random for each process with another."
        ),
    )
    log_format: LogFormat = field(default="console", metadata=_about("`console` or `json`."))
    log_level: LogLevel = field(
        default="info", metadata=_about("`debug`, `info`, `warning` or `error`.")
    )
    trace_ttl_seconds: float = _setting(
        30 * 86400.0,
        "How long a trace is kept; 0 is for ever.",
        "s",
        at_least=0,
        at_most=KEPT_S_MAX,
    )
    trace_content_ttl_seconds: float = _setting(
        7 * 86400.0,
        "How long a trace keeps the text of the answer; 0 is as long as the trace.",
        "s",
        at_least=0,
        at_most=KEPT_S_MAX,
    )
    trace_bytes_max: int = _setting(
        1024**3,
        "How much all traces may take; the oldest go first. 0 is without a limit.",
        "bytes",
        at_least=0,
    )
    sweep_seconds: float = _setting(
        60.0, "How often traces that are to go are deleted.", "s", at_least=0.1
    )
    trace_content: TraceContent = field(
        default="full", metadata=_about("Whether traces keep the text of answers: `full`, `none`.")
    )
    otel: OnOff = field(
        default="off",
        metadata=_about(
            "`on`: an OpenTelemetry span for each stream; where to, the standard `OTEL_*` say."
        ),
    )
    fast_path: OnOff = field(
        default="on",
        metadata=_about(
            "`off`: every frame and event goes through ASGI and asyncio's own event loop; slower."
        ),
    )
    revocation_seconds: float = _setting(
        2.0,
        "How often the database is asked whether what is in use was revoked, and how long a key "
        "that was looked up is remembered.",
        "s",
        at_least=0.1,
        at_most=4,
    )
    binding_ttl_seconds: float = _setting(
        600.0, "How long a token that binds a user to a bot can be used.", "s", at_least=1
    )
    binding_photo: BindingPhoto = field(
        default="off",
        metadata=_about(
            "Whether such a token is read from a photo: `off`, `data` (only a photo within the "
            "request), `fetch` (the relay also loads it from the web). Needs the extra `qr`."
        ),
    )

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], **overrides: SettingValue | None
    ) -> Settings:
        """Read `RELAY_*` from `environ`; an override (None: not given) goes before it.

        An empty variable is the same as none. Raises `SettingsError` for a name that is
        not in the table, a value that is not allowed, and settings that contradict each other.
        """
        known = {PREFIX + item.name.upper(): item for item in fields(cls)}
        for name in environ:
            if name.startswith(PREFIX) and name not in known and name not in FOREIGN:
                raise _unknown(name, tuple(known))
        values: dict[str, SettingValue] = {}
        for name, item in known.items():
            given = overrides.pop(item.name, None)
            raw = environ.get(name) if given is None else as_variable(given)
            if raw is not None and raw.strip():
                values[item.name] = parse(name, raw.strip(), item)
        if overrides:
            raise _unknown(PREFIX + next(iter(overrides)).upper(), tuple(known))
        # The parsers return what the field's annotation says.
        settings = cls(**cast("dict[str, str]", values))  # type: ignore[arg-type]
        settings._check()
        return settings

    def _check(self) -> None:
        """Hold what one field alone cannot say."""
        if self.credit > self.window:
            raise SettingsError(
                "RELAY_CREDIT", str(self.credit), f"at most RELAY_WINDOW, which is {self.window}"
            )


def _unknown(name: str, known: tuple[str, ...]) -> SettingsError:
    near = get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return SettingsError(name, "...", f"there is no such setting; did you mean {near}?")


def as_variable(value: SettingValue) -> str:
    """Return a value as its environment variable holds it."""
    match value:
        case tuple():
            return ",".join(value)
        case float():
            return f"{value:.15g}"
        case _:
            return str(value)
