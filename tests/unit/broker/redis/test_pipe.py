from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from relay.broker.redis.pipe import Confirmation, Pipe
from relay.broker.redis.scripts import load_scripts
from relay.broker.redis.shards import Endpoint
from relay.errors import BrokerUnavailable
from tests.support.ports import free_port
from tests.support.redis import RedisServer, new_prefix
from tests.support.wire import Wire

pytestmark = pytest.mark.needs("redis-server")

TIMEOUT_S = 5
SCRIPTS = load_scripts()


class Counted:
    """A client that notes how many commands each of its pipelines has."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.batches: list[list[str]] = []

    def pipeline(self, *, transaction: bool) -> Any:
        assert not transaction
        pipeline = self._client.pipeline(transaction=False)
        batch: list[str] = []
        self.batches.append(batch)
        execute_command = pipeline.execute_command

        def noted(*args: Any) -> Any:
            batch.append(str(args[0]))
            return execute_command(*args)

        pipeline.execute_command = noted  # type: ignore[method-assign]
        return pipeline

    async def aclose(self) -> None:
        await self._client.aclose()


class Troubles:
    """How often something failed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@asynccontextmanager
async def a_pipe(
    url: str, confirmation: Confirmation | None = None
) -> AsyncIterator[tuple[Pipe, Counted, Troubles]]:
    """A pipe, its client, and a count of its failures."""
    client = Counted(Endpoint(url).client(reply_timeout_s=TIMEOUT_S))
    troubles = Troubles()
    pipe = Pipe(cast("Redis", client), troubled=troubles, confirmation=confirmation)
    try:
        yield pipe, client, troubles
    finally:
        await pipe.close()


async def test_what_is_called_in_one_tick_travels_in_one_pipeline(
    redis_server: RedisServer,
) -> None:
    """One write and one read of a socket for all of them, and each has its own reply."""
    async with a_pipe(redis_server.url) as (pipe, client, troubles):
        key = new_prefix()
        replies = await asyncio.gather(*(pipe.call("HINCRBY", key, "n", 1) for _ in range(50)))
        assert replies == list(range(1, 51))
        assert [len(batch) for batch in client.batches] == [50]
        assert troubles.count == 0


async def test_calls_that_come_meanwhile_gather(own_redis: RedisServer) -> None:
    """They wait for one round trip, and then go together."""
    async with a_pipe(own_redis.url) as (pipe, client, _):
        await pipe.call("PING")
        with own_redis.paused():
            calls = [pipe.call("ECHO", "first")]
            await asyncio.sleep(0.01)
            for number in range(9):
                calls.append(pipe.call("ECHO", str(number)))
                await asyncio.sleep(0)
        assert await asyncio.gather(*calls) == [b"first", *(b"%d" % n for n in range(9))]
        assert [len(batch) for batch in client.batches] == [1, 1, 9]


async def test_an_error_is_its_own_calls_alone(redis_server: RedisServer) -> None:
    """The others of the same pipeline are done. What people said is not in the message."""
    async with a_pipe(redis_server.url) as (pipe, _, troubles):
        key = new_prefix()
        await pipe.call("SET", key, "text")
        before = pipe.call("ECHO", "before")
        broken = pipe.call("HSET", key, "field", "canary")
        after = pipe.call("ECHO", "after")
        with pytest.raises(BrokerUnavailable, match="WRONGTYPE") as caught:
            await broken
        assert (await before, await after) == (b"before", b"after")
        assert "canary" not in str(caught.value)
        assert troubles.count == 1


async def test_a_script_that_the_server_does_not_know_is_sent_whole(
    own_redis: RedisServer,
) -> None:
    """Once; then its hash is enough, until the server is restarted."""
    async with a_pipe(own_redis.url) as (pipe, client, troubles):
        for is_new in (1, 0):
            reply = await pipe.run(SCRIPTS.alive, [b"nodes"], ["node", 1000])
            assert reply == is_new
        assert client.batches == [["EVALSHA"], ["EVAL"], ["EVALSHA"]]
        own_redis.command("SCRIPT", "FLUSH")
        calls = [pipe.run(SCRIPTS.alive, [b"nodes"], [f"node{n}", 1000]) for n in range(3)]
        assert await asyncio.gather(*calls, pipe.call("ECHO", "x")) == [1, 1, 1, b"x"]
        assert client.batches[3:] == [["EVALSHA"] * 3 + ["ECHO"], ["EVAL"] * 3]
        assert troubles.count == 0


