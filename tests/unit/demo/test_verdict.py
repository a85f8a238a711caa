from __future__ import annotations

from dataclasses import replace

import pytest

from relay.admin.trace_row import TraceRow
from relay.demo.ledger import Heard, Ledger
from relay.demo.scenarios import Claim, Scenario, Speaker
from relay.demo.verdict import failed, judge, listed, locate

CHUNKS = tuple("abcdefgh")
WHOLE = Scenario("whole", "", Speaker.LEGACY, 1, claim=Claim.TRUE)
CUT = Scenario("cut", "", Speaker.DEAF, 1, frozenset({7}))


def played(scenario: Scenario) -> Ledger:
    """A ledger in which all went as it should."""
    ledger = Ledger(CHUNKS, barrier_s=2.0, asked_at=0.0, ended_at=2.0)
    for sequence in sorted(set(range(8)) - scenario.lost):
        ledger.sent[sequence] = sequence / 10
        ledger.acked[sequence] = sequence / 10 + 0.01
        ledger.heard.append(Heard(sequence / 10 + 0.002, CHUNKS[sequence]))
    ledger.heard.append(Heard(2.1 if scenario.whole else 4.0, None))
    return ledger


def trace(scenario: Scenario) -> TraceRow:
    """The trace that a relay writes of it."""
    sent = sorted(set(range(8)) - scenario.lost)
    text = "".join(CHUNKS[sequence] for sequence in sent)
    return TraceRow(
        trace_id="t",
        stream_id="s",
        message_id="m",
        agent_id="a",
        user_id="u",
        bot_id=1,
        access_key_id=1,
        status="anomaly" if scenario.lost else "completed",
        outcome="incomplete" if scenario.lost else "completed",
        created_at=0.0,
        sdk_content=text,
        sse_content=text,
        sdk_chunk_count=len(sent),
        sse_chunk_count=len(sent),
        sdk_total_chunks=8,
        missing_sequences=sorted(scenario.lost),
        loss_position="tail" if scenario.lost else None,
        loss_hop="bot_to_relay" if scenario.lost else None,
        timeline=[[sequence, 0.0, 0.1, 0.2, 1] for sequence in sent],
        anomaly={"type": "chunk_loss"} if scenario.lost else None,
    )


@pytest.mark.parametrize("scenario", [WHOLE, CUT])
def test_a_trace_that_tells_what_was_seen_is_good(scenario: Scenario) -> None:
    """Whole where it can be, and exactly what was sent where it cannot."""
    row = judge(scenario, played(scenario), trace(scenario))
    assert row.complaints == ()
    assert row.is_whole is scenario.whole
    assert row.added_percentile(50) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "change",
    [
        {"sdk_total_chunks": 7},
        {"sdk_chunk_count": 6},
        {"sse_chunk_count": 6},
        {"missing_sequences": []},
        {"loss_position": "mixed"},
        {"loss_hop": None},
        {"repaired_by": "summary"},
        {"status": "completed"},
        {"anomaly": {"summary_disagrees_in": "hash"}},
        {"sdk_content": "abcdefgh"},
        {"sse_content": "abcdefgh"},
        {"timeline": []},
    ],
)
def test_a_trace_that_tells_anything_else_is_not(change: dict[str, object]) -> None:
    """Each of its columns is compared."""
    lying = replace(trace(CUT), **change)  # type: ignore[arg-type]
    assert judge(CUT, played(CUT), lying).complaints


def test_a_device_that_lost_a_chunk_is_noticed() -> None:
    """In its text, and because the trace then tells another story."""
    ledger = played(WHOLE)
    del ledger.heard[3]
    row = judge(WHOLE, ledger, trace(WHOLE))
    assert "the text is not whole" in row.complaints
    assert row.delivered == 7


def test_an_invented_character_is_noticed() -> None:
    """Where nothing could repair, nothing may be shown that was not sent."""
    ledger = played(CUT)
    ledger.heard.insert(-1, Heard(3.0, "h"))
    assert judge(CUT, ledger, trace(CUT)).complaints


def test_a_chunk_without_acknowledgement_is_noticed() -> None:
    """The bot would have to send it again for ever."""
    ledger = played(WHOLE)
    del ledger.acked[4]
    assert any("never acknowledged" in c for c in judge(WHOLE, ledger, trace(WHOLE)).complaints)


def test_an_end_that_was_not_held_is_noticed() -> None:
    """Two seconds are the chance of whatever is still on its way."""
    ledger = played(CUT)
    ledger.heard[-1] = Heard(3.9, None)
    assert judge(CUT, ledger, trace(CUT)).complaints == ("the end was not held",)


def test_a_bot_that_sent_what_it_should_not_is_noticed() -> None:
    """A scenario that does not lose what it says proves nothing."""
    assert judge(CUT, played(WHOLE), trace(WHOLE)).complaints


def test_a_scenario_that_failed_is_not_good() -> None:
    """Its row says why."""
    row = failed(WHOLE, Ledger(CHUNKS, 2.0), "it hung")
    assert (row.good, row.complaints) == (False, ("it hung",))
    assert row.added_percentile(99) is None


@pytest.mark.parametrize(
    ("missing", "position"),
    [
        ([], None),
        ([0, 14], "head"),
        ([15, 44], "middle"),
        ([45, 59], "tail"),
        ([14, 15], "mixed"),
        ([0, 59], "mixed"),
    ],
)
def test_a_loss_lies_in_a_quarter_or_in_several(missing: list[int], position: str | None) -> None:
    """The first quarter, the last, or between."""
    assert locate(missing, 60) == position


def test_numbers_are_written_shortly() -> None:
    """Neighbours as one range."""
    assert listed([0, 1, 2, 5, 58, 59]) == "0-2, 5, 58-59"
    assert listed([]) == ""
