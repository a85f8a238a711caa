"""What a worker is given. That it runs is shown in tests/integration/test_workers_flag.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.errors import SettingsError
from relay.settings import Settings
from relay.workers import environment_of, serve_workers


def test_a_worker_reads_the_settings_that_the_command_line_gave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything arrives, and what the environment said instead is gone."""
    monkeypatch.setenv("RELAY_IDLE_SECONDS", "33")
    monkeypatch.setenv("LANG", "C")
    origins = ("https://a.example", "https://b.example")
    given = replace(Settings(), secret="s" * 32, allowed_origins=origins, gap_seconds=1.5)
    environ = environment_of(given, 0)
    assert Settings.from_environment(environ) == given
    assert environ["LANG"] == "C"


@pytest.mark.parametrize(("base", "index", "port"), [(9100, 0, 9100), (9100, 3, 9103), (0, 3, 0)])
def test_each_worker_has_a_port_of_its_own_for_metrics(base: int, index: int, port: int) -> None:
    """Counted from the first; none where none was asked for."""
    environ = environment_of(replace(Settings(), metrics_port=base), index)
    assert Settings.from_environment(environ).metrics_port == port


def test_workers_that_share_no_broker_are_refused() -> None:
    """A typed error that names the setting, before anything listens."""
    with pytest.raises(SettingsError, match=r"RELAY_BROKER_URL.*redis://HOST:PORT, because 2"):
        serve_workers(Settings(), 2)
