from __future__ import annotations

from pathlib import Path

import pytest

from relay.doctor import configuration
from relay.doctor.configuration import look_at_extras, look_at_secret, look_at_settings
from relay.doctor.finding import Level
from relay.settings import Settings
from relay.store.dev import tokens_file
from relay.store.signing_key import signing_key

POSTGRES = "postgresql+asyncpg://relay@db/relay"


def test_the_defaults_fit_together() -> None:
    """Nobody is warned of what we chose ourselves."""
    (finding,) = look_at_settings(Settings())
    assert finding.level is Level.OK


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(keepalive_seconds=55), "RELAY_KEEPALIVE_SECONDS"),
        (Settings(cable_ping_seconds=10), "RELAY_CABLE_PING_SECONDS"),
        (Settings(poll_seconds=50), "RELAY_POLL_SECONDS"),
        (Settings(retention_seconds=10), "RELAY_RETENTION_SECONDS"),
        (Settings(bot_grace_seconds=60), "RELAY_BOT_GRACE_SECONDS"),
        (Settings(gap_seconds=60), "RELAY_GAP_SECONDS"),
        (Settings(guess_seconds=3), "RELAY_BARRIER_SECONDS"),
        (Settings(held_bytes_max=8 << 20), "RELAY_HELD_BYTES_MAX"),
        (Settings(stream_max_seconds=60), "RELAY_STREAM_MAX_SECONDS"),
        (Settings(drain_seconds=30), "TimeoutStopSec"),
        (Settings(redis_wait_replicas=1), "RELAY_BROKER_URL"),
        (Settings(trace_ttl_seconds=0, trace_bytes_max=0), "RELAY_TRACE_BYTES_MAX"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings: Settings, named: str) -> None:
    """One warning, which says what to set."""
    (finding,) = look_at_settings(settings)
    assert finding.level is Level.WARN
    assert named in finding.mend


def test_what_is_switched_on_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is missing is named, with how to install it; one that is off is not needed."""
    settings = Settings(otel="on", binding_photo="data")
    assert look_at_extras(settings) == []
    monkeypatch.setattr(configuration, "find_spec", lambda name: None)
    assert look_at_extras(Settings()) == []
    found = look_at_extras(settings)
    assert [finding.level for finding in found] == [Level.FAIL, Level.FAIL]
    assert [finding.mend.partition("[")[2] for finding in found] == ["otel]'", "qr]'"]


def test_a_secret_that_is_set_is_fine_anywhere() -> None:
    """And it is not told."""
    (finding,) = look_at_secret(Settings(database_url=POSTGRES, secret="s" * 32))
    assert finding.level is Level.OK
    assert "sss" not in finding.what


def test_without_a_secret_each_process_signs_for_itself() -> None:
    """A warning for one process, which forgets it at a restart; wrong where there are several."""
    (alone,) = look_at_secret(Settings(database_url=POSTGRES))
    (many,) = look_at_secret(Settings(database_url=POSTGRES, broker_url="redis://cache"))
    assert (alone.level, many.level) == (Level.WARN, Level.FAIL)
    assert "openssl rand -hex 32" in alone.mend


def test_the_key_beside_a_database_is_for_its_owner_only(tmp_path: Path) -> None:
    """Not made yet; made; and readable by others."""
    settings = Settings(database_url=f"sqlite:///{tmp_path}/relay.db")
    (absent,) = look_at_secret(settings)
    assert not list(tmp_path.iterdir())
    signing_key(settings.database_url)
    (private,) = look_at_secret(settings)
    (tmp_path / "relay.db.key").chmod(0o644)
    (shared,) = look_at_secret(settings)
    assert [found.level for found in (absent, private, shared)] == [Level.OK, Level.OK, Level.FAIL]
    assert shared.mend == f"`chmod 600 {tmp_path}/relay.db.key`"


@pytest.mark.parametrize(
    ("host", "told"),
    [("127.0.0.1", 1), ("localhost", 1), ("::1", 1), ("192.0.2.1", 2), ("relay.example", 2)],
)
def test_development_tokens_are_told_of_where_others_can_reach_the_relay(
    tmp_path: Path, host: str, told: int
) -> None:
    """On the developer's own machine they are what was asked for."""
    settings = Settings(host=host, database_url=f"sqlite:///{tmp_path}/relay.db")
    tokens_file(settings.database_url).touch()
    assert len(look_at_secret(settings)) == told
