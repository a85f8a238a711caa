"""See `tests.support.store_again`."""

from __future__ import annotations

from tests.support.store_again import again

globals().update(again("test_traces", "test_a_locked_database_is_an_outage_and_loses_nothing"))
