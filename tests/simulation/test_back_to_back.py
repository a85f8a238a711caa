"""Two cores, or a core and a legacy bot, in every weather. A seed that once failed is kept."""

from __future__ import annotations

import pytest

from relay.protocol.events import EntryKind
from relay.protocol.status import Outcome, Status
from tests.simulation.checkers import check
from tests.simulation.world import LegacyWorld, ReliableWorld, Weather

SEEDS = range(400)
KEPT_SEEDS: tuple[int, ...] = ()
"""Seeds beyond `SEEDS` that found something, each with the commit that mended it."""


@pytest.mark.parametrize("world_type", [ReliableWorld, LegacyWorld])
def test_every_invariant_holds_in_every_weather(
    world_type: type[ReliableWorld | LegacyWorld],
) -> None:
    """Drops, repetitions, delays, broken connections and takeovers; limits large and small."""
    for seed in (*SEEDS, *KEPT_SEEDS):
        world = world_type(seed)
        world.run()
        assert world.relay.receiver.finished, f"seed {seed}: the stream never ended"
        try:
            check(world.evidence)
        except AssertionError as error:
            error.add_note(f"seed {seed}, {world.weather}, {world.relay.limits}")
            raise


def test_without_drops_every_text_of_a_protocol_2_bot_is_whole() -> None:
    """Whatever is repeated, however late and in whatever order."""
    for seed in range(150):
        world = ReliableWorld(seed, Weather(duplicate=0.3, delay_s=0.2, takeovers=2))
        world.run()
        report = world.relay.receiver.report()
        if EntryKind.GAP in world.relay.kinds:
            continue  # the small gap_s of this seed gave up before the late chunk came
        assert world.relay.text == "".join(world.texts), f"seed {seed}"
        assert report.status is Status.COMPLETED, f"seed {seed}"


def test_a_moderate_loss_is_always_made_good_by_resending() -> None:
    """One frame of ten is lost, chunks, ACKs and requests alike, and the text is whole."""
    whole = 0
    for seed in range(150):
        world = ReliableWorld(seed, Weather(drop=0.1, delay_s=0.01))
        world.run()
        if (
            world.relay.limits.gap_s < world.relay.limits.nack_s
            and EntryKind.GAP in world.relay.kinds
        ):
            continue  # given up before the bot could be asked a second time
        assert world.relay.text == "".join(world.texts), f"seed {seed}"
        whole += 1
    assert whole > 130


def test_the_bot_learns_the_outcome_that_the_log_has() -> None:
    """The same word, the same n, the same missing sequences; or that the relay is gone."""
    told = 0
    for seed in SEEDS:
        world = ReliableWorld(seed)
        world.run()
        assert world.settled is not None, f"seed {seed}: never settled"
        report = world.relay.receiver.report()
        if world.settled.outcome != Outcome.LOST:
            told += 1
            assert world.settled.outcome == report.outcome, f"seed {seed}"
            assert set(world.settled.missing) <= set(report.missing), f"seed {seed}"
    assert told > 0.95 * len(SEEDS)


def test_a_seed_replays_exactly() -> None:
    """Else a failing seed would be worth nothing."""
    first, second = ReliableWorld(7), ReliableWorld(7)
    first.run()
    second.run()
    assert first.relay.steps == second.relay.steps
