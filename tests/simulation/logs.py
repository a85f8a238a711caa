"""What the relay logs while it is simulated: nothing is printed, and an exception is a finding."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

PLANNED = frozenset({"trace_rows_not_stored"})
"""The relay's own words for what a simulation breaks on purpose."""

NOT_MADE = "trace_row_not_made"
"""A node that did not hear that its stream has another owner by now may come to a log that this
one has forgotten. Its row is the other one's to write, but it counts it as lost."""


@contextmanager
def watched_logs(planned: frozenset[str]) -> Iterator[list[str]]:
    """Yield the list of exceptions that the relay has logged, but the planned ones: bugs."""
    found: list[str] = []

    def look(_logger: object, _name: str, event: MutableMapping[str, Any]) -> str:
        if event.get("exc_info") and event["event"] not in planned:
            names = {name: value for name, value in event.items() if name != "exc_info"}
            found.append(f"{names}: {traceback.format_exc()}")
        raise structlog.DropEvent

    before = structlog.get_config()
    sdk = logging.getLogger("relay_sdk")
    level = sdk.level
    sdk.setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[look],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        cache_logger_on_first_use=False,
    )
    try:
        yield found
    finally:
        structlog.configure(**before)
        sdk.setLevel(level)
