"""Log entries and positions as text: what brokers store and what `Last-Event-ID` says."""

from __future__ import annotations

import re
from collections.abc import Mapping

from relay.protocol.events import Entry, EntryKind, HeldChunk, Part, PartKind, Position
from relay.protocol.status import Outcome

_POSITION = re.compile(r"([A-Za-z0-9_-]{1,32})\.(0|[1-9][0-9]{0,14})")


class MalformedPosition(ValueError):
    """The token is not `<epoch>.<offset>`."""


class MalformedEntry(ValueError):
    """The stored fields are not an entry: another version's, or not ours."""


def format_position(position: Position) -> str:
    """Return the token, for example `"b3f9.17"`: safe in a header, a query and an SSE id."""
    return f"{position.epoch}.{position.offset}"


def parse_position(token: str) -> Position:
    """Return the position. Raises `MalformedPosition` for all but what `format_position` writes.

    The epoch is 1 to 32 of `[A-Za-z0-9_-]`, the offset decimal without leading zeros.
    """
    match = _POSITION.fullmatch(token)
    if match is None:
        raise MalformedPosition("a position is <epoch>.<offset>, as given in an event's id")
    return Position(match[1], int(match[2]))


def to_fields(entry: Entry) -> dict[str, str]:
    """Return the entry as flat fields. What is None or empty is left out.

    `carry` is half of a surrogate pair, which UTF-8 cannot say, so it is written in hexadecimal.
    """
    fields = {"offset": str(entry.offset), "kind": entry.kind.value, "at": repr(entry.at)}
    if entry.content:
        fields["content"] = entry.content
    if entry.sequence is not None:
        fields["sequence"] = str(entry.sequence)
    if entry.carry:
        fields["carry"] = f"{ord(entry.carry):x}"
    if entry.total_chunks is not None:
        fields["total_chunks"] = str(entry.total_chunks)
    if entry.outcome is not None:
        fields["outcome"] = entry.outcome.value
    return fields | _part_fields(entry.part)


def from_fields(fields: Mapping[str, str]) -> Entry:
    """Return the entry that `to_fields` wrote. Raises `MalformedEntry`."""
    try:
        outcome = fields.get("outcome")
        carry = fields.get("carry")
        return Entry(
            offset=int(fields["offset"]),
            kind=EntryKind(fields["kind"]),
            at=float(fields["at"]),
            content=fields.get("content", ""),
            sequence=_count(fields, "sequence"),
            carry="" if carry is None else chr(int(carry, 16)),
            total_chunks=_count(fields, "total_chunks"),
            outcome=None if outcome is None else Outcome(outcome),
            part=_part(fields),
        )
    except (KeyError, ValueError, OverflowError) as error:
        raise MalformedEntry(f"not an entry: {error}") from error


def held_to_fields(chunk: HeldChunk) -> dict[str, str]:
    """Return the held chunk as flat fields. What is None or empty is left out.

    Its content is as the bot sent it, so it may hold halves of surrogate pairs, which UTF-8
    cannot say: whoever stores the fields must escape them.
    """
    fields = {"sequence": str(chunk.sequence), "at": repr(chunk.at)}
    if chunk.content:
        fields["content"] = chunk.content
    return fields | _part_fields(chunk.part)


def held_from_fields(fields: Mapping[str, str]) -> HeldChunk:
    """Return the held chunk that `held_to_fields` wrote. Raises `MalformedEntry`."""
    try:
        return HeldChunk(
            sequence=int(fields["sequence"]),
            content=fields.get("content", ""),
            at=float(fields["at"]),
            part=_part(fields),
        )
    except (KeyError, ValueError) as error:
        raise MalformedEntry(f"not a held chunk: {error}") from error


def _part_fields(part: Part | None) -> dict[str, str]:
    return {} if part is None else {"part": part.kind.value, "body": part.body}


def _part(fields: Mapping[str, str]) -> Part | None:
    kind = fields.get("part")
    return None if kind is None else Part(PartKind(kind), fields["body"])


def _count(fields: Mapping[str, str], key: str) -> int | None:
    value = fields.get(key)
    return None if value is None else int(value)
