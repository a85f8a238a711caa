from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.command_line import Relay
from tests.support.store import trace_row


@pytest.fixture
def traced(relay: Relay) -> Relay:
    """The command line on a database with two traces."""

    async def write() -> None:
        store = await relay.open()
        await store.write_traces([trace_row(1), trace_row(2, bot_id=None, loss_position=None)])
        await store.close()

    asyncio.run(write())
    return relay


def test_traces_are_listed_newest_first(traced: Relay) -> None:
    """One line each: when, how it ended, what was shown of how much, what is missing."""
    head, newest, older = traced("trace", "list").out.splitlines()
    assert head.split()[:3] == ["asked", "trace", "bot"]
    assert newest.split()[:3] == ["2026-02-27T10:00:02+08:00", "trace-2", "-"]
    assert older.split()[1:] == ["trace-1", "1", "anomaly", "repaired", "2/3", "1", "tail"]
    assert len(traced("trace", "list", "--limit", "1").out.splitlines()) == 2


def test_traces_are_listed_as_json(traced: Relay) -> None:
    """A page with its cursor, as the admin API gives it: without texts and timelines."""
    page = json.loads(traced("trace", "list", "--limit", "1", "--json").out)
    assert [row["trace_id"] for row in page["traces"]] == ["trace-2"]
    assert page["traces"][0]["missing_count"] == 1
    rest = traced("trace", "list", "--cursor", page["next_cursor"], "--json").out
    page = json.loads(rest)
    assert [row["trace_id"] for row in page["traces"]] == ["trace-1"]
    assert page["next_cursor"] is None


def test_the_next_page_is_named_beside_the_list(traced: Relay) -> None:
    """Where there is one, and not among what a program reads."""
    done = traced("trace", "list", "--limit", "1")
    assert done.err.startswith("more: --cursor ")
    assert "more" not in done.out
    assert traced("trace", "list", "--limit", "2").err == ""
    wrong = traced("trace", "list", "--cursor", "x")
    assert (wrong.code, wrong.out) == (1, "")
    assert "take next_cursor of a page of this same list" in wrong.err


def test_the_next_page_of_a_span_is_of_the_same_span(
    traced: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The span's moment is named with the cursor, for an hour ago is another one by then."""
    now = trace_row(1).created_at
    monkeypatch.setattr("relay.cli.trace_lines.time.time", lambda: now + 3600.25)
    more = traced("trace", "list", "--since", "2h", "--limit", "1").err
    assert more.startswith("more: --since 2026-02-27T01:00:01+00:00 --cursor ")
    monkeypatch.setattr("relay.cli.trace_lines.time.time", lambda: now + 9999.9)
    assert "trace-1" in traced("trace", "list", *more.split()[1:]).out


def test_one_trace_is_shown(traced: Relay) -> None:
    """For people what was lost and when, without colours into a pipe; for programs all of it."""
    out = traced("trace", "show", "trace-1").out
    assert "chunks  3 -> 2, hop bot-to-relay, position tail, repair summary" in out
    assert "\x1b" not in out
    row = json.loads(traced("trace", "show", "trace-1", "--json").out)
    assert row["timeline"][0] == [0, 12.5, 12.625, 13.0, 2]
    assert row["sse_content"] == "你好🦞\n\n"


def test_a_trace_is_found_by_its_stream(traced: Relay) -> None:
    """An operator has the id that the device was told; a beginning of several is an error."""
    assert "trace-2" in traced("trace", "show", "stream-2").out
    done = traced("trace", "show", "stream-")
    assert (done.code, done.err) == (1, "relay: several traces are stream-: trace-2, trace-1\n")


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (("--status", "anomaly"), ["trace-2", "trace-1"]),
        (("--status", "completed"), []),
        (("--bot", "1"), ["trace-1"]),
        (("--bot", "Nova"), ["trace-1"]),
        (("--conversation", "1772157600000", "--limit", "1"), ["trace-2"]),
        (("--user", "nobody"), []),
        (("--anomaly", "MISSING"), ["trace-2", "trace-1"]),
        (("--anomaly", "100%"), []),
        (("--sort", "missing", "--limit", "1"), ["trace-2"]),
        (("--outcome", "repaired"), ["trace-2", "trace-1"]),
        (("--outcome", "lost"), []),
        (("--position", "tail"), ["trace-1"]),
        (("--hop", "both"), []),
        (("--sdk", "python/1.0"), ["trace-2", "trace-1"]),
        (("--since", "2026-02-27T02:00:02"), ["trace-2"]),
        (("--until", "2026-02-27T10:00:02+08:00"), ["trace-1"]),
        (("--since", "1s"), []),
    ],
)
def test_traces_are_listed_by_what_is_asked_for(
    traced: Relay, args: tuple[str, ...], found: list[str]
) -> None:
    """A bot by its name or its id; a text in any case."""
    traced("bot", "add", "Nova")
    page = json.loads(traced("trace", "list", *args, "--json").out)
    assert [row["trace_id"] for row in page["traces"]] == found


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--status", "broken"), "'broken' is none of pending, active, ending, completed, anomaly"),
        (("--outcome", "ok"), "'ok' is none of completed, repaired"),
        (("--position", "end"), "'end' is none of head, middle, tail, mixed"),
        (("--hop", "bot"), "'bot' is none of bot_to_relay, relay_to_device, both"),
    ],
)
@pytest.mark.parametrize("command", ["list", "tail"])
def test_what_no_trace_can_have_is_refused(
    relay: Relay, command: str, args: tuple[str, ...], said: str
) -> None:
    """An empty list would say that all is well."""
    done = relay("trace", command, *args)
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.split())


def test_a_time_that_is_none_is_refused(relay: Relay) -> None:
    """And it is said what one is."""
    for wrong in ("yesterday", "2x", ""):
        done = relay("trace", "list", "--since", wrong)
        assert done.code == 2
        assert "30m, 2h, 7d, or a moment such as 2026-02-27T08:41" in " ".join(done.err.split())
