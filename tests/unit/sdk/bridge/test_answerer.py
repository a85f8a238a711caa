"""The handler with a real reply and the real `openai` library; the relay is played by the test."""

from __future__ import annotations

import asyncio
import logging

import pytest

from relay.protocol.events import Abort, End
from relay.protocol.sending import Stored
from relay_sdk.bridge.memory import MemoryLimits
from relay_sdk.bridge.options import Vision
from relay_sdk.errors import ReplyClosed
from tests.support.bridge import bridge
from tests.support.openai_server import CUT, DONE, burst, call, finish, text, usage

ENGLISH = {"lang": "en-US"}
PICTURE = "https://cdn.example/photo.webp"

# --- text -------------------------------------------------------------------------------


async def test_the_models_text_is_the_answer() -> None:
    """Pieces that come one by one are chunks, and the end is said."""
    async with bridge() as setup:
        pause = asyncio.Event()
        setup.server.script(text("Hel"), pause, text("lo"), finish(), DONE)
        asking = asyncio.create_task(setup.ask("hi"))
        await setup.relay.shows("Hel")
        pause.set()
        assert await asking == ["Hel", "lo"]
        assert isinstance(setup.relay.last, End)


async def test_a_burst_of_tokens_is_few_chunks() -> None:
    """Fifty tokens of one write are not fifty frames."""
    async with bridge() as setup:
        setup.server.script(burst(*(f"{n} " for n in range(50))), finish(), DONE)
        said = await setup.ask("count")
        assert "".join(said) == "".join(f"{n} " for n in range(50))
        assert len(said) <= 3


async def test_a_model_waits_for_credit() -> None:
    """Nothing goes out before the relay grants it; then all of it does."""
    async with bridge() as setup:
        setup.relay.credit = 1
        setup.relay.acknowledges = False
        first, rest = asyncio.Event(), asyncio.Event()
        setup.server.script(text("a"), first, text("b"), text("c"), rest, finish(), DONE)
        asking = asyncio.create_task(setup.ask("hi"))
        await setup.relay.shows("a")
        first.set()
        await setup.server.waits_for(rest)
        assert setup.relay.texts == ["a"]
        setup.relay.acknowledges = True
        setup.relay.streams.receive("s1", Stored(1, (), 100))
        rest.set()
        assert "".join(await asking) == "abc"


async def test_the_system_prompt_comes_first() -> None:
    """Before everything that was said."""
    async with bridge(system_prompt="Be brief.") as setup:
        setup.server.say("Hello")
        await setup.ask("hi")
        await setup.ask("and?")
        assert setup.messages[0] == {"role": "system", "content": "Be brief."}
        assert [message["role"] for message in setup.messages].count("system") == 1


# --- memory -----------------------------------------------------------------------------


async def test_a_conversation_is_remembered() -> None:
    """The next question comes with what was said before, another conversation's without."""
    async with bridge() as setup:
        setup.server.say("Hel", "lo")
        await setup.ask("hi")
        await setup.ask("and?")
        assert setup.messages == [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "and?"},
        ]
        await setup.ask("hi", conversation="c2")
        assert setup.messages == [{"role": "user", "content": "hi"}]


async def test_an_endpoint_that_keeps_sessions_gets_the_question_alone() -> None:
    """And the session that the relay named."""
    async with bridge(keeps_sessions=True, memory=MemoryLimits(turns_max=0)) as setup:
        setup.server.say("Hello")
        await setup.ask("hi", openclaw_session_id="bot_7")
        await setup.ask("and?", openclaw_session_id="bot_7")
        assert setup.messages == [{"role": "user", "content": "and?"}]
        assert setup.server.last["user"] == "bot_7"
        await setup.ask("and?")
        assert setup.server.last["user"] == "relay-bot"


async def test_other_endpoints_are_told_of_no_session() -> None:
    """Who asks is nobody's business."""
    async with bridge() as setup:
        setup.server.say("Hello")
        await setup.ask("hi", openclaw_session_id="bot_7")
        assert "user" not in setup.server.last


async def test_what_was_said_before_a_break_is_remembered() -> None:
    """The user has seen it, and asks about it."""
    async with bridge() as setup:
        setup.server.script(text("Hel"), CUT)
        setup.server.say("yes")
        await setup.ask("hi")
        await setup.ask("go on")
        assert setup.messages[1] == {"role": "assistant", "content": "Hel"}


