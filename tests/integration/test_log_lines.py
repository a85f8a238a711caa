"""What a real relay logs of streams and bots that fare well and badly."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.support.bots import raw_bot, stream_of
from tests.support.glasses import Glasses, question
from tests.support.server import RelayServer
from tests.unit.test_log_events import documented

SAID = ("a private answer", "a second private word", "天气怎么样")


def logged(relay: RelayServer) -> list[dict[str, Any]]:
    """The relay's own lines; one of anybody's that is no object fails the test."""
    lines = [line for line in relay.log.splitlines() if not line.startswith("listening on")]
    return [line for line in map(json.loads, lines) if line["logger"].startswith("relay")]


@pytest.fixture
async def lines(own_relay: RelayServer) -> list[dict[str, Any]]:
    """The log of a relay on a bad day: a chunk refused, a device and a bot gone, a row lost."""
    own_relay.settings |= {
        "RELAY_LOG_FORMAT": "json",
        "RELAY_LOG_LEVEL": "debug",
        "RELAY_BOT_GRACE_SECONDS": "0.2",
        "RELAY_HANGUP_GRACE_SECONDS": "0.2",
    }
    own_relay.start()
    own_relay.secrets += SAID
    glasses = Glasses(own_relay.url, own_relay.key)
    asked = question(own_relay.bot().user_id)
    async with raw_bot(own_relay) as bot:
        async with glasses.ask(asked) as answer:
            stream_id = stream_of(await bot.command(0))
            await bot.chunk(stream_id, 0, SAID[0])
            await bot.chunk(stream_id, 0, SAID[1])  # another content: refused
            await bot.end(stream_id, [SAID[0]])
            await answer.read()
        async with glasses.ask(asked) as answer:
            left = stream_of(await bot.command(1))
            await bot.chunk(left, 0, SAID[0])
            await answer.until(lambda answer: bool(answer.pieces))
        await bot.cable.wait_message("cancel_command", session_id=left)
    async with raw_bot(own_relay) as bot, glasses.ask(asked) as answer:
        lost = stream_of(await bot.command(0))
        await bot.chunk(lost, 0, SAID[0])
        await bot.cable.close()
        await answer.read()
    await glasses.ask_and_read(question("nobody"))
    own_relay.trace(lost)
    with closing(sqlite3.connect(own_relay.database)) as database, database:
        database.execute("ALTER TABLE stream_traces RENAME TO gone")
    await glasses.ask_and_read(asked)
    own_relay.terminate()
    return logged(own_relay)


async def test_every_line_about_a_stream_or_a_bot_says_which(
    own_relay: RelayServer, lines: list[dict[str, Any]]
) -> None:
    """The ids of the table of docs/logs.md, in every line, and lines of all that happened."""
    table = documented()
    for line in lines:
        _, fields = table[line["event"]]
        assert fields - {"access_key_id"} <= line.keys(), line
        if "trace_id" in fields and "stream_id" in fields:
            assert line["trace_id"].startswith("trace_"), line
            assert line["stream_id"], line
        if "bot_id" in fields and line.get("outcome") != "unbound":
            assert line["bot_id"] == own_relay.bot().bot_id, line
    events = {line["event"] for line in lines}
    assert {"bot_connected", "bot_disconnected", "message_refused", "device_gone"} <= events
    assert {"stream_ended", "trace_lost"} <= events
    ended = [line["outcome"] for line in lines if line["event"] == "stream_ended"]
    assert ended == ["completed", "cancelled", "bot_gone", "unbound", "bot_offline"]


async def test_lines_of_one_stream_agree_about_it(lines: list[dict[str, Any]]) -> None:
    """One stream, one trace, one bot, whichever part of the relay says it."""
    told: dict[str, set[tuple[str, int]]] = {}
    for line in lines:
        if line.get("stream_id") and line.get("trace_id"):
            told.setdefault(line["stream_id"], set()).add((line["trace_id"], line["bot_id"]))
    assert len(told) == 5
    assert all(len(names) == 1 for names in told.values()), told


async def test_no_line_holds_a_secret_or_what_was_said(
    own_relay: RelayServer, lines: list[dict[str, Any]]
) -> None:
    """At debug, the most that can be asked for."""
    assert lines
    assert own_relay.complaints() == []
