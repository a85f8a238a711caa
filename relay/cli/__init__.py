"""The command line: `relay serve`, `relay bot add`, `relay trace list` and so on.

common       what all commands share: settings, the store, JSON
serve        the relay itself, its demo, its settings
bots         bots and their tokens
keys         access keys and their scopes
admins       administrators
bindings     which user's questions a bot answers
database     the schema
doctor       what is wrong with this installation
traces       what became of each stream
tail         the same, as it happens
trace_lines  what both share: which traces, and one as a line
timeline     one stream, drawn in the terminal

What a command needs is imported inside it, so that `relay --help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

try:
    import typer
except ModuleNotFoundError:  # the base install holds the SDK alone
    sys.exit("the relay itself is not installed: pip install 'relay-stream[server]'")

from relay.cli import admins, bindings, bots, database, doctor, keys, serve, traces
from relay.errors import RelayError, SettingsError
from relay.release import is_compiled, release

app = typer.Typer(
    name="relay",
    help="Carries a bot's streamed answer to an SSE device, whole and in order.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(serve.serve)
app.command()(serve.demo)
app.command()(serve.settings)
app.command()(doctor.doctor)
bots.bot_app.command()(bindings.bind)
bots.bot_app.command()(bindings.unbind)
app.add_typer(bots.bot_app, name="bot")
app.add_typer(keys.key_app, name="key")
app.add_typer(admins.admin_app, name="admin")
app.add_typer(database.db_app, name="db")
app.add_typer(traces.trace_app, name="trace")


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


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"relay {release()}{' (compiled)' if is_compiled() else ''}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Carries a bot's streamed answer to an SSE device, whole and in order."""
