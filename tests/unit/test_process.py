from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from relay.clock import ManualClock
from relay.process import LAG_EVERY_S, LoopLag, watch_process
from tests.support.node import Timers

DOCS = Path(__file__).parents[2] / "docs"


def told() -> str:
    """What is told of this process."""
    registry = CollectorRegistry()
    watch_process(registry)
    return generate_latest(registry).decode()


def test_the_process_tells_what_it_costs() -> None:
    """A test takes some memory, some time, some files."""
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(told())
        for sample in family.samples
    }
    assert samples["process_resident_memory_bytes"] > 1e6
    assert samples["process_cpu_seconds_total"] > 0
    assert 0 < samples["process_open_fds"] < samples["process_max_fds"]


def test_the_process_tells_what_it_is() -> None:
    """The version that is installed, and nothing in the library's own registry."""
    assert f'version="{version("relay-stream")}"' in told()
    assert REGISTRY.get_sample_value("relay_build_info") is None


def test_the_table_for_operators_is_what_is_told() -> None:
    """Names, types, labels and meanings, in the order of the look."""
    rows = re.findall(
        r"^\| `(process_\w+|relay_build_info)` \| (\w+) \| (.*?) \| (.+?) \|$",
        (DOCS / "metrics.md").read_text(),
        re.MULTILINE,
    )
    assert rows == [
        (
            sample.name,
            family.type.replace("info", "gauge"),
            ", ".join(f"`{label}`" for label in sorted(sample.labels)),
            family.documentation,
        )
        for family in text_string_to_metric_families(told())
        for sample in family.samples
    ]


def test_a_loop_that_is_late_is_told_by_how_much() -> None:
    """In time, late, in time again; the lateness of one does not add to the next."""
    clock = ManualClock(100.0)
    timers = Timers(clock)
    lags: list[float] = []
    meter = LoopLag(lags.append, call_later=timers, monotonic=clock.now)
    meter.start()
    timers.fire_next(clock.now() + LAG_EVERY_S)
    clock.advance(LAG_EVERY_S + 0.5)
    timers.fire_next(clock.now())
    timers.fire_next(clock.now() + LAG_EVERY_S)
    assert lags == [0.0, 0.5, 0.0]


def test_a_meter_that_is_stopped_measures_no_more() -> None:
    """Its timer is cancelled; stopping twice is once."""
    clock = ManualClock(100.0)
    timers = Timers(clock)
    lags: list[float] = []
    meter = LoopLag(lags.append, call_later=timers, monotonic=clock.now)
    meter.start()
    meter.stop()
    meter.stop()
    timers.advance(10.0)
    assert (lags, timers.armed) == ([], [])
