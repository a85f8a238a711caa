"""Who may open and read what: every role at every door, and ids that look like other ids."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.admin.people import EVERYTHING, Scope
from relay.clock import SystemClock
from relay.devices.base import Ask
from relay.errors import UnknownStream
from relay.web.auth import KeyIdentity, Tickets
from relay.wire.jsontext import JsonValue
from tests.support.node import PLAIN, World
from tests.unit.web.fakes import QUESTION, SETTINGS, Served, serving

AGENT, OTHER_AGENT = "a_b", "a_b:c/d"
"""The one is the beginning of the other."""

TWO = Scope(agents=frozenset({AGENT}), bots=frozenset({2}), users=frozenset({"U2"}))

KEYS = {
    "ak_1": KeyIdentity(11, "unscoped"),
    "ak_2": KeyIdentity(12, "unscoped, and not the one that opened anything"),
    "ak_two": KeyIdentity(13, "scoped", TWO),
    "ak_narrowed": KeyIdentity(11, "the one that opened the first stream", TWO),
    "ak_nothing": KeyIdentity(14, "a scope that cannot be read", Scope(frozenset())),
}
BOTS = {"token-1": 1, "token-2": 2}
STRANGERS = ("", "adm_1", "ak_", "11", "1", "U1", "ak_1:", "AK_1")
"""Nothing, an administrator's token, ids in place of secrets, and what is nearly a key."""

READS = {("ak_1", "first"), ("ak_two", "second")}
"""A key reads what it opened, within its scope: nobody else reads anything."""


@dataclass
class Doors:
    """A relay with two streams, of the same conversation and of different keys."""

    web: Served
    streams: dict[str, str] = field(default_factory=dict)
    tickets: Tickets = field(
        default_factory=lambda: Tickets(SETTINGS.secret.encode(), ttl_s=60, now=SystemClock().now)
    )

    @property
    def callers(self) -> list[str]:
        """Every credential that somebody may come with."""
        tickets = [self.tickets.sign_ticket(stream) for stream in self.streams.values()]
        return [*KEYS, *BOTS, *STRANGERS, *tickets]

    async def open(self, name: str, key: int, user: str, agent: str) -> None:
        """Open a stream whose bot is away: it ends at once, and can be read."""
        ask = Ask("c_1:/", agent, user, "?")
        bot_id = {"U1": 1, "U2": 2}[user]
        view = await self.web.node.open_stream(ask, bot_id=bot_id, access_key_id=key)
        self.streams[name] = view.stream_id


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    """The relay of a test."""
    async with serving(poll_seconds=5.0) as web:
        web.directory.keys = KEYS
        doors = Doors(web)
        await doors.open("first", 11, "U1", OTHER_AGENT)
        await doors.open("second", 13, "U2", AGENT)
        yield doors


def bearer(credential: str) -> dict[str, str]:
    """The header; none for nothing."""
    return {"Authorization": f"Bearer {credential}"} if credential else {}


async def test_a_stream_is_read_by_the_key_that_opened_it(doors: Doors) -> None:
    """`GET /streams/ID/events`: 401 for strangers, 404 for other keys, which learn nothing."""
    for credential in doors.callers:
        for name, stream in doors.streams.items():
            answer = await doors.web.http.get(
                f"/streams/{stream}/events", headers=bearer(credential)
            )
            may = (credential, name) in READS
            expected = 200 if may else 404 if credential in KEYS else 401
            assert answer.status_code == expected, (credential, name)
            assert ("stream" in answer.headers.get("relay-stream-id", "stream")) is not may


async def test_a_ticket_opens_its_own_stream_and_nothing_else(doors: Doors) -> None:
    """And no other credential is a ticket."""
    for given_for, of in doors.streams.items():
        ticket = doors.tickets.sign_ticket(of)
        for name, stream in doors.streams.items():
            answer = await doors.web.http.get(
                f"/streams/{stream}/events", params={"ticket": ticket}
            )
            assert answer.status_code == (200 if given_for == name else 401)
    for credential in (*KEYS, *BOTS, *STRANGERS):
        for stream in doors.streams.values():
            answer = await doors.web.http.get(
                f"/streams/{stream}/events", params={"ticket": credential}
            )
            assert answer.status_code == 401, credential


@pytest.mark.parametrize("by_conversation", [False, True])
async def test_a_poll_gives_a_key_its_own_stream(doors: Doors, by_conversation: bool) -> None:
    """Also where two keys name their conversations alike."""
    for credential in doors.callers:
        for bot_id, (name, stream) in enumerate(doors.streams.items(), start=1):
            answer = await doors.web.http.get(
                "/api/rokid/poll",
                params={"bot_id": bot_id, "session_id": "c_1:/" if by_conversation else stream},
                headers=bearer(credential),
            )
            may = (credential, name) in READS
            expected = 200 if may else 404 if credential in KEYS else 401
            assert answer.status_code == expected, (credential, name)


@pytest.mark.parametrize("socket", ["?sdk_token=token-1", "?access_key=ak_2"])
async def test_a_worker_subscribes_to_what_its_key_opened(doors: Doors, socket: str) -> None:
    """Whoever opened the socket: the key in the identifier decides."""
    async with doors.web.cable(socket) as cable:
        for credential in doors.callers:
            for bot_id, (name, stream) in enumerate(doors.streams.items(), start=1):
                await cable.subscribe(
                    channel="RokidStreamChannel",
                    access_key=credential,
                    bot_id=bot_id,
                    session_id=stream,
                )
                may = (credential, name) in READS
                expected = "confirm_subscription" if may else "reject_subscription"
                while True:
                    frame = await cable.frame()
                    if str(frame.get("type")).endswith("_subscription"):
                        break
                assert frame["type"] == expected, (credential, name)
                if may:
                    await cable.send({"command": "unsubscribe", "identifier": cable.identifier})


