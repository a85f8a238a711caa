from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from relay.broker.redis import scripts as module
from relay.broker.redis.scripts import load_scripts
from tests.support.redis import RedisServer


def test_every_script_beside_the_code_is_loaded_and_used() -> None:
    """None is left behind when the code changes."""
    folder = Path(module.__file__).parent
    loaded = {item.name for item in fields(load_scripts())}
    assert loaded == {path.stem for path in folder.glob("*.lua")}
    used = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    assert [name for name in loaded if f"_scripts.{name}" not in used] == []


@pytest.mark.needs("redis-server")
def test_a_script_is_known_by_the_hash_that_redis_gives_it(redis_server: RedisServer) -> None:
    """And each compiles."""
    loaded = load_scripts()
    for item in fields(loaded):
        script = getattr(loaded, item.name)
        assert redis_server.command("SCRIPT", "LOAD", script.source.decode()) == script.sha


def test_every_script_says_what_its_arguments_are() -> None:
    """At its top: Lua names none of them."""
    loaded = load_scripts()
    for item in fields(loaded):
        top = getattr(loaded, item.name).source.decode().splitlines()[:6]
        assert top[0].startswith("-- ")
        assert any(line.startswith("-- KEYS: ") for line in top)
