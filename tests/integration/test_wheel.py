"""The base install: the built wheel in an empty environment, against a relay of this checkout.

Building and installing takes some ten seconds, once for the whole file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest

from relay_sdk.sync import Device
from tests.support.server import RelayServer

ROOT = Path(__file__).parents[2]
ECHO = ROOT / "sdk_py" / "examples" / "echo.py"
UNREACHABLE = ("No matching distribution", "Max retries exceeded", "Could not find a version")

SERVER_PACKAGES = (
    "aiosqlite alembic asyncpg openai redis sqlalchemy starlette structlog typer uvicorn"
)
IMPORTS = f"""
import importlib.util, sys
import relay_sdk, relay_sdk.bridge, relay_sdk.sync, relay_sdk.testing
for name in relay_sdk.__all__:
    getattr(relay_sdk, name)
assert sys.prefix in relay_sdk.__file__, relay_sdk.__file__
found = [name for name in {SERVER_PACKAGES.split()!r} if importlib.util.find_spec(name)]
assert not found, found
"""


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if any(sign in done.stderr for sign in UNREACHABLE):
        pytest.skip("no package registry can be reached")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel, what it requires, and nothing else."""
    folder = tmp_path_factory.mktemp("base-install")
    _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), ".")
    (wheel,) = folder.glob("*.whl")
    made = [sys.executable, "-m", "venv", "--without-pip", str(folder / "empty")]
    subprocess.run(made, check=True)
    interpreter = folder / "empty" / "bin" / "python"
    _pip("--python", str(interpreter), "install", "--quiet", "-c", "constraints.txt", str(wheel))
    return interpreter


def test_the_admin_pages_files_travel_in_the_wheel(python: Path) -> None:
    """Templates, styles and scripts are no modules, and are easily forgotten."""
    (wheel,) = python.parents[2].glob("*.whl")
    admin = ROOT / "relay" / "web" / "admin"
    ours = {
        path.relative_to(ROOT).as_posix()
        for folder in ("templates", "static")
        for path in (admin / folder).iterdir()
    }
    assert len(ours) > 10
    with ZipFile(wheel) as packed:
        assert ours <= set(packed.namelist())


def _clean() -> dict[str, str]:
    """Return our environment without what would show it this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@contextmanager
def running(command: list[str], settings: dict[str, str]) -> Iterator[None]:
    """Run a bot until the block ends; it must end well on SIGTERM."""
    ours = {**_clean(), **settings}
    with subprocess.Popen(command, env=ours, cwd="/") as process:
        try:
            yield
            process.terminate()
            assert process.wait(15) == 0
        finally:
            process.kill()


def test_the_sdk_is_all_there_and_no_server_is(python: Path) -> None:
    """Every public name can be imported; of the server's packages none can."""
    command = [str(python), "-W", "error", "-c", IMPORTS]
    done = subprocess.run(
        command, env=_clean(), cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("how", ["example", "relay-bot"])
def test_a_bot_answers(python: Path, relay: RelayServer, how: str) -> None:
    """The echo of the examples, and `relay-bot --echo`, over the real relay."""
    command = [str(python), str(ECHO)]
    if how == "relay-bot":
        command = [str(python.with_name("relay-bot")), "--relay", relay.url, "--echo"]
    settings = {"RELAY_URL": relay.url, "RELAY_TOKEN": relay.bot().token}
    with (
        running(command, settings),
        Device(relay.url, relay.key, user_id=relay.bot().user_id) as device,
    ):
        answer = device.ask("Hello you").read()
        while answer.outcome is not None and answer.outcome.outcome == "bot_offline":
            answer = device.ask("Hello you").read()
    assert answer.text.split() == ["Hello", "you"]
    assert answer.outcome is not None
    assert answer.outcome.outcome == "completed"


def test_the_relays_command_says_what_to_install(python: Path) -> None:
    """It comes with the base install, whose packages it cannot run on."""
    done = subprocess.run(
        [str(python.with_name("relay")), "--help"],
        env=_clean(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "the relay itself is not installed: pip install 'relay-stream[server]'\n"
