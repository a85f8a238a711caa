"""Instructions for a chunk: what callgrind wrote is what is told."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from bench import instructions
from bench.contestants import ContestantMissing, Cores
from bench.generator.program import GeneratorFailed, Load
from bench.instructions import Counted, count, page_part, read_profile

PROFILE = """\
# callgrind format
version: 1
events: Ir

ob=(1) /usr/bin/python3.11
fl=(1) ceval.c
fn=(1) _PyEval_EvalFrameDefault
120 470
+3 20
cob=(2) /opt/relay/relay__mypyc.cpython-311-x86_64-linux-gnu.so
cfi=(2) frames.c
cfn=(2) take
calls=4 0
* 90
-1 30
ob=(2)
fn=(2)
7 70
cob=(3) /lib/libm.so.6
cfn=(3) sqrt
calls=1 0
8 20
ob=(3)
fn=(3)
9 20
ob=(4) /opt/relay/site-packages/msgspec/_core.cpython-311-x86_64-linux-gnu.so
fn=(4) decode
1 30
ob=(5) /usr/lib/python3.11/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so
fn=(5) escape
1 10

totals: 650
"""


def test_what_a_library_calls_is_the_others() -> None:
    """All together are callgrind's total, and a name may be told first where it is called."""
    found = read_profile(PROFILE.splitlines())
    assert found == Counter({"CPython": 530, "the relay": 70, "msgspec": 30, "libm.so.6": 20})


def test_shares_are_told_of_those_that_matter() -> None:
    """A fiftieth and more, the most first."""
    counted = Counted(10, Counter({"libc": 19, "CPython": 581, "the relay": 400}))
    assert counted.per_chunk == 100
    assert counted.shares() == "CPython 58%, the relay 40%"


def test_a_contestant_that_is_not_there_has_no_column() -> None:
    """And one that was not counted under a load has an empty cell."""
    slow, quick = Counted(1, Counter(CPython=96_400)), Counted(1, Counter(CPython=48_000))
    assert page_part({"16": {"relay": slow}}).splitlines() == [
        "| thousand instructions for a chunk | relay |",
        "|---|---|",
        "| 16 | 96.4 (CPython 100%) |",
    ]
    both = page_part({"16": {"relay": slow}, "64": {"relay-compiled": quick}}).splitlines()
    assert both[0].endswith("| relay | relay, compiled |")
    assert both[3] == "| 64 |  | 48.0 (CPython 100%) |"


async def test_without_valgrind_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project does not need it otherwise."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ContestantMissing, match="apt-get install valgrind"):
        await count("relay", Load(), Cores(0, 0))


async def test_a_load_that_fails_is_told_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And at once: nobody waits any longer for its streams."""

    @asynccontextmanager
    async def relay(*_: object, **__: object) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(base="", pid=0)

    async def fail(*_: object) -> None:
        raise GeneratorFailed("too many files")

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/valgrind")
    monkeypatch.setattr(instructions, "relay_process", relay)
    monkeypatch.setattr(instructions, "target_of", lambda _: None)
    monkeypatch.setattr(instructions, "run", fail)
    monkeypatch.setattr(instructions, "_all_open", never)
    with pytest.raises(GeneratorFailed, match="too many files"):
        await count("relay", Load(), Cores(0, 0))