async def test_a_question_without_an_answer_is_not_remembered() -> None:
    """Asked again, it stands there once."""
    async with bridge() as setup:
        setup.server.refuse(401, "no")
        setup.server.say("Hello")
        await setup.ask("hi")
        await setup.ask("hi")
        assert setup.messages == [{"role": "user", "content": "hi"}]


# --- pictures ---------------------------------------------------------------------------


async def test_a_picture_is_passed_on() -> None:
    """As an `image_url` part."""
    async with bridge() as setup:
        setup.server.say("A lobster.")
        await setup.ask("what is this?", PICTURE)
        assert setup.messages[0]["content"][1]["image_url"]["url"] == PICTURE


async def test_a_model_that_cannot_see_is_asked_without_the_picture(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The user gets an answer, the owner a line, and the picture is not tried again."""
    async with bridge() as setup:
        setup.server.refuse(400, "this model has no eyes")
        setup.server.say("I cannot see.")
        assert await setup.ask("what is this?", PICTURE) == ["I cannot see."]
        assert "this model has no eyes" in caplog.text
        assert len(setup.server.asked) == 2
        await setup.ask("why?")
        assert len(setup.server.asked) == 3
        assert PICTURE not in str(setup.messages)


async def test_a_passing_failure_does_not_cost_the_picture() -> None:
    """It is tried once more with it before the model is taken for blind."""
    async with bridge() as setup:
        setup.server.refuse(503, "one moment")
        setup.server.say("A lobster.")
        assert await setup.ask("what is this?", PICTURE) == ["A lobster."]
        assert PICTURE in str(setup.messages)


async def test_with_vision_on_a_picture_is_not_left_out() -> None:
    """An owner who says so wants to hear of the failure."""
    async with bridge(vision=Vision.ON) as setup:
        setup.server.refuse(400, "no")
        assert await setup.ask("what is this?", PICTURE) == []
        assert len(setup.server.asked) == 1


async def test_with_vision_off_no_picture_is_sent() -> None:
    """The model is told that there was one."""
    async with bridge(vision=Vision.OFF) as setup:
        setup.server.say("I cannot see.")
        await setup.ask("what is this?", PICTURE)
        assert setup.messages[0]["content"] == (
            "what is this?\n[The user sent a picture that you cannot see.]"
        )


# --- tools ------------------------------------------------------------------------------


async def test_a_models_call_reaches_the_glasses() -> None:
    """Behind the text, with the fields of the glasses."""
    async with bridge(tools=("take_navigation",)) as setup:
        arguments = '{"action": "open", "poi_name": "West Lake", "navi_type": "walk"}'
        setup.server.script(
            text("On our way."),
            call(0, id="a", name="take_navigation", arguments=arguments[:9]),
            call(0, arguments=arguments[9:]),
            finish("tool_calls"),
            DONE,
        )
        assert await setup.ask("take me to the lake") == ["On our way."]
        (sent,) = setup.relay.calls
        assert '"command":"take_navigation"' in sent
        assert '"poi_name":"West Lake"' in sent
        assert '"navi_type":"1"' in sent
        assert isinstance(setup.relay.last, End)
        (declared,) = setup.server.last["tools"]
        assert declared["function"]["name"] == "take_navigation"


async def test_the_photo_of_the_same_conversation_continues_it() -> None:
    """The model sees its call, that the photo was taken, and the photo."""
    async with bridge(tools=("take_photo",)) as setup:
        setup.server.script(
            call(0, id="a", name="take_photo", arguments="{}"), finish("tool_calls"), DONE
        )
        setup.server.say("A lobster.")
        assert await setup.ask("what is this?") == []
        assert setup.relay.calls == ['{"command":"take_photo"}']
        assert await setup.ask("[图片]", PICTURE) == ["A lobster."]
        roles = [message["role"] for message in setup.messages]
        assert roles == ["user", "assistant", "tool", "user"]
        assert setup.messages[1]["tool_calls"][0]["function"]["name"] == "take_photo"
        assert setup.messages[3]["content"][0]["image_url"]["url"] == PICTURE


async def test_without_enabled_tools_none_is_declared() -> None:
    """Some endpoints refuse a request with tools."""
    async with bridge() as setup:
        setup.server.say("Hello")
        await setup.ask("hi")
        assert "tools" not in setup.server.last


async def test_a_call_that_makes_no_sense_is_an_answer_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing happened, and the user is told; the owner learns what the model wanted."""
    async with bridge(tools=("take_photo",)) as setup:
        setup.server.script(call(0, id="a", name="fly", arguments="{}"), finish("tool_calls"), DONE)
        await setup.ask("fly!", **ENGLISH)
        assert isinstance(setup.relay.last, Abort)
        assert setup.relay.last.shown == "That did not work. Please say it again."
        assert "there is no function 'fly'" in caplog.text


async def test_a_call_that_makes_no_sense_does_not_spoil_an_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was said stands; the owner is told of the rest."""
    async with bridge(tools=("take_photo",)) as setup:
        setup.server.script(
            text("Sure."), call(0, id="a", name="fly", arguments="{}"), finish("tool_calls"), DONE
        )
        assert await setup.ask("fly!") == ["Sure."]
        assert isinstance(setup.relay.last, End)
        assert "there is no function 'fly'" in caplog.text


# --- failures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "asked", "shown", "told"),
    [
        (401, 1, "Your assistant's model is not set up correctly.", "refuses the key (401)"),
        (404, 1, "Your assistant's model is not set up correctly.", "does not know the model"),
        (429, 1, "Your assistant's model is too busy", "limits the rate"),
        (500, 2, "Your assistant's model cannot be reached", "fails (500)"),
    ],
)
async def test_a_failure_is_shown_to_the_user_and_told_to_the_owner(
    status: int, asked: int, shown: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the user's language, and in one line without a traceback."""
    async with bridge() as setup:
        setup.server.refuse(status, "the endpoint's words")
        assert await setup.ask("hi", **ENGLISH) == []
        assert isinstance(setup.relay.last, Abort)
        assert setup.relay.last.shown.startswith(shown)
        assert setup.relay.last.error.startswith("model_")
        (line,) = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert told in line.getMessage()
        assert line.exc_info is None
        assert len(setup.server.asked) == asked


async def test_a_failure_speaks_chinese_to_who_does() -> None:
    """As the relay itself does."""
    async with bridge() as setup:
        setup.server.refuse(429, "no")
        await setup.ask("你好", lang="zh-CN")
        assert isinstance(setup.relay.last, Abort)
        assert setup.relay.last.shown == "助手的模型现在太忙，请稍后再试。"


async def test_an_endpoint_that_fails_once_is_asked_again() -> None:
    """The user does not notice."""
    async with bridge() as setup:
        setup.server.refuse(503, "one moment")
        setup.server.say("Hello")
        assert await setup.ask("hi") == ["Hello"]


async def test_an_answer_that_has_begun_is_not_asked_again() -> None:
    """The user would read two beginnings."""
    async with bridge() as setup:
        setup.server.script(text("Hel"), CUT)
        assert await setup.ask("hi", **ENGLISH) == ["Hel"]
        assert isinstance(setup.relay.last, Abort)
        assert setup.relay.last.shown == "The answer was interrupted. Please ask again."
        assert len(setup.server.asked) == 1


# --- cancellation -----------------------------------------------------------------------


async def test_a_cancelled_command_hangs_up_on_the_model() -> None:
    """The endpoint sees it, the status line says it, and what was said is remembered."""
    async with bridge() as setup:
        setup.server.script(text("Hel"), asyncio.Event())
        setup.server.say("yes")
        asking = asyncio.create_task(setup.ask("hi"))
        await setup.relay.shows("Hel")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(10):
            await setup.server.hung_up.wait()
        assert "last: cancelled, 1 tokens" in setup.status.text()
        await setup.ask("and?")
        assert setup.messages[1] == {"role": "assistant", "content": "Hel"}


async def test_an_answer_that_the_relay_closes_stops_the_model() -> None:
    """Nobody would read the rest."""
    async with bridge() as setup:
        pause = asyncio.Event()
        setup.server.script(text("Hel"), pause, text("lo"), asyncio.Event())
        asking = asyncio.create_task(setup.ask("hi"))
        await setup.relay.shows("Hel")
        setup.relay.close("s1", "idle")
        pause.set()
        with pytest.raises(ReplyClosed):
            await asking
        async with asyncio.timeout(10):
            await setup.server.hung_up.wait()
        assert "last: idle" in setup.status.text()


async def test_the_status_line_counts_answers_and_tokens() -> None:
    """How it ended, how many tokens, how fast the first one came."""
    async with bridge() as setup:
        setup.server.script(text("Hel"), text("lo"), finish(), usage(3), DONE)
        await setup.ask("hi")
        line = setup.status.text()
        assert "0 answering" in line
        assert "last: completed, 3 tokens in " in line
        assert "first after" in line
