"""Fixtures for tests against a real server; the `conftest.py` of each folder imports them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.glasses import Glasses
from tests.support.server import RelayServer, Seed, plant, running

BOTH_PATHS: Final = pytest.mark.parametrize(
    "fast_path", ["on", "off"], ids=["fast", "plain"], indirect=True, scope="module"
)
"""The mark of a test, or of a module, that runs on both of the relay's ways to a socket."""


@pytest.fixture(scope="module")
def fast_path(request: pytest.FixtureRequest) -> str:
    """`RELAY_FAST_PATH` of the relay; `BOTH_PATHS` gives both, first all tests of the one."""
    chosen: str = getattr(request, "param", "on")
    return chosen


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    """Bots and keys, made once through the command line."""
    # Each folder that imports this has a fixture of its own; what they share is the disk.
    return plant(tmp_path_factory.getbasetemp() / "relay-seed")


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Settings of the module's relay; a module overrides this where it needs other ones."""
    return {}


@pytest.fixture(scope="session")
def default_relay(seed: Seed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayServer]:
    """One relay with the default settings, for all modules that need no other ones."""
    with running(seed, tmp_path_factory.mktemp("relay")) as server:
        yield server


@pytest.fixture(scope="session")
def plain_relay(seed: Seed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayServer]:
    """The same without the fast path."""
    with running(seed, tmp_path_factory.mktemp("relay"), fast_path="off") as server:
        yield server


@pytest.fixture(scope="module")
def shared_relay(
    seed: Seed,
    settings: dict[str, str],
    fast_path: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RelayServer]:
    """One relay for all tests of a module, or one for each path."""
    if not settings:
        yield request.getfixturevalue("default_relay" if fast_path == "on" else "plain_relay")
        return
    folder = tmp_path_factory.mktemp("relay")
    with running(seed, folder, **settings, fast_path=fast_path) as server:
        yield server


@pytest.fixture
def relay(shared_relay: RelayServer) -> Iterator[RelayServer]:
    """The module's relay; what it logs during a test is shown where that test fails."""
    before = len(shared_relay.log)
    yield shared_relay
    print(shared_relay.log[before:])  # noqa: T201 - pytest keeps it for failures


@pytest.fixture
def own_relay(seed: Seed, fast_path: str, tmp_path: Path) -> Iterator[RelayServer]:
    """A relay for one test that stops, kills or configures it; it is not started yet."""
    server = RelayServer(seed, tmp_path, {"RELAY_FAST_PATH": fast_path})
    yield server
    server.kill()
    print(server.log)  # noqa: T201 - as above
    assert server.complaints() == []


@pytest.fixture
def glasses(relay: RelayServer) -> Glasses:
    """The glasses of the module's relay."""
    return Glasses(relay.url, relay.key)
