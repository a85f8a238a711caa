"""The facts of a stream as text."""

from __future__ import annotations

import pytest

from relay.protocol.events import Summary
from relay.protocol.facts import NOTHING, Facts
from relay.protocol.report import Disagreement
from relay.wire.facts import read_facts, write_facts, write_summary

ALL = Facts(
    by_arrival=True,
    overlapped=True,
    broken=True,
    lost_at=1_772_157_600.125,
    back_at=1_772_157_599.5,
    content_hash="-3e5097fb",
    summarised=0,
    claimed=7,
    summary=Summary("嘿 \ud83e", 3, None),
    disagreement=Disagreement.PREFIX,
    detail="the bot said \ud83e",
    duplicates=2,
    refused=3,
    withheld=(None, 4, 9),
    late=((1, 2), (5, 5)),
    asked=((7, 8),),
    retransmitted=True,
)


@pytest.mark.parametrize("facts", [ALL, Facts(lost_at=0.0), Facts(summarised=0), NOTHING])
def test_facts_are_read_as_they_were_written(facts: Facts) -> None:
    """All of them; no count is not a count of 0."""
    read = read_facts(write_facts(facts), write_summary(facts.summary))
    assert read == facts
    assert (read.back_at, read.summarised, read.lost_at) == (
        facts.back_at,
        facts.summarised,
        facts.lost_at,
    )


def test_a_log_without_notes_is_of_a_new_stream() -> None:
    """Or of a relay that kept none."""
    assert read_facts("", "") is NOTHING


def test_a_summary_may_stand_alone() -> None:
    """It is written apart from the rest."""
    summary = Summary("text", 2, "36452d")
    assert read_facts("", write_summary(summary)) == Facts(summary=summary)
    assert write_summary(None) == ""
