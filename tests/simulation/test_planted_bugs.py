"""The tests of the tests: each planted bug is caught, and by a checker that is about it."""

from __future__ import annotations

import sys

import pytest

from relay.protocol import barrier
from relay.protocol.receiver import StreamReceiver
from tests.simulation.checkers import violations
from tests.simulation.world import LegacyWorld, ReliableWorld
from tests.support.mutants import Bug, plant, receiver_with

SEEDS_MAX = 400

BUGS = {
    Bug(
        "dedupe by the highest seen",
        "sequencer",
        "return sequence in self.accepted or sequence in self.late",
        "return sequence <= self.accepted.highest",
    ): {"nothing_is_refused_without_a_conflict"},
    Bug(
        "ACK before append",
        "receiver",
        "return [chunk, *closing[:1], Ack(sent), *",
        "return [Ack(sent), chunk, *closing[:1], *",
    ): {"what_is_acknowledged_is_stored"},
    Bug(
        "ACK without hold",
        "receiver",
        "return self._taken(Hold(chunk), sent, now)",
        "return [Ack(sent), *self._ask(now)]",
    ): {"what_is_acknowledged_is_stored"},
    Bug(
        "end not held",
        "receiver",
        "        if repaired := self._repair(now):\n            return repaired\n        ending",
        "        return self._conclude(now)\n        ending",
    ): {"the_end_is_held"},
    Bug(
        "end held too long",
        "barrier",
        "full = self.ended_at + limits.barrier_s",
        "full = self.ended_at + 2 * limits.barrier_s",
    ): {"the_end_is_held"},
    Bug(
        "a guess is believed at once",
        "barrier",
        "max(self.ended_at, last_chunk_at or 0.0) + limits.guess_s",
        "self.ended_at",
    ): {"the_end_is_held"},
    Bug(
        "repair and end in two appends",
        "receiver",
        "        outcome = Outcome.REPAIRED if state.tally.repaired else Outcome.COMPLETED\n"
        "        return self._close(entries, outcome, now)",
        "        outcome = Outcome.REPAIRED if state.tally.repaired else Outcome.COMPLETED\n"
        "        return [Append(tuple(entries)), *self._close((), outcome, now)]",
    ): {"a_repair_and_its_end_are_one_append"},
    Bug(
        "a held chunk is missing although it is delivered",
        "sequencer",
        "        self._take(chunk)\n        self._held[chunk.sequence] = chunk",
        "        self._contents[chunk.sequence] = chunk.content\n"
        "        self._held[chunk.sequence] = chunk",
    ): {"what_is_acknowledged_is_delivered_or_missing"},
    Bug(
        "a late chunk is taken as accepted",
        "sequencer",
        "            self.late.add(sequence)",
        "            self.accepted.add(sequence)",
    ): {"what_is_acknowledged_is_delivered_or_missing"},
    Bug(
        "the carried half is dropped",
        "entries",
        "join_halves(self.carry, raw)",
        'join_halves("", raw)',
    ): {"nothing_is_invented"},
    Bug(
        "halves are shown as they come",
        "entries",
        "content, self.carry = join_halves(self.carry, raw)",
        "content = raw",
    ): {"every_entry_is_well_formed"},
    Bug(
        "an off-by-one in what a repair shows",
        "compensation",
        "return _fill(text, len(shown), next_sequence, runs, total)",
        "return _fill(text, len(shown) + 1, next_sequence, runs, total)",
    ): {"nothing_is_invented"},
    Bug(
        "the prefix is not compared",
        "compensation",
        "if not text.startswith(shown):",
        "if len(text) < len(shown):",
    ): {"nothing_is_invented"},
    Bug(
        "a summary's hash is not compared",
        "compensation",
        "if summary.content_hash is None or content_hash(summary.total_content) "
        "!= summary.content_hash:",
        "if summary.content_hash is None:",
    ): {"a_lie_is_told"},
    Bug(
        "only what was seen can be missing",
        "state",
        "return self.barrier.total(self.sequencer.accepted.highest)",
        "return self.sequencer.accepted.highest + 1",
    ): {"missing_is_what_never_came_in_time"},
    Bug(
        "a chunk behind the end is shown",
        "state",
        "        self.sequencer.skip_to(self.total)\n",
        "",
    ): {"one_end_and_nothing_behind_it"},
    Bug(
        "a second end ends again",
        "receiver",
        "        state, barrier = self._state, self._state.barrier\n"
        "        if self.finished:\n            return []\n",
        "        state, barrier = self._state, self._state.barrier\n"
        "        if self.finished:\n            return self._close((), Outcome.COMPLETED, now)\n",
    ): {"one_end_and_nothing_behind_it"},
    Bug(
        "a gap is skipped in silence",
        "entries",
        "            entries.append(self._entry(EntryKind.GAP, at, mark, sequence=run.gap[0]))\n",
        "            self._entry(EntryKind.GAP, at, mark, sequence=run.gap[0])\n",
    ): {"offsets_have_no_holes"},
    Bug(
        "the flush of a full hold is lost",
        "receiver",
        "        entries = self._give_up(ELLIPSIS, now)\n"
        "        return self._taken(Append(tuple(entries)), sent, now)\n\n    def _release",
        "        self._give_up(ELLIPSIS, now)\n        return [Ack(sent)]\n\n    def _release",
    ): {"offsets_have_no_holes"},
    Bug(
        "a loss that was repaired is no anomaly",
        "state",
        "good = self.outcome in (Outcome.COMPLETED, Outcome.BOUND) and whole and agreed",
        "good = self.outcome in {Outcome.COMPLETED, Outcome.REPAIRED}",
    ): {"missing_is_what_never_came_in_time"},
    Bug(
        "the status falls back",
        "state",
        "self.status = max(self.status, Status.ACTIVE)",
        "self.status = Status.ACTIVE",
    ): {"status_only_climbs"},
    Bug(
        "what does not fit is dropped in silence",
        "receiver",
        "return self._refuse(*REFUSALS[verdict], sent)",
        "return []",
    ): {"nothing_is_dropped_in_silence"},
    Bug(
        "a takeover forgets what is held",
        "state",
        "        for chunk in sorted(held, key=lambda chunk: chunk.sequence):\n",
        "        for chunk in ():\n",
    ): {"a_duplicate_is_stored_once", "what_is_acknowledged_is_delivered_or_missing"},
    Bug(
        "a takeover forgets the half",
        "entries",
        "        self.carry = entry.carry\n",
        "",
    ): {"nothing_is_invented"},
    Bug(
        "a part is lost on its way into the log",
        "entries",
        "sequence=chunk.sequence, part=chunk.part",
        "sequence=chunk.sequence",
    ): {"each_part_is_in_its_place"},
    Bug(
        "the first suggestions stand",
        "entries",
        "if part is not None and part.kind is PartKind.FOLLOW_UP:",
        "if part is not None and part.kind is PartKind.FOLLOW_UP and self._parting is None:",
    ): {"each_part_is_in_its_place"},
    Bug(
        "a takeover forgets the suggestions",
        "entries",
        "        self._note(entry.part)\n",
        "",
    ): {"each_part_is_in_its_place"},
    Bug(
        "a takeover forgets what a part was",
        "state",
        "HeldChunk(entry.sequence, raw, entry.at, entry.part)",
        "HeldChunk(entry.sequence, raw, entry.at)",
    ): {"nothing_is_refused_without_a_conflict"},
    Bug(
        "a takeover starts the barrier anew",
        "state",
        "                self.barrier.ended_at = entry.at\n                self.barrier.stated",
        "                self.barrier.ended_at = entry.at + 1\n                self.barrier.stated",
    ): {"the_end_is_held"},
}


