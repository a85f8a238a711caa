"""The tests of the simulation: twelve planted bugs, and each is caught by who is about it."""

from __future__ import annotations

from itertools import count, islice

import pytest

from relay.protocol.sequencer import Sequencer
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.plan import draw
from tests.simulation.search import judge

SCENARIOS_MAX = 150
"""How many scenarios a bug may survive."""


def seeds_until_caught(mutant: Mutant) -> int:
    """Return after how many scenarios the bug is caught; fails where it survives them all."""
    seeds = (seed for seed in count() if mutant.may_show(draw(seed)))
    with mutant.planted():
        for played, seed in enumerate(islice(seeds, SCENARIOS_MAX), start=1):
            if any(wrong.startswith(mutant.caught_by) for wrong in judge(seed)):
                return played
    raise AssertionError(f"{mutant.name!r} survives {SCENARIOS_MAX} scenarios")


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_planted_bug_is_caught(mutant: Mutant) -> None:
    """By an invariant that is about it, within some scenarios."""
    assert seeds_until_caught(mutant) <= SCENARIOS_MAX


def test_there_are_twelve_of_them() -> None:
    """Those of the fault matrix, none of them twice."""
    assert len({mutant.name for mutant in MUTANTS}) == 12


def test_a_bug_that_cannot_be_planted_is_told() -> None:
    """The relay has moved on: the bug is to be planted anew, not forgotten."""
    with pytest.raises(AttributeError):
        Mutant("gone", Sequencer, "no_such_method", lambda real: real, ()).planted()


def test_a_planted_bug_is_taken_out_again() -> None:
    """Whatever runs next runs with the real method."""
    real = Sequencer.has
    with MUTANTS[0].planted():
        assert Sequencer.has is not real
    assert Sequencer.has is real
