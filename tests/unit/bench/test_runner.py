from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
from bench.runner import run

async def main():
    over = asyncio.Event()
    reader = asyncio.create_task(over.wait())
    try:
        asyncio.get_running_loop().call_soon(lambda: print("started", flush=True))
        await asyncio.sleep(60)
    finally:
        over.set()
        await reader
        print("ended", flush=True)

run(main())
"""


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_whoever_ends_a_measurement_ends_what_it_started(told: signal.Signals) -> None:
    """What it does last is done, with the help of its tasks; and it was not completed."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(told)
        said, _ = process.communicate(timeout=30)
    assert said == "ended\n"
    assert process.returncode != 0


def test_a_measurement_behind_a_shell_can_be_ended() -> None:
    """A shell has it ignore Ctrl-C; SIGTERM ends it all the same."""
    command = ["sh", "-c", f'{sys.executable} -c "$0" & echo $!; wait $!', PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        number = int(shell.stdout.readline())
        assert shell.stdout.readline() == "started\n"
        os.kill(number, signal.SIGTERM)
        said, _ = shell.communicate(timeout=30)
    assert said == "ended\n"
