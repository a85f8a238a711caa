"""Fixtures for tests against a real server; the `conftest.py` of each folder imports them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.glasses import Glasses
from tests.support.server import RelayServer, Seed, plant, running


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


@pytest.fixture(scope="module")
def shared_relay(
    seed: Seed,
    settings: dict[str, str],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RelayServer]:
    """One relay for all tests of a module."""
    if not settings:
        yield request.getfixturevalue("default_relay")
        return
    with running(seed, tmp_path_factory.mktemp("relay"), **settings) as server:
        yield server


@pytest.fixture
def relay(shared_relay: RelayServer) -> Iterator[RelayServer]:
    """The module's relay; what it logs during a test is shown where that test fails."""
    before = len(shared_relay.log)
    yield shared_relay
    print(shared_relay.log[before:])  # noqa: T201 - pytest keeps it for failures


@pytest.fixture
def own_relay(seed: Seed, tmp_path: Path) -> Iterator[RelayServer]:
    """A relay for one test that stops, kills or configures it; it is not started yet."""
    server = RelayServer(seed, tmp_path)
    yield server
    server.kill()
    print(server.log)  # noqa: T201 - as above
    assert server.complaints() == []


@pytest.fixture
def glasses(relay: RelayServer) -> Glasses:
    """The glasses of the module's relay."""
    return Glasses(relay.url, relay.key)
