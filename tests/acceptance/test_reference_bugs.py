from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs" / "reference_bugs.md").read_text(encoding="utf-8")
ROW = re.compile(r"\| (B\d+) \| (.+?) \| (.+?) \| (.+?) \|")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_bug_of_the_reference_has_its_row() -> None:
    """B1 to B41, each with what we do and at least one test."""
    rows = [match.groups() for line in TABLE.splitlines() if (match := ROW.fullmatch(line))]
    assert [row[0] for row in rows] == [f"B{number}" for number in range(1, 42)]
    assert [row[0] for row in rows if not NAMED.search(row[3])] == []


def test_every_test_that_the_table_names_exists() -> None:
    """By file and by name."""
    named = NAMED.findall(TABLE)
    assert len(named) == TABLE.count("::test_")
    missing = [f"{path}::{name}" for path, name in named if name not in names_in(ROOT / path)]
    assert missing == []


def names_in(path: Path) -> set[str]:
    """The names of the tests in a file."""
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
