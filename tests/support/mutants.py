"""Plants a bug: the receiver, built from sources with one line changed, in memory only."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from relay.protocol.receiver import StreamReceiver

PACKAGE = "relay.protocol"

REBUILT = ("sequencer", "compensation", "entries", "barrier", "retransmit", "state", "receiver")
"""The modules that may be changed, in the order of their imports. The vocabulary stays shared."""


@dataclass(frozen=True, slots=True)
class Bug:
    """One change of one module: `old` occurs there exactly once."""

    name: str
    module: str
    old: str
    new: str


@contextmanager
def planted(bug: Bug) -> Iterator[type[StreamReceiver]]:
    """Give a receiver that has this bug. Every other import is as before, during and after."""
    package = sys.modules[PACKAGE]
    names = [f"{PACKAGE}.{name}" for name in REBUILT]
    for name in names:
        importlib.import_module(name)
    before = {name: sys.modules[name] for name in names}
    try:
        for name in names:
            sys.modules[name] = _build(name, bug)
        mutant: type[StreamReceiver] = vars(sys.modules[f"{PACKAGE}.receiver"])["StreamReceiver"]
    finally:
        for name in names:
            sys.modules[name] = before[name]
            setattr(package, name.rpartition(".")[2], before[name])
    yield mutant


def _build(name: str, bug: Bug) -> ModuleType:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    if name == f"{PACKAGE}.{bug.module}":
        assert source.count(bug.old) == 1, f"{bug.old!r} occurs {source.count(bug.old)} times"
        source = source.replace(bug.old, bug.new)
    module = ModuleType(name)
    sys.modules[name] = module  # what follows imports it from here; dataclasses look it up
    exec(compile(source, spec.origin, "exec"), module.__dict__)  # noqa: S102 - our own source
    return module
