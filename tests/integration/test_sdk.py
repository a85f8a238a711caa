"""The SDK against the real relay, over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest

from relay_sdk import Bot, Command, ConnectionTimes, Fenced, ReplyOutcome, Unauthorized
from tests.support.contents import CONTENTS
from tests.support.glasses import Glasses, assert_finished, question
from tests.support.incident import Turn, load_incident
from tests.support.server import RelayServer
from tests.support.wire import Wire

QUICK = ConnectionTimes(first_delay_s=0.02, close_timeout_s=0.5)


class Answering:
    """A bot that answers every question with the same pieces, and keeps the outcomes."""

    def __init__(self, url: str, token: str, pieces: list[str], pause_s: float = 0.0) -> None:
        self.bot = Bot(url, token, times=QUICK)
        self.outcomes: asyncio.Queue[ReplyOutcome] = asyncio.Queue()
        self.on_piece: Callable[[int], None] = lambda _: None
        self._pieces = pieces
        self._pause_s = pause_s
        self.bot.on_command(self._answer)

    async def _answer(self, command: Command) -> None:
        async with self.bot.reply(command) as reply:
            for number, piece in enumerate(self._pieces):
                self.on_piece(number)
                await reply.write(piece)
                await asyncio.sleep(self._pause_s)
        self.outcomes.put_nowait(await reply.closed())


@pytest.mark.parametrize("turn", load_incident(), ids=["first", "second"])
async def test_the_incident_arrives_whole(relay: RelayServer, glasses: Glasses, turn: Turn) -> None:
    """Every recorded chunk is shown as it was sent, and bot, glasses and trace agree on it."""
    pieces = list(turn.chunks)
    answering = Answering(relay.url, relay.bot().token, pieces)
    async with answering.bot as bot:
        await bot.connected()
        answer = await glasses.ask_and_read(question(relay.bot().user_id))
        assert await answering.outcomes.get() == ReplyOutcome("completed", len(pieces), ())
    assert_finished(answer)
    assert answer.pieces == pieces
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["missing_sequences"]) == ("completed", [])
    assert row["sdk_content"] == row["sse_content"] == "".join(pieces)


@pytest.mark.parametrize("kind", CONTENTS)
async def test_no_kind_of_content_is_lost(relay: RelayServer, glasses: Glasses, kind: str) -> None:
    """Whitespace, newlines, halves of an emoji: the glasses show the text as a whole."""
    pieces = list(CONTENTS[kind])
    answering = Answering(relay.url, relay.bot().token, pieces)
    async with answering.bot as bot:
        await bot.connected()
        answer = await glasses.ask_and_read(question(relay.bot().user_id))
    units = "".join(pieces).encode("utf-16-le", "surrogatepass")
    assert answer.text == units.decode("utf-16-le", "replace")


@pytest.mark.parametrize("seed_number", range(4))
async def test_cuts_in_mid_stream_lose_and_repeat_nothing(
    relay: RelayServer, glasses: Glasses, seed_number: int
) -> None:
    """The bot's connection is cut ten times in an answer; every chunk is shown exactly once."""
    random = Random(seed_number)
    pieces = [f"{number}, " for number in range(200)]
    when = set(random.sample(range(200), 10))
    async with Wire(relay.port, "http") as wire:
        answering = Answering(wire.url, relay.bot(1).token, pieces, pause_s=0.004)
        answering.on_piece = lambda number: wire.cut() if number in when else None
        async with answering.bot as bot:
            await bot.connected()
            answer = await glasses.ask_and_read(question(relay.bot(1).user_id))
            outcome = await answering.outcomes.get()
        assert wire.connections > 1
    assert_finished(answer)
    assert answer.text == "".join(pieces)
    assert outcome == ReplyOutcome("completed", 200, ())


async def test_more_chunks_than_the_credit_arrive_whole(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Two thousand chunks as fast as the relay grants credit for them."""
    pieces = [f"{number} " for number in range(2_000)]
    answering = Answering(relay.url, relay.bot(1).token, pieces)
    async with answering.bot as bot:
        await bot.connected()
        answer = await glasses.ask_and_read(question(relay.bot(1).user_id))
    assert answer.text == "".join(pieces)


async def test_text_of_the_worst_characters_fits(relay: RelayServer, glasses: Glasses) -> None:
    """40,000 control characters in one write: split so that no frame is too large."""
    text = '\x01\u2028"\\' * 10_000
    answering = Answering(relay.url, relay.bot(1).token, [text])
    async with answering.bot as bot:
        await bot.connected()
        answer = await glasses.ask_and_read(question(relay.bot(1).user_id))
    assert answer.text == text


async def test_two_questions_at_once_do_not_mix(relay: RelayServer, glasses: Glasses) -> None:
    """One conversation, two questions: each answer goes to its own glasses."""
    bot = Bot(relay.url, relay.bot(1).token, times=QUICK)
    both = asyncio.Barrier(2)

    @bot.on_command
    async def answer(command: Command) -> AsyncIterator[str]:
        await both.wait()
        for number in range(50):
            yield f"{command.text}{number} "
            await asyncio.sleep(0)

    def asking(text: str) -> dict[str, object]:
        item = {"role": "user", "type": "text", "text": text, "image_url": None}
        return question(relay.bot(1).user_id, message_id="one conversation", message=[item])

    async with bot:
        await bot.connected()
        answers = await asyncio.gather(
            glasses.ask_and_read(asking("a")), glasses.ask_and_read(asking("b"))
        )
    for text, got in zip("ab", answers, strict=True):
        assert got.text == "".join(f"{text}{number} " for number in range(50))


async def test_a_device_that_hangs_up_cancels_the_handler(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The handler sees CancelledError and the outcome is `cancelled`."""
    bot = Bot(relay.url, relay.bot(2).token, times=QUICK)
    cancelled = asyncio.Event()

    @bot.on_command
    async def answer(command: Command) -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with bot:
        await bot.connected()
        async with glasses.ask(question(relay.bot(2).user_id)) as response:
            await response.until(lambda got: bool(got.pieces))
        async with asyncio.timeout(20):
            await cancelled.wait()


async def test_a_wrong_token_is_refused_for_good(relay: RelayServer) -> None:
    """The real relay's refusal raises `Unauthorized`."""
    bot = Bot(relay.url, "no such token", times=QUICK)
    with pytest.raises(Unauthorized):
        async with bot:
            await bot.serve()


async def test_a_second_process_fences_the_first(relay: RelayServer) -> None:
    """The newest connection has the bot; the older one ends with `Fenced`."""
    first = Bot(relay.url, relay.bot(3).token, times=QUICK)
    second = Bot(relay.url, relay.bot(3).token, times=QUICK)

    ready = asyncio.Event()

    async def serve() -> None:
        async with first:
            await first.connected()
            ready.set()
            await first.serve()

    serving = asyncio.create_task(serve())
    await ready.wait()
    async with second:
        await second.connected()
        with pytest.raises(Fenced):
            await serving
