from __future__ import annotations

import pytest

from relay.protocol.window import grant


@pytest.mark.parametrize(("held", "credit"), [(0, 256), (1, 255), (255, 1), (256, 1), (1024, 1)])
def test_the_credit_is_what_the_hold_leaves_and_at_least_one(held: int, credit: int) -> None:
    """With none at all, the missing chunk that empties the hold could never be sent."""
    assert grant(256, held) == credit
