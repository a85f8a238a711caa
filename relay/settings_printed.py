"""The settings as they are printed: a table for people, a list for programs, what was changed."""

from __future__ import annotations

from dataclasses import fields
from typing import cast

from relay.settings import PREFIX, Settings, as_variable
from relay.settings_parsed import SettingValue, without_password


def settings_table() -> str:
    """Return every setting with its default, unit and meaning, as a Markdown table."""
    rows = [("variable", "default", "unit", "meaning"), ("---", "---", "---", "---")]
    for item in fields(Settings):
        default = (
            ""
            if item.name == "secret" or item.default == ()
            else f"`{as_variable(cast('SettingValue', item.default))}`"
        )
        unit, about = item.metadata["unit"], item.metadata["about"]
        rows.append((f"`{PREFIX}{item.name.upper()}`", default, unit, about))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def settings_list(settings: Settings) -> list[dict[str, SettingValue | None]]:
    """Return every setting with its value and its default, for programs; secrets are None."""
    return [
        {
            "variable": f"{PREFIX}{item.name.upper()}",
            "value": None if item.name == "secret" else _shown(getattr(settings, item.name)),
            "default": cast("SettingValue", item.default),
            "unit": item.metadata["unit"],
            "meaning": item.metadata["about"],
        }
        for item in fields(settings)
    ]


def _shown(value: SettingValue) -> SettingValue:
    return without_password(value) if isinstance(value, str) else value


def changed_settings(settings: Settings) -> str:
    """Return what differs from the defaults as `NAME=value` lines; secrets are hidden."""
    lines = []
    for item in fields(settings):
        value = cast("SettingValue", getattr(settings, item.name))
        if item.name != "secret" and value != item.default:
            lines.append(f"{PREFIX}{item.name.upper()}={without_password(as_variable(value))}\n")
    return "".join(lines)
