"""What was lost, counted, with what the numbers allow to be said. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Final

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one answer that ran when something was killed."""

    kill: int
    """Which kill; those of one kill stand or fall together."""
    stream_id: str
    resends: bool
    """Whether its bot was the SDK, or one that forgets what was acknowledged."""
    chunks: int
    acked: frozenset[int]
    """What was acknowledged before the restart, by sequence."""
    stored: frozenset[int]
    """What a device that comes last of all can read."""
    shown: frozenset[int]
    """What the device that was there all the time has read."""
    outcome: str
    """As the bot was told."""
    ended_before: bool
    """Whether it had ended before the kill."""
    trace: str | None
    """The outcome that its trace has; None where there is no trace, empty where it is open."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The sum of one scene."""

    kills: int
    acked: int
    acked_lost: int
    """Of bots that forget what was acknowledged: acknowledged, and not to be read any more."""
    kills_with_loss: int
    sent: int
    sent_lost: int
    """Of the SDK: written by its program, and in the end on no device."""
    kills_with_sdk_loss: int
    whole: int
    """The SDK's answers that ended as whole, of `sdk_answers`."""
    sdk_answers: int
    answers: int
    traces_lost: int
    traces_open: int
    """Of answers that have ended: a trace that does not say how."""


def tally(fates: Sequence[Fate]) -> Tally:
    """Sum up the answers of one scene."""
    trusting = [fate for fate in fates if not fate.resends and not fate.ended_before]
    sdk = [fate for fate in fates if fate.resends]
    lost = [(fate.kill, len(fate.acked - fate.stored)) for fate in trusting]
    unseen = [(fate.kill, fate.chunks - len(fate.shown)) for fate in sdk]
    return Tally(
        kills=len({fate.kill for fate in fates}),
        acked=sum(len(fate.acked) for fate in trusting),
        acked_lost=sum(count for _, count in lost),
        kills_with_loss=len({kill for kill, count in lost if count}),
        sent=sum(fate.chunks for fate in sdk),
        sent_lost=sum(count for _, count in unseen),
        kills_with_sdk_loss=len({kill for kill, count in unseen if count}),
        whole=sum(fate.outcome in ("completed", "repaired") for fate in sdk),
        sdk_answers=len(sdk),
        answers=len(fates),
        traces_lost=sum(fate.trace is None for fate in fates),
        traces_open=sum(fate.trace == "" for fate in fates),
    )


def upper_bound(happened: int, tries: int) -> float:
    """Return the share that is exceeded with a chance of at most 5 %, of independent tries.

    For none it is about 3 / tries ("the rule of three"); else Clopper's and Pearson's bound.
    """
    if happened >= tries:
        return 1.0
    low, high = happened / tries, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(happened, tries, middle) > 1 - CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _at_most(happened: int, tries: int, share: float) -> float:
    """Return the chance of at most so many."""
    return sum(comb(tries, n) * share**n * (1 - share) ** (tries - n) for n in range(happened + 1))


HEAD: Final = (
    "| what was killed | ACK is called | kills | ACKed chunks lost, not sent again "
    "| kills with a loss | chunks lost with the SDK | kills with a loss | the SDK's answers whole "
    "| traces missing | traces open |"
)


def table(rows: Mapping[str, tuple[str, Tally]]) -> str:
    """Return the scenes as Markdown: by name, what an ACK is called there and the sum."""
    lines = [HEAD, "|---" * (HEAD.count("|") - 1) + "|"]
    for name, (durability, one) in rows.items():
        lines.append(
            f"| {name} | `{durability}` | {one.kills} | {one.acked_lost:,} of {one.acked:,} "
            f"| {_share(one.kills_with_loss, one.kills)} | {one.sent_lost:,} of {one.sent:,} "
            f"| {_share(one.kills_with_sdk_loss, one.kills)} | {one.whole} of {one.sdk_answers} "
            f"| {one.traces_lost} of {one.answers} | {one.traces_open} |"
        )
    return "\n".join(lines)


def _share(happened: int, tries: int) -> str:
    return f"{happened} (at most {upper_bound(happened, tries):.0%})"
