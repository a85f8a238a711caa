from __future__ import annotations

import sys

import pytest

from relay.errors import SettingsError
from relay.telemetry.extra import open_spans


async def test_spans_are_opened_where_the_extra_is_installed() -> None:
    """Without a variable they go to this machine; nothing is sent before there is a span."""
    spans = open_spans()
    await spans.close()


def test_a_missing_extra_is_told_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """At start, and not with the first stream."""
    monkeypatch.delitem(sys.modules, "relay.telemetry.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"RELAY_OTEL.*pip install 'relay-stream\[otel\]'"):
        open_spans()


def test_a_variable_that_is_malformed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own words, as an error of the settings."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "1")
    with pytest.raises(SettingsError, match="OTEL_"):
        open_spans()
