"""The two places where the demo is watched: a terminal, and a plain file or pipe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from relay.demo.incident import OldSystem
from relay.demo.panels import result_line, scene_view, told
from relay.demo.stage import Scene, Screen, exit_code, painting
from relay.demo.tables import complaints, final_table
from relay.demo.verdict import Row

EVERY_S: Final = 0.06
"""How often the terminal is painted, where the bot's pauses allow it."""

AFTER_S: Final = 0.9
"""How long a scene stays to be looked at; at a higher speed as much shorter."""

PIPE_WIDTH: Final = 140
"""Columns of the final table where there is no terminal that could break its lines."""


def heading(scene: Scene) -> str:
    """Name a scene: its number, its title, and what of the recording is left out."""
    pace, notes = scene.pace, []
    if pace.speed != 1:
        notes.append(f"{pace.speed:g} x speed")
    if pace.skip_s:
        notes.append(f"{pace.skip_s:.1f} s of silence skipped")
    words = f"{scene.number}/{scene.of}  {scene.scenario.title}"
    return f"{words}  ({', '.join(notes)})" if notes else words


class LiveScreen:
    """Bot, relay and device side by side, repainted while they talk."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live
        self._results: list[Text] = [_old_system()]

    def say(self, words: str) -> None:
        """See `Screen`."""
        self._live.update(Text(words, style="dim"), refresh=True)

    @asynccontextmanager
    async def watch(self, scene: Scene) -> AsyncIterator[None]:
        """See `Screen`."""
        async with painting(scene.ledger, lambda: self._paint(scene), every_s=EVERY_S):
            yield

    async def took(self, scene: Scene, row: Row) -> None:
        """See `Screen`."""
        self._results.append(result_line(row, len(scene.turn.chunks)))
        self._paint(scene, told(row))
        await asyncio.sleep(AFTER_S / scene.pace.speed)

    def _paint(self, scene: Scene, words: str = "") -> None:
        now, width = time.monotonic(), self._console.width
        view = scene_view(
            heading(scene), scene.scenario, scene.ledger, now=now, width=width, words=words
        )
        taken = len(self._console.render_lines(view, pad=False))
        # What does not fit is the oldest result: the terminal must not scroll.
        room = max(0, self._console.height - taken - 1)
        results = self._results[-room:] if room else []
        self._live.update(Group(view, *results), refresh=True)


class LineScreen:
    """A few lines for each scenario, for a file, a pipe or a log."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, words: str) -> None:
        """See `Screen`."""
        self._console.print(Text(words))

    @asynccontextmanager
    async def watch(self, scene: Scene) -> AsyncIterator[None]:
        """See `Screen`."""
        self.say(f"{heading(scene)}\n      {scene.scenario.speaker}: {scene.scenario.about}")
        yield

    async def took(self, scene: Scene, row: Row) -> None:
        """See `Screen`."""
        self._console.print(Text("      ") + result_line(row, len(scene.turn.chunks)))


def _old_system() -> Text:
    old = OldSystem()
    return Text(
        f"✗ {'old system':15} {old.delivered} of {old.sent}, and nobody was told, "
        f"+{old.added_ms:.0f} ms (recorded)",
        style="dim",
    )


@contextmanager
def open_screen(console: Console) -> Iterator[Screen]:
    """Open the screen that suits the console; a live one is wiped in the end."""
    if not console.is_terminal:
        console.width = PIPE_WIDTH
        yield LineScreen(console)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveScreen(console, live)


def conclude(console: Console, rows: Sequence[Row]) -> int:
    """Print the final table; returns the exit code."""
    console.print(final_table(rows, console.width))
    if exit_code(rows):
        console.print(complaints(rows))
        return 1
    whole = sum(row.is_whole for row in rows)
    words = f"{whole} of {len(rows)} texts whole"
    if whole < len(rows):
        words += f", {len(rows) - whole} as sent and told by the trace"
    console.print(Text(f"{words}.", style="green"))
    return 0
