"""Plants a bug: the core, built from its sources with one line changed, in memory only."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from relay.protocol.receiver import StreamReceiver

PACKAGE = "relay.protocol"

REBUILT = (
    *("sequencer", "compensation", "forensics", "entries"),
    *("barrier", "retransmit", "state", "receiver"),
)
"""The modules that may be changed, in the order of their imports. The vocabulary stays shared."""


@dataclass(frozen=True, slots=True)
class Bug:
    """One change of one module: `old` occurs there exactly once."""

    name: str
    module: str
    old: str
    new: str


def plant(bug: Bug) -> dict[str, ModuleType]:
    """Build the core with this bug. Every other import is as before, during and after."""
    package = sys.modules[PACKAGE]
    before = {name: importlib.import_module(f"{PACKAGE}.{name}") for name in REBUILT}
    try:
        return {name: _build(name, bug) for name in REBUILT}
    finally:
        for name, module in before.items():
            sys.modules[f"{PACKAGE}.{name}"] = module
            setattr(package, name, module)


def receiver_with(bug: Bug) -> type[StreamReceiver]:
    """Return the receiver with this bug."""
    mutant: type[StreamReceiver] = vars(plant(bug)["receiver"])["StreamReceiver"]
    return mutant


def _build(name: str, bug: Bug) -> ModuleType:
    spec = find_spec(f"{PACKAGE}.{name}")
    assert spec is not None
    assert spec.origin is not None
    # Where the relay is compiled, the module is a library beside its source.
    source = Path(spec.origin).with_name(f"{name}.py").read_text(encoding="utf-8")
    if name == bug.module:
        assert source.count(bug.old) == 1, f"{bug.old!r} occurs {source.count(bug.old)} times"
        source = source.replace(bug.old, bug.new)
    module = ModuleType(spec.name)
    sys.modules[spec.name] = module  # what follows imports it from here; dataclasses look it up
    exec(compile(source, spec.origin, "exec"), module.__dict__)  # noqa: S102 - our own source
    return module
