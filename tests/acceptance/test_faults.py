"""The scenarios of tests/faults that are short and need no outside program."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.__main__ import run
from tests.faults.catalog import ALL
from tests.faults.scenario import Size


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["two-bots-one-id", "duplicate-resume"])
async def test_no_promise_is_broken(name: str, tmp_path: Path) -> None:
    """The ledger finds nothing; how long it took is not judged here."""
    (scenario,) = (one for one in ALL if one.name == name)
    measured = await run(scenario, Size(short=True), tmp_path, asyncio.Lock())
    assert measured.violations == []
    assert measured.streams > 0
