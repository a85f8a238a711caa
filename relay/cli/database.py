"""`relay db`: the database's schema."""

from __future__ import annotations

import asyncio

import typer

from relay.cli.common import AsJson, Database, print_json, settings_of
from relay.settings_parsed import without_password

db_app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@db_app.command("upgrade")
def db_upgrade(*, json: AsJson = False, database: Database = None) -> None:
    """Bring the database to the newest schema. Safe to run at any time, from many machines."""
    from relay.store.migrate import upgrade

    url = settings_of(database=database).database_url
    revision = asyncio.run(upgrade(url))
    if json:
        print_json({"database": without_password(url), "schema": revision})
    else:
        typer.echo(f"{without_password(url)} is at schema {revision}")
