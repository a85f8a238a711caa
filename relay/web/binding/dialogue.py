"""What is said to a user who has no bot (reference wire.md 2.2).

    what the user does            what happens                                  the stream ends as
    says or types a code          it is redeemed                                bound, or unbound
    shows a photo that was asked  its QR code is read and redeemed              bound, or unbound
    anything else                 is asked for a photo, or for the code itself  unbound

The words for all of it are in `relay.devices.texts`. A code is tried a few times at most, and
what was said is neither logged nor put into a trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from relay.admin.binding import BindingContext, Redeemed, Redemption
from relay.devices.base import Ask, StreamView
from relay.devices.binding_code import find_code
from relay.devices.texts import text
from relay.errors import StoreError
from relay.logs import get_logger
from relay.protocol.events import Stop
from relay.protocol.status import Outcome
from relay.settings_parsed import BindingPhoto
from relay.web.binding.attempts import Attempts
from relay.web.binding.fetch import PhotoFetcher
from relay.web.binding.photo import Busy, PhotoReader, PhotoRefused, check_extra
from relay.wire import parts

_logger = get_logger(__name__)

ANSWER_S: Final = 9.0
"""For a photo to be loaded, read and redeemed: more than all of these may take."""

WINDOW_S: Final = 600.0
"""The texts say ten minutes."""

USER_TRIES: Final = 10
"""Of one user. People mistype; 10 of 2**50 find nothing."""

KEY_TRIES: Final = 100
"""That find nothing, of one access key, which may speak for any number of users."""

TAKE_PHOTO: Final = parts.tool_call({"command": "take_photo"})


class Desk(Protocol):
    """Where tokens are redeemed. Every method raises `StoreError` where the database fails."""

    async def redeem(self, token: str, *, user_id: str, device_id: str) -> Redemption:
        """Bind the user to the token's bot, if the token allows it; in one transaction."""
        ...

    async def remember(self, context: BindingContext) -> None:
        """Keep in mind, over restarts too, that a photo was asked for here."""
        ...

    async def recall(self, context: BindingContext) -> bool:
        """Whether a photo was asked for here, not too long ago."""
        ...


class Reader(Protocol):
    """Reads photos."""

    async def read(self, image: str) -> list[str]:
        """Return the texts of all QR codes in it. Raises `PhotoRefused` and `Busy`."""
        ...


def photo_reader(photo: BindingPhoto) -> PhotoReader | None:
    """Return what reads photos, as the setting has it; None where it is off.

    Raises `SettingsError` where the extra `qr` is missing.
    """
    if photo == "off":
        return None
    check_extra(photo)
    return PhotoReader(PhotoFetcher() if photo == "fetch" else None)


class BindingDialogue:
    """`photos` None: no photo is asked for, and none is looked at."""

    def __init__(self, desk: Desk, photos: Reader | None, *, now: Callable[[], float]) -> None:
        self._desk = desk
        self._photos = photos
        self._of_user = Attempts(USER_TRIES, window_s=WINDOW_S, now=now)
        self._of_key = Attempts(KEY_TRIES, window_s=WINDOW_S, now=now)

    async def answer(self, ask: Ask, access_key_id: int, view: StreamView) -> Stop:
        """Return how the stream of a user without a bot ends. Raises nothing on purpose."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._answer(ask, access_key_id, view)
        except (StoreError, TimeoutError, Busy) as error:
            _logger.warning("binding_failed", **view.names, error=type(error).__name__)
            return _unbound("bind_failed", ask)

    async def _answer(self, ask: Ask, access_key_id: int, view: StreamView) -> Stop:
        code = find_code(ask.text)
        context = BindingContext(ask.conversation_id, ask.agent_id, access_key_id, ask.user_id)
        photo = ask.images[-1] if ask.images and self._photos is not None else None
        if code is None and (photo is None or not await self._desk.recall(context)):
            return await self._invite(ask, context)
        user = (access_key_id, ask.user_id)
        if not (self._of_user.take(user) and self._of_key.take(access_key_id)):
            return _tried("bind_too_many", ask, view)
        if code is None:
            assert photo is not None
            code, problem = await self._read(photo, view)
            if code is None:
                return _tried(problem, ask, view)
        redemption = await self._desk.redeem(code, user_id=ask.user_id, device_id=ask.agent_id)
        if redemption.result is not Redeemed.BOUND:
            return _tried(f"bind_{redemption.result}", ask, view)
        self._of_key.give_back(access_key_id)
        _logger.info("user_bound", **{**view.names, "bot_id": redemption.bot_id})
        words = text("bind_done", ask.lang).replace("{bot}", redemption.bot_name)
        return Stop(Outcome.BOUND, f"bound to bot {redemption.bot_id}", words)

    async def _invite(self, ask: Ask, context: BindingContext) -> Stop:
        if self._photos is None:
            return _unbound("bind_say", ask)
        await self._desk.remember(context)
        words = text("bind_photo", ask.lang)
        return Stop(Outcome.UNBOUND, "no bot is bound to this user", words, TAKE_PHOTO)

    async def _read(self, photo: str, view: StreamView) -> tuple[str | None, str]:
        """Return the first code in a photo, or None and what is to be said about it."""
        assert self._photos is not None
        try:
            found = await self._photos.read(photo)
        except PhotoRefused as error:
            _logger.info("binding_photo_refused", **view.names, reason=error.reason)
            return None, "bind_unreadable"
        codes = [code for code in map(find_code, found) if code is not None]
        return (codes[0], "") if codes else (None, "bind_unknown" if found else "bind_unreadable")


def _tried(code: str, ask: Ask, view: StreamView) -> Stop:
    _logger.info("binding_refused", **view.names, reason=code)
    return _unbound(code, ask)


def _unbound(code: str, ask: Ask) -> Stop:
    return Stop(Outcome.UNBOUND, f"no bot is bound to this user: {code}", text(code, ask.lang))
