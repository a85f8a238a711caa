"""Style as a test: each check runs on the project, and catches a violation that is planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tidy
from tests.tidy import Module

ROOT = Path(tidy.__file__).parents[1]


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    """Every module of the project."""
    return tidy.read_modules(ROOT)


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Every file of the project."""
    return tidy.tracked_files(ROOT)


def plant(root: Path, name: str, source: str) -> Path:
    """Write a file into a tree of its own."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return path


def report(found: list[str]) -> str:
    """Show the findings one under another, with paths that start at the project."""
    return "\n" + "\n".join(line.replace(f"{ROOT}/", "") for line in found)


# --- layers -----------------------------------------------------------------------------


def test_no_layer_imports_a_higher_one(modules: list[Module]) -> None:
    """The arrows of the architecture point down, and shells do not know each other."""
    found = tidy.layers(modules)
    assert not found, report(found)


@pytest.mark.parametrize(
    ("name", "source", "finding"),
    [
        ("relay/protocol/x.py", "import relay.node.node", "a higher layer"),
        ("relay/protocol/x.py", "from relay import clock", "a higher layer"),
        ("relay/node/x.py", "from ..web import cable", "a higher layer"),
        ("relay/node/x.py", "def f():\n    from relay.broker import memory", "a higher layer"),
        ("relay/web/x.py", "from relay.app import App", "a higher layer"),
        ("relay/web/x.py", "from relay.store.engine import open_engine", "another shell"),
        ("relay/web/x.py", "from relay.broker.memory import Broker", "another shell"),
        ("relay/broker/redis.py", "from .memory import Broker", "another shell"),
        ("relay/cli.py", "from relay_sdk import Bot", "a higher layer"),
        ("relay/novelty.py", "", "has no layer"),
    ],
)
def test_an_import_against_the_layers_is_caught(
    tmp_path: Path, name: str, source: str, finding: str
) -> None:
    """Plain, relative and late imports alike, and a module without a place."""
    plant(tmp_path, "relay/clock.py", "")
    plant(tmp_path, "relay/broker/memory.py", "")
    plant(tmp_path, name, source)
    (found,) = tidy.layers(tidy.read_modules(tmp_path))
    assert finding in found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "relay/web/x.py",
            "from relay.node.node import Node\nfrom relay.broker.base import Letter",
        ),
        ("relay/web/x.py", "from relay.web.cable import Cable"),
        ("relay/broker/redis.py", "from relay.broker.base import StreamLog"),
        ("relay/node/x.py", "from relay import clock, errors"),
        ("relay/app.py", "from relay.web import cable\nfrom relay.store import engine"),
    ],
)
def test_an_import_along_the_layers_is_fine(tmp_path: Path, name: str, source: str) -> None:
    """Downwards, sideways within a part, and everything for the composition root."""
    plant(tmp_path, "relay/clock.py", "")
    plant(tmp_path, name, source)
    assert tidy.layers(tidy.read_modules(tmp_path)) == []


def test_the_sdk_knows_only_the_protocol_and_the_wire(modules: list[Module]) -> None:
    """A bot that installs the SDK needs nothing of the server."""
    found = tidy.sdk_imports(modules)
    assert not found, report(found)


def test_an_sdk_that_reaches_into_the_relay_is_caught(tmp_path: Path) -> None:
    """What the wire imports itself may be used; the node may not."""
    plant(tmp_path, "relay/wire/bot.py", "from relay.devices.base import JsonValue")
    plant(
        tmp_path,
        "sdk_py/relay_sdk/x.py",
        "from relay.protocol.events import Chunk\n"
        "from relay.devices.base import JsonValue\n"
        "from relay.node.node import Node\n",
    )
    (found,) = tidy.sdk_imports(tidy.read_modules(tmp_path))
    assert "x.py:3" in found


# --- imports ----------------------------------------------------------------------------


def test_nothing_banned_is_imported(modules: list[Module]) -> None:
    """The pure packages stay pure, and each shell keeps to its own libraries."""
    found = tidy.banned_imports(modules)
    assert not found, report(found)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("relay/protocol/x.py", "import asyncio"),
        ("relay/wire/x.py", "from time import monotonic"),
        ("relay/wire/x.py", "import os.path"),
        ("relay/devices/x.py", "import orjson"),
        ("relay/node/x.py", "from starlette.responses import Response"),
        ("relay/broker/base.py", "import redis.asyncio"),
        ("relay/web/x.py", "from starlette.middleware import base"),
        ("relay/web/x.py", "from starlette.middleware.base import BaseHTTPMiddleware"),
        ("relay/web/x.py", "import sqlalchemy.ext.asyncio"),
        ("sdk_py/relay_sdk/x.py", "import structlog"),
    ],
)
def test_a_banned_import_is_caught(tmp_path: Path, name: str, source: str) -> None:
    """In every way that Python can write it."""
    plant(tmp_path, name, source)
    assert len(tidy.banned_imports(tidy.read_modules(tmp_path))) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("relay/wire/x.py", "import msgspec\nimport json\nfrom collections.abc import Mapping"),
        ("relay/node/x.py", "import asyncio\nimport structlog"),
        ("relay/web/x.py", "from starlette.middleware import Middleware\nimport uvicorn"),
        ("sdk_py/relay_sdk/x.py", "import websockets\nimport asyncio"),
    ],
)
def test_an_allowed_import_is_fine(tmp_path: Path, name: str, source: str) -> None:
    """What a package is for is open to it."""
    plant(tmp_path, name, source)
    assert tidy.banned_imports(tidy.read_modules(tmp_path)) == []


# --- files ------------------------------------------------------------------------------


def test_each_module_has_its_test_file(modules: list[Module]) -> None:
    """Who changes a file knows where its tests are."""
    found = tidy.missing_test_files(modules, ROOT)
    assert not found, report(found)


def test_a_module_without_a_test_file_is_caught(tmp_path: Path) -> None:
    """A file of the right name at another place does not count."""
    plant(tmp_path, "relay/wire/sse.py", "")
    plant(tmp_path, "relay/wire/__init__.py", "")
    plant(tmp_path, "relay/clock.py", "")
    plant(tmp_path, "sdk_py/relay_sdk/reply.py", "")
    plant(tmp_path, "tests/unit/test_sse.py", "")
    plant(tmp_path, "tests/unit/test_clock.py", "")
    found = tidy.missing_test_files(tidy.read_modules(tmp_path), tmp_path)
    assert [line.partition(": no ")[2] for line in found] == [
        "tests/unit/wire/test_sse.py",
        "tests/unit/sdk/test_reply.py",
    ]


def test_the_modules_without_a_test_file_exist(modules: list[Module]) -> None:
    """An exception outlives its module only unnoticed."""
    assert set(tidy.NO_TEST_FILE) <= {module.name for module in modules}


def test_nothing_is_too_long(files: list[Path]) -> None:
    """A file is one thing, and a function fits on a screen."""
    found = tidy.too_long(path for path in files if path.suffix == ".py")
    assert not found, report(found)


def test_a_long_file_and_a_long_function_are_caught(tmp_path: Path) -> None:
    """The limits themselves are still fine; one line more is not."""
    body = "    x = 1\n"
    fine = [
        plant(tmp_path, "a.py", "x = 1\n" * tidy.FILE_LINES_MAX),
        plant(tmp_path, "b.py", "def f():\n" + body * (tidy.FUNCTION_LINES_MAX - 1)),
    ]
    assert tidy.too_long(fine) == []
    long = [
        plant(tmp_path, "c.py", "x = 1\n" * (tidy.FILE_LINES_MAX + 1)),
        plant(tmp_path, "d.py", "async def f():\n" + body * tidy.FUNCTION_LINES_MAX),
    ]
    assert len(tidy.too_long(long)) == len(long)


def test_no_file_names_a_registry_or_a_machine(files: list[Path]) -> None:
    """What is committed is true on every machine."""
    found = tidy.forbidden_text(files)
    assert not found, report(found)


@pytest.mark.parametrize(
    "text",
    [
        "https://files.python" + "hosted.org/x",
        '"resolved": "https://registry.' + 'npmjs.org/ws"',
        "--index-url https://pypi." + "org/simple",
        "deb http://deb." + "debian.org/debian",
        "cd " + "/work" + "/main",
        'Path("' + "/root" + '/.config")',
        "see " + "/home" + "/somebody/notes",
    ],
)
def test_a_registry_or_a_machine_is_caught(tmp_path: Path, text: str) -> None:
    """Wherever in a line it stands."""
    path = plant(tmp_path, "notes.md", f"a line\n{text}\n")
    (found,) = tidy.forbidden_text([path])
    assert "notes.md:2" in found


def test_an_address_that_only_looks_alike_is_fine(tmp_path: Path) -> None:
    """Routes and relative paths are no machine's."""
    path = plant(
        tmp_path, "notes.md", "GET /healthz, relay/root/x.py, docs/root/a, {base}/home/x/\n"
    )
    assert tidy.forbidden_text([path]) == []


