from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.protocol.events import (
    Chunk,
    Effect,
    EntryKind,
    HeldChunk,
    Message,
    Position,
    RefusalCode,
)

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol.md"


@pytest.mark.parametrize("kind", [*Message.__args__, *Effect.__args__, HeldChunk, Position])
def test_every_message_and_effect_is_a_frozen_value(kind: type) -> None:
    """Nobody changes what another part still holds, and none has room for more attributes."""
    fields = getattr(kind, "__struct_fields__", None)
    names = fields or tuple(getattr(kind, "__dataclass_fields__", ()))
    value = object.__new__(kind) if fields is None else kind(*fields)
    for name in names or ["anything"]:
        with pytest.raises((AttributeError, TypeError)):  # a slotted one knows no other name
            setattr(value, name, 1)
    assert not hasattr(value, "__dict__")


def test_a_value_cannot_be_changed() -> None:
    """Equal by its fields, too."""
    chunk = Chunk("a", 0)
    with pytest.raises(AttributeError):
        chunk.content = "b"  # type: ignore[misc]
    assert chunk == Chunk("a", 0)


def test_positions_of_one_log_are_ordered() -> None:
    """By what was read."""
    assert Position("e", 2) < Position("e", 10)


def test_the_kinds_of_entry_are_the_words_of_the_glossary() -> None:
    """They are stored, so a renamed one makes old logs unreadable."""
    assert [str(kind) for kind in EntryKind] == ["chunk", "repair", "gap", "ending", "end"]


def test_each_refusal_is_documented() -> None:
    """docs/protocol.md says for each code when it comes and what to do."""
    section = PROTOCOL.read_text(encoding="utf-8").partition("## 6. Refusals")[2]
    table = section.partition("\n## ")[0]
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE))
    assert documented == {str(code) for code in RefusalCode}
