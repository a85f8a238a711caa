"""Which traces are wanted, as a condition on the table."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, or_
from sqlmodel import col

from relay.admin.traces import TraceFilter
from relay.errors import BadRequest
from relay.store.models import StreamTrace, moment
from relay.store.trace_rows import clean, label

ANOMALY_CHARS_MAX: Final = 200
"""How long the text may be that is looked for. SQLite refuses patterns of 50,000 bytes."""

ID_MAX: Final = 2**63 - 1

_SAME: Final = (
    *("status", "outcome", "message_id", "user_id", "agent_id", "sdk_version"),
    *("loss_position", "loss_hop", "repaired_by"),
)


def conditions(where: TraceFilter) -> list[ColumnElement[bool]]:
    """Return what must hold of a trace that is wanted; nothing where all are.

    Raises `BadRequest` for a time, a number or a text that no trace can have.
    """
    found: list[ColumnElement[bool]] = []
    for name in _SAME:
        given: str | None = getattr(where, name)
        if given is not None:
            found.append(col(getattr(StreamTrace, name)) == label(given))
    if where.bot_id is not None:
        if not -ID_MAX <= where.bot_id <= ID_MAX:
            raise BadRequest("no bot has such a number", field="bot_id")
        found.append(col(StreamTrace.bot_id) == where.bot_id)
    if where.since is not None:
        found.append(col(StreamTrace.created_at) >= given_moment(where.since, "since"))
    if where.until is not None:
        found.append(col(StreamTrace.created_at) < given_moment(where.until, "until"))
    if where.anomaly is not None:
        found.append(_anomaly_holds(where.anomaly))
    return found


def given_moment(seconds: float, field: str) -> datetime:
    """Return a time that was asked for. Raises `BadRequest` where there is no such time."""
    try:
        # Where nothing else is wrong with it: not a number, infinite, or before the year 1.
        return moment(seconds if math.isfinite(seconds) else 1e300)
    except (OSError, OverflowError, ValueError):
        raise BadRequest("give a time in seconds since 1970", field=field) from None


def _anomaly_holds(text: str) -> ColumnElement[bool]:
    if len(text) > ANOMALY_CHARS_MAX:
        raise BadRequest(f"look for at most {ANOMALY_CHARS_MAX} characters", field="anomaly")
    text = clean(text)
    # The column is JSON: a quotation mark that somebody wrote has a backslash before it there.
    escaped = msgspec.json.encode(text).decode()[1:-1]
    column = col(StreamTrace.anomaly)
    return or_(*(column.icontains(each, autoescape=True) for each in {text, escaped}))