# --- words ------------------------------------------------------------------------------


def test_what_is_public_has_a_docstring(modules: list[Module]) -> None:
    """A reader never has to guess what a name is for."""
    found = tidy.missing_docstrings(modules)
    assert not found, report(found)


def test_a_missing_docstring_is_caught(tmp_path: Path) -> None:
    """Of the module, a class, a method and a function; what is private may go without."""
    plant(
        tmp_path,
        "relay/clock.py",
        "class Clock:\n    def now(self): ...\n    def _tick(self): ...\n"
        "async def wait(): ...\ndef _quiet(): ...\nclass _Hidden:\n    def x(self): ...\n",
    )
    found = tidy.missing_docstrings(tidy.read_modules(tmp_path))
    assert [line.rpartition("/")[2] for line in found] == [
        "clock.py: no docstring",
        "clock.py:1: Clock has no docstring",
        "clock.py:2: now has no docstring",
        "clock.py:4: wait has no docstring",
    ]


def test_each_lint_rule_that_is_off_says_why() -> None:
    """A rule is off for a reason, or it is on."""
    found = tidy.rules_off_without_reason((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert not found, report(found)


def test_a_rule_that_is_off_without_a_reason_is_caught() -> None:
    """An empty comment is no reason."""
    text = '[tool.ruff.lint]\nignore = [\n    "EM",  # why\n    "TC",  #\n    "D105",\n]\n'
    assert len(tidy.rules_off_without_reason(text)) == 2
