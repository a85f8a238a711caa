from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from relay.admin.binding import BindingContext, Redeemed, Redemption
from relay.clock import ManualClock
from relay.devices.base import Ask, StreamView
from relay.devices.texts import TEXTS
from relay.errors import SettingsError, StoreError
from relay.protocol.events import Stop
from relay.protocol.status import Outcome
from relay.web.binding import dialogue, fetch, photo
from relay.web.binding.dialogue import TAKE_PHOTO, BindingDialogue, photo_reader
from relay.web.binding.photo import Busy, PhotoReader, PhotoRefused

CODE = "7KDQ4XMB2T"
ASK = Ask("1772157600000", "a" * 32, "U1", "天气怎么样？", lang="en")
SHOWN = replace(ASK, text="[image]", images=("https://old.example/0.png", "https://a.example/1"))
KEY = 11
VIEW = StreamView("s1", "e", ASK.conversation_id, ASK.agent_id, "en", "t1")


@dataclass(slots=True)
class FakeDesk:
    """Knows what comes of a token, and where a photo was asked for."""

    result: Redeemed = Redeemed.BOUND
    away: bool = False
    slow: bool = False
    redeemed: list[tuple[str, str, str]] = field(default_factory=list)
    remembered: list[BindingContext] = field(default_factory=list)

    async def redeem(self, token: str, *, user_id: str, device_id: str) -> Redemption:
        self._answer()
        if self.slow:
            await asyncio.sleep(60)
        self.redeemed.append((token, user_id, device_id))
        return Redemption(self.result, 3, "{bot} 小明")

    async def remember(self, context: BindingContext) -> None:
        self._answer()
        self.remembered.append(context)

    async def recall(self, context: BindingContext) -> bool:
        self._answer()
        return context in self.remembered

    def _answer(self) -> None:
        if self.away:
            raise StoreError("the database failed: secret")


@dataclass(slots=True)
class FakePhotos:
    """Reads the same from every photo."""

    found: list[str] | Exception = field(default_factory=lambda: ["7KDQ4-XMB2T"])
    images: list[str] = field(default_factory=list)

    async def read(self, image: str) -> list[str]:
        self.images.append(image)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@dataclass(slots=True)
class Talk:
    """A dialogue and what is behind it."""

    desk: FakeDesk = field(default_factory=FakeDesk)
    photos: FakePhotos | None = field(default_factory=FakePhotos)
    clock: ManualClock = field(default_factory=lambda: ManualClock(1000.0))
    dialogue: BindingDialogue = field(init=False)

    def __post_init__(self) -> None:
        self.dialogue = BindingDialogue(self.desk, self.photos, now=self.clock.now)

    async def __call__(self, ask: Ask = ASK, *, key: int = KEY) -> Stop:
        """What is answered."""
        return await self.dialogue.answer(ask, key, VIEW)

    async def show(self, **changes: object) -> Stop:
        """Be asked for a photo, and show one."""
        shown = replace(SHOWN, **changes)  # type: ignore[arg-type]
        await self(replace(shown, text="?", images=()))
        return await self(shown)


def said(stop: Stop, lang: str = "en") -> str:
    """Which of the texts was said."""
    return next(code for code, texts in TEXTS.items() if texts[lang] == stop.shown)


# --- the invitation -----------------------------------------------------------------------


async def test_a_user_is_asked_for_a_photo() -> None:
    """With a tool call for the glasses; the place is kept in mind."""
    talk = Talk()
    stop = await talk()
    assert (stop.outcome, said(stop), stop.part) == (Outcome.UNBOUND, "bind_photo", TAKE_PHOTO)
    assert talk.desk.remembered == [BindingContext(ASK.conversation_id, ASK.agent_id, KEY, "U1")]


async def test_where_photos_are_off_a_user_is_asked_for_the_code() -> None:
    """No photo is asked for, and the database is not even touched."""
    talk = Talk(photos=None, desk=FakeDesk(away=True))
    for ask in (ASK, SHOWN):
        stop = await talk(ask)
        assert (stop.outcome, said(stop), stop.part) == (Outcome.UNBOUND, "bind_say", None)


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_a_user_is_spoken_to_in_the_own_language(lang: str) -> None:
    """All of it comes from the texts."""
    assert said(await Talk()(replace(ASK, lang=lang)), lang) == "bind_photo"


# --- a code that is said ------------------------------------------------------------------