QUESTIONS: dict[str, dict[str, JsonValue]] = {
    "first": {"user_id": "U1", "agent_id": OTHER_AGENT},
    "second": {"user_id": "U2", "agent_id": AGENT},
    "another agent's": {"user_id": "U2", "agent_id": OTHER_AGENT},
    "another user's": {"user_id": "U1", "agent_id": AGENT},
}

OPENS = {
    *((key, question) for key in ("ak_1", "ak_2") for question in QUESTIONS),
    *((key, "second") for key in ("ak_two", "ak_narrowed")),
}


async def test_a_key_asks_what_lies_within_its_scope(doors: Doors) -> None:
    """Workers get a status, glasses words and a header; no other credential asks anything."""
    http = doors.web.http
    for credential in doors.callers:
        for name, changes in QUESTIONS.items():
            body, headers = {**QUESTION, **changes}, bearer(credential)
            asked = await http.post("/api/rokid/trigger", json=body, headers=headers)
            shown = await http.post("/sse/rokid", json=body, headers=headers)
            who = (credential, name)
            assert shown.status_code == 200
            assert '"is_finish":true' in shown.text
            if (credential, name) in OPENS:
                assert asked.status_code == 200, who
                assert "relay-error" not in shown.headers, who
                continue
            code = "out_of_scope" if credential in KEYS else "unauthorized"
            assert asked.status_code == (403 if credential in KEYS else 401), who
            assert asked.json()["code"] == shown.headers["relay-error"] == code, who
            assert "relay-stream-id" not in shown.headers


async def test_a_bot_speaks_for_itself_only(doors: Doors) -> None:
    """Keys open a worker's socket, on which nobody is a bot; all others are sent away."""
    for credential in doors.callers:
        for bot_id in (1, 2):
            async with doors.web.cable("", **bearer(credential)) as cable:
                first = await cable.frame()
                if credential not in KEYS and credential not in BOTS:
                    assert (first["type"], first["reason"]) == ("disconnect", "unauthorized")
                    continue
                assert first["type"] == "welcome"
                await cable.subscribe(channel="BotChannel", bot_id=bot_id)
                frame: dict[str, JsonValue] = {}
                while not str(frame.get("type")).endswith("_subscription"):
                    frame = await cable.frame()
                may = BOTS.get(credential) == bot_id
                expected = "confirm_subscription" if may else "reject_subscription"
                assert frame["type"] == expected, (credential, bot_id)


# --- ids that look like other ids ---------------------------------------------------------------

IDS = st.text(alphabet="_:/a1", max_size=3)
SCOPES = st.builds(
    Scope,
    agents=st.none() | st.frozensets(IDS, max_size=3),
    bots=st.none() | st.frozensets(st.sampled_from([1, 11, 2]), max_size=2),
    users=st.none() | st.frozensets(IDS, max_size=3),
)


@dataclass(frozen=True)
class Opened:
    """A stream as the test's own ledger has it."""

    key: int
    conversation: str
    agent: str
    user: str
    bot: int | None


STREAMS = st.builds(
    Opened,
    key=st.sampled_from([1, 11]),
    conversation=IDS,
    agent=IDS,
    user=IDS,
    bot=st.sampled_from([1, 11, 2, None]),
)


def covers(scope: Scope, stream: Opened) -> bool:
    """Whether the stream lies within the scope, told in another way than the relay does."""
    asked = [(scope.agents, stream.agent), (scope.bots, stream.bot), (scope.users, stream.user)]
    return not any(allowed is not None and wanted not in allowed for allowed, wanted in asked)


@settings(max_examples=150, deadline=None)
@given(
    streams=st.lists(STREAMS, min_size=1, max_size=6),
    key=st.sampled_from([1, 11]),
    scope=st.just(EVERYTHING) | SCOPES,
    conversation=IDS,
)
def test_nobody_reads_what_another_key_opened(
    streams: list[Opened], key: int, scope: Scope, conversation: str
) -> None:
    """By its own id or by its conversation's, whatever is in the ids: they are never joined."""
    asyncio.run(_compare(streams, key, scope, conversation))


async def _compare(streams: list[Opened], key: int, scope: Scope, conversation: str) -> None:
    world = World()
    ids = []
    for stream in streams:
        ask = Ask(stream.conversation, stream.agent, stream.user, "?")
        view = await world.node.open_stream(ask, bot_id=stream.bot, access_key_id=stream.key)
        ids.append(view.stream_id)
    for stream_id, stream in zip(ids, streams, strict=True):
        may = stream.key == key and covers(scope, stream)
        assert await _reads(world, stream_id, key, scope) is may
        assert await _finds(world, stream_id, key, scope) == (stream_id if may else None)
    wanted = [
        (stream_id, stream)
        for stream_id, stream in zip(ids, streams, strict=True)
        if (stream.key, stream.conversation) == (key, conversation)
    ]
    newest = wanted[-1] if wanted and covers(scope, wanted[-1][1]) else None
    assert await _finds(world, conversation, key, scope) == (newest[0] if newest else None)
    await world.node.drain()


async def _reads(world: World, stream_id: str, key: int, scope: Scope) -> bool:
    try:
        await world.node.subscribe(stream_id, PLAIN, access_key_id=key, scope=scope)
    except UnknownStream:
        return False
    return True


async def _finds(world: World, session_id: str, key: int, scope: Scope) -> str | None:
    try:
        return await world.node.find_stream(
            access_key_id=key, scope=scope, bot_id=None, session_id=session_id
        )
    except UnknownStream:
        return None
