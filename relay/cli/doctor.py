"""`relay doctor`: what is wrong with this installation, and how to mend it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.common import AsJson, Database, print_json, settings_of
from relay.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from relay.doctor.finding import Finding, Level
    from relay.settings import Settings


def doctor(
    *,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="A running relay, as the outside sees it.")
    ] = None,
    access_key: Annotated[
        str | None,
        typer.Option(metavar="K", help="Ask it a question, too, which leaves a trace there."),
    ] = None,
    json: AsJson = False,
    database: Database = None,
) -> None:
    """Look at database, broker, clock, limits and settings, and say how to mend what is wrong.

    With --url also at a relay that runs: health, WebSocket, whether a proxy holds streams back.
    It changes nothing. The exit code is 1 where something has to be mended.
    """
    from relay.doctor.finding import Level

    found = asyncio.run(_examine(database, url, access_key))
    failed = any(finding.level is Level.FAIL for finding in found)
    if json:
        print_json({"ok": not failed, "findings": found})
    else:
        from rich.console import Console

        console = Console(highlight=False)
        console.print(drawn(found))
        console.print(summary(found))
    raise typer.Exit(int(failed))


async def _examine(database: str | None, url: str | None, access_key: str | None) -> list[Finding]:
    from relay.doctor.configuration import SETTINGS
    from relay.doctor.finding import failure
    from relay.doctor.machine import look_at_clock, look_at_limits
    from relay.doctor.running import look_at_relay

    found: list[Finding] = []
    try:
        found += await _configured(settings_of(database=database))
    except SettingsError as error:
        found.append(failure(SETTINGS, str(error), "correct it; the rest was not looked at"))
    found += [*await look_at_clock(), *look_at_limits()]
    if url:
        found += await look_at_relay(url, access_key)
    return found


async def _configured(settings: Settings) -> list[Finding]:
    from relay.doctor.broker import look_at_broker
    from relay.doctor.configuration import look_at_extras, look_at_secret, look_at_settings
    from relay.doctor.machine import look_at_connections
    from relay.doctor.storage import look_at_database

    found = [*look_at_settings(settings), *look_at_extras(settings), *look_at_secret(settings)]
    found += look_at_connections(settings.connections_max)
    found += await look_at_database(settings.database_url, grows_to_bytes=settings.trace_bytes_max)
    return found + await look_at_broker(
        settings.broker_url, wait_replicas=settings.redis_wait_replicas
    )


def drawn(found: Sequence[Finding]) -> RenderableType:
    """Return the findings as a table, what to do under what is wrong."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("what")
    table.add_column("how it is", overflow="fold")
    for finding in found:
        said = Text(finding.what)
        if finding.mend:
            said.append(f"\n-> {finding.mend}", style="dim")
        table.add_row(Text(finding.level, style=_style(finding.level)), finding.area, said)
    return table


def summary(found: Sequence[Finding]) -> RenderableType:
    """Return how many are how, in one line."""
    from rich.text import Text

    from relay.doctor.finding import Level

    count = Counter(finding.level for finding in found)
    return Text(", ".join(f"{count[level]} {level}" for level in Level if count[level]))


def _style(level: Level) -> str:
    return {"ok": "green", "warn": "bold yellow", "fail": "bold red", "skip": "dim"}[level]
