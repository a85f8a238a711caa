"""Bots and the tokens that bind users to them: made, rotated, revoked, unbound."""

from __future__ import annotations

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from relay.admin.people import BindingRecord, BotRecord, Made
from relay.errors import BadRequest
from relay.web.admin.page_frame import Desk, Visit, done, seen, then
from relay.web.qr import qr_svg

_BOTS = "/admin/bots"


def people_routes(desk: Desk) -> list[Route]:
    """Return the routes of bots and of binding tokens."""
    return [
        seen(desk, _BOTS, _list),
        done(desk, _BOTS, _create),
        done(desk, _BOTS + "/{bot_id}/rotate", _rotate),
        done(desk, _BOTS + "/{bot_id}/revoke", _revoke),
        done(desk, _BOTS + "/{bot_id}/unbind", _unbind),
        done(desk, _BOTS + "/{bot_id}/binding", _bind),
        done(desk, "/admin/bindings/{binding_id}/delete", _delete_binding),
    ]


async def _list(visit: Visit, problem: str = "", status: int = 200) -> Response:
    store = visit.desk.store
    bots, bindings = await store.people.list_bots(), await store.bindings.list_bindings()
    return visit.page(
        "bots.html",
        status,
        bots=bots,
        bindings=bindings,
        names={bot.bot_id: bot.name for bot in bots},
        online=visit.desk.live.online_bots(),
        problem=problem,
        given=visit.form,
    )


async def _create(visit: Visit) -> Response:
    try:
        made = await visit.desk.store.people.create_bot(
            visit.form.get("name", ""), user_id=visit.form.get("user_id", "").strip() or None
        )
    except BadRequest as error:
        return await _list(visit, error.message, 400)
    return _bot_secret(visit, made, "is added")


async def _rotate(visit: Visit) -> Response:
    made = await visit.desk.store.people.rotate_bot_token(visit.number("bot_id"))
    return _bot_secret(visit, made, "has a new token")


def _bot_secret(visit: Visit, made: Made, what: str) -> Response:
    assert isinstance(made.record, BotRecord)
    return visit.page(
        "secret.html",
        title=f"Bot {made.record.name} {what}",
        label="SDK token",
        secret=made.secret,
        hint="Give it to the bot as RELAY_TOKEN.",
        back=_BOTS,
        qr=None,
        expires_at=None,
    )


async def _revoke(visit: Visit) -> Response:
    await visit.desk.store.people.revoke_bot_token(visit.number("bot_id"))
    return then(_BOTS, "bot_revoked")


async def _unbind(visit: Visit) -> Response:
    await visit.desk.store.bindings.unbind(visit.number("bot_id"))
    return then(_BOTS, "unbound")


async def _bind(visit: Visit) -> Response:
    made = await visit.desk.store.bindings.create_binding(visit.number("bot_id"))
    assert isinstance(made.record, BindingRecord)
    names = {bot.bot_id: bot.name for bot in await visit.desk.store.people.list_bots()}
    return visit.page(
        "secret.html",
        title=f"Bind a user to {names.get(made.record.bot_id, 'a bot')}",
        label="Binding token",
        secret=made.secret,
        hint="Say or type the token to the glasses; where photos are on, let them take one of "
        "the code. It works once.",
        back=_BOTS,
        qr=Markup(qr_svg(made.secret)),  # noqa: S704 - made here, of modules and no text
        expires_at=made.record.expires_at,
    )


async def _delete_binding(visit: Visit) -> Response:
    await visit.desk.store.bindings.delete_binding(visit.number("binding_id"))
    return then(_BOTS, "binding_deleted")
