"""The parts of docs/performance.md that programs write, between markers."""

from __future__ import annotations

from pathlib import Path

from relay.errors import RelayError


class MarkerMissing(RelayError):
    """The page has no place for a part."""


def markers(name: str) -> tuple[str, str]:
    """Return the lines before and behind a part."""
    return f"<!-- {name}: written by a program -->", f"<!-- end of {name} -->"


def put_part(path: Path, name: str, text: str) -> None:
    """Replace what is between the markers of a part; raises `MarkerMissing`."""
    page = path.read_text(encoding="utf-8")
    start, end = markers(name)
    before, found, rest = page.partition(start)
    _, found_too, after = rest.partition(end)
    if not found or not found_too:
        raise MarkerMissing(f"{path.name} has no lines {start!r} and {end!r}")
    path.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}", encoding="utf-8")
