from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

import relay_sdk
from relay_sdk import (
    Command,
    ConnectionTimes,
    DeviceTimes,
    Ended,
    ReplyClosed,
    ReplyOutcome,
    Text,
    Unauthorized,
    Unreachable,
    UsageError,
    sync,
)
from relay_sdk.portal import Portal
from relay_sdk.testing import FakeRelay, Question
from tests.support.fake_http import FakeHttp

QUICK = ConnectionTimes(first_delay_s=0.01, delay_max_s=0.02, close_timeout_s=0.2)
DEVICE = DeviceTimes(first_delay_s=0.01, delay_max_s=0.02)


@pytest.fixture
def portal() -> Iterator[Portal]:
    """Where the other side runs, which is async."""
    made = Portal("other-side")
    yield made
    made.close()


@pytest.fixture
def relay(portal: Portal) -> Iterator[FakeRelay]:
    """A relay for bots."""
    made = FakeRelay()
    portal.call(made.__aenter__)
    yield made
    portal.call(lambda: made.__aexit__(None, None, None))


@pytest.fixture
def server(portal: Portal) -> Iterator[FakeHttp]:
    """A relay for devices."""
    made = FakeHttp()
    portal.call(made.__aenter__)
    yield made
    portal.call(lambda: made.__aexit__(None, None, None))


def make_bot(relay: FakeRelay) -> sync.Bot:
    """A bot that comes back at once."""
    return sync.Bot(relay.url, relay.token, times=QUICK)


def test_a_sync_handler_answers(portal: Portal, relay: FakeRelay) -> None:
    """It writes, ends, and is told the outcome, all without `await`."""
    bot = make_bot(relay)
    outcomes: list[ReplyOutcome] = []

    @bot.on_command
    def answer(command: Command) -> None:
        with bot.reply(command) as reply:
            reply.write(f"You said {command.text}.")
        outcomes.append(reply.closed())
        assert reply.outcome == outcomes[0]
        assert reply.stream_id == command.stream_id

    with bot:
        bot.connected()
        assert bot.is_connected
        assert portal.call(lambda: relay.ask("hi")).text == "You said hi."
    assert outcomes == [ReplyOutcome("completed", 1, ())]


def test_every_form_of_handler_may_be_used(portal: Portal, relay: FakeRelay) -> None:
    """A generator, which runs in a thread, as of the async bot."""
    bot = make_bot(relay)

    @bot.on_command
    def answer(command: Command) -> Iterator[str]:
        yield "one "
        yield threading.current_thread().name.rpartition("_")[0]

    with bot:
        assert portal.call(lambda: relay.ask("hi")).text == "one relay-bot-handler"


def test_handlers_run_at_the_same_time(portal: Portal, relay: FakeRelay) -> None:
    """Twelve at once, which are more than Python's own pool has threads on a small machine."""
    bot = make_bot(relay)
    together = threading.Barrier(12)

    @bot.on_command
    def answer(command: Command) -> str:
        together.wait(10)
        return command.text

    async def ask_all() -> list[str]:
        answers = await asyncio.gather(*(relay.ask(str(number)) for number in range(12)))
        return [answer.text for answer in answers]

    with bot:
        assert portal.call(ask_all) == [str(number) for number in range(12)]


def test_an_exception_in_the_block_fails_the_answer(portal: Portal, relay: FakeRelay) -> None:
    """By its name; so does `fail`, with words of its own, and `end` ends early."""
    bot = make_bot(relay)

    @bot.on_command
    def answer(command: Command) -> None:
        with bot.reply(command) as reply:
            if command.text == "raise":
                raise ValueError("secret")
            if command.text == "fail":
                reply.fail("no model")
            reply.end()

    with bot:
        assert portal.call(lambda: relay.ask("raise")).error == "ValueError"
        assert portal.call(lambda: relay.ask("fail")).error == "no model"
        assert portal.call(lambda: relay.ask("end")).outcome == "completed"


