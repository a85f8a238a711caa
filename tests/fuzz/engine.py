"""One target under atheris: `python -m tests.fuzz.engine TARGET [options of libFuzzer] FOLDERS`."""

from __future__ import annotations

import os
import sys

import atheris

with atheris.instrument_imports(include=["relay", "relay_sdk"]):
    from tests.fuzz import target as targets

    TARGET = targets.load(sys.argv[1])


def one_input(data: bytes) -> None:
    """What the engine calls, some thousand times a second."""
    # Not `try_input`: instrumented code is slower, and libFuzzer's own `-timeout` says so.
    TARGET.check(data)


if __name__ == "__main__":
    # While it sorts a corpus out, libFuzzer starts itself again, by this name.
    program = os.environ.get("FUZZ_PROGRAM", sys.argv[0])
    atheris.Setup([program, *sys.argv[2:], f"-max_len={TARGET.bytes_max}"], one_input)
    atheris.Fuzz()
