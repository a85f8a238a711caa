"""How a scene looks: bot, relay and device side by side. Nothing here does anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from rich.box import ROUNDED
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from relay.demo.ledger import Ledger, trace_delivery
from relay.demo.scenarios import Claim, Scenario
from relay.demo.verdict import Row, listed

VISIBLE: Final = str.maketrans({"\n": "⏎", "\t": "⇥", "\u3000": "␣"})
"""Whitespace that would break the lines of a panel."""

Cell = tuple[str, str]
"""A character and its style."""

TO_COME: Final[Cell] = ("·", "dim")
ON_ITS_WAY: Final[Cell] = ("■", "cyan")
THERE: Final[Cell] = ("■", "green")
HELD: Final[Cell] = ("▣", "yellow")
REPAIRED: Final[Cell] = ("◆", "magenta")
MISSING: Final[Cell] = ("×", "bold red")

LEGEND: Final = Text.assemble(
    " ", ON_ITS_WAY, " on its way  ", THERE, " there  ", HELD, " held for one before it  ",
    REPAIRED, " from the summary  ", MISSING, " missing",
)  # fmt: skip

PER_LINE: Final = (60, 30, 20, 15, 12, 10)
"""How many chunks of a map stand in a line: the most that fits."""

LATEST: Final = 4
"""How many of the bot's last words are shown."""


def scene_view(
    heading: str, scenario: Scenario, ledger: Ledger, *, now: float, width: int, words: str
) -> RenderableType:
    """Return the whole view of a scene for a console of `width` columns.

    `words` is what the relay's trace says, once there is one.
    """
    inner = (width - 2) // 3 - 4
    columns = Table.grid(expand=True, padding=0)
    for _ in range(3):
        columns.add_column(ratio=1)
    lines = len(_map_lines([TO_COME] * len(ledger.chunks), inner)) + LATEST + 3
    columns.add_row(
        _panel(f"bot: {scenario.speaker}", "cyan", lines, _bot(scenario, ledger, inner)),
        _panel("relay", "yellow", lines, _relay(ledger, inner, now, words)),
        _panel("glasses", "green", lines, _glasses(ledger, inner)),
    )
    return Group(Text(heading, style="bold"), Text(scenario.about, style="dim"), columns, LEGEND)


def _panel(title: str, style: str, height: int, lines: Iterable[Text]) -> Panel:
    return Panel(
        Group(*lines),
        title=title,
        title_align="left",
        border_style=style,
        box=ROUNDED,
        height=height + 2,
    )


# --- bot --------------------------------------------------------------------------------


def _bot(scenario: Scenario, ledger: Ledger, width: int) -> list[Text]:
    count = Text.assemble("sent ", (str(len(ledger.sent)), "bold"), f" of {len(ledger.chunks)}")
    if scenario.lost:
        count.append(f", {len(scenario.lost)} never", "red")
    cells = [
        MISSING
        if s in scenario.lost
        else THERE
        if s in ledger.acked
        else ON_ITS_WAY
        if s in ledger.sent
        else TO_COME
        for s in range(len(ledger.chunks))
    ]
    return [count, *_map_lines(cells, width), Text(), *_last_words(scenario, ledger)]


def _last_words(scenario: Scenario, ledger: Ledger) -> list[Text]:
    latest = list(ledger.sent)[-LATEST:]
    said = [_fit(f"→ {sequence:2} {ledger.chunks[sequence]}") for sequence in latest]
    if ledger.ended_at is not None:
        said.append(Text("→ stream_end"))
    if ledger.claimed_at is not None:
        is_false = scenario.claim is Claim.FALSE
        said.append(Text("→ " + scenario.claim, style="red" if is_false else ""))
    return said[-LATEST:]


# --- relay ------------------------------------------------------------------------------


def _relay(ledger: Ledger, width: int, now: float, words: str) -> list[Text]:
    in_order = ledger.in_order
    waiting = sum(1 for sequence in ledger.acked if sequence > in_order)
    delivery = trace_delivery(ledger.chunks, ledger.sent, ledger.heard)
    count = Text.assemble("stored ", (str(len(ledger.acked)), "bold"))
    finished = ledger.finished_at is not None
    if waiting and not finished:
        count.append(f", {waiting} held", "yellow")
    highest = max(ledger.acked, default=-1)

    def cell(sequence: int) -> Cell:
        if sequence in ledger.acked:
            return THERE if sequence < in_order or finished else HELD
        if sequence in delivery.repaired:
            return REPAIRED
        return MISSING if sequence < highest or ledger.ended_at is not None else TO_COME

    cells = [cell(sequence) for sequence in range(len(ledger.chunks))]
    return [count, *_map_lines(cells, width), Text(), Text(words or _state(ledger, now))]


