from __future__ import annotations

from bench.figures import Figures
from bench.load import Result
from bench.report import Run, tables


def run(kind: str, p99: float, *, lost: int = 0) -> Run:
    """A run with this 99th percentile."""
    figures = Figures(p99 / 2, p99, 2 * p99)
    result = Result(figures, figures, 1000, lost, 0, 20.0, 10.0)
    return Run(kind, 10, result, figures if kind == "relay" else None)


def test_medians_ranges_and_ratios_are_told() -> None:
    """A ratio pairs the runs of one repeat: 2/1, 3/3 and 4/2 have the median 2."""
    runs = [
        run(kind, p99)
        for kind, p99s in {"relay": (2.0, 3.0, 4.0), "naive": (1.0, 3.0, 2.0)}.items()
        for p99 in p99s
    ]
    text = tables([*runs, run("loopback", 0.2)], 35.0)
    assert "| relay, end to end | 1.50 (1.00-2.00) | 3.00 (2.00-4.00) |" in text
    assert "| relay / naive | 2.00 (1.00-2.00) |" in text
    assert "lost in all runs: 0" in text


def test_a_loss_is_never_hidden() -> None:
    """Neither in the line of its run nor below the table."""
    lossy = run("relay", 1.0, lost=3)
    assert "LOST 3" in lossy.line()
    assert "lost in all runs: 3" in tables([lossy, run("naive", 1.0), run("loopback", 1.0)], 35.0)
