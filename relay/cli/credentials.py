"""`relay bot`, `relay key` and `relay admin`: who may connect and who may ask."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.common import AsJson, Database, open_store, print_json

if TYPE_CHECKING:
    from relay.store.models import AccessKey, Bot

NameOrId = Annotated[str, typer.Argument(metavar="NAME_OR_ID", show_default=False)]

bot_app = typer.Typer(help="Bots and their tokens.", no_args_is_help=True)
key_app = typer.Typer(help="Access keys of devices.", no_args_is_help=True)
admin_app = typer.Typer(help="Administrators.", no_args_is_help=True)


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

    token = _given(token) or new_sdk_token()

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
        cells = (bot.id, token, _minute(bot.updated_at), bot.rokid_user_id or "-", bot.name)
        typer.echo(line.format(*cells))


@bot_app.command("rotate")
def bot_rotate(bot: NameOrId, *, json: AsJson = False, database: Database = None) -> None:
    """Give a bot a new token and print it once; the old one is refused at the next connection.

    A connection that is open stays open. A bot whose token was revoked has one again.
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
    """Take a bot's token away; it is refused at the next connection.

    A connection that is open stays open, and its answers go on.
    """

    async def revoke() -> Bot:
        async with open_store(database) as store:
            return await store.revoke_bot(bot)

    row = asyncio.run(revoke())
    if json:
        print_json({"bot_id": row.id, "name": row.name, "revoked": True})
    else:
        typer.echo(f"bot {row.id} ({row.name}) has no token any more")


@key_app.command("add")
def key_add(
    name: str,
    *,
    key: Annotated[
        str | None, typer.Option(metavar="K", help="The key; a random one by default.")
    ] = None,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Add an access key and print it; it is shown only here."""
    from relay.store.secrets import new_access_key

    key = _given(key) or new_access_key()

    async def add() -> int | None:
        async with open_store(database) as store:
            return (await store.add_access_key(name, key)).id

    key_id = asyncio.run(add())
    if json:
        print_json({"id": key_id, "name": name.strip(), "access_key": key})
    else:
        typer.echo(f"id          {key_id}\naccess_key  {key}")


@key_app.command("list")
def key_list(*, json: AsJson = False, database: Database = None) -> None:
    """Print all access keys, those that were revoked too."""

    async def read() -> list[AccessKey]:
        async with open_store(database) as store:
            return await store.access_keys()

    found = asyncio.run(read())
    if json:
        print_json([key.model_dump(exclude={"key_hash", "description"}) for key in found])
        return
    line = "{:>6}  {:12}  {:8}  {:20}  {}"
    typer.echo(line.format("id", "key", "state", "used", "name"))
    for key in found:
        state = "revoked" if key.revoked_at else "valid" if key.is_active else "off"
        used = _minute(key.last_used_at) if key.last_used_at else "never"
        typer.echo(line.format(key.id, f"{key.key_prefix}…", state, used, key.name))


@key_app.command("rotate")
def key_rotate(key: NameOrId, *, json: AsJson = False, database: Database = None) -> None:
    """Replace an access key and print it once; the old one is refused at the next request.

    A stream that is being read goes on to its end.
    """
    from relay.store.secrets import new_access_key

    secret = new_access_key()

    async def rotate() -> AccessKey:
        async with open_store(database) as store:
            return await store.rotate_access_key(key, secret)

    row = asyncio.run(rotate())
    if json:
        print_json({"id": row.id, "name": row.name, "access_key": secret})
    else:
        typer.echo(f"id          {row.id}\naccess_key  {secret}")


@key_app.command("revoke")
def key_revoke(key: NameOrId, *, json: AsJson = False, database: Database = None) -> None:
    """Revoke an access key for good; it is refused at the next request.

    A stream that is being read goes on to its end.
    """

    async def revoke() -> AccessKey:
        async with open_store(database) as store:
            return await store.revoke_access_key(key)

    row = asyncio.run(revoke())
    if json:
        print_json({"id": row.id, "name": row.name, "revoked_at": row.revoked_at})
    else:
        typer.echo(f"access key {row.id} ({row.name}) is revoked")


@admin_app.command("token")
def admin_token(*, json: AsJson = False, database: Database = None) -> None:
    """Make an administrator's token and print it; it is shown only here."""
    from relay.store.secrets import new_admin_token

    token = new_admin_token()

    async def add() -> None:
        async with open_store(database) as store:
            await store.add_admin_token(token)

    asyncio.run(add())
    if json:
        print_json({"admin_token": token})
    else:
        typer.echo(f"admin_token  {token}")


def _given(token: str | None) -> str | None:
    from relay.store.secrets import WEAK_CHARS, check_given

    if token is not None and len(check_given(token)) < WEAK_CHARS:
        typer.echo(f"relay: a token of under {WEAK_CHARS} characters can be guessed", err=True)
    return token


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
