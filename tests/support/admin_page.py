"""The admin page in front of a store in memory, on a port of its own, for tests in a browser."""

from __future__ import annotations

import html
import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import uvicorn
from starlette.applications import Starlette

from relay.admin.trace_row import TraceRow
from relay.clock import ManualClock
from relay.demo.incident import load_incident
from relay.web.admin.gate import AdminGate
from relay.web.admin.live_feed import LiveFeed
from relay.web.admin.lockout import Lockout
from relay.web.admin.page import admin_page_routes
from relay.web.admin.routes import admin_api_routes
from relay.web.admin.sessions import Sessions
from relay.web.hardened.listener import listen
from relay.wire.jsontext import JsonValue
from tests.support.admin import ADMIN_TOKEN, NOW, FakeAdminStore, FakeLive, trace_row

SECRET = b"0" * 32


def page_app(store: FakeAdminStore, live: FakeLive) -> Starlette:
    """Return the page and the API that it uses as an application."""
    clock = ManualClock(NOW + 60.0)
    sessions = Sessions(SECRET, clock.now)
    gate = AdminGate(store.people, sessions, Lockout(clock.now))
    feed = LiveFeed(live, interval_s=0.05)
    api = admin_api_routes(store, live, gate, clock, feed)
    page = admin_page_routes(store, live, gate=gate, sessions=sessions, now=clock.now)
    return Starlette(routes=[*api, *page])


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serve an application in a thread until the block ends; yields its address."""
    listener = listen("127.0.0.1", 0)
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: object = None) -> None:
            await super().startup(sockets)  # type: ignore[arg-type]
            started.set()

    server = Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert started.wait(10)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(10)
        listener.close()


class Visitor:
    """A browser without scripts: keeps cookies, and fills in the tokens of forms."""

    def __init__(self, store: FakeAdminStore | None = None, live: FakeLive | None = None) -> None:
        self.store = store or FakeAdminStore()
        self.live = live or FakeLive()
        transport = httpx.ASGITransport(page_app(self.store, self.live))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://relay")

    async def see(self, path: str) -> httpx.Response:
        """Look at a page."""
        return await self.http.get(path)

    async def log_in(self, token: str = ADMIN_TOKEN, onward: str = "") -> httpx.Response:
        """Log in as a person does."""
        form = await self.see("/admin/login")
        fields = {"login": hidden(form, "login"), "next": onward, "token": token}
        return await self.http.post("/admin/login", data=fields)

    async def send(self, path: str, *, csrf: str | None = None, **fields: str) -> httpx.Response:
        """Send a form of a page that was looked at."""
        token = hidden(await self.see("/admin/live"), "csrf") if csrf is None else csrf
        return await self.http.post(path, data={"csrf": token, **fields})


def hidden(page: httpx.Response, name: str) -> str:
    """Return the value of a hidden field; empty where the page has none."""
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', page.text)
    return "" if found is None else html.unescape(found[1])


# --- what is in the store ---------------------------------------------------------------


def event(kind: str, ms: float, **data: JsonValue) -> JsonValue:
    """An event as the node notes it."""
    return {"type": kind, "data": data, "timestamp": "2026-02-27T16:41:05+08:00", "ms": ms}


def incident(number: int = 1, *, repaired: bool = False, **changes: object) -> TraceRow:
    """The recorded incident: 60 chunks were sent, 57 came, and the end was held for the rest."""
    turn = load_incident()[1]
    lost = {57, 58, 59}
    timeline: list[JsonValue] = []
    seen = 0.0
    for frame in turn.frames:
        if frame.sequence is None or frame.sequence in lost:
            continue
        at = frame.at * 1000
        seen = max(seen, at)
        timeline.append([frame.sequence, at, at + 0.3, seen + 0.6, len(frame.content)])
    end = max(frame.at for frame in turn.frames) * 1000
    closed = end + (12.0 if repaired else 2000.4)
    text = "".join(turn.chunks[:57])
    events = [
        event("request_received", 0.0, message_id="1772157600000"),
        event("command_sent", 0.2, bot_id=1),
        event("end_received", end),
        *([event("repaired", closed, length=9)] if repaired else []),
        event("stream_end", closed, outcome="repaired" if repaired else "incomplete"),
    ]
    row = trace_row(
        number,
        status="anomaly",
        outcome="repaired" if repaired else "incomplete",
        events=events,
        timeline=timeline,
        sdk_content=text,
        sse_content=turn.text if repaired else text,
        sdk_chunk_count=57,
        sse_chunk_count=57,
        sdk_total_chunks=60,
        missing_sequences=[57, 58, 59],
        loss_position="tail",
        loss_hop="bot_to_relay",
        repaired_by="summary" if repaired else None,
        first_chunk_delay=round(turn.first_at * 1000),
        avg_chunk_interval=41,
        last_chunk_delay=0,
        anomaly={"type": "chunk_loss", "never_arrived": [[57, 59]], "total_is_known": True},
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def held(number: int = 1, total: int = 60, gap: int = 20) -> TraceRow:
    """A stream whose chunk came late, with all behind it held until it was there."""
    came = 10.0 * gap + 600.0
    timeline: list[JsonValue] = []
    for n in range(total):
        at = came if n == gap else 400.0 + 10.0 * n
        out = max(at, 400.0 + came) if n >= gap else at
        timeline.append([n, at if n != gap else 400.0 + came, at + 0.4, out + 1.0, 3])
    events = [event("end_received", 1100.0), event("stream_end", 1101.0, outcome="completed")]
    return trace_row(
        number,
        timeline=timeline,
        events=events,
        sdk_content="abc" * total,
        sse_content="abc" * total,
        sdk_total_chunks=total,
        sdk_chunk_count=total,
        sse_chunk_count=total,
        repaired_by="retransmit",
    )


def long_answer(number: int, total: int = 5_000) -> TraceRow:
    """Many chunks, of which a device that hung up was not handed the last ones."""
    unseen = 40
    timeline: list[JsonValue] = [
        [n, 300.0 + 4 * n, 300.5 + 4 * n, 301.0 + 4 * n if n < total - unseen else None, 2]
        for n in range(total)
        if n != 1200
    ]
    missing = [1200, *range(total - unseen, total)]
    shown = total - unseen - 1
    return trace_row(
        number,
        status="anomaly",
        outcome="cancelled",
        timeline=timeline,
        events=[event("gap_shown", 13_100.0, sequence=1200), event("stream_end", 21_000.0)],
        sdk_content="ab" * (total - 1),
        sse_content="ab" * 1200 + "…" + "ab" * (shown - 1200),
        sdk_chunk_count=total - 1,
        sse_chunk_count=shown,
        sdk_total_chunks=total,
        missing_sequences=missing,
        loss_position="mixed",
        loss_hop="both",
        anomaly={
            "type": "chunk_loss",
            "never_arrived": [[1200, 1200]],
            "never_delivered": [[total - unseen, total - 1]],
            "total_is_known": True,
        },
    )


def some_day(count: int, seed: int = 7) -> list[TraceRow]:
    """Many streams of one day, of three bots, some with losses; always the same."""
    chance = random.Random(seed)
    rows = []
    for number in range(10, 10 + count):
        bot = chance.choice([1, 1, 2, 3])
        changes: dict[str, object] = {
            "created_at": NOW - chance.random() ** 1.5 * 86_000.0,
            "bot_id": bot,
            "user_id": f"U{chance.randrange(40):031d}",
            "message_id": f"17721576{number:05d}",
            "sdk_version": {1: "2.4.0", 2: "python/1.0", 3: "2.3.7"}[bot],
            "first_chunk_delay": int(chance.lognormvariate(6.5, 0.6)),
            "delivery_delay_p50": round(chance.lognormvariate(-0.8, 0.4), 2),
            "delivery_delay_p99": round(chance.lognormvariate(0.8, 0.7), 2),
            "ack_delay_p50": round(chance.lognormvariate(-1.4, 0.3), 2),
            "ack_delay_p99": round(chance.lognormvariate(0.2, 0.5), 2),
        }
        if chance.random() < (0.18 if bot == 3 else 0.02):
            rows.append(incident(number, repaired=chance.random() < 0.5, **changes))
        else:
            rows.append(trace_row(number, **changes))
    return rows
