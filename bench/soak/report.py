"""A soak as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.soak.judge import Return, Trend
from bench.soak.ledger import Ledger


def trend_table(trends: Sequence[Trend]) -> str:
    """Return a row for each figure that was judged."""
    lines = [
        "| figure | median | lowest | highest | grew by (fitted) | flat up to | noise | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.limit.name} | {one.typical:.1f} | {one.lowest:.1f} | {one.highest:.1f} "
        f"| {one.grown:+.2f} | {one.allowed:.1f} | {one.noise:.1f} "
        f"| {'flat' if one.flat else 'GROWS'} |"
        for one in trends
    ]
    return "\n".join(lines)


def return_table(back: Sequence[Return]) -> str:
    """Return a row for each figure that must come back."""
    lines = [
        "| figure | before the first client | behind the last | later | verdict |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.name} | {one.before:g} | {one.after:g} | {_later(one)} "
        f"| {'back' if one.back else 'NOT BACK'} |"
        for one in back
    ]
    return "\n".join(lines)


def _later(one: Return) -> str:
    return "" if one.later is None else f"{one.later:g}"


def crowd_table(ledger: Ledger, outcomes: Mapping[str, int]) -> str:
    """Return what the crowd did, and how the relay says that its streams ended."""

    def told(counts: Mapping[str, int]) -> str:
        return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()) if count)

    return "\n".join(
        [
            "| what | how often |",
            "|---|---|",
            f"| clients | {told(ledger.counts)} |",
            f"| streams by outcome | {told(outcomes)} |",
            f"| errors of the network, as churn has them | {told(ledger.errors) or 'none'} |",
        ]
    )
