"""What no entry says: with it, a takeover changes neither a repair nor a report."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from relay.protocol.events import (
    Abort,
    BotBack,
    BotLost,
    Chunk,
    End,
    Message,
    Overlapped,
    Stop,
    Summary,
)
from relay.protocol.facts import NOTHING, Facts
from relay.protocol.report import Disagreement
from relay.protocol.status import Outcome
from relay.protocol.texthash import content_hash
from tests.support.core import Performer, summary_of

TEXTS = ("one ", "two ", "three ", "four ", "five")

Script = Sequence[tuple[float, Message | None]]

SCRIPTS: dict[str, Script] = {
    "a summary before its end": (
        (1.0, Chunk(TEXTS[0], 0)),
        (1.1, Chunk(TEXTS[2], 2)),
        (1.2, summary_of(TEXTS)),
        (2.0, End()),
    ),
    "a summary that is not true": (
        (1.0, Chunk(TEXTS[0], 0)),
        (1.1, Summary("one two", 2, "0")),
        (2.0, End()),
    ),
    "a summary that only raises the count": (
        (1.0, Chunk(TEXTS[0], 0)),
        (1.1, Summary("another text", 4, content_hash("another text"))),
        (2.0, End()),
        (2.1, Chunk(TEXTS[1], 1)),
    ),
    "a summary behind the end that raises the count": (
        (1.0, End()),
        (1.2, None),
        (1.3, summary_of(TEXTS)),
    ),
    "an end whose hash is another": (
        (1.0, Chunk(TEXTS[0], 0)),
        (1.1, End(2, "abc")),
        (1.2, Chunk(TEXTS[1], 1)),
    ),
    "overlapping streams": (
        (1.0, Chunk(TEXTS[0], 0)),
        (1.1, Overlapped()),
        (1.2, Chunk(TEXTS[1], 7)),
        (1.3, Chunk(TEXTS[2], 3)),
        (1.4, summary_of(TEXTS)),
        (2.0, End()),
    ),
    "a bot without numbers that then has some": (
        (1.0, Chunk(TEXTS[0])),
        (1.1, Chunk(TEXTS[1], 9)),
        (2.0, End()),
    ),
    "repetitions and refusals": (
        (1.0, Chunk(TEXTS[0], 0)),
        (1.1, Chunk(TEXTS[0], 0)),
        (1.2, Chunk("conflict", 0)),
        (1.3, Chunk("far", 5000)),
        (1.4, Chunk(TEXTS[1], 1)),
        (2.0, End(2)),
    ),
    "a connection that broke": (
        (1.0, Chunk(TEXTS[0], 0)),
        (1.1, BotLost()),
        (3.0, BotBack(can_resend=False)),
        (3.1, Chunk(TEXTS[1], 1)),
        (4.0, End()),
    ),
    "a bot that is gone": ((1.0, Chunk(TEXTS[0], 0)), (1.1, BotLost())),
    "a silence behind a new connection": (
        (1.0, Chunk(TEXTS[0], 0)),
        (1.1, BotLost()),
        (3.0, BotBack(can_resend=False)),
    ),
    "early chunks, told as they came": (
        (1.0, Chunk(TEXTS[2], 2)),
        (1.1, Chunk(TEXTS[1], 1)),
        (1.2, Chunk(TEXTS[0], 0)),
        (2.0, End(3)),
    ),
    "a chunk behind its gap, and again": (
        (1.0, Chunk(TEXTS[0], 0)),
        (1.1, Chunk(TEXTS[2], 2)),
        (9.5, None),
        (9.6, Chunk(TEXTS[1], 1)),
        (9.7, Chunk(TEXTS[1], 1)),
        (9.8, End(3)),
    ),
    "a failure": ((1.0, Chunk(TEXTS[0], 0)), (1.1, Abort("no credit", "Sorry."))),
    "chunks behind the end, of more than it had counted": (
        (1.0, Stop(Outcome.CANCELLED, "revoked")),
        (1.1, Chunk(TEXTS[1], 1)),
        (1.2, Chunk(TEXTS[0], 0)),
    ),
    "a stop": ((1.0, Chunk(TEXTS[0], 0)), (1.1, Stop(Outcome.CANCELLED, "revoked"))),
}

CUTS = [(name, cut) for name, script in SCRIPTS.items() for cut in range(1, len(script) + 1)]


def play(script: Script, *, can_resend: bool, cut: int | None = None) -> Performer:
    """Play a script to its end, with a takeover in front of one step."""
    performer = Performer(can_resend=can_resend)
    for place, (at, message) in enumerate(script):
        if place == cut:
            performer.take_over()
        if message is None:
            performer.advance(at)
        else:
            performer.receive(message, at)
    if cut == len(script):
        performer.take_over()
    performer.finish()
    return performer


@pytest.mark.parametrize("can_resend", [False, True])
@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_a_takeover_changes_neither_the_log_nor_the_report(
    name: str, cut: int, can_resend: bool
) -> None:
    """Whatever the bot had said by then, and whenever it happens."""
    script = SCRIPTS[name]
    calm = play(script, can_resend=can_resend)
    disturbed = play(script, can_resend=can_resend, cut=cut)
    assert disturbed.log == calm.log
    assert disturbed.receiver.report() == calm.receiver.report()


def test_the_facts_of_a_new_stream_are_nothing() -> None:
    """So nothing is kept of most streams."""
    performer = Performer()
    assert performer.receiver.facts == NOTHING
    performer.receive(Chunk("a", 0), 1.0)
    assert not performer.receiver.has_news
    assert performer.receiver.facts == NOTHING


def test_a_connection_that_comes_is_no_news_by_itself() -> None:
    """Every stream has one: a write for it would be a write for each question."""
    performer = Performer()
    performer.receive(BotBack(can_resend=True), 1.0)
    assert performer.receiver.facts == NOTHING
    assert performer.receiver.facts.back_at == 1.0


@pytest.mark.parametrize(
    "message", [Chunk("a", 0), Chunk("b", 0), Chunk("far", 5000), Chunk("no number")]
)
def test_a_chunk_that_changes_the_facts_is_news_once(message: Chunk) -> None:
    """Whoever keeps them looks at that first."""
    performer = Performer()
    performer.receive(Chunk("a", 0), 1.0)
    performer.receive(message, 1.1)
    assert performer.receiver.has_news
    assert performer.receiver.facts != NOTHING
    assert not performer.receiver.has_news


def test_an_anomaly_that_the_log_does_not_show_is_known_behind_the_end() -> None:
    """The status does not climb down by a takeover."""
    performer = play(SCRIPTS["a summary that is not true"], can_resend=False)
    performer.take_over()
    report = performer.receiver.report()
    assert report.disagreement is Disagreement.HASH
    assert report.status.label == "anomaly"


def test_facts_are_equal_by_what_is_worth_a_write() -> None:
    """When a connection came is not."""
    assert Facts(back_at=1.0) == Facts(back_at=2.0)
    assert Facts(lost_at=1.0) != Facts(lost_at=2.0)
