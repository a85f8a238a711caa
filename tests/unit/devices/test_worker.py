from __future__ import annotations

import pytest

from relay.devices.base import StreamView
from relay.devices.texts import TEXTS
from relay.devices.worker import to_object
from relay.protocol.events import Entry, EntryKind
from relay.protocol.status import Outcome
from relay.wire import parts
from relay.wire.jsontext import JsonValue

VIEW = StreamView("S", "e1", "conversation", "agent", "en")
AT = 1_772_181_665.9
COMMON: dict[str, JsonValue] = {"session_id": "S", "timestamp": "2026-02-27T16:41:05+08:00"}
ANSWERED = [Outcome.COMPLETED, Outcome.REPAIRED, Outcome.INCOMPLETE]


def test_a_chunk_is_as_the_reference_broadcasts_it() -> None:
    """With its sequence, and the time of its arrival in Beijing."""
    assert to_object(Entry(1, EntryKind.CHUNK, AT, " ", sequence=0), VIEW) == {
        "type": "stream_chunk",
        "content": " ",
        "sequence": 0,
        **COMMON,
    }


def test_what_a_chunk_carries_is_one_more_key() -> None:
    """Older workers do not look at it."""
    photo = parts.tool_call({"command": "take_photo"})
    assert to_object(Entry(1, EntryKind.CHUNK, AT, "", 3, part=photo), VIEW) == {
        "type": "stream_chunk",
        "content": "",
        "sequence": 3,
        "tool_call": {"command": "take_photo"},
        **COMMON,
    }
    shown = to_object(Entry(2, EntryKind.CHUNK, AT, "", 4, part=parts.follow_up(["a"])), VIEW)
    assert shown is not None
    assert shown["follow_up"] == ["a"]


def test_a_failure_says_what_the_bot_wants_shown() -> None:
    """In the place of the relay's own text."""
    end = Entry(4, EntryKind.END, AT, "Sorry.", total_chunks=1, outcome=Outcome.FAILED)
    assert to_object(end, VIEW) == {"type": "stream_error", "error": "Sorry.", **COMMON}


@pytest.mark.parametrize("kind", [EntryKind.REPAIR, EntryKind.GAP])
def test_a_repair_and_a_gap_are_chunks_without_a_sequence(kind: EntryKind) -> None:
    """Workers pass those through as they come; an empty one is nothing."""
    assert to_object(Entry(2, kind, AT, "…", sequence=5), VIEW) == {
        "type": "stream_chunk",
        "content": "…",
        "sequence": None,
        **COMMON,
    }
    assert to_object(Entry(2, kind, AT, ""), VIEW) is None


def test_the_ending_is_not_shown() -> None:
    """A worker stops at `stream_end`, so it is told only the real one."""
    assert to_object(Entry(3, EntryKind.ENDING, AT), VIEW) is None


@pytest.mark.parametrize("outcome", ANSWERED)
def test_an_answer_ends_with_stream_end(outcome: Outcome) -> None:
    """As the reference ends every stream."""
    end = Entry(4, EntryKind.END, AT, total_chunks=1, outcome=outcome)
    assert to_object(end, VIEW) == {"type": "stream_end", **COMMON}


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in ANSWERED])
def test_every_other_end_is_an_error_with_a_text_to_show(outcome: Outcome) -> None:
    """In the user's language, and never the bot's raw error."""
    end = Entry(4, EntryKind.END, AT, total_chunks=1, outcome=outcome)
    assert to_object(end, VIEW) == {
        "type": "stream_error",
        "error": TEXTS[outcome]["en"],
        **COMMON,
    }


def test_a_worker_may_have_subscribed_by_another_id() -> None:
    """Then it is told the id that it knows."""
    shown = to_object(Entry(1, EntryKind.CHUNK, AT, "x"), VIEW, session_id="conversation")
    assert shown is not None
    assert shown["session_id"] == "conversation"
