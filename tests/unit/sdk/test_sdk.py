"""The package itself: what it offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import relay_sdk


def test_every_public_name_is_there() -> None:
    """Also those that are imported on demand."""
    for name in relay_sdk.__all__:
        found = getattr(relay_sdk, name)
        assert getattr(found, "__name__", name) == name
    assert relay_sdk.__all__ == sorted(relay_sdk.__all__)


def test_another_name_is_an_attribute_error() -> None:
    """As of every module."""
    name = "Botty"
    with pytest.raises(AttributeError, match="'Botty'"):
        getattr(relay_sdk, name)


def test_a_bot_imports_only_what_a_bot_needs() -> None:
    """No socket yet, no device, no fake relay, no threads for the sync face, no model's library."""
    program = "import relay_sdk, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "relay_sdk.client" in loaded
    idle = ["answer", "bridge", "connection", "device", "device_events", "fetch", "http1", "sync"]
    assert not loaded & {f"relay_sdk.{name}" for name in [*idle, "testing"]}
    assert not loaded & {"httpx", "openai", "relay.node", "relay.web", "starlette", "websockets"}


def test_a_bot_is_made_with_all_that_it_connects_with() -> None:
    """So nothing is imported later, in a loop that runs."""
    program = (
        "from relay_sdk import Bot; import sys; Bot('http://127.0.0.1', 'token');"
        "sys.exit('websockets.asyncio.client' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
