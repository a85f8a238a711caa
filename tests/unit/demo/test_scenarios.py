from __future__ import annotations

import pytest

from relay.demo.incident import load_incident
from relay.demo.scenarios import INVENTED, SCENARIOS, Claim, Scenario, Speaker, script
from relay.protocol.events import Chunk, End, Summary
from relay.protocol.texthash import content_hash

_, TURN = load_incident()
TAIL = frozenset({57, 58, 59})


def scenario(speaker: Speaker, claim: Claim = Claim.NONE) -> Scenario:
    """A scenario that loses its tail."""
    return Scenario("a", "b", speaker, 1, TAIL, claim)


def sequences(of: Scenario) -> list[int | None]:
    """The sequences that a script sends, in its order."""
    return [s.message.sequence for s in script(of, TURN) if isinstance(s.message, Chunk)]


def test_a_legacy_bot_sends_in_the_order_of_the_recording() -> None:
    """3 before 2, and its end twice, without a count."""
    steps = script(scenario(Speaker.LEGACY), TURN)
    assert sequences(scenario(Speaker.LEGACY))[:5] == [0, 1, 3, 2, 4]
    assert [step.message for step in steps[-2:]] == [End(), End()]


@pytest.mark.parametrize("speaker", [Speaker.SDK, Speaker.DEAF])
def test_protocol_2_sends_in_sequence_order_and_states_its_count(speaker: Speaker) -> None:
    """At the times of the recording, ascending."""
    steps = script(scenario(speaker), TURN)
    assert sequences(scenario(speaker)) == list(range(57))
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert steps[-1].message == End(60, content_hash(TURN.text))


def test_what_is_lost_is_never_sent() -> None:
    """By anybody, as a chunk."""
    for one in SCENARIOS:
        turn = load_incident()[one.turn]
        sent = {s.message.sequence for s in script(one, turn) if isinstance(s.message, Chunk)}
        assert sent == set(range(len(turn.chunks))) - one.lost


def test_a_true_summary_follows_the_last_end() -> None:
    """As SDKs up to 2.4.0 send it."""
    last = script(scenario(Speaker.LEGACY, Claim.TRUE), TURN)[-1]
    assert last.message == Summary(TURN.text, 60, content_hash(TURN.text))


def test_a_false_summary_bears_the_hash_of_another_text() -> None:
    """Its invented tail would be seen on the device if anybody believed it."""
    message = script(scenario(Speaker.LEGACY, Claim.FALSE), TURN)[-1].message
    assert isinstance(message, Summary)
    assert message.total_content == "".join(TURN.chunks[:57]) + INVENTED
    assert message.content_hash != content_hash(message.total_content)


def test_the_scenarios_are_those_of_the_issue() -> None:
    """Both turns by both bots; tail, head, middle, mixed; and nothing that could repair."""
    assert [(s.speaker, s.turn) for s in SCENARIOS if not s.lost] == [
        (Speaker.LEGACY, 0),
        (Speaker.LEGACY, 1),
        (Speaker.SDK, 0),
        (Speaker.SDK, 1),
    ]
    assert [s.title for s in SCENARIOS if s.lost and s.whole] == [
        "tail lost",
        "head lost",
        "middle lost",
        "mixed lost",
    ]
    assert [(s.speaker, s.claim) for s in SCENARIOS if not s.whole] == [
        (Speaker.LEGACY, Claim.FALSE),
        (Speaker.DEAF, Claim.NONE),
    ]
