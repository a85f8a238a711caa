"""docs/reliability.md: what it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from bench.durability.scenes import SCENES
from bench.soak.__main__ import PANELS, limits
from tests.faults.catalog import ALL

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
FAULTS = (ROOT / "docs" / "reliability_faults.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
PROMISE = re.compile(r"\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|")


def names_in(path: Path) -> set[str]:
    """The functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_every_test_that_the_page_names_exists() -> None:
    """By file and by name."""
    named = NAMED.findall(PAGE)
    assert len(named) == PAGE.count(".py::") > 40
    missing = [f"{path}::{name}" for path, name in named if name not in names_in(ROOT / path)]
    assert missing == []


def test_every_promise_has_its_checker_and_a_test() -> None:
    """1 to 23, each with its own number's checker and at least one test."""
    rows = [match.groups() for line in PAGE.splitlines() if (match := PROMISE.fullmatch(line))]
    assert [int(row[0]) for row in rows] == list(range(1, 24))
    for number, _, checker, test in rows:
        assert f"::i{int(number):02}_" in checker
        assert NAMED.search(test), number


def test_every_file_that_the_page_links_or_names_exists() -> None:
    """Links, and paths in code."""
    links = re.findall(r"\]\(([\w.-]+)\)", PAGE)
    paths = re.findall(r"`((?:tests|bench|relay)/[\w/.]+)`", PAGE)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_scene_and_every_judged_figure_has_its_row() -> None:
    """Nothing that was measured is left out."""
    named = [*(scene.title for scene in SCENES.values()), *(one.name for one in limits(2.0))]
    assert [name for name in named if f"| {name} |" not in PAGE] == []


def test_every_scenario_has_its_fault_and_its_measured_row() -> None:
    """On this page and in the table that `make faults` writes, and neither has one too many."""
    section = PAGE.partition("## Which fault is tried where")[2].partition("\n## ")[0]
    mapped = re.findall(r"`([a-z-]+)`", section)
    measured = re.findall(r"^\| `([a-z-]+)` \|", FAULTS, re.MULTILINE)
    assert mapped == measured == [one.name for one in ALL]


def test_the_drawing_is_one_of_a_soak() -> None:
    """It has the panels that the code draws."""
    drawn = (ROOT / "docs" / "soak.svg").read_text(encoding="utf-8")
    assert all(f">{panel.title}<" in drawn for panel in PANELS)


def test_every_command_of_the_page_is_one_of_make() -> None:
    """Its targets are those of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^    )make ([a-z]+)\b", PAGE, re.MULTILINE))
    assert named - targets == set() != named
