from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
from bench.runner import run

async def main():
    try:
        print("started", flush=True)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0)
        print("ended", flush=True)

run(main())
"""


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_whoever_ends_a_measurement_ends_what_it_started(told: signal.Signals) -> None:
    """What it does last is done, and it says that it was not completed."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(told)
        said, _ = process.communicate(timeout=30)
    assert said == "ended\n"
    assert process.returncode != 0