@pytest.mark.parametrize("words", ["7KDQ4-XMB2T", "my code is 7kdq4 xmb2t", "七KDQ四-XMB2T。"])
async def test_a_code_that_is_said_binds(words: str) -> None:
    """Whether or not photos are on; the bot is named."""
    for photos in (None, FakePhotos()):
        talk = Talk(photos=photos)
        stop = await talk(replace(ASK, text=words))
        assert stop.outcome is Outcome.BOUND
        assert stop.shown == "Done: your assistant is {bot} 小明. Go ahead and ask."
        assert stop.part is None
        assert talk.desk.redeemed == [(CODE, "U1", ASK.agent_id)]


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (Redeemed.UNKNOWN, "bind_unknown"),
        (Redeemed.USED, "bind_used"),
        (Redeemed.EXPIRED, "bind_expired"),
        (Redeemed.BOT_TAKEN, "bind_bot_taken"),
        (Redeemed.USER_TAKEN, "bind_user_taken"),
    ],
)
async def test_a_code_that_does_not_bind_says_why(result: Redeemed, code: str) -> None:
    """Said or shown alike."""
    talk = Talk(desk=FakeDesk(result))
    for stop in (await talk(replace(ASK, text=CODE)), await talk.show()):
        assert (stop.outcome, said(stop), stop.part) == (Outcome.UNBOUND, code, None)


def test_every_result_has_its_words() -> None:
    """A new one would be an internal error to the user."""
    results = set(Redeemed) - {Redeemed.BOUND}
    assert {f"bind_{result}" for result in results} <= set(TEXTS)


# --- a photo ------------------------------------------------------------------------------


async def test_the_newest_photo_is_read_and_binds() -> None:
    """The one that was shown last."""
    talk = Talk()
    stop = await talk.show()
    assert stop.outcome is Outcome.BOUND
    assert talk.photos is not None
    assert talk.photos.images == ["https://a.example/1"]
    assert talk.desk.redeemed == [(CODE, "U1", ASK.agent_id)]


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"user_id": "U2"},
        {"agent_id": "b" * 32},
        {"conversation_id": "1772157600001"},
    ],
)
async def test_a_photo_that_nobody_asked_for_is_not_looked_at(elsewhere: dict[str, str]) -> None:
    """Of another user, agent or conversation; they are asked first."""
    talk = Talk()
    await talk()
    stop = await talk(replace(SHOWN, **elsewhere))  # type: ignore[arg-type]
    assert said(stop) == "bind_photo"
    stop = await talk(SHOWN, key=KEY + 1)
    assert said(stop) == "bind_photo"
    assert talk.photos is not None
    assert talk.photos.images == []


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (PhotoRefused("too large"), "bind_unreadable"),
        ([], "bind_unreadable"),
        (["https://example.com", "hello there"], "bind_unknown"),
        (Busy(), "bind_failed"),
    ],
)
async def test_a_photo_that_holds_no_code_says_so(found: list[str] | Exception, code: str) -> None:
    """In words, and nothing is redeemed; the next photo of this place is looked at again."""
    talk = Talk(photos=FakePhotos(found))
    stop = await talk.show()
    assert (stop.outcome, said(stop), stop.part) == (Outcome.UNBOUND, code, None)
    assert talk.desk.redeemed == []
    assert talk.photos is not None
    talk.photos.found = ["x", "7kdq4-xmb2t"]
    assert (await talk(SHOWN)).outcome is Outcome.BOUND


async def test_a_code_that_is_said_goes_before_a_photo() -> None:
    """It needs no reading."""
    talk = Talk()
    await talk()
    assert (await talk(replace(SHOWN, text=CODE))).outcome is Outcome.BOUND
    assert talk.photos is not None
    assert talk.photos.images == []


# --- limits and failures ------------------------------------------------------------------


async def test_a_user_has_so_many_tries() -> None:
    """Then the desk is not asked any more, not even for a good code, until the time is over."""
    talk = Talk(desk=FakeDesk(Redeemed.UNKNOWN))
    guess = replace(ASK, text=CODE)
    for _ in range(dialogue.USER_TRIES):
        assert said(await talk(guess)) == "bind_unknown"
    talk.desk.result = Redeemed.BOUND
    assert said(await talk(guess)) == "bind_too_many"
    assert said(await talk.show()) == "bind_too_many"
    assert len(talk.desk.redeemed) == dialogue.USER_TRIES
    assert talk.photos is not None
    assert talk.photos.images == []
    assert (await talk(replace(guess, user_id="U2"))).outcome is Outcome.BOUND
    talk.clock.advance(dialogue.WINDOW_S)
    assert (await talk(guess)).outcome is Outcome.BOUND