def test_the_tools_of_the_glasses_are_called(portal: Portal, relay: FakeRelay) -> None:
    """Each of the reply's methods, and what a failure shows."""
    bot = make_bot(relay)

    @bot.on_command
    def answer(command: Command) -> None:
        with bot.reply(command) as reply:
            reply.take_photo()
            reply.navigate("the lake", by="foot")
            reply.create_event("Tea", start="2026-03-01 16:00:00", end="2026-03-01 17:00:00")
            reply.tool_call("control_calendar", action="create", title="More tea")
            reply.leave_agent()
            reply.follow_up("And now?")
            if command.text == "fail":
                reply.fail("no tea", shown="There is no tea.")

    with bot:
        answered = portal.call(lambda: relay.ask("hi"))
        failed = portal.call(lambda: relay.ask("fail"))
    assert [call.command for call in answered.tool_calls] == [
        "take_photo",
        "take_navigation",
        "control_calendar",
        "control_calendar",
        "notify_agent_off",
    ]
    assert answered.tool_calls[1].fields["navi_type"] == "1"
    assert answered.tool_calls[2].fields["title"] == "Tea"
    assert answered.follow_up == ("And now?",)
    assert (failed.outcome, failed.error, failed.shown) == ("failed", "no tea", "There is no tea.")


def test_a_device_that_hangs_up_stops_the_next_write(portal: Portal, relay: FakeRelay) -> None:
    """A thread cannot be cancelled: it is told when it writes."""
    bot = make_bot(relay)
    stopped: Future[Exception] = Future()

    @bot.on_command
    def answer(command: Command) -> None:
        with bot.reply(command) as reply:
            try:
                while True:
                    reply.write("more ")
            except ReplyClosed as error:
                stopped.set_result(error)

    async def hang_up() -> Question:
        async with relay.asking("hi") as question:
            await question.received(3)
        return question

    with bot:
        portal.call(hang_up)
        assert "cancelled" in str(stopped.result(10))


def test_leaving_the_block_lets_answers_finish(portal: Portal, relay: FakeRelay) -> None:
    """As of the async bot."""
    bot = make_bot(relay)
    began, finish = threading.Event(), threading.Event()

    @bot.on_command
    def answer(command: Command) -> str:
        began.set()
        finish.wait(10)
        return "done"

    with bot:
        asking = asyncio.run_coroutine_threadsafe(relay.ask("hi"), _loop(portal))
        assert began.wait(10)
        threading.Timer(0.05, finish.set).start()
    assert asking.result(10).text == "done"


def _loop(portal: Portal) -> asyncio.AbstractEventLoop:
    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    return portal.call(running)


def test_a_refusal_surfaces_where_the_program_waits(relay: FakeRelay) -> None:
    """In `run`, in `connected`, and at the latest at the end of the block."""
    with pytest.raises(Unauthorized):
        sync.Bot(relay.url, "wrong", times=QUICK).run()
    bot = sync.Bot(relay.url, "wrong", times=QUICK)
    with pytest.raises(Unauthorized), bot:
        bot.connected()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_run_after_the_answers(
    portal: Portal, relay: FakeRelay, sent: signal.Signals
) -> None:
    """Ctrl-C and what a service manager sends; the handlers of before are back then."""
    before = signal.getsignal(signal.SIGTERM)
    bot = make_bot(relay)

    @bot.on_command
    def answer(command: Command) -> Iterator[str]:
        yield "half "
        os.kill(os.getpid(), sent)
        time.sleep(0.2)  # the bot is being stopped meanwhile
        yield "and half"

    asking = asyncio.run_coroutine_threadsafe(relay.ask("hi"), _loop(portal))
    bot.run()
    assert asking.result(10).text == "half and half"
    assert signal.getsignal(signal.SIGTERM) is before


def test_run_works_in_a_thread_too(portal: Portal, relay: FakeRelay) -> None:
    """Which is told of no signals: `stop` ends it."""
    bot = make_bot(relay)
    bot.on_command(lambda command: "ok")
    thread = threading.Thread(target=bot.run)
    thread.start()
    assert portal.call(lambda: relay.ask("hi")).text == "ok"
    bot.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_bot_that_does_not_run_says_how_to_run_it(relay: FakeRelay) -> None:
    """And a bot runs once."""
    bot = make_bot(relay)
    with pytest.raises(UsageError, match="with bot"):
        bot.connected()
    with bot:
        pass
    with pytest.raises(UsageError, match="new one"):
        bot.run()


