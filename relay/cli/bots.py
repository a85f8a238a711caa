"""`relay bot`: bots and their tokens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.common import (
    AsJson,
    Database,
    NameOrId,
    given_secret,
    open_store,
    print_json,
    show_minute,
)

if TYPE_CHECKING:
    from relay.store.models import Bot

bot_app = typer.Typer(help="Bots and their tokens.", no_args_is_help=True)


@bot_app.command("add")
def bot_add(
    name: str,
    *,
    user_id: Annotated[
        str | None, typer.Option(metavar="U", help="The user whose questions it answers.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="T", help="Its token; a random one by default.")
    ] = None,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Add a bot and print its token, which is shown only here."""
    from relay.store.secrets import new_sdk_token

    token = given_secret(token) or new_sdk_token()

    async def add() -> int | None:
        async with open_store(database) as store:
            return (await store.add_bot(name, token, user_id=user_id or None)).id

    bot_id = asyncio.run(add())
    if json:
        print_json({"bot_id": bot_id, "name": name.strip(), "sdk_token": token})
    else:
        typer.echo(f"bot_id     {bot_id}\nsdk_token  {token}")


@bot_app.command("list")
def bot_list(*, json: AsJson = False, database: Database = None) -> None:
    """Print all bots."""
    from relay.store.bots import is_revoked

    async def read() -> list[Bot]:
        async with open_store(database) as store:
            return await store.bots()

    found = asyncio.run(read())
    if json:
        print_json(
            [
                {
                    "bot_id": bot.id,
                    "name": bot.name,
                    "user_id": bot.rokid_user_id,
                    "token_prefix": bot.token_prefix,
                    "revoked": is_revoked(bot),
                    "created_at": bot.created_at,
                    "updated_at": bot.updated_at,
                }
                for bot in found
            ]
        )
        return
    line = "{:>6}  {:9}  {:20}  {:32}  {}"
    typer.echo(line.format("bot", "token", "changed", "user", "name"))
    for bot in found:
        token = "revoked" if is_revoked(bot) else f"{bot.token_prefix}…"
        cells = (bot.id, token, show_minute(bot.updated_at), bot.rokid_user_id or "-", bot.name)
        typer.echo(line.format(*cells))


@bot_app.command("rotate")
def bot_rotate(bot: NameOrId, *, json: AsJson = False, database: Database = None) -> None:
    """Give a bot a new token and print it once; the old one is of no use any more.

    A connection that was opened with it ends within 5 seconds. A bot whose token was revoked has
    one again.
    """
    from relay.store.secrets import new_sdk_token

    token = new_sdk_token()

    async def rotate() -> Bot:
        async with open_store(database) as store:
            return await store.rotate_bot(bot, token)

    row = asyncio.run(rotate())
    if json:
        print_json({"bot_id": row.id, "name": row.name, "sdk_token": token})
    else:
        typer.echo(f"bot_id     {row.id}\nsdk_token  {token}")


@bot_app.command("revoke")
def bot_revoke(bot: NameOrId, *, json: AsJson = False, database: Database = None) -> None:
    """Take a bot's token away; its connection ends within 5 seconds.

    Its open answers end as those of a bot that is gone, unless it comes back with another token.
    """

    async def revoke() -> Bot:
        async with open_store(database) as store:
            return await store.revoke_bot(bot)

    row = asyncio.run(revoke())
    if json:
        print_json({"bot_id": row.id, "name": row.name, "revoked": True})
    else:
        typer.echo(f"bot {row.id} ({row.name}) has no token any more")
