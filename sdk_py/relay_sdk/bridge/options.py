"""The command line and the environment of `relay-bot`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from relay_sdk.bridge.device_tools import DEVICE_TOOLS
from relay_sdk.bridge.endpoint import OTHER, PRESETS, Endpoint, Preset
from relay_sdk.bridge.memory import MemoryLimits
from relay_sdk.reply import ToolCommand


class Vision(StrEnum):
    """Whether the model is shown pictures."""

    AUTO = "auto"
    """Yes, and without them where the endpoint does not take them."""
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Who answers, and how it is asked."""

    endpoint: Endpoint
    system_prompt: str = ""
    vision: Vision = Vision.AUTO
    tools: tuple[ToolCommand, ...] = ()
    """The device tools that the model may call."""
    memory: MemoryLimits = field(default_factory=MemoryLimits)
    keeps_sessions: bool = False
    """Whether the endpoint keeps the conversation itself, by `user`."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the owner asked for."""

    relay: str
    token: str = field(repr=False)
    bot_id: str
    model: ModelOptions | None
    """None: echo."""
    echo_delay_s: float
    verbose: bool


def read_options(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Options:
    """Return the options. Raises `SystemExit` (2) with a line that says what is missing."""
    parser = _parser()
    given = parser.parse_args(arguments)
    token = given.token or environment.get("RELAY_TOKEN", "")
    if not token:
        parser.error("a token is needed: RELAY_TOKEN or --token, from `relay bot add NAME`")
    return Options(
        relay=given.relay or environment.get("RELAY_URL") or "http://127.0.0.1:8080",
        token=token,
        bot_id=given.bot_id,
        model=None if given.echo else _model(parser, given, environment),
        echo_delay_s=given.echo_delay_ms / 1000,
        verbose=given.verbose,
    )


def _model(
    parser: argparse.ArgumentParser, given: argparse.Namespace, environment: Mapping[str, str]
) -> ModelOptions:
    preset = PRESETS.get(given.preset or "", OTHER)
    # A preset's address wins over the environment: the variable is often set for something else.
    base_url = given.llm_base_url or preset.base_url or environment.get("OPENAI_BASE_URL", "")
    model = given.model or preset.model or environment.get("OPENAI_MODEL", "")
    if not base_url:
        parser.error("say who answers: --preset, --llm-base-url or --echo")
    if not base_url.startswith(("http://", "https://")):
        parser.error("--llm-base-url must begin with http:// or https://")
    if not model:
        parser.error(f"say which model of {base_url} answers: --model")
    turns_max = given.memory_turns
    if turns_max is None:
        turns_max = 0 if preset.keeps_sessions else MemoryLimits().turns_max
    return ModelOptions(
        endpoint=_endpoint(parser, given, environment, preset, base_url, model),
        system_prompt=given.system_prompt,
        vision=Vision(given.vision),
        tools=given.device_tools,
        memory=MemoryLimits(turns_max=turns_max),
        keeps_sessions=preset.keeps_sessions,
    )


def _endpoint(
    parser: argparse.ArgumentParser,
    given: argparse.Namespace,
    environment: Mapping[str, str],
    preset: Preset,
    base_url: str,
    model: str,
) -> Endpoint:
    # Each preset reads its own variable, so that no key goes to whom it does not belong.
    variable = preset.key_variable
    api_key = given.llm_api_key or (environment.get(variable, "") if variable else "")
    if given.preset == "openai" and not api_key:
        parser.error(f"a key is needed: {variable} or --llm-api-key")
    return Endpoint(
        base_url=base_url,
        model=model,
        api_key=api_key,
        key_from="--llm-api-key" if given.llm_api_key else variable or "--llm-api-key",
        is_it_running=preset.is_it_running,
        what_404_means=preset.what_404_means,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="relay-bot",
        description="Answers the relay's questions with a model, or with --echo.",
        epilog="Keep secrets in the environment: RELAY_TOKEN for --token, and OPENAI_API_KEY "
        "(openclaw: OPENCLAW_GATEWAY_TOKEN) for --llm-api-key. A command line can be read by "
        "everybody on the machine. RELAY_URL, OPENAI_BASE_URL and OPENAI_MODEL stand in for "
        "--relay, --llm-base-url and --model.",
    )
    add = parser.add_argument
    add("--relay", "--url", metavar="URL", help="default http://127.0.0.1:8080")
    add("--token", metavar="T", help="better RELAY_TOKEN; from `relay bot add NAME`")
    add("--bot-id", default="", metavar="ID", help="checked by the relay against the token")
    add("--preset", choices=sorted(PRESETS), help="address and habits of a well-known endpoint")
    add("--llm-base-url", metavar="URL", help="for example http://127.0.0.1:8000/v1")
    add("--llm-api-key", metavar="KEY", help="better OPENAI_API_KEY")
    add("--model", metavar="M", help="as the endpoint calls it")
    add("--system-prompt", default="", metavar="TEXT")
    add(
        "--vision",
        choices=list(Vision),
        default=Vision.AUTO,
        help="show the model pictures; auto: and ask without them where it cannot see",
    )
    add(
        "--device-tools",
        type=_tools,
        default=(),
        metavar="NAMES",
        help=f"what the model may have the glasses do, with commas: {', '.join(DEVICE_TOOLS)}",
    )
    add(
        "--memory-turns",
        type=_count,
        metavar="N",
        help="turns kept of each conversation; default 20, openclaw 0 as it keeps them itself",
    )
    add("--echo", action="store_true", help="answer with the words of the question")
    add("--echo-delay-ms", type=float, default=35.0, metavar="MS", help="between two words")
    add("--verbose", action="store_true")
    return parser


def _tools(text: str) -> tuple[ToolCommand, ...]:
    names = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := names.difference(DEVICE_TOOLS):
        raise argparse.ArgumentTypeError(
            f"there is no tool {min(unknown)!r}; there are {', '.join(DEVICE_TOOLS)}"
        )
    return tuple(tool for tool in DEVICE_TOOLS if tool in names)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of turns")
    return int(text)
