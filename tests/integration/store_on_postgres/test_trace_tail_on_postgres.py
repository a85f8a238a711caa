"""See `tests.support.store_again`."""

from __future__ import annotations

from tests.support.store_again import again

globals().update(
    again(
        "test_trace_tail",
        "test_a_number_that_was_taken_first_and_seen_last_is_told",
        "test_a_look_that_failed_loses_nothing",
    )
)
