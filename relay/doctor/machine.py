"""The clock of this machine, and what it grants a process that holds many connections."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path
from typing import Final

from relay.doctor.finding import Finding, failure, fine, unseen, warning
from relay.limits.door import SPARE

CLOCK: Final = "clock"
LIMITS: Final = "limits"

WATCHED_S: Final = 0.25
"""How long the two clocks are compared."""

STEP_S: Final = 0.05
"""By more than this they part only where somebody sets the wall clock."""

RESOLUTION_S: Final = 0.01
"""A coarser clock makes the holds of the end barrier inexact."""

SET_SINCE: Final = 1_735_689_600.0
"""2025: a clock before it was never set."""

OFFSET_WARN_S: Final = 1.0
OFFSET_FAIL_S: Final = 60.0
"""How far the database's clock may be from ours: bindings and tickets expire by the clock."""

DESCRIPTORS_FEW: Final = 256
DESCRIPTORS_ENOUGH: Final = 8192

RESERVED_DESCRIPTORS: Final = 64
"""The database, the broker, logs, the interpreter's own."""

BACKLOG: Final = 2048
"""How many connections uvicorn lets wait to be accepted, if the kernel grants it."""

SOMAXCONN: Final = Path("/proc/sys/net/core/somaxconn")


async def look_at_clock() -> list[Finding]:
    """Compare the wall clock with the monotonic one for a moment."""
    wall, monotonic = time.time(), time.monotonic()
    await asyncio.sleep(WATCHED_S)
    parted = (time.time() - wall) - (time.monotonic() - monotonic)
    resolution = time.get_clock_info("monotonic").resolution
    return judge_clock(wall=wall, parted_s=parted, resolution_s=resolution)


def judge_clock(*, wall: float, parted_s: float, resolution_s: float) -> list[Finding]:
    """Judge the wall clock, by how much it parted from the monotonic one, and that one's steps."""
    found = []
    if wall < SET_SINCE:
        found.append(
            failure(CLOCK, "the wall clock was never set", "start NTP: `timedatectl set-ntp true`")
        )
    if abs(parted_s) > STEP_S:
        found.append(
            warning(
                CLOCK,
                f"the wall clock moved by {parted_s:+.3f} s in {WATCHED_S:g} s",
                "find out who sets it; open streams go by the monotonic clock, traces do not",
            )
        )
    if resolution_s > RESOLUTION_S:
        found.append(
            warning(
                CLOCK,
                f"the monotonic clock counts steps of {resolution_s * 1000:g} ms",
                "look at the machine's clock source: the end of a stream is held by this clock",
            )
        )
    return found or [
        fine(CLOCK, f"wall and monotonic clock agree; steps of {resolution_s * 1e9:.0f} ns")
    ]


def judge_offset(offset_s: float, whose: str) -> Finding:
    """Judge by how much another clock is ahead of ours."""
    what = f"the clock of {whose} is {abs(offset_s):.1f} s {'ahead' if offset_s > 0 else 'behind'}"
    mend = "run NTP on both machines; what expires, expires early or late by that much"
    if abs(offset_s) > OFFSET_FAIL_S:
        return failure(CLOCK, what, mend)
    if abs(offset_s) > OFFSET_WARN_S:
        return warning(CLOCK, what, mend)
    return fine(CLOCK, f"the clock of {whose} agrees")


def look_at_limits() -> list[Finding]:
    """Look at what this shell grants; a service may be granted something else."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        granted = int(SOMAXCONN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        granted = None
    return [judge_descriptors(soft, hard), judge_backlog(granted)]


def look_at_connections(connections_max: int) -> list[Finding]:
    """Look whether this shell grants what the relay lets in; 0: as many as come."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return judge_connections(soft, connections_max)


def judge_descriptors(soft: int, hard: int) -> Finding:
    """Judge how many descriptors a process may open: each device and each bot takes one."""
    if soft == resource.RLIM_INFINITY:
        return fine(LIMITS, "open files without a limit")
    what = (
        f"{soft} open files: about {max(0, soft - RESERVED_DESCRIPTORS)} devices and bots at once"
    )
    if soft >= DESCRIPTORS_ENOUGH:
        return fine(LIMITS, what)
    allowed = hard == resource.RLIM_INFINITY or hard >= DESCRIPTORS_ENOUGH
    here = f"`ulimit -n {DESCRIPTORS_ENOUGH}`" if allowed else "the hard limit, as root"
    mend = f"raise it: {here}; for a systemd service LimitNOFILE=65536"
    return (failure if soft < DESCRIPTORS_FEW else warning)(LIMITS, what, mend)


def judge_connections(soft: int, connections_max: int) -> list[Finding]:
    """Judge whether the relay refuses connections before it has no file for them.

    Fewer files than `DESCRIPTORS_ENOUGH` are told of already.
    """
    room = soft - RESERVED_DESCRIPTORS - SPARE
    if soft < DESCRIPTORS_ENOUGH or 0 < connections_max <= room:
        return []
    return [
        warning(
            LIMITS,
            f"RELAY_CONNECTIONS_MAX is {connections_max}, which {soft} open files are too few for: "
            "beyond them a caller is not told 503 but nothing",
            f"raise the limit of open files, or set RELAY_CONNECTIONS_MAX to at most {room}",
        )
    ]


def judge_backlog(granted: int | None) -> Finding:
    """Judge how many connections may wait to be accepted: after a restart all come back at once."""
    if granted is None:
        return unseen(LIMITS, "this system does not say how many connections may wait")
    what = f"{min(granted, BACKLOG)} connections may wait to be accepted"
    if granted >= BACKLOG:
        return fine(LIMITS, what)
    return warning(
        LIMITS,
        f"{what}, and the relay asks for {BACKLOG}",
        f"`sysctl -w net.core.somaxconn={2 * BACKLOG}`: after a restart all bots come at once",
    )
