"""What was looked up a moment ago, so that a thousand readers with one key are not as many queries.

It is forgotten when something was written, as far as that can be seen (`Database.version`), when
it is too old, and when a look at the database finds it wrong (`relay.node.revocations`). That
something is not there is never remembered: what is added is there at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

ENTRIES_MAX: Final = 2_048

T = TypeVar("T")


class Remembered(Generic[T]):
    """Answers by name, at most `ENTRIES_MAX`, each for `for_s` seconds and within one `version`.

    Names are kept as they are: of a secret, give its hash. `version` returns another value
    whenever something was written that may make an answer wrong.
    """

    __slots__ = ("_asking", "_entries", "_for_s", "_now", "_seen", "_version")

    def __init__(
        self, *, for_s: float, now: Callable[[], float], version: Callable[[], Hashable]
    ) -> None:
        self._for_s = for_s
        self._now = now
        self._version = version
        self._seen = version()
        self._entries: dict[str, tuple[float, T]] = {}
        """When the question began, oldest first, and the answer."""
        self._asking: dict[str, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        """How many answers are kept, those too old among them."""
        return len(self._entries)

    async def get(self, name: str, look_up: Callable[[], Awaitable[T | None]]) -> T | None:
        """Return the answer of this name; `look_up` finds it. Raises what that raises.

        Who asks while another one looks the same up waits for it.
        """
        if (found := self._known(name)) is not None:
            return found
        if (asking := self._asking.get(name)) is not None:
            await asyncio.wait([asking])
            # Nothing was kept of an answer that is not there, has failed, or is of yesterday.
            found = self._known(name)
            return await look_up() if found is None else found
        asked_at = self._now()
        self._asking[name] = asking = asyncio.get_running_loop().create_future()
        try:
            found = await look_up()
            if found is not None and self._is_current(name, asking):
                self._keep(name, asked_at, found)
        finally:
            if self._asking.get(name) is asking:
                del self._asking[name]
            asking.set_result(None)
        return found

    def values(self) -> list[T]:
        """Return the answers that would still be given."""
        self._refresh()
        since = self._now() - self._for_s
        return [found for asked_at, found in self._entries.values() if asked_at > since]

    def forget(self) -> None:
        """Forget everything, and do not keep what is being looked up."""
        self._entries.clear()
        self._asking.clear()

    def _known(self, name: str) -> T | None:
        self._refresh()
        asked_at, found = self._entries.get(name, (0.0, None))
        return found if self._now() - asked_at < self._for_s else None

    def _is_current(self, name: str, asking: asyncio.Future[None]) -> bool:
        self._refresh()
        return self._asking.get(name) is asking

    def _refresh(self) -> None:
        if (version := self._version()) != self._seen:
            self._seen = version
            self.forget()

    def _keep(self, name: str, asked_at: float, found: T) -> None:
        self._entries.pop(name, None)
        while len(self._entries) >= ENTRIES_MAX:
            del self._entries[next(iter(self._entries))]
        self._entries[name] = (asked_at, found)
