"""What was lost, counted; and one real kill of each kind that takes seconds."""

from __future__ import annotations

import pytest

from bench.durability import play
from bench.durability.__main__ import run
from bench.durability.scenes import SCENES
from bench.durability.tally import Fate, table, tally, upper_bound

ALL = frozenset(range(10))


def fate(kill: int = 0, *, resends: bool = False, **changes: object) -> Fate:
    """An answer of ten chunks that lost nothing."""
    facts: dict[str, object] = {
        "stream_id": "s",
        "chunks": 10,
        "acked": ALL,
        "stored": ALL,
        "shown": ALL,
        "outcome": "completed",
        "ended_before": False,
        "trace": "completed",
    }
    return Fate(kill=kill, resends=resends, **{**facts, **changes})  # type: ignore[arg-type]


def test_what_was_acknowledged_and_is_not_stored_is_lost() -> None:
    """By chunk and by kill; what the bot was never told is not counted."""
    one = tally(
        [
            fate(0, stored=ALL - {3, 4}),
            fate(0, acked=frozenset({1}), stored=ALL - {9}),
            fate(1),
        ]
    )
    assert (one.kills, one.acked, one.acked_lost, one.kills_with_loss) == (2, 21, 2, 1)


def test_an_answer_that_had_ended_is_no_loss_of_an_ack() -> None:
    """Its bot was told the outcome, and may forget it."""
    one = tally([fate(ended_before=True, stored=frozenset())])
    assert (one.acked, one.acked_lost, one.answers) == (0, 0, 1)


def test_what_the_sdk_wrote_and_no_device_read_is_lost() -> None:
    """Whatever the relay has stored of it."""
    one = tally([fate(resends=True, shown=ALL - {0}, outcome="lost"), fate(1, resends=True)])
    assert (one.sent, one.sent_lost, one.kills_with_sdk_loss) == (20, 1, 1)
    assert (one.whole, one.sdk_answers) == (1, 2)


def test_traces_are_there_open_or_lost() -> None:
    """An empty outcome is a row that has not ended."""
    one = tally([fate(trace=None), fate(trace=""), fate()])
    assert (one.traces_lost, one.traces_open) == (1, 1)


@pytest.mark.parametrize(
    ("happened", "tries", "bound"),
    [(0, 30, 0.095), (0, 300, 0.00994), (1, 30, 0.149), (30, 30, 1.0), (15, 30, 0.661)],
)
def test_the_bound_is_that_of_the_tables(happened: int, tries: int, bound: float) -> None:
    """One-sided Clopper-Pearson; for none the rule of three, a little below 3 / n."""
    assert upper_bound(happened, tries) == pytest.approx(bound, abs=0.0006)


def test_a_table_has_a_row_for_each_scene_and_a_cell_for_each_head() -> None:
    """Markdown, with the bound beside what happened."""
    head, rule, row = table({"x": ("memory", tally([fate(n) for n in range(30)]))}).splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    assert "| 0 (at most 10%) |" in row


async def test_a_killed_relay_loses_its_memory_and_the_sdk_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One kill: every acknowledged chunk is gone for a bot that forgot it, none for the SDK."""
    monkeypatch.setattr(play, "CHUNKS", (60, 90))
    monkeypatch.setattr(play, "KILL_S", (0.05, 0.1))
    monkeypatch.setattr("bench.durability.__main__.TRACED_S", 0.0)
    one = tally(await run(SCENES["memory"], 1, seed=1))
    assert one.acked == one.acked_lost > 0
    assert (one.sent_lost, one.whole, one.sdk_answers) == (0, 4, 4)


@pytest.mark.needs("redis-server")
async def test_a_replica_that_every_ack_waited_for_has_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its primary is killed while it hears nothing, and it takes over."""
    monkeypatch.setattr(play, "CHUNKS", (120, 140))
    monkeypatch.setattr(play, "KILL_S", (0.1, 0.2))
    monkeypatch.setattr("bench.durability.__main__.TRACED_S", 0.0)
    one = tally(await run(SCENES["wait-cut"], 1, seed=1))
    assert one.acked > 0
    assert one.acked_lost == 0
