from __future__ import annotations

from tests.support.bots import raw_bot, stream_of
from tests.support.glasses import Glasses, question
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = BOTH_PATHS

CALL = {"command": "take_navigation", "action": "open", "poi_name": "西湖", "navi_type": "1"}
SUGGESTIONS = ["And tomorrow?", "明天呢？"]


async def test_the_glasses_are_given_the_tool_call_in_its_place_and_the_suggestions_last(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The call comes late and twice, the suggestions in mid-answer; all is shown once, in order."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        call = {"type": "stream_chunk", "session_id": stream_id, "sequence": 2, "tool_call": CALL}
        await bot.chunk(stream_id, 0, "This way.")
        await bot.say(
            {
                "type": "stream_chunk",
                "session_id": stream_id,
                "sequence": 1,
                "content": "",
                "follow_up": SUGGESTIONS,
            }
        )
        await bot.chunk(stream_id, 3, "Mind the stairs.")
        await bot.cable.wait_message("missing", session_id=stream_id, ranges=[[2, 2]])
        await bot.say(call)
        await bot.say(call)
        await bot.acked(stream_id, 4)
        await bot.end(stream_id, ["This way.", "", "", "Mind the stairs."])
        closed = await bot.cable.wait_message("stream_closed", session_id=stream_id)
        await answer.read()
    assert (closed["outcome"], closed["total_chunks"]) == ("completed", 4)
    shown = [(e.name, e.data["type"], e.data["is_finish"]) for e in answer.events]
    assert shown == [
        ("message", "answer", False),
        ("message", "tool_call", False),
        ("message", "answer", False),
        ("message", "answer", True),
        ("message", "follow_up", True),
        ("done", "answer", True),
    ]
    assert answer.events[1].data["tool_call"] == CALL
    assert answer.events[4].data["follow_up"] == SUGGESTIONS
    assert answer.text == "This way.Mind the stairs."
    assert relay.trace(stream_id)["status"] == "completed"


async def test_the_glasses_are_told_what_the_bot_wants_shown_of_its_failure(
    relay: RelayServer, glasses: Glasses
) -> None:
    """And never the error itself."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        error = {"type": "stream_error", "error": "KeyError: 'token'", "message": "No model today."}
        await bot.say({**error, "session_id": stream_id})
        await answer.read()
    assert answer.text == "No model today."
    assert b"KeyError" not in answer.body
    assert "KeyError" in str(relay.trace(stream_id)["anomaly"])


async def test_a_part_that_is_wrong_is_refused_and_may_be_sent_again(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The refusal names chunk and field; what is right under that number closes the gap."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        chunk = {"type": "stream_chunk", "session_id": stream_id, "sequence": 0}
        await bot.say({**chunk, "tool_call": {"command": "take_photo", "zoom": 2}})
        refused = await bot.cable.wait_message("refused", session_id=stream_id, sequence=0)
        await bot.say({**chunk, "tool_call": {"command": "take_photo"}})
        await bot.end(stream_id, [""])
        await answer.read()
    assert (refused["code"], "'zoom'" in refused["message"]) == ("invalid_payload", True)
    assert answer.events[0].data["tool_call"] == {"command": "take_photo"}
    assert relay.trace(stream_id)["status"] == "completed"
