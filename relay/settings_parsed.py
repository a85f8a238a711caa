"""Reads the values of settings, each as its field in `relay.settings` asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import Field
from ipaddress import ip_network
from typing import Final, Literal, get_args

from relay.errors import SettingsError

LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
TraceContent = Literal["full", "none"]
OnOff = Literal["off", "on"]
BindingPhoto = Literal["off", "data", "fetch"]
SettingValue = str | int | float | tuple[str, ...]

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")

DATABASE_SCHEMES: Final = ("sqlite", "sqlite+aiosqlite", "postgresql", "postgresql+asyncpg")

SECRET_CHARS_MIN: Final = 32
"""128 bits in hexadecimal."""

_ORIGIN = re.compile(r"https?://[^/\s?#@]+")
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^@/]*(?=@)")


def parse(name: str, raw: str, item: Field[SettingValue]) -> SettingValue:
    """Read one value as its field asks. Raises `SettingsError` that says what is allowed."""
    parse = _BY_NAME.get(item.name) or _BY_TYPE[str(item.type)]
    return parse(name, raw, item)


def _text(_name: str, raw: str, _item: Field[SettingValue]) -> str:
    return raw


def _number(name: str, raw: str, item: Field[SettingValue]) -> int | float:
    """Read a number within the field's limits; an integer only where the field is one."""
    at_least, at_most = item.metadata["at_least"], item.metadata["at_most"]
    allowed = "a whole number" if item.type == "int" else "a number of seconds"
    allowed += f" of at least {at_least:g}" if at_least is not None else ""
    allowed += f" and at most {at_most:g}" if at_most is not None else ""
    pattern = r"[+-]?\d{1,15}" if item.type == "int" else r"[+-]?\d{1,15}(\.\d{1,9})?"
    if not re.fullmatch(pattern, raw, re.ASCII):
        raise SettingsError(name, raw, allowed)
    value = int(raw) if item.type == "int" else float(raw)
    if (at_least is not None and value < at_least) or (at_most is not None and value > at_most):
        raise SettingsError(name, raw, allowed)
    return value


def _choice(*options: str) -> Callable[[str, str, Field[SettingValue]], str]:
    def parse(name: str, raw: str, _item: Field[SettingValue]) -> str:
        if raw.lower() not in options:
            raise SettingsError(name, raw, "one of " + ", ".join(options))
        return raw.lower()

    return parse


def _origins(name: str, raw: str, _item: Field[SettingValue]) -> tuple[str, ...]:
    origins = tuple(part.strip().lower() for part in raw.split(",") if part.strip())
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                name, raw, "origins such as https://a.example, separated by commas, without a path"
            )
    return origins


def _networks(name: str, raw: str, _item: Field[SettingValue]) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(part.strip())) for part in raw.split(",") if part.strip())
    except ValueError:
        raise SettingsError(
            name, raw, "addresses or networks such as 127.0.0.1,10.0.0.0/8, separated by commas"
        ) from None


def _database(name: str, raw: str, _item: Field[SettingValue]) -> str:
    if "://" not in raw or raw.partition("://")[0] not in DATABASE_SCHEMES:
        raise SettingsError(
            name,
            without_password(raw),
            "sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER@HOST/NAME",
        )
    return raw


def _broker(name: str, raw: str, _item: Field[SettingValue]) -> str:
    scheme, _, place = raw.partition("://")
    if raw != "memory://" and (scheme not in REDIS_SCHEMES or not place):
        raise SettingsError(
            name, without_password(raw), "memory://, redis://HOST:PORT, rediss:// or unix://PATH"
        )
    return raw


def _prefix(name: str, raw: str, _item: Field[SettingValue]) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", raw):
        raise SettingsError(name, raw, "1 to 64 of letters, digits and _ . : -")
    return raw


def _secret(name: str, raw: str, _item: Field[SettingValue]) -> str:
    if len(raw) < SECRET_CHARS_MIN:
        raise SettingsError(
            name, "***", f"at least {SECRET_CHARS_MIN} characters, from a generator"
        )
    return raw


_Parser = Callable[[str, str, Field[SettingValue]], SettingValue]

_BY_NAME: Final[Mapping[str, _Parser]] = {
    "database_url": _database,
    "trusted_proxies": _networks,
    "broker_url": _broker,
    "redis_prefix": _prefix,
    "secret": _secret,
}

_BY_TYPE: Final[Mapping[str, _Parser]] = {
    "str": _text,
    "int": _number,
    "float": _number,
    "tuple[str, ...]": _origins,
    "LogFormat": _choice(*get_args(LogFormat)),
    "LogLevel": _choice(*get_args(LogLevel)),
    "TraceContent": _choice(*get_args(TraceContent)),
    "OnOff": _choice(*get_args(OnOff)),
    "BindingPhoto": _choice(*get_args(BindingPhoto)),
}


def without_password(url: str) -> str:
    """Return the URL as it may be printed: its password, if any, is replaced by `***`."""
    return _PASSWORD.sub(r"\1:***", url)
