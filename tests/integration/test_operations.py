from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing

import httpx
import pytest

from tests.support.bots import V2_4_0, RawBot, in_order, legacy_bot, raw_bot, stream_of
from tests.support.cable import Frame, open_cable
from tests.support.glasses import Answer, Glasses, assert_finished, question
from tests.support.incident import load_incident
from tests.support.server import RelayServer

TURN = load_incident()[1]
AT_ONCE = 60


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_running_relay_is_healthy_and_ready(relay: RelayServer, path: str) -> None:
    """200 for whoever asks, without a key."""
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
        assert (await client.get(path)).status_code == 200


async def test_a_draining_relay_lets_an_answer_end_and_takes_no_new_one(
    own_relay: RelayServer,
) -> None:
    """After SIGTERM nobody new is let in, the open answer is finished whole, and the exit is 0."""
    own_relay.start()
    glasses = Glasses(own_relay.url, own_relay.key)
    async with (
        raw_bot(own_relay) as bot,
        glasses.ask(question(own_relay.bot().user_id)) as answer,
    ):
        stream_id = stream_of(await bot.command())
        await bot.chunks(stream_id, TURN.chunks[:30])
        await answer.until(lambda answer: len(answer.pieces) == 30)
        ending = asyncio.create_task(asyncio.to_thread(own_relay.terminate))
        with pytest.raises(httpx.TransportError):
            await ask_until_refused(glasses)
        for sequence in range(30, 60):
            await bot.chunk(stream_id, sequence, TURN.chunks[sequence])
        await bot.end(stream_id, TURN.chunks)
        await answer.read()
        code = await ending
    assert_finished(answer)
    assert answer.text == TURN.text
    assert code == 0
    assert own_relay.trace(stream_id)["status"] == "completed"


async def ask_until_refused(glasses: Glasses) -> None:
    """Ask again and again; a relay that takes leave closes its door after a moment."""
    async with asyncio.timeout(5):
        while True:
            await glasses.ask_and_read(question("nobody"))


async def test_many_users_are_served_at_once(relay: RelayServer, glasses: Glasses) -> None:
    """60 open answers, as many readers, and a bot can still connect and answer in between."""
    stream_ids = []
    async with raw_bot(relay) as bot, asyncio.TaskGroup() as group:
        asked = [
            group.create_task(glasses.ask_and_read(question(relay.bot().user_id)))
            for _ in range(AT_ONCE)
        ]
        commands = [await bot.command(number) for number in range(AT_ONCE)]
        async with (
            legacy_bot(relay, V2_4_0, 1) as other,
            glasses.ask(question(relay.bot(1).user_id)) as answer,
        ):
            await other.answer(await other.command(), in_order(["in between"]))
            await answer.read()
        for command in commands:
            stream_ids.append(stream_of(command))
            await bot.chunk(stream_ids[-1], 0, f"{stream_ids[-1]} ")
        for stream_id in reversed(stream_ids):
            await bot.chunk(stream_id, 1, "end")
            await bot.end(stream_id, [f"{stream_id} ", "end"])
    assert answer.text == "in between"
    answers: list[Answer] = [task.result() for task in asked]
    for shown in answers:
        assert_finished(shown)
        assert shown.text == f"{shown.stream_id} end"
    assert sorted(shown.stream_id for shown in answers) == sorted(stream_ids)


async def test_each_chunk_is_shown_before_the_next_one_is_sent(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Nothing polls: 60 chunks in lockstep take far less than 60 polls of 100 ms would."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        started = time.monotonic()
        for sequence, content in enumerate(TURN.chunks):
            await bot.chunk(stream_id, sequence, content)
            await answer.until(lambda answer: len(answer.pieces) > sequence)  # noqa: B023
        took = time.monotonic() - started
        await bot.end(stream_id, TURN.chunks)
        await answer.read()
    assert took < 3.0
    assert answer.pieces == list(TURN.chunks)


async def test_a_bot_hears_no_echo_of_what_it_says(relay: RelayServer, glasses: Glasses) -> None:
    """One question, one ACK per chunk, and nothing else comes back."""
    async with (
        legacy_bot(relay, V2_4_0) as bot,
        glasses.ask(question(relay.bot().user_id)) as answer,
    ):
        await bot.answer(await bot.command(), in_order(TURN.chunks))
        await answer.read()
        await bot.until_silent()
        kinds = [message["type"] for message in bot.cable.messages()]
    assert kinds == ["connected", "execute_command", *["chunk_received"] * 60, "pong"]


async def test_a_trace_tells_the_life_of_its_stream_in_one_row(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Every event in order, duplicates not counted, and one row only."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        for _ in range(2):
            await bot.chunks(stream_id, "abc")
        await bot.end(stream_id, "abc")
        await answer.read()
    row = relay.trace(stream_id)
    events = [event["type"] for event in row["events"]]
    assert events == ["request_received", "command_sent", "end_received", "stream_end"]
    assert row["sdk_chunk_count"] == row["sse_chunk_count"] == 3
    assert count(relay, "stream_traces", f"stream_id = '{stream_id}'") == 1


async def test_connections_and_questions_leave_no_rows_behind(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Three connections and three questions: three traces, and no other table has grown."""
    tables = ("bots", "access_keys", "admin_tokens")
    before = {table: count(relay, table) for table in tables}
    traces = []
    for _ in range(3):
        async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
            await bot.answer(await bot.command(), ["x"])
            await answer.read()
        traces.append(relay.trace(answer.stream_id)["id"])
    assert {table: count(relay, table) for table in tables} == before
    assert len(set(traces)) == 3


async def test_a_dump_of_the_database_holds_no_usable_credential(relay: RelayServer) -> None:
    """Tokens and keys are kept as hashes, whatever the file is searched for."""
    async with open_cable(relay.bot_url()) as cable:
        await cable.wait(lambda frame: frame == {"type": "welcome"})
    dump = b"".join(path.read_bytes() for path in relay.folder.glob("relay.db*"))
    assert b"stream_traces" in dump
    assert not [secret[:8] for secret in relay.seed.secrets if secret.encode() in dump]


async def test_a_worker_that_leaves_is_waited_for_and_then_let_go(own_relay: RelayServer) -> None:
    """It can resume, so the bot is told to cancel only after the longer grace."""
    own_relay.settings["RELAY_DEVICE_GRACE_SECONDS"] = "0.3"
    own_relay.start()
    async with raw_bot(own_relay) as bot:
        async with httpx.AsyncClient(base_url=own_relay.url, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {own_relay.key}"}
            body = question(own_relay.bot().user_id)
            await client.post("/api/rokid/trigger", json=body, headers=headers)
        told = await cancelled(bot)
    assert told["reason"] == "device_gone"


async def cancelled(bot: RawBot) -> Frame:
    """Wait until the bot is told to stop."""
    stream_id = stream_of(await bot.command())
    return await bot.cable.wait_message("cancel_command", session_id=stream_id)


def count(relay: RelayServer, table: str, where: str = "1") -> int:
    """How many rows there are."""
    with closing(sqlite3.connect(f"file:{relay.database}?mode=ro", uri=True)) as database:
        found = database.execute(f"SELECT count(*) FROM {table} WHERE {where}")  # noqa: S608
        return int(found.fetchone()[0])
