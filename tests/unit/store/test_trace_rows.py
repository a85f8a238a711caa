from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from relay.admin.traces import TraceSummary
from relay.store.models import StreamTrace
from relay.store.trace_rows import AMENDED, ROW_BYTES, from_columns, label, to_columns, to_summary
from tests.support.store import NOW, ROW


def test_a_row_comes_back_from_its_columns() -> None:
    """Every field."""
    values: dict[str, Any] = to_columns(ROW, NOW)
    assert from_columns(StreamTrace(id=1, **values)) == ROW


def test_a_summary_is_the_row_without_what_is_large() -> None:
    """The anomaly is read back, and what is missing is counted."""
    columns = to_columns(replace(ROW, missing_sequences=[1, 5, 9]), NOW)
    fields = TraceSummary.__slots__
    names = [name for name in fields if name != "missing_count"]
    summary = to_summary([columns[name] for name in fields])
    assert {name: getattr(summary, name) for name in names} == {
        name: getattr(ROW, name) for name in names
    }
    assert summary.missing_count == 3


def test_sizes_are_bytes() -> None:
    """A character may be four; what is large beside the texts counts as well."""
    columns = to_columns(replace(ROW, sdk_content="🦞", sse_content="🦞" * 2), NOW)
    assert columns["content_bytes"] == 12
    others = [columns[name] for name in ("events", "missing_sequences", "timeline", "anomaly")]
    total = 12 + sum(len(str(other).encode()) for other in others) + ROW_BYTES
    assert columns["size_bytes"] == total


def test_an_amendment_changes_all_but_who_and_when() -> None:
    """Sizes too, or a sweep would go by old ones."""
    assert set(to_columns(ROW, NOW)) - set(AMENDED) == {"trace_id", "created_at"}
    assert set(asdict(ROW)) <= set(to_columns(ROW, NOW))


def test_a_label_is_clean_and_short() -> None:
    """As every database takes it."""
    assert label("\x00a\ud83e") == "a\ufffd"
    assert len(label("m" * 9000)) == 512
