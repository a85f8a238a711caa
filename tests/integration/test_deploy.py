"""The files of deploy/ against the code: no command, setting, path or port in them is made up."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.routing import compile_path
from typer.testing import CliRunner

from relay.app import open_relay
from relay.cli import app
from relay.settings import Settings
from relay.web.body import BODY_DEADLINE_S, BODY_MAX_BYTES
from tests.support.server import RelayServer

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
GIVEN = {"POSTGRES_PASSWORD": "p" * 64, "RELAY_SECRET": "s" * 64, "SITE": "relay.example.com"}
"""What the operator sets for compose.yaml."""

Object = dict[str, Any]


def text_of(name: str) -> str:
    """One of the files."""
    return (DEPLOY / name).read_text(encoding="utf-8")


def compose() -> Object:
    """compose.yaml, with what the operator sets put in."""

    def given(match: re.Match[str]) -> str:
        return GIVEN[match[1]]

    return dict(yaml.safe_load(re.sub(r"\$\{(\w+):\?[^}]*\}", given, text_of("compose.yaml"))))


def relays() -> Mapping[str, Object]:
    """The services that run the relay's image and serve."""
    services = compose()["services"].items()
    return {name: one for name, one in services if name.startswith("relay-")}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's lines: the word and what follows it."""
    lines = re.sub(r"\\\n\s*", "", text_of("Dockerfile")).splitlines()
    parts = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in parts]


def unit() -> dict[str, list[str]]:
    """The systemd unit: every value of every key."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", text_of("relay.service"), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def seconds(value: str) -> float:
    """A time as the files write it, `20s` or `25`."""
    return float(value.removesuffix("s"))


# --- commands and settings ------------------------------------------------------------------------


def commands() -> list[list[str]]:
    """Every command line of the relay in the files, without the program's name."""
    entry = [json.loads(rest) for word, rest in instructions() if word in {"ENTRYPOINT", "CMD"}]
    assert entry[-2] == ["relay"]
    started = unit()["ExecStart"][0].split()
    assert Path(started[0]).name == "relay"
    migrate = compose()["services"]["migrate"]["command"]
    return [entry[-1], started[1:], list(migrate)]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_one_of_the_relay(words: list[str]) -> None:
    """`relay serve` and `relay db upgrade` exist."""
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0
    assert f"Usage: relay {' '.join(words)} [OPTIONS]" in done.output


@pytest.mark.parametrize(
    "path",
    [*sorted(DEPLOY.iterdir()), ROOT / "docs" / "deployment.md"],
    ids=lambda path: path.name,
)
def test_every_setting_that_a_file_names_exists(path: Path) -> None:
    """A relay refuses to start with a `RELAY_*` that it does not know."""
    known = {f"RELAY_{item.name.upper()}" for item in fields(Settings)}
    assert set(re.findall(r"\bRELAY_[A-Z_]+\b", path.read_text())) <= known


def test_the_relays_of_compose_start_with_what_they_are_given() -> None:
    """All of them with the same settings, of which none is refused."""
    environments = [dict(one["environment"]) for one in relays().values()]
    assert len(environments) == 2
    assert environments[0] == environments[1]
    settings = Settings.from_environment(environments[0])
    assert settings.secret == GIVEN["RELAY_SECRET"]
    assert settings.broker_url == "redis://redis:6379/0"
    assert settings.database_url.endswith(f"{GIVEN['POSTGRES_PASSWORD']}@postgres:5432/relay")


def test_a_stop_outlasts_the_drain() -> None:
    """Whoever kills earlier cuts answers off."""
    for one in relays().values():
        settings = Settings.from_environment(one["environment"])
        assert seconds(one["stop_grace_period"]) > settings.drain_seconds + 5
    assert seconds(unit()["TimeoutStopSec"][0]) > Settings().drain_seconds + 5


# --- names, ports and paths -----------------------------------------------------------------------


def test_compose_names_only_what_it_has() -> None:
    """Services that wait for each other, volumes, hosts, and the network of the proxy."""
    whole = compose()
    services = whole["services"]
    for one in services.values():
        assert set(one.get("depends_on", ())) <= set(services)
        named = {volume.partition(":")[0] for volume in one.get("volumes", ())}
        for volume in named:
            assert volume in whole["volumes"] or (DEPLOY / volume).is_file()
    nodes = services["caddy"]["environment"]["NODES"].split()
    assert sorted(nodes) == [f"{name}:8080" for name in sorted(relays())]
    for url in ("RELAY_BROKER_URL", "RELAY_DATABASE_URL"):
        host = services["relay-1"]["environment"][url].rpartition("@")[2].split("//")[-1]
        assert host.partition(":")[0] in services
    (network,) = whole["networks"]["default"]["ipam"]["config"]
    assert services["relay-1"]["environment"]["RELAY_TRUSTED_PROXIES"] == network["subnet"]
    assert [name for name, one in services.items() if "ports" in one] == ["caddy"]


