"""`relay serve`, `relay demo` and `relay settings`."""

from __future__ import annotations

import asyncio
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.common import AsJson, Database, open_store, print_json, settings_of
from relay.garbage import imported_for_good
from relay.settings import Settings
from relay.settings_printed import changed_settings, settings_list, settings_table

if TYPE_CHECKING:
    from relay.store.dev import DevTokens


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Instead of RELAY_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Instead of RELAY_PORT.")] = None,
    database: Database = None,
    broker: Annotated[
        str | None, typer.Option(metavar="URL", help="Instead of RELAY_BROKER_URL.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Run so many processes; more than one needs Redis.")
    ] = 1,
    dev: Annotated[
        bool, typer.Option("--dev", help="Make a bot and keys to try, once, and print them.")
    ] = False,
) -> None:
    """Run the relay until SIGTERM or Ctrl-C."""
    settings = settings_of(database=database, host=host, port=port, broker_url=broker)
    with imported_for_good():
        from relay.server import serve as run
    tokens = asyncio.run(_dev_tokens(settings)) if dev else None
    banner = partial(_dev_banner, settings.host, tokens) if tokens else None

    if workers > 1:
        from relay.workers import serve_workers

        serve_workers(settings, workers, banner=banner)
        return

    run(settings, banner=banner)


async def _dev_tokens(settings: Settings) -> DevTokens:
    from relay.store.dev import ensure_dev_tokens, tokens_file

    path = tokens_file(settings.database_url)
    async with open_store(settings.database_url) as store:
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


def settings(*, json: AsJson = False) -> None:
    """Print every setting, and those that the environment changes."""
    here = settings_of()
    if json:
        print_json(settings_list(here))
        return
    changed = changed_settings(here)
    typer.echo(settings_table())
    typer.echo(f"Set here:\n{changed}" if changed else "Nothing is set here.", nl=not changed)
