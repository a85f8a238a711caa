"""The command line: `relay serve`, `relay bot add`, `relay trace list` and so on.

What a command needs is imported inside it, so that `relay --help` answers at once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

try:
    import typer
except ModuleNotFoundError:  # the base install holds the SDK alone
    sys.exit("the relay itself is not installed: pip install 'relay-stream[server]'")

from relay.errors import BadRequest, RelayError, SettingsError
from relay.settings import Settings, changed_settings, settings_table, without_password

if TYPE_CHECKING:
    from relay.node.tracer import TraceRow
    from relay.store.dev import DevTokens
    from relay.store.store import Store

app = typer.Typer(
    name="relay",
    help="Carries a bot's streamed answer to an SSE device, whole and in order.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
bot_app = typer.Typer(help="Bots and their tokens.", no_args_is_help=True)
key_app = typer.Typer(help="Access keys of devices.", no_args_is_help=True)
admin_app = typer.Typer(help="Administrators.", no_args_is_help=True)
db_app = typer.Typer(help="The database's schema.", no_args_is_help=True)
trace_app = typer.Typer(help="What became of each stream.", no_args_is_help=True)
app.add_typer(bot_app, name="bot")
app.add_typer(key_app, name="key")
app.add_typer(admin_app, name="admin")
app.add_typer(db_app, name="db")
app.add_typer(trace_app, name="trace")

Database = Annotated[str | None, typer.Option(metavar="URL", help="Instead of RELAY_DATABASE_URL.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def main() -> None:
    """Run the command line. An error is one line on stderr; the exit code is 2 for settings."""
    try:
        app()
    except SettingsError as error:
        _fail(str(error), 2)
    except (RelayError, OSError) as error:
        _fail(str(error), 1)


def _fail(message: str, code: int) -> None:
    typer.echo(f"relay: {message}", err=True)
    sys.exit(code)


def _settings(*, database: str | None = None, **overrides: str | int | None) -> Settings:
    return Settings.from_environment(os.environ, database_url=database, **overrides)


@asynccontextmanager
async def _store(database: str | None) -> AsyncIterator[Store]:
    from relay.store.store import Store

    store = await Store.open(_settings(database=database).database_url)
    try:
        yield store
    finally:
        await store.close()


def _print_json(value: object) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(value))


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from importlib.metadata import version

        typer.echo(f"relay {version('relay-stream')}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Carries a bot's streamed answer to an SSE device, whole and in order."""


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Instead of RELAY_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Instead of RELAY_PORT.")] = None,
    database: Database = None,
    broker: Annotated[
        str | None, typer.Option(metavar="URL", help="Instead of RELAY_BROKER_URL.")
    ] = None,
    dev: Annotated[
        bool, typer.Option("--dev", help="Make a bot and keys to try, once, and print them.")
    ] = False,
) -> None:
    """Run the relay until SIGTERM or Ctrl-C."""
    settings = _settings(database=database, host=host, port=port, broker_url=broker)
    tokens = asyncio.run(_dev_tokens(settings)) if dev else None
    banner = partial(_dev_banner, settings.host, tokens) if tokens else None

    from relay.app import serve as run

    run(settings, banner=banner)


async def _dev_tokens(settings: Settings) -> DevTokens:
    from relay.store.dev import ensure_dev_tokens, tokens_file

    path = tokens_file(settings.database_url)
    async with _store(settings.database_url) as store:
        return await ensure_dev_tokens(store, path)


def _dev_banner(listening_on: str, tokens: DevTokens, port: int) -> str:
    """Say how to try the relay, in lines that can be pasted into another terminal."""
    host = "127.0.0.1" if listening_on in {"0.0.0.0", "::", ""} else listening_on  # noqa: S104
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    question = (
        '{"message_id":"1","agent_id":"dev","user_id":"dev-user",'
        '"message":[{"role":"user","type":"text","text":"Hello"}]}'
    )
    return f"""\
Development tokens (kept in .relay-dev.json beside the database; not for production)

  bot token    {tokens.sdk_token}
  access key   {tokens.access_key}
  admin token  {tokens.admin_token}

Start a bot:

  RELAY_TOKEN={tokens.sdk_token} {_beside("relay-bot")} --relay {base} --echo

Ask it something:

  curl -N {base}/sse/rokid -H 'Authorization: Bearer {tokens.access_key}' \\
    -H 'Content-Type: application/json' -d '{question}'
"""


