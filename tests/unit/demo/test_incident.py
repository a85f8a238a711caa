from __future__ import annotations

from itertools import pairwise

from relay.demo.incident import ALPHABET, load_incident, made_up


def test_the_turns_are_those_of_the_recording() -> None:
    """3 chunks after 6.8 s, and 60 of them from 3.7 s to 5.6 s; two ends each."""
    first, second = load_incident()
    assert (len(first.chunks), len(second.chunks)) == (3, 60)
    assert (first.first_at, first.last_at) == (6.835, 6.887)
    assert (second.first_at, second.last_at) == (3.729, 5.572)
    assert [end.at for end in second.ends] == [5.573, 5.583]


def test_five_neighbours_of_the_second_turn_are_swapped() -> None:
    """The frames stand in the order in which they arrived."""
    _, second = load_incident()
    order = [frame.sequence for frame in second.frames if frame.sequence is not None]
    swapped = [(a, b) for a, b in pairwise(order) if a > b]
    assert swapped == [(3, 2), (8, 7), (23, 22), (43, 42), (56, 55)]


def test_a_chunk_has_the_recorded_length_and_is_the_same_every_time() -> None:
    """In characters, whatever they are."""
    assert made_up(1, 5, 12) == made_up(1, 5, 12)
    assert len(made_up(1, 5, 12)) == 12
    assert made_up(1, 5, 12) != made_up(1, 6, 12)


def test_the_texts_hold_what_the_old_system_lost() -> None:
    """A chunk of nothing but whitespace, and characters outside of the BMP."""
    _, second = load_incident()
    assert any(chunk.isspace() for chunk in second.chunks)
    assert any(character > "\uffff" for character in second.text)
    assert set(second.text) <= set(ALPHABET)