def test_images_are_plain_names_with_a_version() -> None:
    """No registry's host, and nothing that is another program tomorrow."""
    images = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    images += [one["image"] for one in compose()["services"].values()]
    for image in images:
        assert re.fullmatch(r"relay-stream|[a-z]+:[\w.-]*\d[\w.-]*", image), image


def test_the_image_has_what_it_copies_and_listens_where_it_says() -> None:
    """Sources that exist and are sent, an extra that exists, one port everywhere, no root."""
    sent = {line[1:] for line in text_of("Dockerfile.dockerignore").splitlines() if line[:1] == "!"}
    copied: set[str] = set()
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            copied |= set(rest.split()[:-1])
    assert copied == sent
    assert all((ROOT / name).exists() for name in copied)
    project = (ROOT / "pyproject.toml").read_text()
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', text_of("Dockerfile"))
    assert all(f"\n{extra} = [" in project for extra in extras.split(","))
    words = dict(instructions())
    assert words["EXPOSE"] == re.findall(r"RELAY_PORT=(\d+)", text_of("Dockerfile"))[0]
    assert int(words["EXPOSE"]) == Settings().port
    assert int(words["USER"]) > 0


def health_check() -> list[str]:
    """The image's own look at its relay."""
    (rest,) = [rest for word, rest in instructions() if word == "HEALTHCHECK"]
    command: list[str] = json.loads(rest.partition("CMD ")[2])
    assert command[0] == "python"
    return [sys.executable, *command[1:]]


def test_the_health_check_of_the_image_tells_ready_from_not(relay: RelayServer) -> None:
    """The very command: 0 where a relay is ready, else not 0."""
    for port, healthy in ((relay.port, True), (1, False)):
        done = subprocess.run(
            health_check(), env={"RELAY_PORT": str(port)}, capture_output=True, check=False
        )
        assert (done.returncode == 0) is healthy, done.stderr


async def test_the_proxies_know_the_paths_of_the_relay(tmp_path: Path) -> None:
    """What they name is served, and what needs no buffering is named."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'relay.db'}"
    async with open_relay(replace(Settings(), database_url=url)) as relay:
        served = [compile_path(route.path)[0] for route in relay.app.routes]  # type: ignore[attr-defined]
    nginx, caddy = text_of("nginx.conf"), text_of("Caddyfile")
    named = {"/metrics", "/healthz", "/cable", "/sse/rokid", "/streams/x/events"}
    assert all(any(pattern.match(path) for pattern in served) for path in named)
    assert "location = /metrics" in nginx
    assert "respond /metrics 404" in caddy
    assert "health_uri /healthz" in caddy


# --- limits and times -----------------------------------------------------------------------------


def nginx(name: str) -> str:
    """The value of a directive that stands once in nginx.conf."""
    (value,) = re.findall(rf"^\s*{name} ([^;]+);", text_of("nginx.conf"), re.MULTILINE)
    return str(value)


def test_the_proxies_take_more_than_the_relay_and_wait_longer() -> None:
    """So that it is the relay that refuses, in words, and nobody cuts a silent answer off."""
    assert int(nginx("client_max_body_size").removesuffix("m")) * 2**20 > BODY_MAX_BYTES
    (caddy,) = re.findall(r"max_size (\d+)MB", text_of("Caddyfile"))
    assert int(caddy) * 1_000_000 > BODY_MAX_BYTES
    settings = Settings()
    silence = seconds(nginx("proxy_read_timeout"))
    assert silence > 10 * settings.keepalive_seconds
    assert silence > 2 * settings.poll_seconds
    assert silence > 10 * settings.cable_ping_seconds
    assert seconds(nginx("client_body_timeout")) >= BODY_DEADLINE_S


def test_neither_proxy_may_repeat_a_question_or_compress_an_answer() -> None:
    """The directives that would, in whatever place."""
    for name, words in (
        ("nginx.conf", ("non_idempotent", "gzip on", "proxy_buffering on")),
        ("Caddyfile", ("lb_retry_match", "encode ", "flush_interval")),
    ):
        code = re.sub(r"#.*", "", text_of(name))
        assert not [word for word in words if word in code]


# --- systemd --------------------------------------------------------------------------------------


def test_the_unit_is_hardened() -> None:
    """No new rights, a file system that is read only, and room for connections."""
    found = unit()
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == [""]
    assert int(found["LimitNOFILE"][0]) >= 65536
    assert found["User"] != ["root"]


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("planted", [False, True], ids=["as it is", "with a planted error"])
def test_systemd_understands_the_unit(tmp_path: Path, planted: bool) -> None:
    """No word that it does not know; a program that this machine has stands for the relay's."""
    program = shutil.which("true")
    given = text_of("relay.service")
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={program}", given, flags=re.MULTILINE)
    if planted:
        text = text.replace("NoNewPrivileges", "NoNewPriviledges")
    (tmp_path / "relay.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "relay.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if "relay.service" in line]
    assert bool(told) is planted, done.stderr
