"""An access key's scope as its column holds it: a JSON object, or nothing for everything."""

from __future__ import annotations

from typing import Final

from relay.admin.people import EVERYTHING, Scope
from relay.errors import BadRequest
from relay.store.bots import ID_MAX
from relay.wire.jsontext import JsonValue, dumps_ascii, loads

NAMES_MAX: Final = 1_000
"""How many agents, bots or users one key may be scoped to."""

NAME_CHARS_MAX: Final = 256
"""As long as a device's request may have them."""

NOTHING: Final = Scope(frozenset(), frozenset(), frozenset())
"""What a scope means that cannot be read: nobody knows what was to be allowed."""

_KINDS: Final = frozenset({"agents", "bots", "users"})


class _Unreadable(Exception):
    """Not as `dump_scope` writes it."""


def dump_scope(scope: Scope) -> str | None:
    """Return what the column holds. Raises `BadRequest` where the scope is too long."""
    _check("agents", scope.agents)
    _check("users", scope.users)
    if scope.bots is not None and (
        len(scope.bots) > NAMES_MAX or any(not 0 < bot <= ID_MAX for bot in scope.bots)
    ):
        raise BadRequest(f"bots are up to {NAMES_MAX} ids of bots", field="bots")
    if scope == EVERYTHING:
        return None
    stored: dict[str, JsonValue] = {}
    # Sorted, so that one scope is always the same text.
    if scope.agents is not None:
        stored["agents"] = [*sorted(scope.agents)]
    if scope.bots is not None:
        stored["bots"] = [*sorted(scope.bots)]
    if scope.users is not None:
        stored["users"] = [*sorted(scope.users)]
    return dumps_ascii(stored)


def load_scope(stored: str | None) -> Scope:
    """Return the scope of a key. One that cannot be read is `NOTHING`: it fails closed."""
    if stored is None:
        return EVERYTHING
    try:
        value = loads(stored)
    except ValueError:
        return NOTHING
    if not isinstance(value, dict) or not value or not value.keys() <= _KINDS:
        return NOTHING
    agents, bots, users = (value.get(kind) for kind in ("agents", "bots", "users"))
    try:
        return Scope(
            agents=None if "agents" not in value else _texts(agents),
            bots=None if "bots" not in value else _ids(bots),
            users=None if "users" not in value else _texts(users),
        )
    except _Unreadable:
        return NOTHING


def _check(kind: str, names: frozenset[str] | None) -> None:
    if names is None:
        return
    if len(names) > NAMES_MAX or not all(
        0 < len(name) <= NAME_CHARS_MAX and name.isprintable() for name in names
    ):
        raise BadRequest(
            f"{kind} are up to {NAMES_MAX} ids of 1 to {NAME_CHARS_MAX} printable characters",
            field=kind,
        )


def _texts(value: JsonValue) -> frozenset[str]:
    if not isinstance(value, list):
        raise _Unreadable
    names = frozenset(name for name in value if isinstance(name, str))
    if len(names) != len(value):
        raise _Unreadable
    return names


def _ids(value: JsonValue) -> frozenset[int]:
    if not isinstance(value, list):
        raise _Unreadable
    # `True` is an int to Python, and would be bot 1.
    ids = frozenset(number for number in value if type(number) is int)
    if len(ids) != len(value):
        raise _Unreadable
    return ids
