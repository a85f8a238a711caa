"""The figures of a relay process, read back with the parser of prometheus_client."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from relay.limits.refusal import Kind as LimitedKind
from relay.limits.refusal import Limit
from relay.metrics import (
    DEFINITIONS,
    Hop,
    Kind,
    Metrics,
    Missing,
    Now,
    StreamFigures,
)
from relay.process import watch_process
from relay.protocol.events import RefusalCode
from relay.protocol.forensics import LossPosition
from relay.protocol.report import RepairedBy
from relay.protocol.status import Outcome

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = StreamFigures(
    outcome=Outcome.REPAIRED,
    accepted=57,
    delivered=50,
    duplicates=2,
    missing=[
        Missing(Hop.BOT_TO_RELAY, LossPosition.TAIL, 3),
        Missing(Hop.RELAY_TO_DEVICE, LossPosition.MIXED, 7),
    ],
    repaired_by=RepairedBy.SUMMARY,
    first_chunk_s=1.0,
    ack_s=[0.001, 0.004],
    delivery_s=[0.002, 0.03, 9.0],
)


def told(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of one look, by name and labels."""
    text = metrics.render().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """One sample."""
    return told(metrics)[name, frozenset(labels.items())]


def test_a_stream_is_counted_in_each_of_its_figures() -> None:
    """Each counter grows by what the stream says, and nothing else is above zero."""
    metrics = Metrics(Now)
    metrics.stream_settled(FIGURES)
    grown = {
        (name, *sorted(labels)): count
        for (name, labels), count in told(metrics).items()
        if count and name.endswith("_total")
    }
    assert grown == {
        ("relay_streams_total", ("outcome", "repaired")): 1,
        ("relay_chunks_accepted_total",): 57,
        ("relay_chunks_delivered_total",): 50,
        ("relay_chunks_duplicate_total",): 2,
        ("relay_chunks_missing_total", ("hop", "bot_to_relay"), ("position", "tail")): 3,
        ("relay_chunks_missing_total", ("hop", "relay_to_device"), ("position", "mixed")): 7,
        ("relay_repairs_total", ("by", "summary")): 1,
    }


def test_a_second_stream_is_added_to_the_first() -> None:
    """Counters sum up; an outcome has a series of its own."""
    metrics = Metrics(Now)
    metrics.stream_settled(FIGURES)
    metrics.stream_settled(replace(FIGURES, outcome=Outcome.COMPLETED, repaired_by=None))
    assert value(metrics, "relay_chunks_accepted_total") == 114
    assert value(metrics, "relay_streams_total", outcome="completed") == 1
    assert value(metrics, "relay_streams_total", outcome="repaired") == 1
    assert value(metrics, "relay_repairs_total", by="summary") == 1


def test_times_fall_into_the_bucket_that_they_do_not_exceed() -> None:
    """Buckets are cumulative, a bound is in its own bucket, and +Inf holds all."""
    metrics = Metrics(Now)
    metrics.stream_settled(FIGURES)
    name = "relay_delivery_seconds"
    bounds = ("0.001", "0.0025", "0.025", "0.05", "5", "+Inf")
    assert [value(metrics, f"{name}_bucket", le=bound) for bound in bounds] == [0, 1, 1, 2, 2, 3]
    assert value(metrics, f"{name}_count") == 3
    assert value(metrics, f"{name}_sum") == pytest.approx(9.032)
    assert value(metrics, "relay_ack_seconds_bucket", le="0.001") == 1
    assert value(metrics, "relay_first_chunk_seconds_bucket", le="0.5") == 0
    assert value(metrics, "relay_first_chunk_seconds_bucket", le="1") == 1


def test_the_lag_of_the_loop_is_counted() -> None:
    """Each measured lag is in its bucket."""
    metrics = Metrics(Now)
    for lag_s in (0.0001, 0.3):
        metrics.loop_lagged(lag_s)
    name = "relay_event_loop_lag_seconds"
    assert value(metrics, f"{name}_bucket", le="0.25") == 1
    assert value(metrics, f"{name}_count") == 2
    assert value(metrics, f"{name}_sum") == pytest.approx(0.3001)


def test_a_clock_that_was_set_back_shrinks_no_sum() -> None:
    """A negative time counts as zero: a sum that falls looks like a restart to Prometheus."""
    metrics = Metrics(Now)
    metrics.stream_settled(replace(FIGURES, ack_s=[-5.0, 0.25]))
    assert value(metrics, "relay_ack_seconds_sum") == 0.25
    assert value(metrics, "relay_ack_seconds_count") == 2


def test_a_stream_without_chunks_has_no_times() -> None:
    """An answer that never began is in no histogram."""
    metrics = Metrics(Now)
    metrics.stream_settled(replace(FIGURES, first_chunk_s=None, ack_s=[], delivery_s=[]))
    for name in ("first_chunk", "ack", "delivery"):
        assert value(metrics, f"relay_{name}_seconds_count") == 0