async def test_a_key_has_so_many_tries_over_all_users() -> None:
    """Whoever holds it may make users up."""
    talk = Talk(desk=FakeDesk(Redeemed.UNKNOWN))
    for number in range(dialogue.KEY_TRIES):
        assert said(await talk(replace(ASK, text=CODE, user_id=f"G{number}"))) == "bind_unknown"
    stop = await talk(replace(ASK, text=CODE, user_id="U9"))
    assert said(stop) == "bind_too_many"
    stop = await talk(replace(ASK, text=CODE, user_id="U9"), key=KEY + 1)
    assert said(stop) == "bind_unknown"


async def test_users_who_are_bound_do_not_use_up_the_key() -> None:
    """A whole company may be bound in ten minutes."""
    talk = Talk()
    for number in range(2 * dialogue.KEY_TRIES):
        stop = await talk(replace(ASK, text=CODE, user_id=f"U{number}"))
        assert stop.outcome is Outcome.BOUND


async def test_questions_are_no_tries() -> None:
    """A user who just asks is asked for a photo as often as that."""
    talk = Talk()
    for _ in range(3 * dialogue.USER_TRIES):
        assert said(await talk()) == "bind_photo"


@pytest.mark.parametrize("ask", [ASK, SHOWN, replace(ASK, text=CODE)])
async def test_a_database_that_fails_is_said_kindly(ask: Ask) -> None:
    """The cause stays in the log, by its name."""
    with capture_logs() as logs:
        stop = await Talk(desk=FakeDesk(away=True))(ask)
    assert (stop.outcome, said(stop)) == (Outcome.UNBOUND, "bind_failed")
    assert [entry["error"] for entry in logs] == ["StoreError"]
    assert "secret" not in repr((stop, logs))


async def test_an_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The glasses give up after some 30 seconds."""
    monkeypatch.setattr(dialogue, "ANSWER_S", 0.01)
    stop = await Talk(desk=FakeDesk(slow=True))(replace(ASK, text=CODE))
    assert said(stop) == "bind_failed"


async def test_no_token_and_no_url_is_logged_or_traced() -> None:
    """Neither one that works nor one that does not."""
    told: list[object] = []
    with capture_logs() as logs:
        for result in Redeemed:
            talk = Talk(desk=FakeDesk(result))
            told += [(await talk(replace(ASK, text=CODE))).detail, (await talk.show()).detail]
    assert logs
    assert CODE not in repr((logs, told))
    assert "7KDQ4" not in repr((logs, told))
    assert "a.example" not in repr((logs, told))


async def test_every_line_names_the_stream() -> None:
    """And a line about a user who was bound the bot, which the stream itself does not have."""
    of_stream = {"stream_id": "s1", "trace_id": "t1", "bot_id": None}
    with capture_logs() as logs:
        await Talk()(replace(ASK, text=CODE))
        await Talk(desk=FakeDesk(Redeemed.USED))(replace(ASK, text=CODE))
        await Talk(photos=FakePhotos(PhotoRefused("no photo"))).show()
        await Talk(desk=FakeDesk(away=True))(replace(ASK, text=CODE))
    told = {entry.pop("event"): {name: entry[name] for name in of_stream} for entry in logs}
    assert told == {
        "user_bound": {**of_stream, "bot_id": 3},
        "binding_refused": of_stream,
        "binding_photo_refused": of_stream,
        "binding_failed": of_stream,
    }


def test_the_relays_limits_fit_into_each_other() -> None:
    """Loading and reading a photo leave time to say that it failed."""
    assert dialogue.ANSWER_S > fetch.FETCH_S + photo.DECODE_S


def test_the_setting_decides_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, what comes within the request, or what it names; without the extra, no start."""
    assert photo_reader("off") is None
    within, named = photo_reader("data"), photo_reader("fetch")
    assert isinstance(within, PhotoReader)
    assert isinstance(named, PhotoReader)
    assert within._fetcher is None  # noqa: SLF001 - the difference between the two
    assert named._fetcher is not None  # noqa: SLF001 - as above
    monkeypatch.setattr(photo, "find_spec", lambda name: None)
    assert photo_reader("off") is None
    with pytest.raises(SettingsError):
        photo_reader("fetch")