@contextmanager
def answering(portal: Portal, server: FakeHttp) -> Iterator[None]:
    """A relay that answers one question, with a break in the middle."""

    async def serve() -> None:
        exchange = await server.triggered()
        await exchange.start_events()
        await exchange.chunks("a", 0, "one ")
        exchange.cut()
        exchange = await server.next()
        await exchange.start_events()
        await exchange.chunks("a", 1, "two")
        await exchange.end("a.3", total=2)

    serving = asyncio.run_coroutine_threadsafe(serve(), _loop(portal))
    yield
    serving.result(10)


def test_a_device_reads_its_answer_as_an_iterator(portal: Portal, server: FakeHttp) -> None:
    """The break is not seen."""
    with sync.Device(server.url, "key", times=DEVICE) as device, answering(portal, server):
        answer = device.ask("hi")
        events = list(answer)
    assert events == [Text("one ", 0, "a.1"), Text("two", 1, "a.2"), Ended("completed", 2)]
    assert (answer.text, answer.outcome, answer.stream_id) == ("one two", events[2], "s1")


def test_a_device_reads_an_answer_to_its_end(portal: Portal, server: FakeHttp) -> None:
    """Where nobody wants the events."""
    with sync.Device(server.url, "key", times=DEVICE) as device, answering(portal, server):
        assert device.ask("hi").read().text == "one two"


def test_leaving_an_answers_block_hangs_up(portal: Portal, server: FakeHttp) -> None:
    """And so does leaving the device's."""

    async def serve() -> None:
        exchange = await server.triggered()
        await exchange.start_events()
        await exchange.chunks("a", 0, "enough")
        await exchange.gone()

    with sync.Device(server.url, "key", times=DEVICE) as device:
        serving = asyncio.run_coroutine_threadsafe(serve(), _loop(portal))
        with device.ask("hi") as answer:
            next(answer)
        serving.result(10)
        serving = asyncio.run_coroutine_threadsafe(serve(), _loop(portal))
        next(device.ask("again"))
    serving.result(10)


def test_a_devices_errors_surface_in_the_caller(server: FakeHttp, portal: Portal) -> None:
    """With their own types."""
    portal.call(lambda: server.__aexit__(None, None, None))
    with sync.Device("http://127.0.0.1:1", "key") as device:
        before = device.conversation_id
        device.new_conversation()
        assert device.conversation_id != before
        with pytest.raises(Unreachable):
            device.ask("hi").read()


def test_a_device_is_used_within_its_block_once() -> None:
    """Its thread ends with the block."""
    device = sync.Device("http://127.0.0.1:1", "key")
    with pytest.raises(UsageError, match="with Device"):
        device.ask("hi")
    with device:
        pass
    with pytest.raises(UsageError), device:
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == "relay-device"]


@pytest.mark.parametrize(
    ("face", "original"),
    [
        (sync.Bot, relay_sdk.Bot),
        (sync.Reply, relay_sdk.Reply),
        (sync.Device, relay_sdk.Device),
        (sync.Answer, relay_sdk.Answer),
    ],
)
def test_each_method_takes_what_the_async_one_takes(
    face: type[object], original: type[object]
) -> None:
    """Names, parameters and defaults: whoever knows the one knows the other."""
    inner = {
        "Bot": ["serve", "run_until_signal", "on_message", "on_lost"],
        "Reply": ["__init__", "cancelled", "opened"],
        "Answer": ["__init__"],
        "Device": [],
    }
    properties = inspect.getmembers(original, lambda one: isinstance(one, property))
    for name in {name for name, _ in properties} - {*inner[face.__name__]}:
        assert isinstance(getattr(face, name), property)
    for name, method in inspect.getmembers(original, inspect.isfunction):
        public = name == "__init__" or not name.startswith("_")
        if not public or name in inner[face.__name__]:
            continue
        parameters = inspect.signature(getattr(face, name)).parameters
        assert list(parameters.values()) == list(inspect.signature(method).parameters.values()), (
            name
        )
