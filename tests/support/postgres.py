"""A real PostgreSQL of the tests' own: made in a temporary folder, gone at the end.

    from tests.support.postgres import postgres_server, postgres_url

`postgres_server` runs once per session on a Unix socket, so it takes no port and nobody else can
reach it; `postgres_url` is an empty database for one test.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.tools import find_program

START_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server."""

    folder: Path
    user: str | None
    """Who runs it; None for ourselves. PostgreSQL refuses to run as root."""

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def url(self, database: str) -> str:
        """The URL of a database on this server."""
        return f"postgresql+asyncpg://relay@/{database}?host={self.folder}"

    @contextmanager
    def paused(self, *backends: int) -> Iterator[None]:
        """Stop the server and these of its backends for the length of the block.

        A stopped server takes no connection; a backend goes on by itself unless it is named.
        """
        pids = [self.pid, *backends]
        try:
            _signal(pids, signal.SIGSTOP)
            yield
        finally:
            _signal(pids, signal.SIGCONT)

    def run(self, program: str, *args: str) -> None:
        """Run one of PostgreSQL's programs against this server, and fail with what it says."""
        _run(self.user, program, *args, PGHOST=str(self.folder), PGUSER="relay")


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Make and run a server for the length of the block."""
    user = _unprivileged_user()
    # Not pytest's own folder: a socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="relay-pg-"))
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data = str(folder / "data")
    options = f"-k {folder} -h '' -F -c max_connections=40"
    wait = ["-w", "-t", str(START_TIMEOUT_S)]
    try:
        _run(user, "initdb", "-D", data, "-U", "relay", "-A", "trust", "-E", "UTF8", "--no-sync")
        _run(user, "pg_ctl", "-D", data, "-l", f"{folder}/log", "-o", options, *wait, "start")
        try:
            yield Postgres(folder, user)
        finally:
            _run(user, "pg_ctl", "-D", data, "-m", "immediate", *wait, "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server for the whole session."""
    with running_postgres() as server:
        yield server


_numbers = count(1)


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """An empty database for this test, and its URL."""
    name = f"test_{next(_numbers)}"
    postgres_server.run("createdb", name)
    yield postgres_server.url(name)
    postgres_server.run("dropdb", "--force", name)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        # A backend whose client has just gone may be gone as well.
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


def _run(user: str | None, program: str, *args: str, **environ: str) -> None:
    path = find_program("initdb")
    assert path is not None, "mark the test with needs('postgres', 'initdb')"
    # Without `resolve`, a link on PATH would hide the programs that lie beside its target.
    done = subprocess.run(
        [path.resolve().parent / program, *args],
        user=user,
        cwd="/",
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", ""), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=2 * START_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{program}: {done.stdout.decode(errors='replace')}"
