from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
import structlog

from relay.logs import HIDDEN, configure, get_logger, redact_text

CANARY = "c4nary"
TOKEN = "0123456789abcdef" * 4

Configure = Callable[[Literal["console", "json"], str], io.StringIO]


@pytest.fixture
def configured() -> Iterator[Configure]:
    """Configure logging into a string; put everything back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def start(log_format: Literal["console", "json"], level: str) -> io.StringIO:
        stream = io.StringIO()
        configure(log_format, level, stream)
        return stream

    yield start
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("name", ["uvicorn.error", "uvicorn.access", "relay.anything"])
def test_a_token_in_a_websockets_path_is_in_no_log(
    configured: Configure, log_format: Literal["console", "json"], name: str
) -> None:
    """Uvicorn logs the path with its query, on its own loggers and with arguments."""
    stream = configured(log_format, "info")
    logger = logging.getLogger(name)
    logger.info('%s - "WebSocket %s" [accepted]', "127.0.0.1:1", f"/cable?sdk_token={CANARY}&b=1")
    logger.info(
        '%s - "%s %s HTTP/%s" %d', "x", "GET", f"/s?a=1&ticket={CANARY}#{CANARY}", "1.1", 200
    )
    written = stream.getvalue()
    assert written.count("\n") == 2
    assert CANARY not in written
    assert f"/cable?sdk_token={HIDDEN}&b=1" in written


def test_an_exceptions_text_and_traceback_are_redacted(configured: Configure) -> None:
    """What was raised often quotes what it was given."""
    stream = configured("json", "info")

    def fail() -> None:
        raise ValueError(f"cannot use access_key='{CANARY}'")

    try:
        fail()
    except ValueError as error:
        get_logger("relay").exception("failed", cause=error)
        logging.getLogger("uvicorn.error").exception("failed")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 2
    assert all("ValueError" in line["exception"] for line in lines)
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize(("level", "told"), [("info", False), ("debug", True)])
def test_what_an_exception_quotes_is_only_told_where_it_is_asked_for(
    configured: Configure, level: str, told: bool
) -> None:
    """A decoder's message may be what a person said; where it was raised is told all the same."""
    stream = configured("json", level)
    said = f"a {'private'} word"
    try:
        int(said)
    except ValueError:
        get_logger("relay").exception("failed")
        logging.getLogger("asyncio").exception("failed")
    assert stream.getvalue().count("test_logs.py") == 2
    assert ("a private word" in stream.getvalue()) is told


def test_values_are_redacted_however_deep_they_lie(configured: Configure) -> None:
    """By their name in a mapping, as a header of ASGI, in lists, and in text."""
    stream = configured("json", "info")
    get_logger("relay").info(
        "asked",
        sdk_token=CANARY,
        headers=[(b"authorization", f"Bearer {CANARY}".encode()), (b"cookie", b"a=" + b"c4nary")],
        nested={"Authorization": f"Basic {CANARY}", "body": {"access_key": CANARY, "n": 1}},
        path=f"/x?token={CANARY}".encode(),
        tokens=[f"Bearer {CANARY}"],
    )
    line = json.loads(stream.getvalue())
    assert CANARY not in stream.getvalue()
    assert line["nested"]["body"]["n"] == 1
    assert line["headers"][0] == ["authorization", HIDDEN]


def test_a_record_says_when_where_and_how_bad(configured: Configure) -> None:
    """In both kinds of logger alike, with what was bound to the context."""
    stream = configured("json", "info")
    with structlog.contextvars.bound_contextvars(stream_id="s1"):
        get_logger("relay.node").warning("late", n=2)
        logging.getLogger("other").error("bad %s", "thing")
    ours, other = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (ours["event"], ours["level"], ours["logger"]) == ("late", "warning", "relay.node")
    assert (ours["n"], ours["stream_id"]) == (2, "s1")
    assert (other["event"], other["level"], other["logger"]) == ("bad thing", "error", "other")
    assert ours["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_not_written(configured: Configure) -> None:
    """For both kinds of logger."""
    stream = configured("console", "warning")
    get_logger("relay").info("quiet")
    logging.getLogger("uvicorn.error").info("quiet")
    assert stream.getvalue() == ""
    get_logger("relay").error("loud")
    assert "loud" in stream.getvalue()


def test_configuring_twice_writes_each_line_once(configured: Configure) -> None:
    """Uvicorn's own handlers, if there are any, are taken away."""
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(io.StringIO()))
    configured("json", "info")
    stream = configured("json", "info")
    logging.getLogger("uvicorn.error").info("once")
    assert stream.getvalue().count("once") == 1
    assert not logging.getLogger("uvicorn").handlers


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"Bearer {CANARY}", f"Bearer {HIDDEN}"),
        (f"bearer  {CANARY}, next", f"bearer {HIDDEN}, next"),
        (f"access-key: {CANARY}", f"access-key: {HIDDEN}"),
        (f"{{'sdk_token': '{CANARY}', 'n': 1}}", f"{{'sdk_token': '{HIDDEN}', 'n': 1}}"),
        (f'{{"ticket":"{CANARY}"}}', f'{{"ticket":"{HIDDEN}"}}'),
        (f"?Sdk_Token={CANARY}&bot_id=4", f"?Sdk_Token={HIDDEN}&bot_id=4"),
        (f"({TOKEN})", f"({HIDDEN})"),
        (f"key ak_{TOKEN}.", f"key {HIDDEN}."),
        ("bot 4 has token_prefix ab", "bot 4 has token_prefix ab"),
        ("tokens=12", "tokens=12"),
        ("a stream of 60 chunks", "a stream of 60 chunks"),
    ],
)
def test_text_loses_its_credentials_and_nothing_else(text: str, redacted: str) -> None:
    """By the name before it, by `Bearer`, or by the shape of the relay's own tokens."""
    assert redact_text(text) == redacted
