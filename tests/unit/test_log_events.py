"""The log lines that the code writes, held equal to docs/logs.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception"}
IDS = {"stream_id", "trace_id", "bot_id", "access_key_id"}
ROW = re.compile(r"^\| `(?P<event>\w+)` \| (?P<level>[\w, ]+) \| (?P<fields>[^|]*) \|")


@dataclass(frozen=True)
class Line:
    """One call of a logger."""

    where: str
    event: str
    level: str
    fields: frozenset[str]
    names: bool
    """Whether it is given the names of a stream or a caller as a whole."""


def written() -> Iterator[Line]:
    """Every log call of the relay."""
    for path in sorted((ROOT / "relay").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(ast.Attribute(value=receiver, attr=method), args, keywords) if (
                    method in LEVELS and "log" in ast.unparse(receiver).lower()
                ):
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    assert isinstance(args[0], ast.Constant), f"{where}: the event is no literal"
                    yield Line(
                        where,
                        str(args[0].value),
                        "error" if method == "exception" else method,
                        frozenset(keyword.arg for keyword in keywords if keyword.arg),
                        any(keyword.arg is None for keyword in keywords),
                    )


def documented() -> dict[str, tuple[str, set[str]]]:
    """Level and fields of each event, as the table has them."""
    text = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    rows = [found for found in map(ROW.match, text.splitlines()) if found]
    return {
        row["event"]: (row["level"], set(re.findall(r"`(\w+)`", row["fields"]))) for row in rows
    }


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """All log calls."""
    return list(written())


def test_the_table_names_every_event_and_no_other(lines: list[Line]) -> None:
    """Whoever adds a line adds a row."""
    assert {line.event for line in lines} == documented().keys()


def test_the_table_has_the_levels(lines: list[Line]) -> None:
    """An exception is an error."""
    table = documented()
    for event, (levels, _) in table.items():
        told = {line.level for line in lines if line.event == event}
        assert told == set(levels.split(", ")), event


def test_the_table_has_the_fields(lines: list[Line]) -> None:
    """Those that are written out, and the ids where a line is given names."""
    table = documented()
    for event, (_, fields) in table.items():
        calls = [line for line in lines if line.event == event]
        told = set().union(*(line.fields for line in calls))
        if any(line.names for line in calls):
            assert told - IDS <= fields - IDS, event
        else:
            assert told - IDS == fields - IDS, event
        for line in calls:
            assert line.names or line.fields & IDS == fields & IDS, line.where


def test_events_have_one_style(lines: list[Line]) -> None:
    """Words in lower case, joined by underscores, as a program searches for them."""
    odd = [line.where for line in lines if not re.fullmatch(r"[a-z]+(_[a-z]+)+", line.event)]
    assert odd == []
