"""The key that signs tickets, kept where a restart finds it again.

A device that was cut off by a restart comes back with the ticket that it has. Were the key
new each time, it would be turned away. It lies in a file of its own and not in the database:
a dump of the database then forges nothing.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from relay.store.engine import database_url

SUFFIX: Final = ".key"
KEY_BYTES: Final = 32


def signing_key(url: str) -> str:
    """Return the key of the SQLite file at `url`, made when it is first asked for.

    A new one for each call where the database is not a SQLite file: there, set
    `RELAY_SECRET`. Raises `OSError` where the file cannot be read or written.
    """
    parsed = database_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return secrets.token_hex(KEY_BYTES)
    path = Path(f"{parsed.database}{SUFFIX}")
    try:
        # For its owner only, from the first moment on; an existing one is never replaced.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = path.read_text(encoding="ascii").strip()
        if len(key) < KEY_BYTES:
            raise OSError(f"{path} does not hold a key; delete it") from None
        return key
    key = secrets.token_hex(KEY_BYTES)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key + "\n")
    return key
