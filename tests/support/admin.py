"""An `AdminStore` and a `LiveView` in memory, for the tests of the admin API and page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

from relay.admin.live import LiveStream
from relay.admin.people import EVERYTHING, BindingRecord, BotRecord, KeyRecord, Made, Scope
from relay.admin.ports import BindingDesk, PeopleDesk, TraceArchive
from relay.admin.statistics import Statistics
from relay.admin.trace_row import TraceRow
from relay.admin.traces import (
    PAGE_ROWS_MAX,
    TraceFilter,
    TraceOrder,
    TracePage,
    TraceQuery,
    TraceSummary,
)
from relay.errors import BadRequest, NotFound, StoreError
from tests.support.admin_statistics import make_statistics

NOW = 1_750_000_000.0
"""When everything in here happened: 2025-06-15 15:06:40 UTC."""

ADMIN_TOKEN = "adm_" + "a" * 64

_INTERVALS_MAX = 1_000
_SUMMARY_FIELDS = {one.name for one in fields(TraceSummary)} - {"missing_count"}


def trace_row(number: int = 1, **changes: object) -> TraceRow:
    """Return a whole stream of three chunks; `changes` are fields that differ."""
    row = TraceRow(
        trace_id=f"trace-{number:04}",
        stream_id=f"stream-{number:04}",
        message_id="1740000000000",
        agent_id="a" * 32,
        user_id="U1",
        bot_id=1,
        access_key_id=1,
        status="completed",
        outcome="completed",
        created_at=NOW - 60.0 * number,
        sdk_version="2.4.0",
        protocol=1,
        events=[
            {
                "type": "end_seen",
                "data": {"total": 3},
                "timestamp": "2025-06-15T23:05:40+08:00",
                "ms": 335.0,
            }
        ],
        sdk_content="one two three",
        sse_content="one two three",
        sdk_chunk_count=3,
        sse_chunk_count=3,
        sdk_total_chunks=3,
        first_chunk_delay=250,
        avg_chunk_interval=40,
        last_chunk_delay=5,
        ack_delay_p50=0.4,
        ack_delay_p99=1.5,
        delivery_delay_p50=0.6,
        delivery_delay_p99=2.5,
        timeline=[[0, 250.0, 250.4, 250.6, 3], [1, 290.0, 290.4, 290.6, 4], [2, 330, 331, 332, 6]],
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def lossy_row(number: int = 2, **changes: object) -> TraceRow:
    """Return a stream that lost its tail: three of sixty chunks, and no repair."""
    row = trace_row(
        number,
        status="anomaly",
        outcome="incomplete",
        sdk_chunk_count=57,
        sse_chunk_count=57,
        sdk_total_chunks=60,
        missing_sequences=[57, 58, 59],
        loss_position="tail",
        loss_hop="bot_to_relay",
        timeline=[[n, 250.0 + n, 251.0 + n, 252.0 + n, 4] for n in range(57)],
        anomaly={"type": "chunk_loss", "never_arrived": [[57, 59]], "total_is_known": True},
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def live_stream(number: int = 1, **changes: object) -> LiveStream:
    """Return an open stream; `changes` are fields that differ."""
    stream = LiveStream(
        stream_id=f"live-{number:04}",
        trace_id=f"live-trace-{number:04}",
        message_id="1740000000000",
        agent_id="a" * 32,
        user_id="U1",
        bot_id=1,
        access_key_id=1,
        sdk_version="2.4.0",
        protocol=1,
        status="active",
        opened_at=NOW,
        age_s=1.5,
        received=4,
        delivered=3,
        stored=4,
        held=0,
        missing=0,
        readers=1,
        bot_connected=True,
    )
    return replace(stream, **changes)  # type: ignore[arg-type]


@dataclass(slots=True)
class FakeLive:
    """A `LiveView` that shows what a test puts into it."""

    streams: list[LiveStream] = field(default_factory=list)
    online: set[int] = field(default_factory=set)

    def live_streams(self) -> list[LiveStream]:
        """The streams, oldest first."""
        return sorted(self.streams, key=lambda stream: stream.opened_at)

    def online_bots(self) -> frozenset[int]:
        """The bots."""
        return frozenset(self.online)


class FakeAdminStore:
    """An `AdminStore` of dictionaries, that can be away. `now` stands still at `NOW`."""

    def __init__(self, rows: Iterable[TraceRow] = (), *, now: float = NOW) -> None:
        self.now = now
        self.away = False
        self.admins: dict[int, str] = {1: ADMIN_TOKEN}
        """Tokens by id; delete one to revoke it."""
        self.rows = {row.trace_id: row for row in rows}
        self.bots: dict[int, BotRecord] = {}
        self.keys: dict[int, KeyRecord] = {}
        self.codes: dict[int, BindingRecord] = {}
        self._ids = 0
        self._secrets = 0

    # --- administrators -------------------------------------------------------------------

    @property
    def archive(self) -> TraceArchive:
        return self

    @property
    def people(self) -> PeopleDesk:
        return self

    @property
    def bindings(self) -> BindingDesk:
        return self

    async def find_admin(self, token: str) -> int | None:
        self._answer()
        return next((number for number, known in self.admins.items() if known == token), None)

    async def admin_is_active(self, admin_id: int) -> bool:
        self._answer()
        return admin_id in self.admins

    # --- traces ---------------------------------------------------------------------------

    async def trace_page(self, query: TraceQuery) -> TracePage:
        self._answer()
        if not 1 <= query.limit <= PAGE_ROWS_MAX:
            raise BadRequest(f"limit is 1 to {PAGE_ROWS_MAX}", field="limit")
        mark = f"{query.order.value}.{query.descending}.{abs(hash(query.where)) % 10**6}."
        start = 0
        if query.cursor is not None:
            head, number = query.cursor[: len(mark)], query.cursor[len(mark) :]
            if head != mark or not (number.isascii() and number.isdecimal()):
                raise BadRequest("this cursor belongs to another list", field="cursor")
            start = int(number[:15])
        found = sorted(
            self._wanted(query.where),
            key=lambda row: (_rank(row, query.order), row.created_at, row.trace_id),
            reverse=query.descending,
        )
        end = start + query.limit
        cursor = f"{mark}{end}" if end < len(found) else None
        return TracePage([_summary(row) for row in found[start:end]], cursor)

    async def find_trace(self, given: str) -> TraceRow | None:
        self._answer()
        if not given:
            return None
        whole = [row for row in self.rows.values() if given in (row.trace_id, row.stream_id)]
        begun = [
            row
            for row in self.rows.values()
            if row.trace_id.startswith(given) or row.stream_id.startswith(given)
        ]
        found = whole or begun
        return found[0] if len(found) == 1 else None

    async def export_traces(self, where: TraceFilter) -> AsyncIterator[Sequence[TraceRow]]:
        self._answer()
        found = sorted(self._wanted(where), key=lambda row: row.created_at, reverse=True)
        for start in range(0, len(found), 2):
            self._answer()
            yield found[start : start + 2]

    async def delete_traces(self, where: TraceFilter) -> int:
        self._answer()
        found = self._wanted(where)
        for row in found:
            del self.rows[row.trace_id]
        return len(found)

    async def delete_trace(self, trace_id: str) -> None:
        self._answer()
        if self.rows.pop(trace_id, None) is None:
            raise NotFound("there is no trace with this id")

    async def statistics(self, since: float, until: float, step_s: float) -> Statistics:
        self._answer()
        if not (step_s > 0 and 0 < until - since <= step_s * _INTERVALS_MAX):
            raise BadRequest(f"a span has 1 to {_INTERVALS_MAX} steps", field="since")
        return make_statistics(
            self._wanted(TraceFilter(since=since, until=until)), since, until, step_s
        )

    # --- bots -----------------------------------------------------------------------------

    async def list_bots(self) -> list[BotRecord]:
        self._answer()
        return list(self.bots.values())

    async def create_bot(self, name: str, *, user_id: str | None) -> Made:
        self._answer()
        if user_id is not None and any(bot.user_id == user_id for bot in self.bots.values()):
            raise BadRequest("this user belongs to another bot already", field="user_id")
        secret = self._secret("")
        bot = BotRecord(self._id(), _name(name), user_id, None, secret[:8], False, self.now)
        self.bots[bot.bot_id] = bot
        return Made(bot, secret)

    async def rotate_bot_token(self, bot_id: int) -> Made:
        bot, secret = self._bot(bot_id), self._secret("")
        self.bots[bot_id] = replace(bot, token_prefix=secret[:8], revoked=False)
        return Made(self.bots[bot_id], secret)

    async def revoke_bot_token(self, bot_id: int) -> BotRecord:
        self.bots[bot_id] = replace(self._bot(bot_id), token_prefix="", revoked=True)
        return self.bots[bot_id]

    async def unbind(self, bot_id: int) -> BotRecord:
        self.bots[bot_id] = replace(self._bot(bot_id), user_id=None, device_id=None)
        return self.bots[bot_id]

    # --- access keys ----------------------------------------------------------------------

    async def list_keys(self) -> list[KeyRecord]:
        self._answer()
        return list(self.keys.values())

    async def create_key(self, name: str, scope: Scope = EVERYTHING) -> Made:
        self._answer()
        secret = self._secret("ak_")
        key = KeyRecord(self._id(), _name(name), secret[:8], scope, self.now, None, None)
        self.keys[key.key_id] = key
        return Made(key, secret)

    async def rotate_key(self, key_id: int) -> Made:
        key, secret = self._key(key_id), self._secret("ak_")
        if key.revoked_at is not None:
            raise BadRequest("this access key was revoked; add another", field="key_id")
        self.keys[key_id] = replace(key, key_prefix=secret[:8])
        return Made(self.keys[key_id], secret)

    async def revoke_key(self, key_id: int) -> KeyRecord:
        key = self._key(key_id)
        self.keys[key_id] = replace(key, revoked_at=key.revoked_at or self.now)
        return self.keys[key_id]

    async def rescope_key(self, key_id: int, scope: Scope) -> KeyRecord:
        self.keys[key_id] = replace(self._key(key_id), scope=scope)
        return self.keys[key_id]

    # --- bindings -------------------------------------------------------------------------

    async def list_bindings(self) -> list[BindingRecord]:
        self._answer()
        return list(reversed(self.codes.values()))

    async def create_binding(self, bot_id: int) -> Made:
        bot, secret = self._bot(bot_id), self._secret("bind_")
        binding = BindingRecord(
            self._id(), bot.bot_id, secret[:8], self.now, self.now + 600, None, None, None
        )
        self.codes[binding.binding_id] = binding
        return Made(binding, secret)

    async def delete_binding(self, binding_id: int) -> None:
        self._answer()
        if self.codes.pop(binding_id, None) is None:
            raise NotFound("there is no binding token with this id")

    # --- inside ---------------------------------------------------------------------------

    def _answer(self) -> None:
        if self.away:
            raise StoreError("sqlite:///secret-path is locked")

    def _id(self) -> int:
        self._ids += 1
        return self._ids

    def _secret(self, prefix: str) -> str:
        self._secrets += 1
        return prefix + f"{self._secrets:064x}"

    def _bot(self, bot_id: int) -> BotRecord:
        self._answer()
        if bot_id not in self.bots:
            raise NotFound("there is no bot with this id")
        return self.bots[bot_id]

    def _key(self, key_id: int) -> KeyRecord:
        self._answer()
        if key_id not in self.keys:
            raise NotFound("there is no access key with this id")
        return self.keys[key_id]

    def _wanted(self, where: TraceFilter) -> list[TraceRow]:
        return [row for row in self.rows.values() if _is_wanted(row, where)]


def _name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= 255 or not name.isprintable():
        raise BadRequest("a name is 1 to 255 printable characters", field="name")
    return name


def _is_wanted(row: TraceRow, where: TraceFilter) -> bool:
    equal = all(
        wanted is None or getattr(row, name) == wanted
        for name in (
            "status",
            "outcome",
            "bot_id",
            "message_id",
            "user_id",
            "agent_id",
            "loss_position",
            "loss_hop",
            "repaired_by",
            "sdk_version",
        )
        for wanted in [getattr(where, name)]
    )
    anomaly = json.dumps(row.anomaly, ensure_ascii=False).lower() if row.anomaly else ""
    return (
        equal
        and (where.since is None or row.created_at >= where.since)
        and (where.until is None or row.created_at < where.until)
        and (where.anomaly is None or where.anomaly.lower() in anomaly)
    )


def _rank(row: TraceRow, order: TraceOrder) -> float:
    match order:
        case TraceOrder.CREATED:
            return row.created_at
        case TraceOrder.MISSING:
            return len(row.missing_sequences)
        case TraceOrder.CHUNKS:
            return row.sdk_chunk_count
        case TraceOrder.FIRST_CHUNK:
            return -1 if row.first_chunk_delay is None else row.first_chunk_delay
        case TraceOrder.DELIVERY:
            return -1 if row.delivery_delay_p99 is None else row.delivery_delay_p99


def _summary(row: TraceRow) -> TraceSummary:
    values = {name: getattr(row, name) for name in _SUMMARY_FIELDS}
    return TraceSummary(missing_count=len(row.missing_sequences), **values)
