from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from relay.errors import SettingsError
from relay.settings import Settings
from relay.settings_printed import changed_settings


def read(**environ: str) -> Settings:
    """Read settings from these variables alone."""
    return Settings.from_environment(environ)


def test_an_empty_environment_gives_the_defaults() -> None:
    """Times and limits are those that the architecture names."""
    settings = read()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.barrier_seconds, settings.guess_seconds) == (2.0, 0.15)
    assert (settings.gap_seconds, settings.idle_seconds) == (8.0, 60.0)
    assert (settings.window, settings.credit, settings.held_bytes_max) == (1024, 256, 262_144)
    assert settings.database_url == "sqlite+aiosqlite:///relay.db"


def test_each_kind_of_value_is_read() -> None:
    """Numbers, lists, words and URLs; blanks around them and the case of words do not matter."""
    settings = read(
        RELAY_PORT=" 9000 ",
        RELAY_BARRIER_SECONDS="0.5",
        RELAY_ALLOWED_ORIGINS="https://A.example, http://b.example:3000,",
        RELAY_TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8,fd00::/8",
        RELAY_LOG_FORMAT="JSON",
        RELAY_DATABASE_URL="postgresql+asyncpg://u:p@h/n",
        PATH="/usr/bin",
    )
    assert settings.port == 9000
    assert settings.barrier_seconds == 0.5
    assert settings.allowed_origins == ("https://a.example", "http://b.example:3000")
    assert settings.trusted_proxies == ("127.0.0.1/32", "10.0.0.0/8", "fd00::/8")
    assert settings.log_format == "json"
    assert settings.database_url == "postgresql+asyncpg://u:p@h/n"


def test_an_empty_variable_is_the_same_as_none() -> None:
    """Compose files pass on variables that nobody set."""
    assert read(RELAY_PORT="", RELAY_ALLOWED_ORIGINS=" ", RELAY_LOG_LEVEL="").port == 8080


def test_an_option_goes_before_the_environment() -> None:
    """And one that was not given does not."""
    settings = Settings.from_environment(
        {"RELAY_PORT": "1", "RELAY_HOST": "::1"}, port=2, host=None
    )
    assert (settings.port, settings.host) == (2, "::1")


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("RELAY_PORT", "http", "a whole number of at least 0 and at most 65535"),
        ("RELAY_PORT", "65536", "at most 65535"),
        ("RELAY_PORT", "80.0", "a whole number"),
        ("RELAY_PORT", "-1", "at least 0"),
        ("RELAY_PORT", "９", "a whole number"),
        ("RELAY_IDLE_SECONDS", "nan", "a number of seconds"),
        ("RELAY_IDLE_SECONDS", "1e9", "a number of seconds"),
        ("RELAY_IDLE_SECONDS", "0.5", "at least 1"),
        ("RELAY_LOG_FORMAT", "xml", "one of console, json"),
        ("RELAY_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("RELAY_TRACE_CONTENT", "some", "one of full, none"),
        ("RELAY_ALLOWED_ORIGINS", "example.com", "without a path"),
        ("RELAY_ALLOWED_ORIGINS", "https://a.example/", "without a path"),
        ("RELAY_TRUSTED_PROXIES", "caddy", "addresses or networks"),
        ("RELAY_TRUSTED_PROXIES", "*", "addresses or networks"),
        ("RELAY_TRUSTED_PROXIES", "10.0.0.1/8", "addresses or networks"),
        ("RELAY_DATABASE_URL", "relay.db", "sqlite+aiosqlite:///FILE"),
        ("RELAY_DATABASE_URL", "mysql://h/n", "sqlite+aiosqlite:///FILE"),
        ("RELAY_BROKER_URL", "nats://h", "memory://"),
        ("RELAY_BROKER_URL", "redis://", "redis://HOST:PORT"),
        ("RELAY_BROKER_URL", "memory://x", "memory://"),
        ("RELAY_REDIS_PREFIX", "a{b}", "letters, digits"),
        ("RELAY_REDIS_WAIT_REPLICAS", "-1", "at least 0"),
        ("RELAY_CREDIT", "1025", "at most RELAY_WINDOW, which is 1024"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(
    name: str, value: str, allowed: str
) -> None:
    """The message holds the variable, its value and what may stand there."""
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})
    error = caught.value
    assert (error.variable, error.value) == (name, value)
    assert allowed in error.allowed
    assert name in str(error)
    assert value in str(error)


@pytest.mark.parametrize(
    "url", ["memory://", "redis://:canary@h:6379/0", "rediss://h", "unix:///run/redis.sock"]
)
def test_a_broker_is_this_process_or_redis(url: str) -> None:
    """In each way that Redis can be reached; a password is not printed."""
    settings = read(RELAY_BROKER_URL=url)
    assert settings.broker_url == url
    assert "canary" not in repr(settings) + changed_settings(settings)


def test_a_password_of_a_broker_that_is_not_known_is_not_repeated() -> None:
    """The message says what may stand there."""
    with pytest.raises(SettingsError, match="redis://HOST:PORT") as caught:
        read(RELAY_BROKER_URL="nats://:canary@h")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("RELAY_PROT", "RELAY_PORT"), ("RELAY_BARRIER", "RELAY_BARRIER_SECONDS")],
)
def test_an_unknown_variable_is_an_error_that_suggests_the_nearest(name: str, nearest: str) -> None:
    """A setting that is silently not read is worse than none; its value may be a secret."""
    with pytest.raises(SettingsError, match=f"did you mean {nearest}") as caught:
        read(**{name: "canary"})
    assert "canary" not in str(caught.value)


def test_an_unknown_option_is_an_error() -> None:
    """A caller's slip is found as an operator's is."""
    with pytest.raises(SettingsError, match="RELAY_PORT"):
        Settings.from_environment({}, prot=1)


def test_the_sdks_variables_are_no_settings_of_the_relay() -> None:
    """Bot and relay may be started from one shell."""
    assert read(RELAY_ACK_TIMEOUT_SECONDS="2", RELAY_TOKEN="t") is not None


def test_a_short_secret_is_refused_and_not_repeated() -> None:
    """Whoever guesses it signs tickets for any stream."""
    with pytest.raises(SettingsError, match="at least 32 characters") as caught:
        read(RELAY_SECRET="canary")
    assert "canary" not in str(caught.value)


def test_secrets_are_never_printed() -> None:
    """Neither the signing key nor a database's password, wherever settings are shown."""
    settings = read(
        RELAY_SECRET="canary" * 8, RELAY_DATABASE_URL="postgresql://u:canary@h/n", RELAY_PORT="1"
    )
    shown = repr(settings) + str(settings) + changed_settings(settings)
    assert "canary" not in shown
    assert "RELAY_PORT=1\n" in shown
    assert "RELAY_DATABASE_URL=postgresql://u:***@h/n\n" in shown


def test_settings_do_not_change() -> None:
    """Parts of the relay keep what they were given."""
    with pytest.raises(FrozenInstanceError):
        read().port = 1  # type: ignore[misc]
