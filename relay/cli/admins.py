"""`relay admin`: administrators."""

from __future__ import annotations

import asyncio

import typer

from relay.cli.common import AsJson, Database, open_store, print_json

admin_app = typer.Typer(help="Administrators.", no_args_is_help=True)


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
