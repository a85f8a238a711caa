"""`relay key`: access keys of devices, and what each may open and read."""

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
    from relay.admin.people import Scope
    from relay.store.models import AccessKey
    from relay.store.store import Store
    from relay.wire.jsontext import JsonValue

key_app = typer.Typer(help="Access keys of devices.", no_args_is_help=True)

Agents = Annotated[
    list[str] | None,
    typer.Option("--agent", metavar="A", help="Only questions to this agent; may be repeated."),
]
Bots = Annotated[
    list[str] | None,
    typer.Option("--bot", metavar="NAME_OR_ID", help="Only for this bot; may be repeated."),
]
Users = Annotated[
    list[str] | None,
    typer.Option("--user", metavar="U", help="Only questions of this user; may be repeated."),
]


@key_app.command("add")
def key_add(
    name: str,
    *,
    key: Annotated[
        str | None, typer.Option(metavar="K", help="The key; a random one by default.")
    ] = None,
    agent: Agents = None,
    bot: Bots = None,
    user: Users = None,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Add an access key and print it; it is shown only here.

    It opens and reads everything, or only what all of its options allow.
    """
    from relay.admin.people import EVERYTHING
    from relay.store.secrets import new_access_key

    key = given_secret(key) or new_access_key()

    async def add() -> tuple[int | None, Scope]:
        async with open_store(database) as store:
            scope = await _scope(store, agent, bot, user)
            return (await store.add_access_key(name, key, scope)).id, scope

    key_id, scope = asyncio.run(add())
    if json:
        answer: dict[str, JsonValue] = {"id": key_id, "name": name.strip(), "access_key": key}
        print_json(answer if scope == EVERYTHING else {**answer, "scope": _shown(scope)})
        return
    typer.echo(f"id          {key_id}\naccess_key  {key}")
    if scope != EVERYTHING:
        typer.echo(f"scope       {_in_words(scope)}")


@key_app.command("scope")
def key_scope(
    key: NameOrId,
    *,
    agent: Agents = None,
    bot: Bots = None,
    user: Users = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Let it open and read everything again.")
    ] = False,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Say what an access key may open and read from now on, in place of what it might before.

    Its live streams that lie outside end within 5 seconds.
    """
    if everything == bool(agent or bot or user):
        raise typer.BadParameter("give --agent, --bot or --user, or --everything alone")

    async def rescope() -> tuple[AccessKey, Scope]:
        async with open_store(database) as store:
            scope = await _scope(store, agent, bot, user)
            return await store.rescope_access_key(key, scope), scope

    row, scope = asyncio.run(rescope())
    if json:
        print_json({"id": row.id, "name": row.name, "scope": _shown(scope)})
    else:
        typer.echo(f"access key {row.id} ({row.name}) may ask: {_in_words(scope)}")


@key_app.command("list")
def key_list(*, json: AsJson = False, database: Database = None) -> None:
    """Print all access keys, those that were revoked too."""

    async def read() -> list[AccessKey]:
        async with open_store(database) as store:
            return await store.access_keys()

    found = asyncio.run(read())
    if json:
        hidden = {"key_hash", "description", "scope"}
        print_json(
            [{**key.model_dump(exclude=hidden), "scope": _shown(_read(key))} for key in found]
        )
        return
    line = "{:>6}  {:12}  {:8}  {:20}  {:20}  {}"
    typer.echo(line.format("id", "key", "state", "used", "name", "scope"))
    for key in found:
        state = "revoked" if key.revoked_at else "valid" if key.is_active else "off"
        used = show_minute(key.last_used_at) if key.last_used_at else "never"
        cells = (key.id, f"{key.key_prefix}…", state, used, key.name, _in_words(_read(key)))
        typer.echo(line.format(*cells))


@key_app.command("rotate")
def key_rotate(key: NameOrId, *, json: AsJson = False, database: Database = None) -> None:
    """Replace an access key and print it once; the old one is refused at the next request.

    Streams that are open run on, and so do the connections of workers.
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

    Its live streams end within 5 seconds, and the connections that were opened with it.
    """

    async def revoke() -> AccessKey:
        async with open_store(database) as store:
            return await store.revoke_access_key(key)

    row = asyncio.run(revoke())
    if json:
        print_json({"id": row.id, "name": row.name, "revoked_at": row.revoked_at})
    else:
        typer.echo(f"access key {row.id} ({row.name}) is revoked")


async def _scope(
    store: Store, agents: list[str] | None, bots: list[str] | None, users: list[str] | None
) -> Scope:
    """Return the scope that the options describe. Raises `BadRequest` for an unknown bot."""
    from relay.admin.people import Scope

    found = [(await store.bot_named(bot)).id for bot in bots or ()]
    return Scope(
        agents=frozenset(agents) if agents else None,
        bots=frozenset(bot_id for bot_id in found if bot_id is not None) if found else None,
        users=frozenset(users) if users else None,
    )


def _read(key: AccessKey) -> Scope:
    from relay.store.scopes import load_scope

    return load_scope(key.scope)


def _shown(scope: Scope) -> JsonValue:
    return {
        "agents": None if scope.agents is None else [*sorted(scope.agents)],
        "bots": None if scope.bots is None else [*sorted(scope.bots)],
        "users": None if scope.users is None else [*sorted(scope.users)],
    }


def _in_words(scope: Scope) -> str:
    """Return a scope on one line: what is not named is not limited."""
    limits = []
    if scope.agents is not None:
        limits.append(("agents", sorted(scope.agents)))
    if scope.bots is not None:
        limits.append(("bots", [str(bot_id) for bot_id in sorted(scope.bots)]))
    if scope.users is not None:
        limits.append(("users", sorted(scope.users)))
    named = [f"{kind} {', '.join(names) or 'none'}" for kind, names in limits]
    return "; ".join(named) or "everything"
