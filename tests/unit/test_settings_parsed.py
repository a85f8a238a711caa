from __future__ import annotations

from dataclasses import fields

import pytest

from relay.errors import SettingsError
from relay.settings import Settings
from relay.settings_parsed import parse, without_password

FIELDS = {item.name: item for item in fields(Settings)}


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("window", "12", 12),
        ("barrier_seconds", "1.5", 1.5),
        ("log_format", "JSON", "json"),
        ("trusted_proxies", "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1/128")),
        ("allowed_origins", "https://A.example", ("https://a.example",)),
    ],
)
def test_a_value_is_read_as_its_field_asks(name: str, raw: str, value: object) -> None:
    """The type of the field, or its name, says how."""
    assert parse(f"RELAY_{name.upper()}", raw, FIELDS[name]) == value


def test_what_a_field_does_not_allow_is_named_with_what_it_does() -> None:
    """The limits are those of the field."""
    with pytest.raises(SettingsError, match="a whole number of at least 1"):
        parse("RELAY_WINDOW", "0", FIELDS["window"])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h/n", "postgresql://u:***@h/n"),
        ("redis://:p@h", "redis://:***@h"),
        ("postgresql://u@h:5432/n", "postgresql://u@h:5432/n"),
        ("sqlite+aiosqlite:///relay.db", "sqlite+aiosqlite:///relay.db"),
    ],
)
def test_a_url_is_printed_without_its_password(url: str, shown: str) -> None:
    """A port is no password."""
    assert without_password(url) == shown
