"""`relay bot`, `relay key` and `relay admin`: who may connect and who may ask."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from relay.cli.common import AsJson, Database, open_store, print_json

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
