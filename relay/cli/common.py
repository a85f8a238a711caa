"""What all commands share: the settings, the store, and how JSON is printed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from relay.settings import Settings

if TYPE_CHECKING:
    from relay.store.store import Store

Database = Annotated[str | None, typer.Option(metavar="URL", help="Instead of RELAY_DATABASE_URL.")]
NameOrId = Annotated[str, typer.Argument(metavar="NAME_OR_ID", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def settings_of(*, database: str | None = None, **overrides: str | int | None) -> Settings:
    """Return the environment's settings, with the command's options before them."""
    return Settings.from_environment(os.environ, database_url=database, **overrides)


@asynccontextmanager
async def open_store(database: str | None) -> AsyncIterator[Store]:
    """Open the store at this URL, or the one of the environment."""
    from relay.store.store import Store

    store = await Store.open(settings_of(database=database).database_url)
    try:
        yield store
    finally:
        await store.close()


def print_json(value: object) -> None:
    """Print JSON on a line of its own."""
    import msgspec

    typer.echo(msgspec.json.encode(value))


def given_secret(token: str | None) -> str | None:
    """Return the token that an operator chose, with a warning where it can be guessed.

    Raises `BadRequest` where it cannot be one.
    """
    from relay.store.secrets import WEAK_CHARS, check_given

    if token is not None and len(check_given(token)) < WEAK_CHARS:
        typer.echo(f"relay: a token of under {WEAK_CHARS} characters can be guessed", err=True)
    return token


def show_minute(at: datetime) -> str:
    """Return a moment as tables show it."""
    return f"{at:%Y-%m-%d %H:%M} UTC"