def test_refusals_are_counted_by_code() -> None:
    """Two of one code, none of another."""
    metrics = Metrics(Now)
    metrics.refused(RefusalCode.CONFLICT)
    metrics.refused(RefusalCode.CONFLICT)
    assert value(metrics, "relay_refusals_total", code="conflict") == 2
    assert value(metrics, "relay_refusals_total", code="hold_full") == 0


def test_what_a_limit_kept_out_is_counted_by_limit_and_kind() -> None:
    """So that an operator knows which setting it was."""
    metrics = Metrics(Now)
    metrics.limited(Limit.ASKS_PER_KEY, LimitedKind.ASK)
    metrics.limited(Limit.ASKS_PER_KEY, LimitedKind.ASK)
    assert value(metrics, "relay_limited_total", limit="asks_per_key", kind="ask") == 2
    assert value(metrics, "relay_limited_total", limit="connections", kind="ask") == 0


def test_what_is_so_now_is_asked_for_at_each_look() -> None:
    """Once for all gauges, and anew for the next look."""
    looks = iter([Now(*range(1, 11)), Now(*range(11, 21))])
    metrics = Metrics(lambda: next(looks))
    names = [
        "relay_open_streams",
        "relay_chunks_held",
        "relay_device_streams",
        "relay_bot_connections",
        "relay_log_bytes",
        "relay_trace_backlog",
        "relay_trace_rows_lost_total",
        "relay_streams_kept",
        "relay_timers",
        "relay_logs_in_memory",
    ]
    for expected in (range(1, 11), range(11, 21)):
        look = told(metrics)
        assert [look[name, frozenset()] for name in names] == list(expected)


def test_tasks_are_told_by_what_they_are_at() -> None:
    """A figure for each name, and none for those that are gone."""
    looks = iter([Now(tasks={"Tracer._run": 1, "Server.serve": 2}), Now(tasks={"Server.serve": 1})])
    metrics = Metrics(lambda: next(looks))
    for expected in ({"Tracer._run": 1, "Server.serve": 2}, {"Server.serve": 1}):
        by_work = {
            labels: count
            for (name, labels), count in told(metrics).items()
            if name == "relay_tasks"
        }
        assert by_work == {frozenset({("work", name)}): n for name, n in expected.items()}


def test_deleted_traces_are_counted_by_why() -> None:
    """And texts that went alone, by themselves."""
    metrics = Metrics(Now)
    metrics.traces_swept(expired=2, crowded_out=3, blanked=5)
    assert value(metrics, "relay_traces_deleted_total", reason="age") == 2
    assert value(metrics, "relay_traces_deleted_total", reason="size") == 3
    assert value(metrics, "relay_trace_contents_deleted_total") == 5


def test_every_series_is_there_from_the_start() -> None:
    """A rate over a series that appears with its first value would miss that value."""
    before = told(Metrics(Now))
    metrics = Metrics(Now)
    metrics.stream_settled(FIGURES)
    metrics.refused(RefusalCode.AFTER_END)
    assert told(metrics).keys() == before.keys()
    assert not any(before.values())


def test_two_relays_of_one_process_do_not_share_figures() -> None:
    """Nothing is in the library's global registry."""
    one, other = Metrics(Now), Metrics(Now)
    one.stream_settled(FIGURES)
    assert value(other, "relay_chunks_accepted_total") == 0
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("relay_")]


def test_the_table_for_operators_is_what_is_told() -> None:
    """Names, types, labels with all their values, and meanings, in the same order."""
    rows = re.findall(
        r"^\| `(relay_\w+)` \| (\w+) \| (.*?) \| (.+?) \|$",
        (DOCS / "metrics.md").read_text(),
        re.MULTILINE,
    )
    assert [row for row in rows if row[0] != "relay_build_info"] == [
        (
            definition.name,
            definition.kind.value,
            "; ".join(f"`{label}`: {_list(values)}" for label, values in definition.labels)
            or (definition.by_name and f"`{definition.by_name}`: a name from the code"),
            definition.meaning,
        )
        for definition in DEFINITIONS
    ]


def _list(values: type[StrEnum]) -> str:
    return ", ".join(f"`{member.value}`" for member in values)


@pytest.mark.parametrize("name", ["metrics.md", "grafana-dashboard.json"])
def test_alerts_and_panels_ask_for_what_there_is(name: str) -> None:
    """A rule over a metric that does not exist never fires, and nobody notices."""
    metrics = Metrics(Now)
    watch_process(metrics.registry)
    known = {name for name, _ in told(metrics)} | {d.name for d in DEFINITIONS}
    asked = re.findall(r"\b(?:relay|process)_\w+", (DOCS / name).read_text(encoding="utf-8"))
    assert asked
    assert set(asked) - set(Hop) <= known


def test_what_is_defined_is_what_is_told() -> None:
    """One family for each definition, of its type; a counter's name ends in _total."""
    families = text_string_to_metric_families(Metrics(Now).render().decode())
    found = [(family.name, family.type) for family in families]
    assert found == [
        (definition.name.removesuffix("_total"), definition.kind.value)
        for definition in DEFINITIONS
    ]
    for definition in DEFINITIONS:
        assert definition.name.endswith("_total") == (definition.kind is Kind.COUNTER)
