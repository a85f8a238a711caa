"""The Lua scripts that lie beside this file: what must happen at once on the server.

Redis runs a script without interruption
(https://redis.io/docs/latest/develop/programmability/eval-intro/). A script is called by its
SHA-1 (`EVALSHA`); a server that does not know it yet says `NOSCRIPT` and has done nothing, so it
is then sent whole (`EVAL`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """One script: its source and the SHA-1 of it, by which the server knows it."""

    source: bytes
    sha: str


@dataclass(frozen=True, slots=True)
class Scripts:
    """All scripts. What each is for, and its arguments, stand at its top."""

    append: Script
    claim: Script
    create: Script
    describe: Script
    drop: Script
    ended: Script
    follow: Script
    read: Script
    unfollow: Script

    listen: Script
    listeners: Script
    post: Script
    refresh: Script
    unlisten: Script

    adopt: Script
    alive: Script
    nodes: Script
    note: Script
    report: Script


def load_scripts() -> Scripts:
    """Read the scripts from the package."""
    folder = files(__package__)
    return Scripts(
        **{
            item.name: _script(folder.joinpath(f"{item.name}.lua").read_bytes())
            for item in fields(Scripts)
        }
    )


def _script(source: bytes) -> Script:
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())
