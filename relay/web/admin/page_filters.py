"""The filters of the traces table as they stand in the address: read, written, changed.

Everything that an operator chose is in the address, so a view can be kept and passed on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from relay.admin.traces import TraceFilter, TraceOrder, TraceQuery
from relay.metrics import Hop
from relay.node.record import BOTH_HOPS
from relay.protocol.forensics import LossPosition
from relay.protocol.report import RepairedBy
from relay.protocol.status import Outcome, Status

PAGE_ROWS: Final = 50
VALUE_CHARS_MAX: Final = 512
CURSOR_CHARS_MAX: Final = 1024

SPANS: Final[Mapping[str, tuple[str, float]]] = {
    "1h": ("last hour", 3600.0),
    "24h": ("last 24 hours", 86_400.0),
    "7d": ("last 7 days", 7 * 86_400.0),
}
"""Spans up to now, by their name in the address."""

CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "status": tuple(status.label for status in Status),
    "outcome": tuple(Outcome),
    "loss_position": tuple(LossPosition),
    "loss_hop": (*Hop, BOTH_HOPS),
    "repaired_by": tuple(RepairedBy),
}
"""What can be chosen; every other filter is typed."""

TYPED: Final = ("user_id", "message_id", "agent_id", "sdk_version", "anomaly")

_TIMES: Final = ("since", "until")
_NAMES: Final = (*CHOICES, "bot_id", *TYPED, "span", *_TIMES, "tz")
MOMENT_MAX: Final = 253_402_300_800.0
"""The year 10000, which no calendar here can write."""
_MINUTES_MAX: Final = 14 * 60


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address asks for, checked."""

    values: Mapping[str, str]
    """The filters as they were given, without empty ones; `since` and `until` too."""
    where: TraceFilter
    order: TraceOrder = TraceOrder.CREATED
    descending: bool = True
    cursor: str | None = None
    problems: tuple[str, ...] = ()
    """What was left out because it cannot be understood, in words."""

    @property
    def query(self) -> TraceQuery:
        """The page of traces that is asked for."""
        return TraceQuery(self.where, self.order, self.descending, PAGE_ROWS, self.cursor)

    def address(self, path: str, **changes: str | None) -> str:
        """Return `path` with these filters and this order, some changed (None: left out)."""
        given: dict[str, str | None] = {**self.values}
        if self.order is not TraceOrder.CREATED or not self.descending:
            given |= {"sort": self.order.value, "dir": "desc" if self.descending else "asc"}
        given |= changes
        query = urlencode({name: value for name, value in given.items() if value})
        return f"{path}?{query}" if query else path

    def sorted_by(self, order: TraceOrder) -> str:
        """Return the address of the first page sorted by this; the other way, where it is so."""
        turned = "asc" if self.order is order and self.descending else "desc"
        return self.address("/admin/traces", sort=order.value, dir=turned)

    def fixed(self) -> dict[str, str]:
        """Return the filter for a form that is sent later: its times are moments, not spans."""
        kept = {n: v for n, v in self.values.items() if n not in {"span", "tz", *_TIMES}}
        if self.where.since is not None:
            kept["since"] = repr(self.where.since)
        if self.where.until is not None:
            kept["until"] = repr(self.where.until)
        return kept

    def for_api(self, **more: str) -> str:
        """Return the query of the same filter for the admin API, with more of its parameters."""
        given = self.fixed() | {
            name: datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
            for name, at in (("since", self.where.since), ("until", self.where.until))
            if at is not None
        }
        return "?" + urlencode(given | more)


def read_filters(given: Mapping[str, str], now: float) -> Filters:
    """Read an address or a form. What cannot be understood is left out and named."""
    problems: list[str] = []
    values = {
        name: value
        for name in _NAMES
        if (value := given.get(name, "").strip()) and len(value) <= VALUE_CHARS_MAX
    }
    for name, allowed in CHOICES.items():
        if name in values and values[name] not in allowed:
            problems.append(f"{name}: there is no {values.pop(name)!r}")
    bot_id = values.get("bot_id")
    if bot_id is not None and not (bot_id.isascii() and bot_id.isdecimal() and len(bot_id) < 19):  # noqa: PLR2004 - digits of 2^63
        problems.append("bot_id: a number is needed")
        bot_id = values.pop("bot_id", None) and None
    since, until = _times(values, now, problems)
    order = _order(given.get("sort", ""))
    cursor = given.get("cursor") or None
    return Filters(
        values,
        TraceFilter(
            bot_id=None if bot_id is None else int(bot_id),
            since=since,
            until=until,
            **{name: values.get(name) for name in (*CHOICES, *TYPED)},
        ),
        order or TraceOrder.CREATED,
        given.get("dir") != "asc",
        cursor if cursor is None or len(cursor) <= CURSOR_CHARS_MAX else None,
        tuple(problems),
    )


def _order(name: str) -> TraceOrder | None:
    return TraceOrder(name) if name in set(TraceOrder) else None


def _times(
    values: dict[str, str], now: float, problems: list[str]
) -> tuple[float | None, float | None]:
    if values.get("span") in SPANS:
        for name in (*_TIMES, "tz"):
            values.pop(name, None)
        return now - SPANS[values["span"]][1], None
    values.pop("span", None)
    offset_s = _offset_s(values.get("tz", ""))
    found: list[float | None] = []
    for name in _TIMES:
        raw = values.get(name)
        moment = None if raw is None else _moment(raw, offset_s)
        if raw is not None and moment is None:
            problems.append(f"{name}: a moment such as 2026-02-27T08:41 is needed")
            values.pop(name)
        found.append(moment)
    if not any(name in values for name in _TIMES):
        values.pop("tz", None)
    return found[0], found[1]


def _offset_s(minutes: str) -> float:
    """Read how far the operator's clock is ahead of UTC, as the page's script says."""
    try:
        value = int(minutes[:5])
    except ValueError:
        return 0.0
    return 60.0 * max(-_MINUTES_MAX, min(_MINUTES_MAX, value))


def _moment(raw: str, offset_s: float) -> float | None:
    """Read Unix seconds, or a date and time on the operator's clock."""
    try:
        if raw.replace(".", "", 1).isdecimal() and raw.isascii():
            at = float(raw)
        else:
            moment = datetime.fromisoformat(raw)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC) - timedelta(seconds=offset_s)
            at = moment.timestamp()
    except (ValueError, OverflowError):
        return None
    return at if 0 <= at < MOMENT_MAX else None


def in_words(filters: Filters, bots: Iterable[tuple[int, str]]) -> list[tuple[str, str, str]]:
    """Return each filter that is set as `(name, value in words, address without it)`."""
    names = {str(bot_id): name for bot_id, name in bots}
    said = []
    for name, value in filters.values.items():
        words = value
        if name == "tz":
            continue
        if name == "bot_id":
            words = names.get(value, value)
        elif name == "span":
            words = SPANS[value][0]
        said.append((name, words, filters.address("/admin/traces", **{name: None})))
    return said
