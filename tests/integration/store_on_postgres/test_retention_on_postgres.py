"""See `tests.support.store_again`."""

from __future__ import annotations

from tests.support.store_again import again

globals().update(
    again(
        "test_retention",
        "test_whoever_writes_gets_the_lock_between_two_steps",
        "test_a_sweep_looks_at_nothing_that_stays",
        "test_a_text_is_gone_from_the_file_when_its_time_is_over",
        "test_the_file_shrinks_by_what_nobody_needed_since_the_last_sweep",
    )
)
