"""A user without a bot gets one: by saying a code, or by showing its QR code (wire.md 2.2)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from relay.devices.binding_code import find_code
from relay.devices.texts import TEXTS
from relay.store.store import Store
from tests.support.bots import raw_bot
from tests.support.glasses import Answer, Glasses, assert_finished, question
from tests.support.photos import data_url, photo_of
from tests.support.server import RELAY, RelayServer, Seed, environment, running

_numbers = count()


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Photos within a request are read."""
    return {"binding_photo": "data"}


@pytest.fixture
def user() -> str:
    """A user of this test's own, who has no bot."""
    return f"new-user-{next(_numbers)}"


@pytest.fixture
def mortal(seed: Seed, tmp_path: Path) -> Iterator[RelayServer]:
    """A relay of this test's own, which it may kill."""
    with running(seed, tmp_path / "mortal", binding_photo="data") as server:
        yield server


def relay_command(server: RelayServer, *args: str) -> dict[str, Any]:
    """Run a command of `relay` on the server's database, as an operator does beside it."""
    done = subprocess.run(
        [RELAY, *args, "--json"],
        env=environment({"RELAY_DATABASE_URL": f"sqlite+aiosqlite:///{server.database}"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


async def new_token(server: RelayServer, number: int = 0) -> str:
    """Take a bot from its seeded user, and make a token for it; it may be in no log."""
    store = await Store.open(f"sqlite:///{server.database}")
    try:
        desk, bot_id = store.binding_desk(600), server.bot(number).bot_id
        await desk.unbind(bot_id)
        token = (await desk.create_binding(bot_id)).secret
    finally:
        await store.close()
    server.secrets += [token, str(find_code(token))]
    return token


def said(text: str, user_id: str, **changes: object) -> dict[str, Any]:
    """A question in these words."""
    item = {"role": "user", "type": "text", "text": text, "image_url": None}
    return question(user_id, message=[item], **changes)


def shown(photo: str, asked: dict[str, Any], **changes: object) -> dict[str, Any]:
    """A photo in the conversation of `asked`, as the platform sends it after `take_photo`."""
    item = {"role": "user", "type": "image", "text": None, "image_url": photo}
    return {**asked, "message": [item], **changes}


async def answered(server: RelayServer, body: dict[str, Any], number: int = 0) -> Answer:
    """Ask; the bot says hello; the answer is read to its end."""
    glasses = Glasses(server.url, server.key)
    async with raw_bot(server, number) as bot, glasses.ask(body) as answer:
        await bot.answer(await bot.command(), ["你好"])
        return await answer.read()


async def ask(server: RelayServer, body: dict[str, Any]) -> Answer:
    """Ask and read to the end."""
    return await Glasses(server.url, server.key).ask_and_read(body)


def expire(server: RelayServer) -> None:
    """Let the time of all tokens be up."""
    statement = "UPDATE binding_tokens SET expires_at = '2026-01-01 00:00:00.000000'"
    with closing(sqlite3.connect(server.database, timeout=10)) as database, database:
        database.execute(statement)


async def test_a_code_that_is_said_binds_and_the_next_question_reaches_the_bot(
    relay: RelayServer, user: str
) -> None:
    """The whole way of a user, by words alone."""
    invited = await ask(relay, said("你好", user))
    assert TEXTS["bind_photo"]["zh"] in invited.text
    row = relay.trace(invited.stream_id)
    assert (row["status"], row["outcome"], row["bot_id"]) == ("anomaly", "unbound", None)
    bot_id = str(relay.bot().bot_id)
    await asyncio.to_thread(relay_command, relay, "bot", "unbind", bot_id)
    made = await asyncio.to_thread(relay_command, relay, "bot", "bind", bot_id)
    relay.secrets.append(made["token"])
    bound = await ask(relay, said(f"绑定码是 {made['token'].lower()}", user))
    assert_finished(bound)
    assert bound.text == TEXTS["bind_done"]["zh"].replace("{bot}", "ada")
    row = relay.trace(bound.stream_id)
    assert (row["status"], row["outcome"], row["anomaly"]) == ("completed", "bound", None)
    assert (row["sdk_chunk_count"], row["missing_sequences"]) == (0, [])
    answer = await answered(relay, said("你好", user))
    assert answer.text == "你好"
    assert relay.trace(answer.stream_id)["bot_id"] == relay.bot().bot_id


async def test_a_photo_that_was_asked_for_binds_even_after_a_restart(
    mortal: RelayServer, user: str
) -> None:
    """Instruction, tool call, finish, done; the relay is killed; the photo of the same turn."""
    asked = said("你好", user)
    invited = await ask(mortal, asked)
    ids = {"message_id": asked["message_id"], "agent_id": asked["agent_id"]}
    words = {"role": "agent", "type": "answer", "answer_stream": TEXTS["bind_photo"]["zh"]}
    call = {"role": "agent", "type": "tool_call", "tool_call": {"command": "take_photo"}}
    assert [(event.name, event.data) for event in invited.events] == [
        ("message", {**words, **ids, "is_finish": False}),
        ("message", {**call, **ids, "is_finish": False}),
        ("message", {**words, "answer_stream": "", **ids, "is_finish": True}),
        ("done", {"role": "agent", "type": "answer", **ids, "is_finish": True}),
    ]
    token = await new_token(mortal)
    mortal.kill()
    mortal.start()
    photo = data_url(photo_of(token, kind="WEBP", turned=10), "image/webp")
    bound = await ask(mortal, shown(photo, asked))
    assert_finished(bound)
    assert bound.text == TEXTS["bind_done"]["zh"].replace("{bot}", "ada")
    assert mortal.trace(bound.stream_id)["outcome"] == "bound"
    answer = await answered(mortal, said("你好", user, message_id=asked["message_id"]))
    assert answer.text == "你好"


@pytest.mark.parametrize(
    ("photo", "code"),
    [
        (data_url(photo_of()), "bind_unreadable"),
        (data_url(b"no photo"), "bind_unreadable"),
        ("data:image/png,x", "bind_unreadable"),
        ("https://127.0.0.1/1.png", "bind_unreadable"),
        (data_url(photo_of("https://example.com")), "bind_unknown"),
        (data_url(photo_of("7KDQ4-XMB2T")), "bind_unknown"),
    ],
    ids=["blank", "junk", "torn", "elsewhere", "another code", "unknown token"],
)
async def test_a_photo_that_does_not_bind_says_why(
    relay: RelayServer, user: str, photo: str, code: str
) -> None:
    """One finish with kind words, and a trace of its own."""
    asked = said("你好", user)
    await ask(relay, asked)
    refused = await ask(relay, shown(photo, asked))
    assert_finished(refused)
    assert refused.text == TEXTS[code]["zh"]
    row = relay.trace(refused.stream_id)
    assert (row["outcome"], row["anomaly"]["type"]) == ("unbound", "unbound")
    assert row["anomaly"]["detail"].endswith(code)


async def test_of_many_who_show_one_token_at_once_one_is_bound(
    relay: RelayServer, user: str
) -> None:
    """The others are told that it is used; afterwards as well."""
    token = await new_token(relay, 1)
    users = [f"{user}-{number}" for number in range(8)]
    answers = await asyncio.gather(*(ask(relay, said(token, each)) for each in users))
    texts = [answer.text for answer in answers]
    done, used = TEXTS["bind_done"]["zh"].replace("{bot}", "ben"), TEXTS["bind_used"]["zh"]
    assert sorted(texts) == sorted([done, *[used] * 7])
    assert (await ask(relay, said(token, user))).text == used
    assert (await answered(relay, said("你好", users[texts.index(done)]), 1)).text == "你好"


async def test_an_expired_token_and_a_bot_that_is_taken_are_told_apart(
    relay: RelayServer, user: str
) -> None:
    """In English, for a user who speaks it."""
    english = {"metadata": {"lang": "en-US"}}
    first, second = await new_token(relay, 2), await new_token(relay, 2)
    assert (await ask(relay, said(first, user, **english))).text.startswith("Done:")
    taken = await ask(relay, said(second, f"{user}-b", **english))
    assert taken.text == TEXTS["bind_bot_taken"]["en"]
    third = await new_token(relay, 3)
    await asyncio.to_thread(expire, relay)
    late = await ask(relay, said(third, f"{user}-c", **english))
    assert late.text == TEXTS["bind_expired"]["en"]


async def test_guessing_is_stopped(relay: RelayServer, user: str) -> None:
    """Ten tries, then not even the right code is taken."""
    token = await new_token(relay, 3)
    guesses = [await ask(relay, said(f"7KDQ4-XMB2{last}", user)) for last in "0123456789"]
    assert {guess.text for guess in guesses} == {TEXTS["bind_unknown"]["zh"]}
    assert (await ask(relay, said(token, user))).text == TEXTS["bind_too_many"]["zh"]
    assert (await ask(relay, said(token, f"{user}-b"))).text.startswith("绑定成功")


async def test_a_user_whom_the_platform_does_not_name_cannot_be_bound(relay: RelayServer) -> None:
    """There is nobody to bind: the plain text, no photo, and a token stays unused."""
    token = await new_token(relay, 3)
    for text in ("你好", token):
        answer = await ask(relay, said(text, ""))
        assert_finished(answer)
        assert answer.text == TEXTS["unbound"]["zh"]
    assert (await ask(relay, said(token, "named-at-last"))).text.startswith("绑定成功")


async def test_photos_are_off_by_default(default_relay: RelayServer, user: str) -> None:
    """The user is asked to say the code; a photo is not even looked at."""
    asked = said("你好", user)
    for body in (asked, shown(data_url(photo_of("7KDQ4-XMB2T")), asked)):
        answer = await ask(default_relay, body)
        assert_finished(answer)
        assert answer.text == TEXTS["bind_say"]["zh"]


async def test_a_photo_of_ones_own_network_is_not_fetched(
    seed: Seed, tmp_path: Path, user: str
) -> None:
    """With fetching on: a listener on this machine sees no connection, whatever the spelling."""
    connections: list[str] = []

    def connected(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(str(writer.get_extra_info("peername")))
        writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with running(seed, tmp_path / "fetching", binding_photo="fetch") as server:
        async with listener:
            asked = said("你好", user)
            await ask(server, asked)
            for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"):
                for url in (f"https://{host}:{port}/1.png", f"http://{host}:{port}/1.png"):
                    refused = await ask(server, shown(url, asked))
                    assert refused.text == TEXTS["bind_unreadable"]["zh"]
            listener.close()
    assert connections == []
