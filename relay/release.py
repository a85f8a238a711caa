"""Which release of the relay this is, and of which build."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

UNKNOWN: Final = "0"


@cache
def release() -> str:
    """Return the version that is installed; `UNKNOWN` where the sources run by themselves.

    Asked for once: it is read from files.
    """
    try:
        return version("relay-stream")
    except PackageNotFoundError:
        return UNKNOWN


def is_compiled() -> bool:
    """Return whether the modules that a chunk passes are C, as `make compile` builds them."""
    core = find_spec("relay.protocol.receiver")
    return core is not None and core.origin is not None and not core.origin.endswith(".py")
