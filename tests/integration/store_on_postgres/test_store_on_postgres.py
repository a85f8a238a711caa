"""See `tests.support.store_again`."""

from __future__ import annotations

from tests.support.store_again import again

globals().update(again("test_store", "test_no_plain_token_is_in_the_database_file"))
