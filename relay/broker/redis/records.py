"""What is stored, and what is read back: log entries, held chunks and meta data as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from relay.broker.base import LogSnapshot, LogState, Notes, ReadReport, StreamMeta
from relay.broker.redis.keys import decode, encode
from relay.broker.redis.pipe import Argument, Reply
from relay.protocol.events import Entry, EntryKind, HeldChunk
from relay.wire.entry import from_fields, held_from_fields, held_to_fields, to_fields
from relay.wire.jsontext import JsonValue, dumps, loads

READERS = b"readers"


def append_arguments(
    entries: Sequence[Entry], held: Sequence[HeldChunk], notes: Notes, *, may_hold: bool
) -> list[Argument]:
    """Return what `append.lua` takes of the chunks. `may_hold`: some may be held there already."""
    args: list[Argument] = [*note_arguments(notes), len(held)]
    for chunk in held:
        fields: dict[str, JsonValue] = {**held_to_fields(chunk)}
        # As JSON, because it may hold half of a surrogate pair.
        args += (chunk.sequence, dumps(fields))
    sequences = [
        entry.sequence
        for entry in entries
        if may_hold and entry.kind is EntryKind.CHUNK and entry.sequence is not None
    ]
    args += (len(sequences), *sequences)
    for entry in entries:
        flat = [encode(text) for field in to_fields(entry).items() for text in field]
        args += (len(flat), *flat)
    return args


def note_arguments(notes: Notes) -> list[Argument]:
    """Return the number of notes, and name and text of each."""
    return [len(notes), *(encode(text) for note in notes.items() for text in note)]


def meta_arguments(meta: StreamMeta, epoch: str, node_id: str) -> list[Argument]:
    """Return the fields of a new log's hash, flat."""
    fields = {
        "stream_id": meta.stream_id,
        "access_key_id": str(meta.access_key_id),
        "conversation_id": meta.conversation_id,
        "agent_id": meta.agent_id,
        "user_id": meta.user_id,
        "lang": meta.lang,
        "trace_id": meta.trace_id,
        "opened_at": repr(meta.opened_at),
        "epoch": epoch,
        "node": node_id,
        "readers": node_id,
    }
    if meta.bot_id is not None:
        fields["bot_id"] = str(meta.bot_id)
    return [encode(text) for field in fields.items() for text in field]


def read_entries(reply: Reply) -> list[Entry]:
    """Return the entries of an `XRANGE` within a script."""
    records = cast("list[tuple[bytes, list[bytes]]]", reply)
    return [read_entry(_pairs(fields)) for _, fields in records]


def read_meta(reply: Reply) -> tuple[StreamMeta, str, int]:
    """Return the meta data, the epoch and the fence of an `HGETALL` within a script."""
    fields = {
        decode(name): decode(value) for name, value in _pairs(cast("list[bytes]", reply)).items()
    }
    bot_id = fields.get("bot_id")
    meta = StreamMeta(
        stream_id=fields["stream_id"],
        bot_id=None if bot_id is None else int(bot_id),
        access_key_id=int(fields["access_key_id"]),
        conversation_id=fields["conversation_id"],
        agent_id=fields["agent_id"],
        user_id=fields["user_id"],
        lang=fields["lang"],
        trace_id=fields["trace_id"],
        opened_at=float(fields["opened_at"]),
    )
    return meta, fields["epoch"], int(fields["fence"])


def readers_of(reply: Reply) -> bytes:
    """Return who reads the log of such an `HGETALL`, as it is stored."""
    return _pairs(cast("list[bytes]", reply)).get(READERS, b"")


def read_state(reply: Reply) -> LogState | None:
    """Return what `describe.lua` found; None where there is no log."""
    found, length, last = cast("list[Reply]", reply)
    if not found:
        return None
    meta, epoch, _ = read_meta(found)
    ended = any(entry.kind is EntryKind.END for entry in read_entries(last))
    return LogState(meta, epoch, cast("int", length) + 1, ended)


def write_report(report: ReadReport) -> bytes:
    """Return a report as JSON: `[node, readers, can_resume, read_to_end, times]`."""
    return dumps(
        [
            report.node_id,
            report.readers,
            report.can_resume,
            report.read_to_end,
            list(report.delivered_at),
        ]
    )


def read_report(data: bytes) -> ReadReport:
    """Return the report that `write_report` wrote."""
    found = cast("tuple[str, int, bool, bool, list[float]]", loads(data))
    node_id, readers, can_resume, read_to_end, times = found
    return ReadReport(node_id, readers, can_resume, read_to_end, tuple(times))


def read_snapshot(meta: Reply, entries: Reply, held: Reply, notes: Reply) -> LogSnapshot:
    """Return what `claim.lua` found. Held chunks come in the order of their arrival."""
    chunks = [
        held_from_fields(cast("dict[str, str]", loads(value)))
        for value in cast("list[bytes]", held)
    ]
    chunks.sort(key=lambda chunk: chunk.at)
    stored, epoch, fence = read_meta(meta)
    kept = {decode(name): decode(text) for name, text in _pairs(cast("list[bytes]", notes)).items()}
    return LogSnapshot(stored, epoch, fence, tuple(read_entries(entries)), tuple(chunks), kept)


def read_entry(fields: Mapping[bytes, bytes]) -> Entry:
    """Return the entry of one record. Raises `MalformedEntry`."""
    return from_fields({decode(name): decode(value) for name, value in fields.items()})


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
