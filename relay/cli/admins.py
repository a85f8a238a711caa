"""`relay admin`: administrators."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.common import AsJson, Database, open_store, print_json, show_minute

if TYPE_CHECKING:
    from relay.store.models import AdminToken

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


@admin_app.command("list")
def admin_list(*, json: AsJson = False, database: Database = None) -> None:
    """Print all administrators' tokens by their beginnings, those that were revoked too."""

    async def read() -> list[AdminToken]:
        async with open_store(database) as store:
            return await store.admin_tokens()

    found = asyncio.run(read())
    if json:
        print_json([row.model_dump(exclude={"token_hash"}) for row in found])
        return
    line = "{:>6}  {:12}  {:8}  {}"
    typer.echo(line.format("id", "token", "state", "made"))
    for row in found:
        state = "revoked" if row.revoked_at else "valid"
        typer.echo(line.format(row.id, f"{row.token_prefix}…", state, show_minute(row.created_at)))


@admin_app.command("revoke")
def admin_revoke(
    admin_id: Annotated[int, typer.Argument(metavar="ID", show_default=False)],
    *,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Revoke an administrator's token for good; whoever is logged in with it is out at once."""

    async def revoke() -> AdminToken:
        async with open_store(database) as store:
            return await store.revoke_admin_token(admin_id)

    row = asyncio.run(revoke())
    if json:
        print_json({"id": row.id, "revoked": True})
    else:
        typer.echo(f"admin token {row.id} ({row.token_prefix}…) is revoked")
