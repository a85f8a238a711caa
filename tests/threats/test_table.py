"""docs/security.md names the tests of each threat: they are there, and none of ours is left out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.fuzz.target import names

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
CELL = re.compile(r"`([\w/.]+)(?:::(\w+))?`")
THREATS = [
    *("Credentials in logs", "A stolen database", "A stolen credential", "Reading or writing"),
    *("SSE injection", "Oversize", "Bombs", "Gap attack", "Slowloris", "Floods", "Too many"),
    *("Cross-site WebSocket", "Guessing an administrator", "Acting through", "Stored XSS"),
    *("SSRF", "Private content", "Bad numbers", "Anything else"),
]
"""The least that the table must have."""


def rows() -> list[tuple[str, str, str]]:
    """The rows of the first table: threat, answer, tests."""
    table = TEXT.split("|---|---|---|\n", 1)[1].split("\n\n", 1)[0]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [(threat, answer, tests) for threat, answer, tests in found]


ROWS = rows()


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:24] for row in ROWS])
def test_the_tests_of_a_threat_are_there(row: tuple[str, str, str]) -> None:
    """Each path is a file, and each name a function in it."""
    _, answer, tests = row
    assert answer
    named = CELL.findall(tests)
    assert named
    assert CELL.sub("", tests).split() == [], "nothing but tests stands there"
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text())
        functions = [
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        assert not name or name in functions, f"{path} has no {name}"


def test_every_threat_has_its_row() -> None:
    """And only one."""
    for threat in THREATS:
        assert sum(row[0].startswith(threat) for row in ROWS) == 1, threat


def test_every_test_of_a_threat_is_in_the_table() -> None:
    """A reader of the table finds all that is here, and as many targets as there are."""
    for path in Path(__file__).parent.glob("test_*.py"):
        assert path.name == "test_table.py" or f"tests/threats/{path.name}" in TEXT
    assert f"{len(names())} targets are fuzzed" in TEXT
