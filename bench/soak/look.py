"""What is so in a relay process just now, as seen from outside and as told by its `/metrics`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.load import cpu_s
from bench.soak.judge import Sample
from relay.store.store import Store

MB: Final = 1 << 20

TRIES: Final = 5

GAUGES: Final = {
    "timers": "relay_timers",
    "logs": "relay_logs_in_memory",
    "open streams": "relay_open_streams",
    "kept streams": "relay_streams_kept",
    "readers": "relay_device_streams",
    "bots": "relay_bot_connections",
    "held chunks": "relay_chunks_held",
    "log bytes": "relay_log_bytes",
    "rows waiting": "relay_trace_backlog",
    "rows lost": "relay_trace_rows_lost_total",
}
"""The figures that the relay tells, by the names that they have here."""

TASKS_IN: Final = "tasks in "
"""How the names of those figures begin that tell tasks by what they are at."""


def from_outside(pid: int) -> dict[str, float]:
    """Return memory (MB), descriptors by their kind, sizes of the database (MB), CPU seconds.

    Memory is what the relay alone has, resident or swapped out (`RssAnon` and `VmSwap` in proc(5)).
    The pages of the program's files are not in it: the kernel may drop them and read them again as
    it sees fit. Raises `KeyError` where the kernel does not tell it: to take that for nothing would
    make every relay flat.

    The database is all of SQLite's files together: what the disk holds. What is in use of it, and
    the log beside it, are told apart too: a file that grows while what is in use does not has free
    pages.
    """
    folder = Path(f"/proc/{pid}")
    lines = map(str.split, (folder / "status").read_text().splitlines())
    told = {line[0]: line[1] for line in lines if len(line) > 1}
    own_kb = sum(int(told[name]) for name in ("RssAnon:", "VmSwap:"))
    sockets, others, files, databases = 0, 0, 0, set[Path]()
    for link in (folder / "fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            target = link.readlink()
            if target.name.startswith("socket:"):
                sockets += 1
            elif ".db" in target.name:
                files += 1
                databases.add(target)
            else:
                others += 1
    return {
        "memory MB": own_kb / 1024,
        "descriptors": sockets + files + others,
        "sockets": sockets,
        "database files": files,
        "other descriptors": others,
        "database MB": _sizes(databases) / MB,
        "database in use MB": sum(map(_in_use, _of_kind(databases, ".db"))) / MB,
        "database log MB": _sizes(_of_kind(databases, ".db-wal")) / MB,
        "CPU s": cpu_s(pid),
    }


def _of_kind(files: Iterable[Path], suffix: str) -> list[Path]:
    return [file for file in files if file.suffix == suffix]


def _sizes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _in_use(database: Path) -> int:
    """Return the bytes of those pages that hold something."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        pages, free, size = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
    return (pages - free) * size


async def _metrics(http: httpx.AsyncClient) -> str:
    for _ in range(TRIES - 1):
        # The relay ended the idle connection at that very moment, as every HTTP server may.
        with suppress(httpx.TransportError):
            return (await http.get("/metrics")).text
    return (await http.get("/metrics")).text


async def from_inside(http: httpx.AsyncClient) -> tuple[dict[str, float], dict[str, int]]:
    """Return the relay's own figures, and how many streams ended with which outcome."""
    told = await _metrics(http)
    samples = [s for family in text_string_to_metric_families(told) for s in family.samples]
    by_name = {sample.name: sample.value for sample in samples}
    outcomes = {
        sample.labels["outcome"]: int(sample.value)
        for sample in samples
        if sample.name == "relay_streams_total"
    }
    figures = {name: by_name[metric] for name, metric in GAUGES.items()}
    tasks = {s.labels["work"]: s.value for s in samples if s.name == "relay_tasks"}
    figures["tasks"] = sum(tasks.values())
    figures |= {f"{TASKS_IN}{work}": count for work, count in tasks.items()}
    # How long the loop kept others waiting, in seconds since the start.
    figures["lag s"] = by_name["relay_event_loop_lag_seconds_sum"]
    figures["ended"] = sum(outcomes.values())
    return figures, outcomes


async def look(at: float, pid: int, http: httpx.AsyncClient, store: Store) -> Sample:
    """Return everything at once."""
    inside, _ = await from_inside(http)
    return Sample(at, {**from_outside(pid), **inside, "rows": await store.trace_count()})
