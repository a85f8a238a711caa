from __future__ import annotations

import pytest

from relay_sdk.bridge.endpoint import PRESETS, Endpoint


def test_an_endpoint_is_printed_without_secrets() -> None:
    """Neither the key nor what may stand in its URL."""
    endpoint = Endpoint("https://ada:secret@llm.example/v1?key=secret", "m", api_key="secret")
    assert str(endpoint) == "https://llm.example/v1"
    assert "secret" not in repr(Endpoint("https://llm.example/v1", "m", api_key="secret"))


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:11434/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:8000/v1", True),
        ("https://llm.example/v1", False),
        ("https://127.0.0.1.example/v1", False),
    ],
)
def test_an_endpoint_knows_whether_it_is_on_this_machine(url: str, *, here: bool) -> None:
    """By its host name alone."""
    assert Endpoint(url, "m").is_here is here


def test_presets_are_the_documented_ones() -> None:
    """Addresses and the model of docs/relay-bot.md."""
    assert {name: preset.base_url for name, preset in PRESETS.items()} == {
        "openclaw": "http://127.0.0.1:18789/v1",
        "ollama": "http://127.0.0.1:11434/v1",
        "openai": "https://api.openai.com/v1",
    }
    assert PRESETS["openclaw"].model == "openclaw:main"
    assert [name for name, preset in PRESETS.items() if preset.keeps_sessions] == ["openclaw"]
