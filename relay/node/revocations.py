"""Ends what lives by a credential that was revoked, whoever revoked it.

The command line and another node revoke in the database and can tell nobody. So every node
asks the store again and again about the credentials that are in use on it, and about no others.
An operator of this process does not wait for that: whoever revokes here calls `check`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import structlog

from relay.admin.people import Scope
from relay.errors import StoreError

ASKED_MAX = 2_000
"""How many keys and how many bots the store is asked about at a time: a bound on what that costs
the store, and on how long the chunks of everybody wait for the question to be written."""

STEP_PAUSE_S = 0.02
"""Between two questions."""


class BotCredential(NamedTuple):
    """What a bot's connection was opened with. A tuple: thousands are made and compared at once."""

    bot_id: int
    credential: str
    """Opaque, and another one once the bot's token was replaced."""

    def __repr__(self) -> str:
        """It comes from a token, so it is shown nowhere."""
        return f"BotCredential(bot_id={self.bot_id})"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the store knows of the credentials that it was asked about."""

    keys: Mapping[int, Scope]
    """The scopes of the access keys that are valid."""
    void_bots: frozenset[str]
    """The bots' credentials that are not valid: nearly always none, so that nobody reads many."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found. It says nothing of what came after it began."""

    asked_at: float
    """Seconds of the relay's clock."""
    keys: Mapping[int, Scope | None]
    """The scope that each access key in use has by now; None where it is revoked."""
    void_bots: frozenset[BotCredential]
    """Credentials in use that are of no use any more."""


class CredentialStore(Protocol):
    """Whoever knows which credentials are valid."""

    async def standing(self, key_ids: Sequence[int], bots: Mapping[str, int]) -> Standing:
        """Say what is known of these, at most `ASKED_MAX` of each. Raises `StoreError`.

        `bots` has the id of the bot that each credential is for.
        """
        ...


class Holder(Protocol):
    """Whoever holds something open that lives by credentials."""

    def keys_in_use(self) -> Iterable[int]:
        """Return the ids of the access keys by which something is open."""
        ...

    def bots_in_use(self) -> Iterable[BotCredential]:
        """Return the credentials with which bots are connected."""
        ...

    def enforce(self, findings: Findings) -> None:
        """End what may not be open any more. Never blocks, never raises."""
        ...


class Revocations:
    """Looks every `every_s` seconds. While the store is away, everything stays as it is."""

    def __init__(
        self,
        store: CredentialStore,
        holders: Sequence[Holder],
        *,
        every_s: float,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._holders = holders
        self._every_s = every_s
        self._now = now
        self._blind = False
        self._task: asyncio.Task[None] | None = None
        self._logger = structlog.get_logger("relay.node")

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def check(self) -> None:
        """Look now, and end what is revoked before this returns. A store that is away is logged."""
        asked_at = self._now()
        # What comes while the store is asked is not in these sets, and is left alone.
        keys: set[int] = set()
        bots: set[BotCredential] = set()
        for holder in self._holders:
            keys.update(holder.keys_in_use())
            bots.update(holder.bots_in_use())
            # Thousands may be connected, and chunks share this event loop.
            await asyncio.sleep(0)
        if not keys and not bots:
            return
        try:
            scopes, void = await self._ask(list(keys), list(bots))
        except StoreError as error:
            if not self._blind:
                self._logger.warning("revocations_unknown", reason=str(error))
            self._blind = True
            return
        if self._blind:
            self._blind = False
            self._logger.info("revocations_known_again")
        findings = Findings(asked_at, {key: scopes.get(key) for key in keys}, frozenset(void))
        for holder in self._holders:
            holder.enforce(findings)
            await asyncio.sleep(0)

    async def _ask(
        self, keys: Sequence[int], bots: Sequence[BotCredential]
    ) -> tuple[dict[int, Scope], list[BotCredential]]:
        """Return the scopes of the keys that are valid, and the bots' credentials that are not.

        In bounded steps; nearly always it is one.
        """
        scopes: dict[int, Scope] = {}
        void: list[BotCredential] = []
        for at in range(0, max(len(keys), len(bots)), ASKED_MAX):
            if at:
                await asyncio.sleep(STEP_PAUSE_S)
            some = bots[at : at + ASKED_MAX]
            asked = {credential: bot_id for bot_id, credential in some}
            await asyncio.sleep(0)
            standing = await self._store.standing(keys[at : at + ASKED_MAX], asked)
            scopes.update(standing.keys)
            if standing.void_bots:
                void += [bot for bot in some if bot.credential in standing.void_bots]
        return scopes, void

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.check()
            except Exception:
                # A bug of ours must not be the last that is heard of revocations.
                self._logger.exception("revocations_failed")
