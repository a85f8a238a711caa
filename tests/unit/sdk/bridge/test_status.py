from __future__ import annotations

import io
import logging
import os
import shutil
from dataclasses import dataclass

import pytest

from relay_sdk.bridge.status import StatusLine

ERASE = "\r\x1b[K"


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 200 columns."""
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((200, 24)))


def test_the_line_says_what_the_bot_does() -> None:
    """Connection, answers that run, tokens per second, and how the last one ended."""
    clock = Clock()
    connected = False
    status = StatusLine(io.StringIO(), live=True, connected=lambda: connected, clock=clock)
    assert status.text() == "not connected | 0 answering | 0 tokens/s"
    connected = True
    status.began()
    status.began()
    status.wrote(10)
    clock.now += 2
    status.wrote(50)
    assert status.text() == "connected | 2 answering | 30 tokens/s"
    status.ended("completed, 60 tokens in 2.0 s")
    clock.now += 10
    assert status.text() == (
        "connected | 1 answering | 0 tokens/s | last: completed, 60 tokens in 2.0 s"
    )


def test_the_log_writes_above_the_line() -> None:
    """The line is erased, the log's line written, and the line drawn again."""
    out = io.StringIO()
    status = StatusLine(out, live=True, clock=Clock())
    status.began()
    drawn = ERASE + status.text()
    assert out.getvalue() == drawn
    record = logging.LogRecord("x", logging.INFO, "", 0, "hello", None, None)
    logging.StreamHandler(status).emit(record)
    # The handler writes the line and its end in one.
    assert out.getvalue() == f"{drawn}{ERASE}hello\n{drawn}"


def test_tokens_redraw_ten_times_a_second() -> None:
    """Nobody reads faster, and drawing costs time."""
    clock = Clock()
    out = io.StringIO()
    status = StatusLine(out, live=True, clock=clock)
    for _ in range(100):
        status.wrote(1)
        clock.now += 0.01
    assert 9 <= out.getvalue().count(ERASE) <= 11


def test_without_a_terminal_there_are_only_the_lines_of_the_log() -> None:
    """No escape sequence gets into a file."""
    out = io.StringIO()
    status = StatusLine(out, live=False)
    status.began()
    status.wrote(5)
    status.write("a line\n")
    status.ended("completed")
    status.close()
    assert out.getvalue() == "a line\n"


def test_the_line_is_taken_away_in_the_end() -> None:
    """The shell's prompt stands at the beginning of an empty line."""
    out = io.StringIO()
    status = StatusLine(out, live=True, clock=Clock())
    status.began()
    status.close()
    assert out.getvalue().endswith(ERASE)
    status.ended("completed")
    status.write("bye\n")
    assert out.getvalue().endswith(f"{ERASE}bye\n")


def test_the_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second row could not be erased."""
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((20, 24)))
    out = io.StringIO()
    StatusLine(out, live=True, clock=Clock()).ended("x" * 100)
    assert len(out.getvalue().removeprefix(ERASE)) == 19
