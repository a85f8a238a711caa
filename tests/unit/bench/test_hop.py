from __future__ import annotations

import pytest

from bench.hop import bench


@pytest.mark.needs("redis-server")
async def test_the_hop_between_two_relays_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Every chunk of a bot at one relay comes to a device at the other; a row says how soon.

    And what it cost both, and the Redis between them.
    """
    await bench(["--streams", "2", "--seconds", "0.4", "--warmup", "0.1"])
    row = capsys.readouterr().out.splitlines()[-1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert (cells[0], cells[5], cells[6]) == ("2", "22", "0")
    assert 0 < float(cells[1]) <= float(cells[2]) <= float(cells[3])
    assert all(float(cell) > 0 for cell in cells[7:])
    assert len(cells) == 11
