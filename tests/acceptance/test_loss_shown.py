from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.support.bots import (
    V2_3_10,
    V2_3_12,
    V2_4_0,
    Script,
    Sent,
    Version,
    as_recorded,
    content_hash,
    legacy_bot,
    raw_bot,
    stream_of,
)
from tests.support.cable import Frame
from tests.support.glasses import Answer, Glasses, assert_finished, question
from tests.support.incident import load_incident
from tests.support.server import RelayServer

TURN = load_incident()[1]
LOSSES = {
    "head": (0, 1, 2),
    "middle": (20, 30, 31),
    "tail": (57, 58, 59),
    "mixed": (2, 30, 58),
}
each_loss = pytest.mark.parametrize("position", LOSSES)


def lossy(position: str) -> Script:
    """The incident's second turn, as recorded, without some of its chunks."""
    return as_recorded(TURN, numbered=True).without(*LOSSES[position])


def what_was_sent(ledger: Sent) -> str:
    """The text of the chunks that went on the wire."""
    return "".join(TURN.chunks[sequence] for sequence in sorted(ledger.sequences))


def assert_loss(row: dict[str, Any], ledger: Sent, position: str) -> None:
    """The trace equals the test's own ledger."""
    assert row["missing_sequences"] == list(LOSSES[position])
    assert row["missing_sequences"] == sorted(set(range(60)) - set(ledger.sequences))
    assert (row["loss_position"], row["loss_hop"]) == (position, "bot_to_relay")
    assert row["status"] == "anomaly"
    assert row["sdk_total_chunks"] == 60
    assert row["sdk_chunk_count"] == row["sse_chunk_count"] == len(ledger.sequences) == 57
    assert row["sdk_content"] == what_was_sent(ledger)
    assert [point[0] for point in row["timeline"]] == ledger.sequences
    assert [point[4] for point in row["timeline"]] == [
        len(TURN.chunks[sequence]) for sequence in ledger.sequences
    ]


async def ask_lossy(
    relay: RelayServer,
    glasses: Glasses,
    version: Version,
    position: str,
    *,
    number: int = 0,
    lie: Frame | None = None,
) -> tuple[Answer, Sent]:
    """Ask one of the bots for an answer with a loss; `lie` is what its summary says instead."""
    async with (
        legacy_bot(relay, version, number) as bot,
        glasses.ask(question(relay.bot(number).user_id)) as answer,
    ):
        command = await bot.command()
        if lie is None:
            ledger = await bot.answer(command, lossy(position))
        else:
            ledger = await bot.begin(command)
            await bot.stream(ledger, lossy(position))
            ledger.end_at = time.monotonic()
            await bot.say({"type": "stream_end", "session_id": ledger.stream_id})
            await bot.summarise(ledger, **lie)
        await answer.read()
    return answer, ledger


async def ask_all(
    relay: RelayServer, glasses: Glasses, version: Version, positions: Sequence[str]
) -> Mapping[str, tuple[Answer, Sent]]:
    """Ask for one answer with each of these losses, all at once, a bot each."""
    asked = [
        ask_lossy(relay, glasses, version, position, number=number)
        for number, position in enumerate(positions)
    ]
    return dict(zip(positions, await asyncio.gather(*asked), strict=True))


@pytest.mark.parametrize("version", [V2_3_12, V2_4_0], ids=lambda version: version.name)
async def test_a_true_summary_makes_the_text_whole_and_the_trace_tells_the_loss(
    relay: RelayServer, glasses: Glasses, version: Version
) -> None:
    """57 of 60 are sent: the glasses show all of it, at once, and the row says what was lost."""
    for position, (answer, ledger) in (await ask_all(relay, glasses, version, [*LOSSES])).items():
        assert_finished(answer)
        assert answer.text == TURN.text, position
        assert answer.events[-1].at - ledger.end_at < 1.0
        row = relay.trace(answer.stream_id)
        assert_loss(row, ledger, position)
        assert (row["outcome"], row["repaired_by"]) == ("repaired", "summary")
        assert row["sse_content"] == TURN.text
        assert row["anomaly"]["type"] == "chunk_loss"


def lies(position: str) -> dict[str, Frame]:
    """Summaries that are not true, by what is wrong with them."""
    forged = "X" + TURN.text[1:]
    told: dict[str, Frame] = {
        "hash": {"content_hash": content_hash(forged)},
        "count": {"total_chunks": 40},
        "prefix": _summary(forged),
        "content": _summary(TURN.text + "X"),
    }
    # Nothing was shown before a lost head, and nothing came behind a lost tail, to compare with.
    blind = {"head": "prefix", "tail": "content"}.get(position)
    if blind is not None:
        told[blind] = {"content_hash": None}
    return told


