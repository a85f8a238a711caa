"""The runs of one load as a Markdown table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Figures, spread
from bench.load import Result

WHAT = {
    "loopback": "loopback: bytes forwarded unread, end to end",
    "naive": "naive relay, end to end",
    "relay": "relay, end to end",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one server."""

    kind: str
    streams: int
    result: Result
    inside: Figures | None
    """Chunk received to SSE bytes written, within the relay's process."""

    def line(self) -> str:
        """Return the run in one line, for whoever watches."""
        latency = self.result.latency
        words = f"{self.kind}: p50 {latency.p50:.2f}, p99 {latency.p99:.2f}, max {latency.max:.2f}"
        if self.inside is not None:
            words += f" ms; inside p50 {self.inside.p50:.3f}, p99 {self.inside.p99:.3f}"
        words += f" ms; CPU {self.result.server_cpu_percent:.0f} %"
        words += f", generator {self.result.generator_cpu_percent:.0f} %"
        words += f", late p99 {self.result.late.p99:.2f} ms"
        if self.result.lost or self.result.repeated:
            words += f"; LOST {self.result.lost}, REPEATED {self.result.repeated}"
        return words


def tables(runs: Sequence[Run], interval_ms: float) -> str:
    """Return the medians of all runs, each with its range, and the ratios of paired runs.

    A ratio is taken within one repeat, where both servers met the same machine.
    """
    relays = [run for run in runs if run.kind == "relay"]
    naives = [run for run in runs if run.kind == "naive"]
    streams, chunks = relays[0].streams, relays[0].result.chunks
    heading = (
        f"{streams} streams, a chunk every {interval_ms:g} ms each; {len(relays)} runs of "
        f"{chunks} chunks; milliseconds, median of the runs (lowest-highest)"
    )
    lines = [
        heading,
        "",
        "| what | p50 | p99 | max | CPU of a core |",
        "|---|---|---|---|---|",
    ]
    insides = [run.inside for run in relays if run.inside is not None]
    lines.append(_row("relay, chunk received to SSE bytes written", insides, ""))
    for kind in ("relay", "naive", "loopback"):
        of_kind = [run.result for run in runs if run.kind == kind]
        cpu = spread([result.server_cpu_percent for result in of_kind])
        latencies = [result.latency for result in of_kind]
        lines.append(_row(WHAT[kind], latencies, f"{cpu.median:.0f} %"))
    lines.append(_ratio(relays, naives))
    lost = sum(run.result.lost for run in runs)
    lines += ["", f"lost in all runs: {lost}"]
    return "\n".join(lines)


def _row(name: str, of_runs: Sequence[Figures], cpu: str) -> str:
    cells = [str(spread([pick(one) for one in of_runs])) for pick in (_p50, _p99, _max)]
    return f"| {name} | {' | '.join(cells)} | {cpu} |"


def _ratio(relays: Sequence[Run], naives: Sequence[Run]) -> str:
    def of(pick: Callable[[Result], float]) -> str:
        pairs = zip(relays, naives, strict=True)
        return str(spread([pick(ours.result) / pick(theirs.result) for ours, theirs in pairs]))

    cells = [
        of(lambda result: result.latency.p50),
        of(lambda result: result.latency.p99),
        of(lambda result: result.latency.max),
        of(lambda result: result.server_cpu_percent),
    ]
    return f"| relay / naive | {' | '.join(cells)} |"


def _p50(one: Figures) -> float:
    return one.p50


def _p99(one: Figures) -> float:
    return one.p99


def _max(one: Figures) -> float:
    return one.max
