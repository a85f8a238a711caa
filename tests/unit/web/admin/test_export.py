"""Traces as files."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from starlette.types import Message

from relay.admin.trace_row import TraceRow
from relay.errors import StoreError
from relay.web.admin.export import (
    COLUMNS,
    EXPORTS_MAX,
    Exports,
    Format,
    csv_rows,
    jsonl,
    start_export,
)
from relay.web.admin.problems import Busy
from tests.support.admin import lossy_row, trace_row


class Caller:
    """Takes what is written, as long as it is there."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        """Say that the caller is gone, once it is."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take it."""
        self.messages.append(message)
        await asyncio.sleep(0)

    @property
    def body(self) -> bytes:
        """What came."""
        return b"".join(message.get("body", b"") for message in self.messages)


async def batches(
    *rows: Sequence[TraceRow], failure: Exception | None = None
) -> AsyncIterator[Sequence[TraceRow]]:
    """Yield these, then fail."""
    for batch in rows:
        yield batch
    if failure is not None:
        raise failure


def table(data: bytes) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(data.decode()), COLUMNS))


def test_each_trace_is_a_line_of_json() -> None:
    """A line break in a text is escaped, so lines are traces."""
    lines = jsonl([trace_row(1, sdk_content="a\nb"), trace_row(2)]).splitlines()
    assert [json.loads(line)["trace_id"] for line in lines] == ["trace-0001", "trace-0002"]


def test_a_row_shows_losses_as_ranges() -> None:
    """A spreadsheet has no lists."""
    row = lossy_row(1, missing_sequences=[1, 57, 58, 59], sdk_content='say "hi",\nyou')
    (cells,) = table(csv_rows([row]))
    assert cells["missing_sequences"] == "1 57..59"
    assert cells["missing_count"] == "4"
    assert json.loads(cells["anomaly"])["type"] == "chunk_loss"
    assert cells["repaired_by"] == ""
    assert cells["sdk_content"] == 'say "hi",\nyou'
    assert cells["created_at"].startswith("2025-06-15T15:05:40")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_cell_is_a_formula(start: str) -> None:
    """Whoever talks to the glasses could otherwise run something on the operator's machine."""
    (cells,) = table(csv_rows([trace_row(1, sdk_content=f"{start}HYPERLINK(1)", user_id="a=b")]))
    assert cells["sdk_content"] == f"'{start}HYPERLINK(1)"
    assert cells["user_id"] == "a=b"


@pytest.mark.parametrize("format_", ["jsonl", "csv"])
async def test_batches_are_written_one_by_one(format_: Format) -> None:
    """The whole is never in memory, and the place is given back."""
    exports, caller = Exports(), Caller()
    rows = [trace_row(1)], [trace_row(2), trace_row(3)]
    export = await start_export(exports, format_, batches(*rows))
    await export({}, caller.receive, caller.send)
    assert len(caller.messages) == 4
    assert caller.body.count(b"trace-000") == 3
    assert (b"trace_id,stream_id" in caller.body) is (format_ == "csv")
    await start_export(exports, format_, batches())
    await start_export(exports, format_, batches())


async def test_an_export_of_nothing_is_an_empty_file() -> None:
    """Empty, not an error."""
    caller = Caller()
    await (await start_export(Exports(), "jsonl", batches()))({}, caller.receive, caller.send)
    assert caller.body == b""
    assert caller.messages[-1]["more_body"] is False


async def test_a_failure_before_the_first_byte_can_be_answered() -> None:
    """And gives the place back."""
    exports = Exports()
    for _ in range(EXPORTS_MAX + 1):
        with pytest.raises(StoreError):
            await start_export(exports, "csv", batches(failure=StoreError("away")))


async def test_a_failure_in_the_middle_cuts_the_file() -> None:
    """The last message never comes, so the server breaks the connection and nobody is fooled."""
    caller = Caller()
    rows = batches([trace_row(1)], failure=StoreError("away"))
    export = await start_export(Exports(), "csv", rows)
    with pytest.raises(StoreError):
        await export({}, caller.receive, caller.send)
    assert all(message.get("more_body", True) for message in caller.messages)


async def test_there_are_only_so_many_at_once() -> None:
    """The next one is told to come back."""
    exports = Exports()
    for _ in range(EXPORTS_MAX):
        await start_export(exports, "csv", batches())
    with pytest.raises(Busy):
        await start_export(exports, "csv", batches())


async def test_who_left_is_not_read_for() -> None:
    """What is sent to a closed connection is taken in silence."""
    caller, read = Caller(), 0

    async def endless() -> AsyncIterator[Sequence[TraceRow]]:
        nonlocal read
        while True:
            read += 1
            if read == 3:
                caller.gone.set()
            await asyncio.sleep(0)
            yield [trace_row(read)]

    export = await start_export(Exports(), "jsonl", endless())
    await asyncio.wait_for(export({}, caller.receive, caller.send), 5)
    assert read <= 6