def _summary(text: str) -> Frame:
    return {"total_content": text, "content_hash": content_hash(text)}


@each_loss
async def test_a_summary_that_disagrees_shows_not_one_invented_character(
    relay: RelayServer, glasses: Glasses, position: str
) -> None:
    """Hash, count, prefix or content: only what was sent is shown, and the trace names the lie."""
    told = lies(position)
    results = await asyncio.gather(
        *(
            ask_lossy(relay, glasses, V2_3_12, position, number=number, lie=lie)
            for number, lie in enumerate(told.values())
        )
    )
    for kind, (answer, ledger) in zip(told, results, strict=True):
        assert_finished(answer)
        assert answer.text == what_was_sent(ledger), kind
        row = relay.trace(answer.stream_id)
        assert (row["status"], row["repaired_by"]) == ("anomaly", None), kind
        assert row["sse_content"] == what_was_sent(ledger)
        blamed = "hash" if told[kind] == {"content_hash": None} else kind
        # A text that goes on behind the last chunk contradicts the count just as well.
        assert row["anomaly"]["summary_disagrees_in"] in {
            blamed,
            blamed.replace("content", "count"),
        }
        if (position, kind) != ("tail", "count"):
            # There the one count that could tell of the loss is the lie.
            assert row["outcome"] == "incomplete", kind
            assert_loss(row, ledger, position)


async def test_a_gap_without_a_summary_ends_two_seconds_after_the_end(
    relay: RelayServer, glasses: Glasses
) -> None:
    """57 are delivered in order, 2.0 s after `stream_end`, and the delays are as measured."""
    asked = await ask_all(relay, glasses, V2_3_10, ["head", "middle", "mixed"])
    for position, (answer, ledger) in asked.items():
        assert_finished(answer)
        assert answer.text == what_was_sent(ledger), position
        assert 1.95 <= answer.events[-1].at - ledger.end_at <= 2.5
        row = relay.trace(answer.stream_id)
        assert_loss(row, ledger, position)
        assert (row["outcome"], row["repaired_by"]) == ("incomplete", None)
        measured = 1000 * (ledger.end_at - ledger.last_at)
        assert row["last_chunk_delay"] == pytest.approx(measured, abs=60)


async def test_a_lost_tail_that_was_counted_is_asked_for_and_ends_after_two_seconds(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The end states 60 and the bot resends nothing: 57 are delivered, and the bot hears of it."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        ledger = Sent(stream_of(await bot.command()), first_at=time.monotonic())
        for sequence in lossy("tail").order:
            await bot.chunk(ledger.stream_id, sequence, TURN.chunks[sequence])
            ledger.sequences.append(sequence)
        await bot.acked(ledger.stream_id, 57)
        ledger.last_at = time.monotonic()
        await bot.end(ledger.stream_id, TURN.chunks)
        ledger.end_at = time.monotonic()
        await answer.read()
        closed = await bot.cable.wait_message("stream_closed")
        asked = bot.cable.messages("missing")
    assert_finished(answer)
    assert answer.text == what_was_sent(ledger)
    assert 1.95 <= answer.events[-1].at - ledger.end_at <= 2.5
    assert [[57, 59]] in [message["ranges"] for message in asked]
    assert (closed["outcome"], closed["missing"]) == ("incomplete", [[57, 59]])
    row = relay.trace(answer.stream_id)
    assert_loss(row, ledger, "tail")
    assert row["outcome"] == "incomplete"


async def test_a_chunk_that_is_sent_again_when_asked_for_is_no_loss(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The text is whole, nothing is missing, and the trace says that it was sent again."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        await bot.chunks(stream_id, TURN.chunks, lost=LOSSES["mixed"])
        await bot.end(stream_id, TURN.chunks)
        await bot.cable.wait_message("missing", ranges=[[58, 58]])
        for sequence in LOSSES["mixed"]:
            await bot.chunk(stream_id, sequence, TURN.chunks[sequence])
        await answer.read()
    assert_finished(answer)
    assert answer.text == TURN.text
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["missing_sequences"]) == ("completed", [])
    assert row["repaired_by"] == "retransmit"


async def test_one_lost_chunk_is_an_anomaly(relay: RelayServer, glasses: Glasses) -> None:
    """The reference looked away for 1 and 2 lost chunks."""
    async with (
        legacy_bot(relay, V2_3_12) as bot,
        glasses.ask(question(relay.bot().user_id)) as answer,
    ):
        script = as_recorded(TURN, numbered=True).without(2)
        await bot.answer(await bot.command(), script)
        await answer.read()
    assert answer.text == TURN.text
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["missing_sequences"]) == ("anomaly", [2])
