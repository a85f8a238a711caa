from __future__ import annotations

import pytest

from relay.devices.texts import TEXTS, text
from relay.protocol.status import Outcome

ANSWERS = {Outcome.COMPLETED, Outcome.REPAIRED, Outcome.INCOMPLETE}
CODES = {
    *("unauthorized", "out_of_scope", "bad_request", "limit_reached", "internal"),
    *("rate_limited", "overloaded", "revoked", "image", "unknown"),
}
BINDING = {
    *("bind_say", "bind_photo", "bind_done", "bind_unreadable", "bind_unknown", "bind_used"),
    *("bind_expired", "bind_bot_taken", "bind_user_taken", "bind_too_many", "bind_failed"),
}


def test_everything_is_said_in_both_languages() -> None:
    """Every outcome that the answer does not say itself, and every error, in one line each."""
    assert set(TEXTS) == (set(Outcome) - ANSWERS) | CODES | BINDING
    for by_language in TEXTS.values():
        assert set(by_language) == {"zh", "en"}
        assert all(line.splitlines() == [line] and len(line) < 100 for line in by_language.values())
        assert by_language["en"].isascii()
        assert not by_language["zh"].isascii()


def test_a_text_is_found_by_code_and_language() -> None:
    """Outcomes and error codes share one table."""
    assert text(Outcome.UNBOUND, "en").startswith("No assistant")
    assert text("unbound", "zh") == TEXTS[Outcome.UNBOUND]["zh"]


@pytest.mark.parametrize("code", ["", "unheard", "completed"])
def test_a_code_without_a_text_is_an_internal_error(code: str) -> None:
    """Something kind is said in any case."""
    assert text(code, "en") == TEXTS["internal"]["en"]


def test_another_language_is_answered_in_chinese() -> None:
    """The glasses' own default."""
    assert text("internal", "fr") == TEXTS["internal"]["zh"]
