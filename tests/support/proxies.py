"""Real nginx and Caddy in front of a relay, with the configuration of `deploy/`.

    with running_proxy("nginx", folder, [relay.port]) as proxy: ...

Only ports, names and folders are put in the place of those in the file; `change` plants an error.
"""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.server import RelayServer
from tests.tools import find_program

DEPLOY = Path(__file__).parents[2] / "deploy"
START_TIMEOUT_S = 20.0

KINDS = [
    pytest.param("nginx", marks=pytest.mark.needs("nginx")),
    pytest.param("caddy", marks=pytest.mark.needs("caddy")),
]
"""For `parametrize`: real ones, where they are installed."""

Change = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy."""

    port: int

    def before(self, relay: RelayServer) -> RelayServer:
        """The relay as its clients see it through this proxy."""
        return replace(relay, port=self.port)


@contextmanager
def running_proxy(
    kind: str, folder: Path, nodes: Sequence[int], change: Change = lambda text: text
) -> Iterator[Proxy]:
    """Run `nginx` or `caddy` in front of relays on these ports of 127.0.0.1."""
    program = find_program(kind)
    assert program is not None, f"mark the test with needs({kind!r})"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    write = {"nginx": _nginx, "caddy": _caddy}[kind]
    arguments, environ = write(folder, port, nodes, change)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *arguments],
            env={"PATH": os.environ.get("PATH", ""), **environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, port, folder / "log")
        yield Proxy(port)
    finally:
        process.terminate()
        process.wait(START_TIMEOUT_S)


def put(text: str, old: str, new: str) -> str:
    """Replace what must be there: a test of a snippet that has changed would test nothing."""
    assert old in text, f"not in the snippet any more: {old}"
    return text.replace(old, new)


def _nginx(
    folder: Path, port: int, nodes: Sequence[int], change: Change
) -> tuple[list[str], dict[str, str]]:
    snippet = change((DEPLOY / "nginx.conf").read_text())
    own = "server 127.0.0.1:8080 "
    line = next(line for line in snippet.splitlines() if own in line)
    snippet = put(
        snippet, line, "\n".join(put(line, "127.0.0.1:8080", f"127.0.0.1:{n}") for n in nodes)
    )
    snippet = put(snippet, "listen 80;", f"listen 127.0.0.1:{port};")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    own_folders = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    # As root it would become another user, who may not write here.
    user = f"user {pwd.getpwuid(0).pw_name};\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log stderr;\n"
        f"events {{}}\nhttp {{\n    access_log off;\n{own_folders}{snippet}}}\n"
    )
    return ["-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")], {}


def _caddy(
    folder: Path, port: int, nodes: Sequence[int], change: Change
) -> tuple[list[str], dict[str, str]]:
    snippet = change((DEPLOY / "Caddyfile").read_text())
    (folder / "Caddyfile").write_text(
        put(snippet, "grace_period 10s", "grace_period 0.1s\n\tadmin off")
    )
    environ = {
        "SITE": f"http://127.0.0.1:{port}",
        "NODES": " ".join(f"127.0.0.1:{node}" for node in nodes),
        **dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(folder)),
    }
    return ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"], environ


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            late = time.monotonic() > deadline
            assert process.poll() is None, f"the proxy has ended:\n{log.read_text()}"
            assert not late, f"the proxy does not listen:\n{log.read_text()}"
            time.sleep(0.01)


def buffered(text: str) -> str:
    """The snippet with buffering on, as both proxies would have it for other answers."""
    if "lb_policy" in text:
        return put(text, "\t\tlb_policy", "\t\tbuffer_responses\n\t\tlb_policy")
    # nginx's own default is 1.0; with 1.1 it buffers, too, but passes chunks on as they come.
    text = put(text, "proxy_http_version 1.1;", "")
    # The relay itself asks nginx for no buffering.
    return put(text, "proxy_buffering off;", "proxy_ignore_headers X-Accel-Buffering;")