async def test_a_call_whose_reply_is_lost_is_never_sent_again(redis_server: RedisServer) -> None:
    """It was done once, and whoever asked is told that nobody knows."""
    key = new_prefix()
    async with Wire(redis_server.port) as wire, a_pipe(wire.url) as (pipe, _, troubles):
        await pipe.call("PING")
        wire.mute = True
        lost = [pipe.call("HINCRBY", key, "n", 1) for _ in range(3)]
        async with asyncio.timeout(TIMEOUT_S):
            while redis_server.command("HGET", key, "n") != "3":  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        waiting = pipe.call("HINCRBY", key, "n", 1)
        wire.cut()
        for call in (*lost, waiting):
            with pytest.raises(BrokerUnavailable, match="Redis"):
                await call
        assert troubles.count == 1
        wire.mute = False
        assert await pipe.call("HGET", key, "n") == b"3"


async def test_a_server_that_does_not_answer_fails_its_calls_in_time(
    own_redis: RedisServer,
) -> None:
    """And when it goes on, so does the pipe; what was given up may still be done, once."""
    client = Endpoint(own_redis.url).client(reply_timeout_s=0.2)
    pipe = Pipe(client, troubled=Troubles())
    assert await pipe.call("HINCRBY", "key", "n", 1) == 1
    with own_redis.paused(), pytest.raises(BrokerUnavailable, match="Timeout"):
        await pipe.call("HINCRBY", "key", "n", 1)
    assert await pipe.call("HINCRBY", "key", "n", 1) in (2, 3)
    await pipe.close()


async def test_a_server_that_is_not_there_fails_at_once() -> None:
    """And nothing is thrown at whoever does not wait for the outcome."""
    async with a_pipe(f"redis://127.0.0.1:{free_port()}") as (pipe, _, troubles):
        pipe.tell("PING")
        with pytest.raises(BrokerUnavailable, match="ConnectionError"):
            await pipe.call("PING")
        assert troubles.count == 1


async def test_too_few_replicas_fail_every_write(own_redis: RedisServer) -> None:
    """Though it was written: an ACK would promise more than is true."""
    async with a_pipe(own_redis.url, Confirmation(1, 0.05)) as (pipe, client, _):
        calls = [pipe.call("HINCRBY", "key", "n", 1) for _ in range(2)]
        for call in calls:
            with pytest.raises(BrokerUnavailable, match="0 of 1 replicas"):
                await call
        assert client.batches == [["HINCRBY", "HINCRBY", "WAIT"]]
        assert own_redis.command("HGET", "key", "n") == "2"


async def test_a_replica_that_has_it_confirms_a_write(
    own_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Then, and not before; a script that was not known is confirmed too."""
    own_redis.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    replica = RedisServer(
        tmp_path_factory.mktemp("replica"), "--replicaof", f"127.0.0.1 {own_redis.port}"
    )
    replica.start()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while "state=online" not in own_redis.command("INFO", "replication"):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        async with a_pipe(own_redis.url, Confirmation(1, TIMEOUT_S)) as (pipe, client, _):
            assert await pipe.run(SCRIPTS.alive, [b"nodes"], ["node", 1000]) == 1
            assert replica.command("HGET", "nodes", "node").isdecimal()
            assert client.batches == [["EVALSHA", "WAIT"], ["EVAL", "WAIT"]]
            with replica.paused():
                confirmed = pipe.call("HSET", "key", "n", 1)
                done, _ = await asyncio.wait({confirmed}, timeout=0.2)
                assert not done
            assert await confirmed == 1
    finally:
        replica.kill()


async def test_a_pipe_that_is_closed_takes_nothing_more(redis_server: RedisServer) -> None:
    """What was under way is done first."""
    async with a_pipe(redis_server.url) as (pipe, _, _):
        last = pipe.call("ECHO", "last")
        await pipe.close()
        assert await last == b"last"
        with pytest.raises(BrokerUnavailable, match="closed"):
            await pipe.call("PING")


async def test_who_gave_up_waiting_does_not_stop_the_others(redis_server: RedisServer) -> None:
    """A write is never cut in the middle: its call goes on without them."""
    key = new_prefix()
    async with a_pipe(redis_server.url) as (pipe, _, _):
        calls = [pipe.call("HINCRBY", key, "n", 1) for _ in range(3)]
        await asyncio.sleep(0)
        calls[1].cancel()
        assert (await calls[0], await calls[2]) == (1, 3)
