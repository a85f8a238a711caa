"""schemathesis tries to make the admin API answer otherwise than its document says."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from relay.admin.live import LiveStream
from tests.support.admin import FakeLive, live_stream, lossy_row, trace_row
from tests.support.admin_api import BEARER, admin_api
from tests.unit.web.fakes import running

CONFIG = """
max-stream-events = 3
request-timeout = 5

[reports]
directory = "reports"
"""

EXAMPLES = 6
"""Of each operation, on top of the cases that follow from its document."""

ONLY_401 = """
import schemathesis


@schemathesis.check
def only_401(ctx, response, case):
    assert response.status_code == 401, response.status_code
"""

WRONG_ONES = 1_000_000
"""Wrong tokens before the lockout, which has tests of its own."""

ROWS = [*(trace_row(number) for number in range(1, 5)), *(lossy_row(n) for n in range(5, 8))]


class BusyLive(FakeLive):
    """Changes whenever somebody looks, so that a feed has three events soon."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def live_streams(self) -> list[LiveStream]:
        """One stream that gets chunks, and one that is new each time."""
        self.looks += 1
        return [live_stream(0, received=self.looks), live_stream(self.looks)]


async def schemathesis(folder: Path, *arguments: str, hooks: str = "") -> tuple[int, str]:
    """Run it; returns its exit code and what it printed. `hooks` is a check `only_401`."""
    (folder / "hooks.py").write_text(hooks)
    checks = ["--checks=only_401"] if hooks else []
    (folder / "schemathesis.toml").write_text(CONFIG)
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        *arguments,
        *checks,
        "--no-color",
        "--generation-deterministic",
        f"--max-examples={EXAMPLES}",
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks"},
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode()


async def test_the_api_does_what_its_document_says(tmp_path: Path) -> None:
    """All checks, on all operations: examples, limits, nonsense, and calls that follow others."""
    async with admin_api(ROWS, live=BusyLive()) as api, running(api.app) as port:
        url = f"http://127.0.0.1:{port}/admin/api/openapi.json"
        header = f"Authorization: {BEARER['Authorization']}"
        code, output = await schemathesis(tmp_path, url, "-H", header)
    assert code == 0, output
    assert "Tested: 21" in output


async def test_without_a_token_every_call_is_refused(tmp_path: Path) -> None:
    """Whatever is sent, the answer is 401 and nothing happens."""
    async with (
        admin_api(ROWS, live=BusyLive(), attempts_max=WRONG_ONES) as api,
        running(api.app) as port,
    ):
        told = tmp_path / "openapi.json"
        told.write_bytes((await api.get("/openapi.json")).content)
        code, output = await schemathesis(
            tmp_path,
            str(told),
            f"--url=http://127.0.0.1:{port}",
            "--phases=coverage,fuzzing",
            hooks=ONLY_401,
        )
        assert len(api.store.rows) == len(ROWS)
        assert (api.store.bots, api.store.keys) == ({}, {})
    assert code == 0, output
