"""See `tests.support.store_again`."""

from __future__ import annotations

from tests.support.store_again import again

globals().update(again("test_bots"))
