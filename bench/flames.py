"""`python -m bench.flames`: where the time of a loaded relay goes, as flame graphs under docs/.

py-spy looks at the relay's stack 250 times a second while the generator loads it, whenever Python's
lock is held. A function's width is its share of the samples, and what it calls stands on it
(Gregg, "The Flame Graph", CACM 59(6), 2016). What is below the first function that tells one load
from another, and what is narrower than a line, is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from markupsafe import Markup

from bench import runner
from bench.contestants import ROOT, ContestantMissing, Cores, contestant, take_cores
from bench.generator.program import Load, build, run
from relay.web.admin.draw import element, rect, text

LOADS: Final = {
    "saturated": Load(64, interval_us=0, window=16),
    "own": Load(600),
    "shared": Load(1_000, per_socket=50),
    "readers": Load(1, readers=3_000, interval_us=10_000),
}
"""Each just below what one core carries, but the first, which takes all of it."""

PROFILED_S: Final = 9
SAMPLES_PER_S: Final = 250

WIDTH: Final = 1_000.0
ROW: Final = 17.0
HEAD: Final = 30.0
NARROWEST: Final = 1.5
LETTER: Final = 6.1
"""About what a letter of a label takes; one that does not fit is cut, and the tip has it all."""

STYLE: Final = ".f{font:10px system-ui,sans-serif}.h{font:600 13px system-ui,sans-serif}"

COLOURS: Final = {
    "relay/protocol/": "#e2b04a",
    "relay/node/": "#d98a5b",
    "relay/broker/": "#c4756f",
    "relay/wire/": "#8fae6b",
    "relay/devices/": "#8fae6b",
    "relay/web/": "#7aa6d6",
}
OTHER: Final = "#a8adb3"


@dataclass(slots=True)
class Frame:
    """A function as it was called by those below it."""

    name: str
    samples: int = 0
    calls: dict[str, Frame] = field(default_factory=dict)


def fold(lines: Iterable[str]) -> Frame:
    """Return the stacks `outermost;...;innermost samples`, one a line, as one tree."""
    root = Frame("all")
    for stack in lines:
        names, _, samples = stack.rpartition(" ")
        if not names:
            continue
        frame = root
        frame.samples += int(samples)
        for name in names.split(";"):
            frame = frame.calls.setdefault(name, Frame(name))
            frame.samples += int(samples)
    return root


def trunk(root: Frame) -> Frame:
    """Return the first function that does not hand nearly all of its time to a single other."""
    while root.calls:
        most = max(root.calls.values(), key=lambda call: call.samples)
        if most.samples < 0.97 * root.samples:
            break
        root = most
    return root


def draw(root: Frame, title: str) -> Markup:
    """Return a tree of functions as `<svg>`, outermost at the bottom."""
    boxes = list(_boxes(root, 0.0, WIDTH, 0))
    height = HEAD + ROW * (1 + max(level for _, _, _, level in boxes))
    parts: list[Markup] = []
    for frame, left, width, level in boxes:
        share = frame.samples / max(1, root.samples)
        top = height - (level + 1) * ROW
        parts.append(
            element(
                "g",
                element("title", f"{frame.name}: {share:.1%}"),
                rect(left, top, width - 0.5, ROW - 1, fill=_colour(frame.name), rx=1.5),
                text(left + 3, top + 12, _label(frame.name, width), class_="f"),
            )
        )
    return element(
        "svg",
        element("style", STYLE),
        element("title", title),
        rect(0, 0, WIDTH, height, fill="#ffffff"),
        text(8, 19, title, class_="h"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_label=title,
    )


def _boxes(
    frame: Frame, left: float, width: float, level: int
) -> Iterator[tuple[Frame, float, float, int]]:
    yield frame, left, width, level
    scale = width / max(1, frame.samples)
    for call in sorted(frame.calls.values(), key=lambda one: one.name):
        if call.samples * scale >= NARROWEST:
            yield from _boxes(call, left, call.samples * scale, level + 1)
        left += call.samples * scale


def _label(name: str, width: float) -> str:
    fits = int((width - 6) / LETTER)
    short = name.partition(" (")[0]
    return short[:fits] if fits >= 3 else ""


def _colour(name: str) -> str:
    return next((colour for part, colour in COLOURS.items() if part in name), OTHER)


async def profile(name: str, cores: Cores) -> tuple[Frame, str]:
    """Load a relay, and return where its time went and what it carried meanwhile.

    Raises `ContestantMissing` where py-spy is not installed, or may not look.
    """
    if shutil.which("py-spy") is None:
        raise ContestantMissing("py-spy is not installed: pip install py-spy")
    load = replace(
        LOADS[name], warmup_ms=1_000, duration_ms=(PROFILED_S + 6) * 1_000, core=cores.load
    )
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        stacks = Path(folder) / "stacks"
        async with contestant("relay", load.bots, None, cores) as target:
            looking = asyncio.create_task(_look(target.pids[0], stacks, cores.load))
            measured = await run(target, load)
            await looking
        if not stacks.exists():
            raise ContestantMissing("py-spy may not look at other processes here: run it as root")
        root = trunk(fold(stacks.read_text(encoding="utf-8").splitlines()))
    core_share = f"{measured.server_share:.0%} of a core"
    return root, f"{measured.delivered_per_s:,.0f} chunks/s to readers, {core_share}"


async def _look(pid: int, stacks: Path, core: int) -> None:
    # Opening thousands of connections is another load than the one that is asked about.
    await asyncio.sleep(5.0)
    options = ("--gil", "--function", "--format", "raw", "--output", str(stacks))
    times = ("--duration", str(PROFILED_S), "--rate", str(SAMPLES_PER_S))
    looking = await asyncio.create_subprocess_exec(
        *("py-spy", "record", "--pid", str(pid), *times, *options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.sched_setaffinity(looking.pid, {core})
    await looking.wait()


async def main(arguments: Sequence[str]) -> None:
    """Profile, and draw."""
    parser = argparse.ArgumentParser(prog="bench.flames", description=(__doc__ or "")[:80])
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=", ".join(LOADS))
    given = parser.parse_args(arguments)
    for name in given.loads or LOADS:
        if name not in LOADS:
            parser.error(f"no load {name!r}; there are: {', '.join(LOADS)}")
    await build()
    cores = take_cores()
    for name in given.loads or LOADS:
        root, done = await profile(name, cores)
        path = ROOT / "docs" / f"flame-{name}.svg"
        path.write_text(str(draw(root, f"{name}: {done}")), encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {root.samples} samples, {done}")


if __name__ == "__main__":
    try:
        runner.run(main(sys.argv[1:]))
    except ContestantMissing as error:
        sys.exit(f"bench.flames: {error}")
