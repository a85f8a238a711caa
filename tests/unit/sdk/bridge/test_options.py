from __future__ import annotations

import pytest

from relay_sdk.bridge.endpoint import Endpoint
from relay_sdk.bridge.memory import MemoryLimits
from relay_sdk.bridge.options import ModelOptions, Options, Vision, read_options

RELAY = {"RELAY_TOKEN": "t"}


def model(arguments: str, **environment: str) -> ModelOptions:
    """Return what is read from these words and variables."""
    options = read_options(arguments.split(), {**RELAY, **environment})
    assert options.model is not None
    return options.model


def test_the_environment_says_where_and_as_whom() -> None:
    """RELAY_URL and RELAY_TOKEN are enough for --echo."""
    environment = {"RELAY_URL": "https://relay.example", "RELAY_TOKEN": "t"}
    options = read_options(["--echo", "--echo-delay-ms", "5"], environment)
    assert options == Options("https://relay.example", "t", "", None, 0.005, verbose=False)


def test_the_command_line_wins_over_the_environment() -> None:
    """What was typed last is what is meant."""
    environment = {
        "RELAY_URL": "http://a",
        "RELAY_TOKEN": "a",
        "OPENAI_API_KEY": "a",
        "OPENAI_BASE_URL": "http://a/v1",
        "OPENAI_MODEL": "a",
    }
    typed = "--relay http://b --token b --llm-base-url http://b/v1 --model b --llm-api-key b"
    options = read_options(typed.split(), environment)
    assert (options.relay, options.token) == ("http://b", "b")
    assert options.model == ModelOptions(
        Endpoint("http://b/v1", "b", api_key="b", key_from="--llm-api-key")
    )
    assert read_options(["--url", "http://c", "--echo"], environment).relay == "http://c"


def test_an_endpoint_may_come_from_the_environment_alone() -> None:
    """The variables that other programs use for it."""
    endpoint = model(
        "", OPENAI_BASE_URL="http://a/v1", OPENAI_MODEL="m", OPENAI_API_KEY="k"
    ).endpoint
    assert endpoint == Endpoint("http://a/v1", "m", api_key="k", key_from="OPENAI_API_KEY")
    assert endpoint.api_key == "k"


def test_no_secret_is_in_a_printed_option() -> None:
    """A traceback or a debug log may print them."""
    printed = repr(
        read_options(
            ["--preset", "openai", "--model", "m", "--llm-api-key", "k3y"], {"RELAY_TOKEN": "t0ken"}
        )
    )
    assert "t0ken" not in printed
    assert "k3y" not in printed


def test_openclaw_keeps_the_conversation_itself() -> None:
    """So only the question is sent, and no model has to be named."""
    options = model("--preset openclaw", OPENCLAW_GATEWAY_TOKEN="k")
    assert options.endpoint.model == "openclaw:main"
    assert options.endpoint.api_key == "k"
    assert options.memory == MemoryLimits(turns_max=0)
    assert options.keeps_sessions
    assert model("--preset openclaw --memory-turns 3").memory == MemoryLimits(turns_max=3)


@pytest.mark.parametrize("preset", ["openclaw", "ollama"])
def test_a_key_goes_to_nobody_else(preset: str) -> None:
    """OPENAI_API_KEY and OPENAI_BASE_URL are often set for something else."""
    endpoint = model(
        f"--preset {preset} --model m", OPENAI_API_KEY="k", OPENAI_BASE_URL="https://x/v1"
    ).endpoint
    assert endpoint.api_key == ""
    assert endpoint.is_here


def test_everything_about_the_model_can_be_said() -> None:
    """Prompt, pictures, tools and memory."""
    typed = "--preset ollama --model m --vision off --device-tools take_photo,take_navigation,"
    options = model(f"{typed} --memory-turns 4 --system-prompt Brief.")
    assert options.system_prompt == "Brief."
    assert options.vision is Vision.OFF
    assert options.tools == ("take_photo", "take_navigation")
    assert options.memory.turns_max == 4


@pytest.mark.parametrize(
    ("typed", "environment", "told"),
    [
        ("--echo", {}, "RELAY_TOKEN or --token"),
        ("", RELAY, "--preset, --llm-base-url or --echo"),
        ("--model m", RELAY, "--preset, --llm-base-url or --echo"),
        ("--preset ollama", RELAY, "say which model of http://127.0.0.1:11434/v1"),
        ("--llm-base-url http://a/v1", RELAY, "say which model of http://a/v1"),
        ("--llm-base-url a/v1 --model m", RELAY, "must begin with http"),
        ("--preset openai --model m", RELAY, "a key is needed: OPENAI_API_KEY"),
        ("--preset lobster", RELAY, "invalid choice"),
        ("--preset ollama --model m --vision maybe", RELAY, "invalid choice"),
        ("--preset ollama --model m --device-tools fly", RELAY, "there is no tool 'fly'"),
        ("--preset ollama --model m --memory-turns -1", RELAY, "not a number of turns"),
        ("--preset ollama --model m --memory-turns all", RELAY, "not a number of turns"),
    ],
)
def test_a_command_line_that_cannot_work_is_explained(
    typed: str, environment: dict[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the message names the option."""
    with pytest.raises(SystemExit) as exit_info:
        read_options(typed.split(), environment)
    assert exit_info.value.code == 2
    assert told in capsys.readouterr().err


def test_the_help_recommends_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    """A command line can be read by everybody."""
    with pytest.raises(SystemExit) as exit_info:
        read_options(["--help"], RELAY)
    assert exit_info.value.code == 0
    help_text = " ".join(capsys.readouterr().out.split())
    assert "Keep secrets in the environment: RELAY_TOKEN" in help_text
    assert "--url URL" in help_text
