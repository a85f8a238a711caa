"""Access keys and what each may open: made, rotated, revoked, given another scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from relay.admin.people import KeyRecord, Made, Scope
from relay.errors import BadRequest
from relay.web.admin.page_frame import Desk, Visit, done, seen, then

SCOPE_NAMES_MAX: Final = 1_000

_KEYS = "/admin/keys"


def keys_routes(desk: Desk) -> list[Route]:
    """Return the routes of access keys."""
    return [
        seen(desk, _KEYS, _list),
        done(desk, _KEYS, _create),
        done(desk, _KEYS + "/{key_id}/rotate", _rotate),
        done(desk, _KEYS + "/{key_id}/revoke", _revoke),
        done(desk, _KEYS + "/{key_id}/scope", _rescope),
    ]


def read_scope(form: Mapping[str, str]) -> Scope:
    """Read a scope: names parted by commas or blanks, where empty means everything.

    Raises `BadRequest` for a bot that is no number.
    """
    bots = _names(form.get("bots", ""))
    for bot in bots or ():
        if not (bot.isascii() and bot.isdecimal() and len(bot) < 19):  # noqa: PLR2004 - 2^63
            raise BadRequest(f"bots are given by their numbers; {bot[:40]!r} is none", field="bots")
    return Scope(
        agents=_names(form.get("agents", "")),
        bots=None if bots is None else frozenset(map(int, bots)),
        users=_names(form.get("users", "")),
    )


def _names(given: str) -> frozenset[str] | None:
    names = frozenset(given.replace(",", " ").split())
    if len(names) > SCOPE_NAMES_MAX:
        raise BadRequest(f"a scope has at most {SCOPE_NAMES_MAX} names")
    return names or None


async def _list(visit: Visit, problem: str = "", status: int = 200) -> Response:
    bots = await visit.desk.store.people.list_bots()
    return visit.page(
        "keys.html",
        status,
        keys=await visit.desk.store.people.list_keys(),
        names={bot.bot_id: bot.name for bot in bots},
        problem=problem,
        given=visit.form,
    )


async def _create(visit: Visit) -> Response:
    try:
        scope = read_scope(visit.form)
        made = await visit.desk.store.people.create_key(visit.form.get("name", ""), scope)
    except BadRequest as error:
        return await _list(visit, error.message, 400)
    return _secret(visit, made, "is added")


async def _rotate(visit: Visit) -> Response:
    try:
        made = await visit.desk.store.people.rotate_key(visit.number("key_id"))
    except BadRequest as error:
        return await _list(visit, error.message, 400)
    return _secret(visit, made, "has a new secret")


def _secret(visit: Visit, made: Made, what: str) -> Response:
    assert isinstance(made.record, KeyRecord)
    return visit.page(
        "secret.html",
        title=f"Access key {made.record.name} {what}",
        label="Access key",
        secret=made.secret,
        hint="Send it as Authorization: Bearer. In Lingzhu it is the agent's access key.",
        back=_KEYS,
        qr=None,
        expires_at=None,
    )


async def _revoke(visit: Visit) -> Response:
    await visit.desk.store.people.revoke_key(visit.number("key_id"))
    return then(_KEYS, "key_revoked")


async def _rescope(visit: Visit) -> Response:
    try:
        await visit.desk.store.people.rescope_key(visit.number("key_id"), read_scope(visit.form))
    except BadRequest as error:
        return await _list(visit, error.message, 400)
    return then(_KEYS, "key_scoped")
