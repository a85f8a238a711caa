from __future__ import annotations

import pytest

from bench.__main__ import KINDS, Options, machine, measure, read_options

SHORT = Options((2,), 0.3, 0.1, 1, 10.0, 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_server_brings_every_chunk(kind: str) -> None:
    """A few chunks of two streams; what they take is nobody's promise."""
    run = await measure(kind, 2, SHORT)
    assert (run.result.chunks, run.result.lost, run.result.repeated) == (60, 0, 0)
    assert run.result.latency.max > 0
    assert (run.inside is not None) is (kind == "relay")


def test_the_defaults_are_those_of_the_table() -> None:
    """10 and 100 streams, a chunk each 35 ms, three runs."""
    options = read_options([])
    assert (options.streams, options.interval_ms, options.repeats) == ((10, 100), 35.0, 3)


def test_what_the_figures_depend_on_is_named() -> None:
    """Cores, kernel, Python and the servers."""
    assert all(word in machine() for word in ("cores", "Linux", "Python", "uvicorn"))
