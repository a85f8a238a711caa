"""What there are thousands of has slots, and no dictionary beside them."""

from __future__ import annotations

import importlib
import sys


def test_a_class_with_slots_has_no_dictionary() -> None:
    """An interface that says nothing about slots would give one to each class that fills it."""
    importlib.import_module("relay.app")
    classes = {
        found
        for name, module in list(sys.modules.items())
        if name.startswith("relay.")
        for found in vars(module).values()
        if isinstance(found, type) and found.__module__ == name and "__slots__" in vars(found)
    }
    assert len(classes) > 100
    with_one = {
        found.__qualname__
        for found in classes
        if found.__dictoffset__ and not any("uvicorn" in base.__module__ for base in found.mro())
    }
    assert with_one == set()
