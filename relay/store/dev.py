"""What a developer needs to try the relay: a bot, an access key and an administrator's token.

Tokens are stored hashed, so the plain ones are kept in a file beside the database, for its owner
only, and used again at the next start.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Final

import msgspec

from relay.errors import BadRequest
from relay.store.engine import database_url
from relay.store.secrets import new_access_key, new_admin_token, new_sdk_token
from relay.store.store import Store

FILE_NAME: Final = ".relay-dev.json"
BOT_NAME: Final = "dev"
USER_ID: Final = "dev-user"


@dataclass(frozen=True, slots=True, repr=False)
class DevTokens:
    """The plain tokens."""

    sdk_token: str
    access_key: str
    admin_token: str


def tokens_file(url: str) -> Path:
    """Return where the tokens of the database at `url` are kept: beside a SQLite file, else here.

    Raises `BadRequest` for a database in memory, which the server would not find again.
    """
    parsed = database_url(url)
    if parsed.get_backend_name() != "sqlite":
        return Path(FILE_NAME)
    if not parsed.database or parsed.database == ":memory:":
        raise BadRequest("a database in memory keeps no bot; name a file", field="database")
    return Path(parsed.database).with_name(FILE_NAME)


async def ensure_dev_tokens(store: Store, path: Path) -> DevTokens:
    """Return tokens that work: those in the file, or new ones, which are written there first.

    What the database lacks of them is added; a bot `dev` whose token is not known gets the one in
    the file. Raises `BadRequest` where the file is not what this function writes.
    """
    tokens = _read(path)
    if tokens is None:
        tokens = DevTokens(new_sdk_token(), new_access_key(), new_admin_token())
        _write(path, tokens)
    if await store.bot_by_token(tokens.sdk_token) is None:
        bot = await store.bot_by_user(USER_ID)
        if bot is None:
            await store.add_bot(BOT_NAME, tokens.sdk_token, user_id=USER_ID)
        else:
            await store.replace_bot_token(bot, tokens.sdk_token)
    if await store.access_key_by_key(tokens.access_key) is None:
        try:
            await store.add_access_key(BOT_NAME, tokens.access_key)
        except BadRequest:
            # It is there and was revoked, which nothing undoes: a new one takes its place.
            tokens = replace(tokens, access_key=new_access_key())
            await store.add_access_key(BOT_NAME, tokens.access_key)
            _replace(path, tokens)
    if not await store.verify_admin(tokens.admin_token):
        await store.add_admin_token(tokens.admin_token)
    return tokens


def _read(path: Path) -> DevTokens | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=DevTokens)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        names = ", ".join(item.name for item in fields(DevTokens))
        raise BadRequest(f"{path} does not hold {names}; delete it", field="file") from None


def _write(path: Path, tokens: DevTokens) -> None:
    # Never readable by others, not even between two calls; an existing file is never replaced.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(asdict(tokens)), indent=2) + b"\n")


def _replace(path: Path, tokens: DevTokens) -> None:
    path.unlink()
    _write(path, tokens)
