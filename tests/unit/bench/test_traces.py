from __future__ import annotations

import pytest

from bench.traces import bench
from tests.support.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.mark.needs("postgres", "initdb")
async def test_what_a_trace_costs_is_measured(
    postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row of the table for each size of a batch; nothing is lost, and a trace takes some room."""
    await bench(postgres_url, rows=12, batches=[5, 1])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("A trace of 60 chunks") for line in lines)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[-2:]]
    assert [(row[0], row[6]) for row in cells] == [("5", "0"), ("1", "0")]
    assert all(float(row[1]) > 0 and float(row[5]) > 500 for row in cells)
