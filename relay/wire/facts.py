"""The facts of a stream as text: what an owner keeps beside the log for the next one.

A summary is a text of its own, because it is as long as the whole answer and seldom changes.
"""

from __future__ import annotations

from typing import cast

from relay.protocol.events import Summary
from relay.protocol.facts import NOTHING, Facts
from relay.protocol.rangeset import Ranges
from relay.protocol.report import Disagreement
from relay.wire.jsontext import JsonValue, dumps, loads


def write_facts(facts: Facts) -> str:
    """Return all but the summary as JSON."""
    fields: dict[str, JsonValue] = {
        "by_arrival": facts.by_arrival,
        "overlapped": facts.overlapped,
        "broken": facts.broken,
        "lost_at": facts.lost_at,
        "back_at": facts.back_at,
        "content_hash": facts.content_hash,
        "summarised": facts.summarised,
        "claimed": facts.claimed,
        "disagreement": None if facts.disagreement is None else facts.disagreement.value,
        "detail": facts.detail,
        "duplicates": facts.duplicates,
        "refused": facts.refused,
        "withheld": list(facts.withheld),
        "late": _lists(facts.late),
        "asked": _lists(facts.asked),
        "retransmitted": facts.retransmitted,
    }
    return dumps(fields).decode()


def write_summary(summary: Summary | None) -> str:
    """Return a summary as JSON; empty for none."""
    if summary is None:
        return ""
    return dumps([summary.total_content, summary.total_chunks, summary.content_hash]).decode()


def read_facts(facts: str, summary: str) -> Facts:
    """Return what `write_facts` and `write_summary` wrote; empty texts are of a new stream."""
    if not facts and not summary:
        return NOTHING
    found = cast("dict[str, JsonValue]", loads(facts or "{}"))
    disagreement = cast("str | None", found.get("disagreement"))
    return Facts(
        by_arrival=bool(found.get("by_arrival")),
        overlapped=bool(found.get("overlapped")),
        broken=bool(found.get("broken")),
        lost_at=cast("float | None", found.get("lost_at")),
        back_at=cast("float | None", found.get("back_at")),
        content_hash=cast("str | None", found.get("content_hash")),
        summarised=cast("int | None", found.get("summarised")),
        claimed=cast("int | None", found.get("claimed")),
        summary=_summary(summary),
        disagreement=None if disagreement is None else Disagreement(disagreement),
        detail=str(found.get("detail", "")),
        duplicates=cast("int", found.get("duplicates", 0)),
        refused=cast("int", found.get("refused", 0)),
        withheld=tuple(cast("list[int | None]", found.get("withheld", []))),
        late=_ranges(found.get("late", [])),
        asked=_ranges(found.get("asked", [])),
        retransmitted=bool(found.get("retransmitted")),
    )


def _summary(text: str) -> Summary | None:
    if not text:
        return None
    return Summary(*cast("tuple[str, int, str | None]", loads(text)))


def _lists(ranges: Ranges) -> list[JsonValue]:
    return [list(one) for one in ranges]


def _ranges(value: JsonValue) -> Ranges:
    return tuple((first, last) for first, last in cast("list[tuple[int, int]]", value))
