"""docs/sdk.md: its programs run, its names exist, and its reference is what the docstrings say."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import textwrap
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import relay_sdk
from relay_sdk.testing import FakeRelay

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program that writes the reference."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = spec_from_file_location("sdk_reference", ROOT / "scripts" / "sdk_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_docstrings_say(script: ModuleType) -> None:
    """Where it is not: python scripts/sdk_reference.py."""
    _, mark, reference = PAGE.partition(script.MARK)
    assert mark + reference == script.render()


def test_a_public_name_cannot_be_forgotten(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is in no section of the reference stops the program."""
    monkeypatch.setattr(relay_sdk, "__all__", [*relay_sdk.__all__, "Novelty"])
    with pytest.raises(SystemExit, match="Novelty"):
        script.render()


async def test_the_quickstart_answers_in_ten_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is run as it stands there."""
    block = BLOCKS[0]
    lines = [line for line in block.splitlines() if line.strip()]
    assert len(lines) <= 10
    started: list[relay_sdk.Bot] = []

    def run(bot: relay_sdk.Bot) -> None:
        started.append(bot)  # a builtin would not be bound as a method

    monkeypatch.setattr(relay_sdk.Bot, "run", run)
    async with FakeRelay() as relay:
        monkeypatch.setenv("RELAY_URL", relay.url)
        monkeypatch.setenv("RELAY_TOKEN", relay.token)
        exec(compile(block, "quickstart", "exec"), {})  # noqa: S102 - our own text
        async with started[0]:
            answer = await relay.ask("hello")
    assert answer.text == "You said: hello"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_every_program_of_the_page_is_python_and_imports_what_exists(block: str) -> None:
    """Parts of programs are put into a function, where they may await."""
    body = f"async def part():\n{textwrap.indent(block, '    ')}"
    for node in ast.walk(ast.parse(body)):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names)
