"""What is played: which turn, who speaks, what is never sent, what the summary says of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from relay.demo.incident import Frame, Turn
from relay.protocol.events import Chunk, End, Summary
from relay.protocol.texthash import content_hash

INVENTED: Final = "这句话从来没有人说过🃏"
"""What a false summary claims was said. None of it may ever be shown."""


class Speaker(StrEnum):
    """Who answers."""

    LEGACY = "legacy"
    """Protocol 1: frames in the order of the recording, `stream_end` twice, then the summary."""
    SDK = "SDK"
    """`relay_sdk.Bot`."""
    DEAF = "deaf"
    """Protocol 2, so it states its count, but it never resends what it is asked for."""


class Claim(StrEnum):
    """What a legacy bot's summary says."""

    NONE = "no summary"
    TRUE = "true summary"
    FALSE = "false summary"
    """A text with an invented tail, under the hash of the true one."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One answer, from the question to the trace."""

    title: str
    about: str
    speaker: Speaker
    turn: int
    lost: frozenset[int] = frozenset()
    """Sequences that the bot never sends."""
    claim: Claim = Claim.NONE

    @property
    def whole(self) -> bool:
        """Whether the device must be given the whole text; else exactly what was sent."""
        return not self.lost or self.claim is Claim.TRUE


SCENARIOS: Final = (
    Scenario(
        "legacy, turn 0",
        "3 chunks, as recorded; stream_end twice, 1 ms apart",
        Speaker.LEGACY,
        0,
        claim=Claim.TRUE,
    ),
    Scenario(
        "legacy, turn 1",
        "60 chunks, five neighbours swapped, as recorded; the old relay lost 3 of them",
        Speaker.LEGACY,
        1,
        claim=Claim.TRUE,
    ),
    Scenario("SDK, turn 0", "the same 3 chunks, written to relay_sdk.Bot", Speaker.SDK, 0),
    Scenario("SDK, turn 1", "the same 60 chunks, written to relay_sdk.Bot", Speaker.SDK, 1),
    Scenario(
        "tail lost",
        "57, 58, 59 are never sent; a true summary follows the end",
        Speaker.LEGACY,
        1,
        frozenset({57, 58, 59}),
        Claim.TRUE,
    ),
    Scenario(
        "head lost",
        "0, 1, 2 are never sent; a true summary follows the end",
        Speaker.LEGACY,
        1,
        frozenset({0, 1, 2}),
        Claim.TRUE,
    ),
    Scenario(
        "middle lost",
        "28, 29, 30 are never sent; a true summary follows the end",
        Speaker.LEGACY,
        1,
        frozenset({28, 29, 30}),
        Claim.TRUE,
    ),
    Scenario(
        "mixed lost",
        "1, 29, 58 are never sent; a true summary follows the end",
        Speaker.LEGACY,
        1,
        frozenset({1, 29, 58}),
        Claim.TRUE,
    ),
    Scenario(
        "false summary",
        "57, 58, 59 are never sent; the summary's text is not the one of its hash",
        Speaker.LEGACY,
        1,
        frozenset({57, 58, 59}),
        Claim.FALSE,
    ),
    Scenario(
        "no repair",
        "57, 58, 59 are never sent, though the bot says 60 and is asked for them",
        Speaker.DEAF,
        1,
        frozenset({57, 58, 59}),
    ),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the bot says, `at` seconds after the request of the recording."""

    at: float
    message: Chunk | End | Summary


def script(scenario: Scenario, turn: Turn) -> tuple[Step, ...]:
    """Return what the bot says, in order.

    A legacy bot puts its frames on the wire in the order in which they arrived then. The others
    speak protocol 2, and so in sequence order, at the times of the recording.
    """
    if scenario.speaker is Speaker.LEGACY:
        steps = [
            Step(frame.at, _said(frame))
            for frame in turn.frames
            if frame.sequence not in scenario.lost
        ]
        return (*steps, *_summary(scenario, turn, steps[-1].at))
    times = sorted(frame.at for frame in turn.frames if frame.sequence is not None)
    chunks = [
        Step(at, Chunk(content, sequence))
        for sequence, (at, content) in enumerate(zip(times, turn.chunks, strict=True))
        if sequence not in scenario.lost
    ]
    return (*chunks, Step(turn.ends[0].at, End(len(turn.chunks), content_hash(turn.text))))


def _said(frame: Frame) -> Chunk | End:
    return End() if frame.sequence is None else Chunk(frame.content, frame.sequence)


def _summary(scenario: Scenario, turn: Turn, at: float) -> tuple[Step, ...]:
    count, true_hash = len(turn.chunks), content_hash(turn.text)
    match scenario.claim:
        case Claim.NONE:
            return ()
        case Claim.TRUE:
            return (Step(at, Summary(turn.text, count, true_hash)),)
        case Claim.FALSE:
            kept = "".join(turn.chunks[: min(scenario.lost, default=count)])
            return (Step(at, Summary(kept + INVENTED, count, true_hash)),)
        case _:
            assert_never(scenario.claim)
