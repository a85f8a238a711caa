"""What the API answers has the fields of the values, with moments for seconds."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from msgspec import Struct

from relay.admin import live, people, statistics, traces
from relay.admin.trace_row import TraceRow
from relay.web.admin import schema_answers as answers
from relay.web.admin.operations import write_json
from tests.support.admin import NOW, live_stream, lossy_row
from tests.support.admin_statistics import make_statistics

ISO = "2025-06-15T15:06:40Z"


@pytest.mark.parametrize(
    ("value", "answer", "more"),
    [
        (traces.TraceSummary, answers.TraceSummary, set()),
        (traces.TracePage, answers.TracePage, set()),
        (TraceRow, answers.Trace, {"missing_count"}),
        (live.LiveStream, answers.LiveStream, set()),
        (statistics.Statistics, answers.Statistics, set()),
        (statistics.BotFigures, answers.BotFigures, set()),
        (statistics.HourFigures, answers.HourFigures, set()),
        (statistics.Interval, answers.Interval, set()),
        (statistics.LossCount, answers.LossCount, set()),
        (people.BotRecord, answers.Bot, {"online"}),
        (people.KeyRecord, answers.AccessKey, set()),
        (people.BindingRecord, answers.Binding, set()),
        (people.Made, answers.NewBot, set()),
    ],
)
def test_an_answer_has_the_fields_of_its_value(
    value: type, answer: type[Struct], more: set[str]
) -> None:
    """What is added to a value is told, or this fails."""
    assert {one.name for one in fields(value)} | more == set(answer.__struct_fields__)


def test_a_trace_is_told_with_its_chunks() -> None:
    """Each point of the timeline names its times; what is malformed is left out."""
    row = lossy_row(1, created_at=NOW, timeline=[[0, 1, 2.5, None, 4], "no point"])
    told = json.loads(write_json(answers.tell_trace(row)))
    assert told["created_at"] == ISO
    assert told["missing_count"] == 3
    assert told["timeline"] == [
        {"sequence": 0, "received_ms": 1.0, "acked_ms": 2.5, "delivered_ms": None, "length": 4}
    ]


def test_text_that_looks_like_something_else_stays_text() -> None:
    """The conversion is lax for the sake of moments only."""
    row = lossy_row(1, message_id="123", user_id="null", agent_id="true", sdk_version="1e3")
    told = answers.tell_trace(row)
    assert (told.message_id, told.user_id, told.agent_id) == ("123", "null", "true")
    assert told.sdk_version == "1e3"


def test_statistics_and_live_streams_are_told_with_moments() -> None:
    """Every moment in them, however deep."""
    value = make_statistics([lossy_row(1, created_at=NOW)], NOW, NOW + 60, 60)
    told = json.loads(write_json(answers.tell(value, answers.Statistics)))
    assert (told["since"], told["intervals"][0]["start"]) == (ISO, ISO)
    assert told["hours"][0]["hour"] == "2025-06-15T15:00:00Z"
    assert (
        json.loads(write_json(answers.tell(live_stream(), answers.LiveStream)))["opened_at"] == ISO
    )


def test_a_key_tells_its_scope_in_order() -> None:
    """A set has none, and two answers of the same key should be the same."""
    scope = people.Scope(agents=frozenset("cab"), bots=frozenset({3, 1}), users=None)
    key = people.KeyRecord(1, "k", "ak_", scope, NOW, None, NOW)
    told = answers.tell_key(key)
    assert (told.scope.agents, told.scope.bots, told.scope.users) == (["a", "b", "c"], [1, 3], None)
    assert told.last_used_at is None
    assert told.revoked_at is not None