def _beside(program: str) -> str:
    """Return how to call a program that was installed with this one: by its path if need be."""
    found = shutil.which(program)
    beside = Path(sys.executable).with_name(program)
    if found is not None and Path(found).resolve() == beside.resolve():
        return program
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)


@app.command()
def demo(
    *,
    speed: Annotated[
        float, typer.Option(min=0.1, max=1000, help="Play so many times as fast.")
    ] = 1.0,
    full: Annotated[
        bool, typer.Option("--full", help="Play the silence before each first chunk, too.")
    ] = False,
) -> None:
    """Replay the recorded incident through a relay of its own; 0 only if every text was right."""
    from rich.console import Console

    from relay.demo.screen import conclude, open_screen
    from relay.demo.stage import Options, play

    console = Console()
    with open_screen(console) as screen:
        rows = asyncio.run(play(screen, Options(speed=speed, full=full)))
    sys.exit(conclude(console, rows))


@app.command()
def settings() -> None:
    """Print every setting, and those that the environment changes."""
    changed = changed_settings(_settings())
    typer.echo(settings_table())
    typer.echo(f"Set here:\n{changed}" if changed else "Nothing is set here.", nl=not changed)


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
        async with _store(database) as store:
            return (await store.add_bot(name, token, user_id=user_id or None)).id

    bot_id = asyncio.run(add())
    if json:
        _print_json({"bot_id": bot_id, "name": name.strip(), "sdk_token": token})
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
        async with _store(database) as store:
            return (await store.add_access_key(name, key)).id

    key_id = asyncio.run(add())
    if json:
        _print_json({"id": key_id, "name": name.strip(), "access_key": key})
    else:
        typer.echo(f"id          {key_id}\naccess_key  {key}")


@admin_app.command("token")
def admin_token(*, json: AsJson = False, database: Database = None) -> None:
    """Make an administrator's token and print it; it is shown only here."""
    from relay.store.secrets import new_admin_token

    token = new_admin_token()

    async def add() -> None:
        async with _store(database) as store:
            await store.add_admin_token(token)

    asyncio.run(add())
    if json:
        _print_json({"admin_token": token})
    else:
        typer.echo(f"admin_token  {token}")


def _given(token: str | None) -> str | None:
    from relay.store.secrets import WEAK_CHARS, check_given

    if token is not None and len(check_given(token)) < WEAK_CHARS:
        typer.echo(f"relay: a token of under {WEAK_CHARS} characters can be guessed", err=True)
    return token


@db_app.command("upgrade")
def db_upgrade(*, database: Database = None) -> None:
    """Bring the database to the newest schema. Safe to run at any time, from many machines."""
    from relay.store.migrate import upgrade

    url = _settings(database=database).database_url
    revision = asyncio.run(upgrade(url))
    typer.echo(f"{without_password(url)} is at schema {revision}")


@trace_app.command("list")
def trace_list(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many to print.")] = 20,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Print the newest traces."""

    async def read() -> list[TraceRow]:
        async with _store(database) as store:
            return await store.traces(limit=limit)

    rows = asyncio.run(read())
    if json:
        _print_json(rows)
        return
    from relay.wire.timestamp import beijing_iso

    line = "{:25}  {:32}  {:>6}  {:9}  {:11}  {:>9}  {:>7}  {}"
    head = ("asked", "trace", "bot", "status", "outcome", "shown", "missing", "position")
    typer.echo(line.format(*head))
    for row in rows:
        shown = f"{row.sse_chunk_count}/{row.sdk_total_chunks or row.sdk_chunk_count}"
        when, bot = beijing_iso(row.created_at), row.bot_id or "-"
        lost, where = len(row.missing_sequences), row.loss_position or ""
        cells = (when, row.trace_id, bot, row.status, row.outcome, shown, lost, where)
        typer.echo(line.format(*cells).rstrip())


@trace_app.command("show")
def trace_show(trace_id: str, *, json: AsJson = False, database: Database = None) -> None:
    """Print one trace."""

    async def read() -> TraceRow | None:
        async with _store(database) as store:
            return await store.trace(trace_id)

    row = asyncio.run(read())
    if row is None:
        raise BadRequest(f"there is no trace {trace_id}", field="trace_id")
    if json:
        _print_json(row)
        return
    for name in row.__slots__:
        value: object = getattr(row, name)
        if isinstance(value, list) and name in {"events", "timeline"}:
            value = f"{len(value)} (see --json)"
        typer.echo(f"{name:20}{value}")
