"""`relay bot bind` and `relay bot unbind`: whose questions a bot answers."""

from __future__ import annotations

import asyncio
import io
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.common import AsJson, Database, NameOrId, open_store, print_json, settings_of

if TYPE_CHECKING:
    from relay.admin.people import BindingRecord, BotRecord


def bind(
    bot: NameOrId,
    *,
    qr: Annotated[
        bool | None,
        typer.Option("--qr/--no-qr", help="Draw it as a QR code; by default on a terminal."),
    ] = None,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Make a token that binds one user to a bot, and print it; it is shown only here.

    The user says or types it to the glasses, or shows them its QR code. It works once, and
    expires (RELAY_BINDING_TTL_SECONDS).
    """
    record, token, name = asyncio.run(_make(bot, database))
    expires = datetime.fromtimestamp(record.expires_at, UTC)
    if json:
        print_json(
            {
                "binding_id": record.binding_id,
                "bot_id": record.bot_id,
                "name": name,
                "token": token,
                "expires_at": expires,
            }
        )
        return
    typer.echo(f"bot_id   {record.bot_id}\ntoken    {token}")
    typer.echo(f"expires  {expires:%Y-%m-%d %H:%M:%S} UTC")
    if sys.stdout.isatty() if qr is None else qr:
        typer.echo(_drawing(token))


def unbind(bot: NameOrId, *, json: AsJson = False, database: Database = None) -> None:
    """Part a bot from its user, whose next question is asked for a token again."""

    async def part() -> BotRecord:
        async with open_store(database) as store:
            found = await store.bot_named(bot)
            assert found.id is not None
            return await store.binding_desk(0).unbind(found.id)

    record = asyncio.run(part())
    if json:
        print_json({"bot_id": record.bot_id, "name": record.name, "user_id": record.user_id})
    else:
        typer.echo(f"bot {record.bot_id} ({record.name}) has no user")


async def _make(bot: str, database: str | None) -> tuple[BindingRecord, str, str]:
    """Return what is stored of a new token, the token itself, and its bot's name."""
    from relay.admin.people import BindingRecord

    async with open_store(database) as store:
        found = await store.bot_named(bot)
        assert found.id is not None
        desk = store.binding_desk(settings_of(database=database).binding_ttl_seconds)
        made = await desk.create_binding(found.id)
        assert isinstance(made.record, BindingRecord)
        return made.record, made.secret, found.name


def _drawing(token: str) -> str:
    """Return a QR code in half blocks, two rows in a line."""
    import segno

    out = io.StringIO()
    segno.make_qr(token, error="q", boost_error=False).terminal(out, compact=True)
    return out.getvalue()
