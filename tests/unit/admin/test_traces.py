"""Which traces are wanted."""

from __future__ import annotations

from relay.admin.traces import TraceFilter


def test_a_filter_without_conditions_wants_all() -> None:
    """Deleting by it would delete everything, so whoever does that must be able to tell."""
    assert TraceFilter().is_empty
    assert not TraceFilter(status="anomaly").is_empty
    assert not TraceFilter(since=0.0).is_empty
