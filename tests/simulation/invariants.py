"""The invariants of the relay, each with its number, and what a run did to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.simulation import invariants_books as books
from tests.simulation import invariants_bots as bots
from tests.simulation import invariants_devices as devices
from tests.simulation.run import Run
from tests.simulation.story import Story, stories

OF_A_STREAM: tuple[Callable[[Story], Iterator[str]], ...] = (
    bots.i01_an_ack_means_that_it_is_stored,
    bots.i02_the_first_content_of_a_number_stands,
    bots.i03_only_what_came_before_is_a_duplicate,
    bots.i04_any_order_gives_the_same_text,
    bots.i05_every_chunk_is_answered,
    bots.i06_an_old_owner_changes_nothing,
    devices.i07_sequences_increase_on_a_connection,
    devices.i08_what_is_acknowledged_is_delivered_or_missing,
    devices.i09_one_end_after_everything_else,
    devices.i10_the_hold_ends,
    devices.i11_a_late_chunk_is_acknowledged_and_not_shown,
    devices.i12_a_resumed_reader_goes_on_behind_its_position,
    devices.i13_ids_are_the_same_on_every_connection,
    devices.i14_nobody_waits_for_a_slow_reader,
    devices.i15_a_repaired_text_is_the_summary_s,
    books.i16_the_status_only_climbs,
    books.i17_the_trace_is_what_was_seen,
    books.i18_every_accepted_chunk_is_somewhere,
    books.i20_nothing_crosses_over,
    books.i21_a_stream_stays_within_its_limits,
    books.i22_a_lost_log_is_sent_again_or_told_as_lost,
    books.i23_what_has_healed_comes_to_an_end,
)

OF_A_RUN: tuple[Callable[[Run], Iterator[str]], ...] = (
    books.i19_lost_rows_are_counted,
    books.i21_everything_is_given_back,
)

PER_CHECK_MAX = 3
"""How many complaints of one check about one stream are told."""


def violations(run: Run) -> list[str]:
    """Return what is wrong with a run, each as `check: stream: what`."""
    found: list[str] = []
    for of_a_run in OF_A_RUN:
        found += [f"{of_a_run.__name__}: {what}" for what in list(of_a_run(run))[:PER_CHECK_MAX]]
    for story in stories(run):
        for check in OF_A_STREAM:
            told = list(check(story))[:PER_CHECK_MAX]
            found += [f"{check.__name__}: {story.stream_id}: {what}" for what in told]
    return found