def _state(ledger: Ledger, now: float) -> str:
    if ledger.asked_at is None:
        return "nobody has asked yet"
    if not ledger.sent:
        return f"asked the bot {now - ledger.asked_at:.1f} s ago"
    gaps = [s for s in range(max(ledger.acked, default=-1)) if s not in ledger.acked]
    again = "; asked for again" if ledger.asked_again.intersection(gaps) else ""
    if ledger.finished_at is not None:
        return "the answer is over"
    if ledger.ended_at is not None:
        missing = [s for s in range(len(ledger.chunks)) if s not in ledger.acked]
        held = f"{now - ledger.ended_at:.1f} of {ledger.barrier_s:g} s"
        asked = "; asked for again" if ledger.asked_again.intersection(missing) else ""
        return f"holds the end for {listed(missing)}, {held}{asked}" if missing else "ends"
    if gaps:
        return f"{listed(gaps)} missing{again}: what follows is held"
    return "passes on what comes"


# --- glasses ----------------------------------------------------------------------------


def _glasses(ledger: Ledger, width: int) -> list[Text]:
    delivery = trace_delivery(ledger.chunks, ledger.sent, ledger.heard)
    count = Text.assemble("shown ", (str(len(delivery.at)), "bold"))
    if delivery.repaired:
        count.append(f", {len(delivery.repaired)} repaired", "magenta")
    added = [at - ledger.sent[sequence] for sequence, at in delivery.at.items()]
    if added and not delivery.repaired:
        count.append(f", +{median(added) * 1000:.1f} ms", "dim")
    last = max((*delivery.at, *delivery.repaired), default=-1)

    def cell(sequence: int) -> Cell:
        if sequence in delivery.at:
            return THERE
        if sequence in delivery.repaired:
            return REPAIRED
        is_lost = sequence < last or ledger.finished_at is not None
        return MISSING if is_lost else TO_COME

    cells = [cell(sequence) for sequence in range(len(ledger.chunks))]
    shown = ledger.shown + (" ∎" if ledger.finished_at is not None else "")
    return [count, *_map_lines(cells, width), Text(), *_wrap(shown, width, LATEST + 1)]


# --- lines ------------------------------------------------------------------------------


def _map_lines(cells: Sequence[Cell], width: int) -> list[Text]:
    """Draw one character for each chunk."""
    per_line = next((n for n in PER_LINE if n <= width), PER_LINE[-1])
    return [
        Text.assemble(*cells[start : start + per_line]) for start in range(0, len(cells), per_line)
    ]


def _fit(words: str) -> Text:
    return Text(words.translate(VISIBLE), no_wrap=True, overflow="ellipsis")


def _wrap(words: str, width: int, lines: int) -> list[Text]:
    """Break at the edge, as a display does, and keep the last lines."""
    broken = [""]
    for character in words.translate(VISIBLE):
        if cell_len(broken[-1]) + cell_len(character) > width:
            broken.append("")
        broken[-1] += character
    return [Text(line) for line in broken[-lines:]]


def told(row: Row) -> str:
    """Return what the relay's trace says about a scenario that is over."""
    if not row.missing:
        return "trace: nothing missing"
    by = f"repaired by {row.repaired_by}" if row.repaired_by else "not repaired"
    return f"trace: {listed(row.missing)} missing ({row.position}), {by}"


def result_line(row: Row, of: int) -> Text:
    """Return one line that says how a scenario went."""
    line = Text.assemble(("✓ ", "green") if row.good else ("✗ ", "bold red"), f"{row.title:15} ")
    line.append(f"{row.delivered} of {of}")
    if row.repaired_by and row.good:
        line.append(f" + {len(row.missing)} from the {row.repaired_by}", "magenta")
    if not row.good:
        line.append(f"  {row.complaints[0]}", "red")
    elif row.is_whole:
        line.append(", whole", "green")
    else:
        line.append(f", not one character more; the trace tells {listed(row.missing)}", "yellow")
    median_ms = row.added_percentile(50)
    if median_ms is not None and row.good and not row.missing:
        line.append(f", +{median_ms:.1f} ms", "dim")
    return line
