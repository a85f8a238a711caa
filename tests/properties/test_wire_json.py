"""JSON goes out and comes back, and the two ways of reading it agree."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from relay.wire.jsontext import JsonValue, MalformedJson, dumps, dumps_ascii, loads

any_text = st.text(st.characters(codec=None), max_size=20)
values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_every_value_survives(value: JsonValue) -> None:
    """In UTF-8 and in ASCII, with halves of pairs and control characters."""
    assert loads(dumps(value)) == value
    line = dumps_ascii(value)
    assert loads(line) == value
    assert line.isascii()
    assert line.splitlines() == [line]


pieces = st.lists(
    st.sampled_from(
        ["\\ud83e", "\\uDD9E", "\\u0041", "\\n", "\\", '"', "x", "嘿", "1", "e", "[", "]"]
    ),
    max_size=12,
).map("".join)


@given(pieces, st.booleans())
@example("\\ud83e\\uDD9E", True)
@example("\\ud83e\\u0041", True)
def test_text_is_read_as_the_standard_library_reads_it(text: str, quoted: bool) -> None:
    """The fast way and the slow one accept the same texts and mean the same."""
    text = f'"{text}"' if quoted else text
    try:
        expected = json.loads(text)
    except ValueError:
        expected = MalformedJson
    for form in (text, text.encode()):
        try:
            assert loads(form) == expected
        except MalformedJson:
            assert expected is MalformedJson
