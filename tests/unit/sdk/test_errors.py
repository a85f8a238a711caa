from __future__ import annotations

import pytest

from relay_sdk.errors import Fenced, Refusal, Rejected, RelaySdkError, ReplyClosed, Unauthorized


@pytest.mark.parametrize("refusal", [Unauthorized(), Fenced(), Rejected("check `bot_id`")])
def test_a_refusal_is_final_and_says_what_to_do(refusal: Refusal) -> None:
    """One `except Refusal` catches them all, and the message is meant for the operator."""
    assert isinstance(refusal, RelaySdkError)
    assert refusal.message == str(refusal)
    assert "`" in refusal.message


def test_a_closed_reply_carries_the_outcome() -> None:
    """The handler can tell a timeout from a device that has gone."""
    assert ReplyClosed("idle").outcome == "idle"