def first_violations(receiver_type: type[StreamReceiver], wanted: set[str]) -> set[str]:
    """Everything found up to the first seed that finds one of `wanted`."""
    found: set[str] = set()
    for seed in range(SEEDS_MAX):
        for world_type in (LegacyWorld, ReliableWorld):
            world = world_type(seed, receiver_type=receiver_type)
            try:
                world.run()
            except AssertionError:
                found.add("the run itself")
            found |= violations(world.evidence)
            if found & wanted:
                return found
    return found


@pytest.mark.parametrize(("bug", "caught_by"), BUGS.items(), ids=[bug.name for bug in BUGS])
def test_a_planted_bug_is_caught(bug: Bug, caught_by: set[str]) -> None:
    """Within a few hundred seeds, by one of the checkers that are about it."""
    found = first_violations(receiver_with(bug), caught_by)
    assert found & caught_by, f"found only {sorted(found)}"


def test_a_receiver_without_a_bug_violates_nothing() -> None:
    """Built in the same way, so that what is caught is the bug and not the building."""
    receiver_type = receiver_with(Bug("none", "barrier", "full = ", "full = "))
    assert receiver_type is not StreamReceiver
    for seed in range(100):
        world = LegacyWorld(seed, receiver_type=receiver_type)
        world.run()
        assert violations(world.evidence) == set()


def test_a_bug_that_cannot_be_planted_is_told() -> None:
    """The source has moved on: the bug has to be planted anew, not forgotten."""
    with pytest.raises(AssertionError, match="occurs 0 times"):
        plant(Bug("gone", "barrier", "no such line", ""))
    assert sys.modules["relay.protocol.barrier"] is barrier
