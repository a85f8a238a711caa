"""Where the model is, and what is known about the usual places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Preset:
    """What a well-known endpoint needs, so that one word is enough."""

    base_url: str
    model: str = ""
    """Empty where the owner has to choose one."""
    key_variable: str = ""
    """The environment variable that holds the key; empty where none is needed."""
    keeps_sessions: bool = False
    """Whether the endpoint remembers conversations itself, by `user`. Then only the question is
    sent, or it would read everything twice."""
    is_it_running: str = ""
    what_404_means: str = ""


PRESETS: Mapping[str, Preset] = {
    "openclaw": Preset(
        base_url="http://127.0.0.1:18789/v1",
        model="openclaw:main",
        key_variable="OPENCLAW_GATEWAY_TOKEN",
        keeps_sessions=True,
        is_it_running="is the OpenClaw gateway running?",
        what_404_means="set gateway.http.endpoints.chatCompletions.enabled to true; ",
    ),
    "ollama": Preset(
        base_url="http://127.0.0.1:11434/v1",
        is_it_running="is Ollama running? start it with `ollama serve`",
        what_404_means="`ollama list` shows what is there, `ollama pull` fetches more; ",
    ),
    "openai": Preset(base_url="https://api.openai.com/v1", key_variable="OPENAI_API_KEY"),
}

OTHER = Preset(base_url="", key_variable="OPENAI_API_KEY")
"""An endpoint that is given by its URL alone."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model at one address."""

    base_url: str
    """Ends in /v1 nearly everywhere."""
    model: str
    api_key: str = field(default="", repr=False)
    key_from: str = "the key"
    """Where the owner gave the key."""
    is_it_running: str = ""
    what_404_means: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it is on this machine."""
        return urlsplit(self.base_url).hostname in LOOPBACK

    def __str__(self) -> str:
        """Return the address without what may be secret in it."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
