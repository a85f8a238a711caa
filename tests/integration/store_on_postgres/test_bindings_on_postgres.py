"""See `tests.support.store_again`."""

from __future__ import annotations

from tests.support.store_again import again

globals().update(again("test_bindings", "test_a_database_that_fails_says_so"))
