from __future__ import annotations

import pytest

from bench import sizes
from bench.sizes import bench


@pytest.mark.needs("redis-server")
async def test_every_size_is_measured_on_both_brokers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few of each: the figures mean nothing, but none is missing and no chunk is lost."""
    monkeypatch.setattr(sizes, "SETTLE_S", 0.0)
    monkeypatch.setattr(sizes, "IDLE_S", 0.1)
    monkeypatch.setattr(sizes, "LOADED_S", 0.1)
    monkeypatch.setattr(sizes, "WARM", 1)
    await bench(count=2, chunks=3, seconds=0.3, rates=[2])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    named = [row[0] for row in cells]
    assert named == ["broker", "memory", "redis", "broker", "memory", "redis"]
    assert all(len(row) == 10 for row in cells)
    assert all(cell for row in (cells[2], cells[5]) for cell in row)
    assert [row[6] for row in cells[4:]] == ["0", "0"]
