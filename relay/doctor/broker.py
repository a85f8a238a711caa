"""The broker: what it is, whether it answers, and what it may lose."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from relay.doctor.finding import Finding, failure, fine, unseen, warning
from relay.settings_parsed import without_password

BROKER: Final = "broker"

VERSION_MIN: Final = (6, 2)
"""Before it, scripts could not read the time and then write."""

ANSWER_S: Final = 3.0
SLOW_S: Final = 0.01
NEARLY_FULL: Final = 0.8


async def look_at_broker(url: str, *, wait_replicas: int = 0) -> list[Finding]:
    """Look at the broker at this URL, whose ACKs wait for so many replicas."""
    if url == "memory://":
        return [
            fine(
                BROKER,
                "stream logs live in the relay's memory: one process, and after a restart open "
                "streams go on only where their bots speak protocol 2 and send again",
            )
        ]
    return await _redis(url, wait_replicas)


async def _redis(url: str, wait_replicas: int) -> list[Finding]:
    shown = without_password(url)
    try:
        client: Redis = Redis.from_url(
            url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, decode_responses=True
        )
    except ValueError as error:
        return [failure(BROKER, f"{shown}: {error}", "correct RELAY_BROKER_URL")]
    try:
        info = await client.info("everything")
        began = time.monotonic()
        await client.echo("relay")
        took_s = time.monotonic() - began
    except (RedisError, OSError) as error:
        why = str(error) or type(error).__name__
        return [failure(BROKER, f"{shown}: {why}", "start Redis, or correct RELAY_BROKER_URL")]
    finally:
        await client.aclose()
    told = {str(key): str(value) for key, value in info.items()}
    return [*judge_redis(told, took_s), *judge_replicas(told, wait_replicas)]


def judge_redis(info: Mapping[str, str], took_s: float) -> list[Finding]:
    """Judge what `INFO` says, and how long a ping took."""
    version = info.get("redis_version", "")
    answers = f"Redis {version or 'of an unknown version'} answers in {took_s * 1000:.1f} ms"
    found = [fine(BROKER, answers)]
    if took_s > SLOW_S:
        mend = "put it nearer: every chunk is written there before it is acknowledged"
        found = [warning(BROKER, answers, mend)]
    if version and _numbers(version) < VERSION_MIN:
        wanted = ".".join(map(str, VERSION_MIN))
        found.append(failure(BROKER, f"Redis {version} is too old", f"use {wanted} or newer"))
    if info.get("role") in {"slave", "replica"}:
        found.append(failure(BROKER, "it is a replica and takes no writes", "name the primary"))
    return [*found, *_memory(info), _durability(info)]


def judge_replicas(info: Mapping[str, str], wanted: int) -> list[Finding]:
    """Judge whether an ACK can have what it waits for, and whether all was looked at."""
    found = []
    here = int(info.get("connected_slaves", "0"))
    if wanted > here:
        found.append(
            failure(
                BROKER,
                f"an ACK waits for {wanted} replicas, and {here} are connected: no chunk is taken",
                "start replicas, or lower RELAY_REDIS_WAIT_REPLICAS",
            )
        )
    if info.get("redis_mode") == "cluster":
        found.append(
            unseen(BROKER, "only one node of the cluster was looked at", "name the others in turn")
        )
    return found


def _memory(info: Mapping[str, str]) -> list[Finding]:
    if "maxmemory" not in info:
        return [
            unseen(BROKER, "it does not say how much memory it may take", "`CONFIG GET maxmemory*`")
        ]
    limit, used = int(info["maxmemory"]), int(info.get("used_memory", "0"))
    if not limit:
        return [fine(BROKER, "memory without a limit, and nothing is evicted")]
    found = []
    policy = info.get("maxmemory_policy", "")
    if policy != "noeviction":
        found.append(
            failure(
                BROKER,
                f"maxmemory-policy is {policy}: under pressure, logs of open streams vanish",
                "`CONFIG SET maxmemory-policy noeviction`, and in redis.conf",
            )
        )
    what = f"{used / limit:.0%} of its memory is in use"
    if used > NEARLY_FULL * limit:
        found.append(warning(BROKER, what, "raise maxmemory, or lower RELAY_RETENTION_SECONDS"))
    return found or [fine(BROKER, f"noeviction, {what}")]


def _durability(info: Mapping[str, str]) -> Finding:
    if "aof_enabled" not in info:
        return unseen(BROKER, "it does not say what it keeps", "`CONFIG GET appendonly`")
    if info["aof_enabled"] != "1":
        return warning(
            BROKER,
            "appendonly is off: what was acknowledged is lost when Redis is killed",
            "`CONFIG SET appendonly yes`, and in redis.conf",
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        return failure(BROKER, "it cannot write its append-only file", "look at its disk")
    return fine(BROKER, "appendonly is on")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
