"""Whether what was sent, acknowledged, shown and traced fits together.

The numbers are those of the invariants in docs/reliability.md. Every finding is one line.
"""

from __future__ import annotations

from tests.faults.ledger.books import Object, Reader, Stream

HOLD_S = 2.0 + 0.1
"""The longest that an end may be held, and what a timer may be late."""

DELIVERED = frozenset({"completed", "repaired", "incomplete"})


def judge(
    stream: Stream, trace: Object | None, *, slack_s: float = 0.0, last_kill: float = 0.0
) -> list[str]:
    """Return what is wrong with one stream; `trace` None where it is not to be looked at.

    `last_kill` is when a relay was killed last. What it had handed to devices by then, and had not
    written down yet, nobody else can know: their reading is compared with what was sent instead.
    """
    found = [f"reader {n}: {wrong}" for n, r in enumerate(stream.readers) for wrong in r.violations]
    for number, reader in enumerate(stream.readers):
        if reader.end is None and not stream.given_up:
            found.append(f"(9) reader {number} got no end; it has {len(reader.shown)} chunks")
    if stream.closed is not None and trace is not None:
        found += _differ("(17) told the bot", stream.closed["outcome"], trace["outcome"])
    if trace is not None:
        known = all(reader.end_at > last_kill for reader in stream.readers)
        for reader in stream.readers:
            if reader.end is not None:
                found += _delivered(stream, reader, trace) if known else _read(stream, reader)
        found += _counted(stream, trace, known=known)
    found += _held(stream, trace, slack_s)
    return [f"{stream.stream_id or 'a question'}: {finding}" for finding in found]


def _delivered(stream: Stream, reader: Reader, trace: Object) -> list[str]:
    shown, missing = set(reader.shown), set(trace["missing_sequences"])
    total = trace["sdk_total_chunks"]
    found = []
    if both := shown & missing:
        found.append(f"(8) shown and missing: {_some(both)}")
    acked = {n for n in stream.acked if total is None or n < total}
    if neither := acked - shown - missing:
        found.append(f"(8) acknowledged, and neither shown nor missing: {_some(neither)}")
    assert reader.end is not None
    found += _differ("(9) the end said", reader.end["outcome"], trace["outcome"])
    if trace["outcome"] == "completed":
        if missing:
            found.append(f"(17) completed, and missing: {_some(missing)}")
        if stream.total is not None and shown != set(range(stream.total)):
            lost = set(range(stream.total)) - shown
            found.append(f"(8) completed, and not shown: {_some(lost)}")
    if trace["outcome"] in DELIVERED and stream.total is not None:
        found += _differ("(18) shown or missing", shown | missing, set(range(stream.total)))
        found += _differ("(17) the total", trace["sdk_total_chunks"], stream.total)
    return found


def _read(stream: Stream, reader: Reader) -> list[str]:
    assert reader.end is not None
    lost = set(range(stream.total or 0)) - set(reader.shown)
    if lost and reader.end["outcome"] == "completed":
        return [f"(8) completed, and not shown: {_some(lost)}"]
    return []


def _counted(stream: Stream, trace: Object, *, known: bool) -> list[str]:
    found = []
    if known and stream.readers and stream.readers[0].end is not None:
        most = max(len(reader.shown) for reader in stream.readers)
        found += _differ("(17) chunks shown", most, trace["sse_chunk_count"])
        text = "".join(stream.answer.piece(n) for n in sorted(stream.readers[0].shown))
        if not any(reader.repaired for reader in stream.readers) and not trace["missing_sequences"]:
            # PostgreSQL takes no NUL in a text, so that a trace has none.
            kept = trace["sse_content"].replace("\0", "")
            found += _differ("(17) the text shown", text.replace("\0", ""), kept)
    if trace["sdk_chunk_count"] > len(stream.sent):
        found.append(f"(17) {trace['sdk_chunk_count']} received of {len(stream.sent)} sent")
    missing = set(trace["missing_sequences"]) if known else set()
    if trace["sdk_chunk_count"] < len(set(stream.acked) - missing):
        found.append(f"(17) {trace['sdk_chunk_count']} received, {len(stream.acked)} acknowledged")
    return found


def _held(stream: Stream, trace: Object | None, slack_s: float) -> list[str]:
    """(10): an end that something is missing for comes after the hold at the latest."""
    if trace is None or trace["outcome"] != "incomplete" or not stream.ended_at:
        return []
    return [
        f"(10) the end came {reader.end_at - stream.ended_at:.3f} s after the bot's"
        for reader in stream.readers
        if reader.end is not None
        and not reader.resumed
        and reader.end_at > stream.ended_at + HOLD_S + slack_s
    ]


def _differ(what: str, ours: object, theirs: object) -> list[str]:
    return [] if ours == theirs else [f"{what}: {_short(ours)}, in the trace {_short(theirs)}"]


def _some(sequences: set[int]) -> str:
    listed = sorted(sequences)
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return ", ".join(map(str, listed[:8])) + more


def _short(value: object) -> str:
    if isinstance(value, set):
        return f"{len(value)} of them"
    text = repr(value)
    return text if len(text) < 90 else f"{text[:90]}... ({len(text)})"
