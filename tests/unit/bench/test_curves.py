from __future__ import annotations

import pytest

from bench.contestants import Cores
from bench.curves import ALONG, SIZES, Point, Sweep, loads_of, page_part, picture, sweep
from bench.generator.program import GeneratorFailed, Target, run
from bench.rows import Bench, Plan

TINY = Plan(50, 150, 1, 0.5)


async def test_a_sweep_has_a_point_for_each_size() -> None:
    """The shortest chunks cost CPU and memory, as all do, and none is lost."""
    bench = Bench(TINY, Cores(0, -1), None, lambda _: None)
    found = await sweep(bench, "sizes", 1, quick=True)
    assert [point.along for point in found.points] == list(SIZES[:2])
    assert all(point.p99_ms > 0 and point.faults == "" for point in found.points)


@pytest.mark.parametrize("name", list(ALONG))
async def test_what_grows_is_what_the_curve_says(name: str) -> None:
    """The generator takes every load of every sweep; only the port is wrong."""
    loads = loads_of(name)
    assert sorted(loads) == list(loads)
    for along, load in loads.items():
        grows = {"streams": load.streams, "readers": load.readers, "sizes": load.size}
        assert grows[name] == along
        with pytest.raises(GeneratorFailed, match="--port is needed"):
            await run(Target("cable", 0, ()), load)


def test_curves_become_a_page_and_a_drawing() -> None:
    """A row and a dot for each point; what went wrong stands beside its figures."""
    one = Sweep(
        "streams", "streams", (Point(10, 8.0, 1.5, 0.9, ""), Point(100, 7.5, 9.0, 1.2, "lost 3"))
    )
    page = page_part([one], "today")
    assert "| 10 | 8.0 | 1.5 | 0.90 |" in page
    assert "| 100 | 7.5 | 9.0 | 1.20 lost 3|" in page
    assert picture([one]).count("<circle") == 6
