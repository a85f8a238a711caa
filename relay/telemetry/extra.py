"""Opens what the extra `otel` installs, where it is installed."""

from __future__ import annotations

from relay.errors import SettingsError
from relay.telemetry.sink import Spans


def open_spans() -> Spans:
    """Return where spans go, as the `OTEL_*` variables say.

    Raises `SettingsError` where the extra is missing or a variable is malformed.
    """
    try:
        from relay.telemetry.otlp import OtelSpans  # noqa: PLC0415 - not everybody has it
    except ModuleNotFoundError:
        needed = "needs OpenTelemetry: pip install 'relay-stream[otel]'"
        raise SettingsError("RELAY_OTEL", "on", needed) from None
    try:
        return OtelSpans()
    except ValueError as error:
        needed = f"the OTEL_* variables cannot be used: {error}"
        raise SettingsError("RELAY_OTEL", "on", needed) from None
