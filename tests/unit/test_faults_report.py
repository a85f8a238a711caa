"""The machinery of tests/faults: its catalog, its report, and the runner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import report
from tests.faults.__main__ import main
from tests.faults.catalog import ALL
from tests.faults.content import Answer, read_question
from tests.faults.figures import percentile
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Stage
from tests.support.server import environment

ROOT = Path(__file__).parents[2]


async def _nothing(stage: Stage, size: Size) -> Measured:
    return Measured()


def scenario(name: str) -> Scenario:
    """A scenario that does nothing."""
    return Scenario(name, "fault", "how", "target | limit", _nothing)


def test_no_two_scenarios_have_one_name() -> None:
    """A name is how one is run alone, and its row in the report."""
    names = [one.name for one in ALL]
    assert len(set(names)) == len(names)


def test_the_runner_names_its_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    """With --list, and where a name is not known."""
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [one.name for one in ALL]
    with pytest.raises(SystemExit, match="2"):
        main(["rdis-stopped"])
    assert "no scenario 'rdis-stopped'; there are: weather," in capsys.readouterr().err


def test_nothing_of_the_relay_is_loaded_in_the_ledger() -> None:
    """Also not by what it imports."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, tests.faults.ledger.__main__; print(*sys.modules)"],
        cwd=ROOT,
        env={**environment(), "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk_py'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    names = loaded.stdout.split()
    assert "websockets" in names
    assert not {name.partition(".")[0] for name in names} & {"relay", "relay_sdk"}
    ours = {name for name in names if name.startswith("tests.faults.")}
    assert all(n.startswith(("tests.faults.ledger", "tests.faults.content")) for n in ours)


def test_the_report_keeps_the_rows_of_scenarios_that_did_not_run(tmp_path: Path) -> None:
    """One row can be measured anew; the order is that of the catalog."""
    path = tmp_path / "report.md"
    first, second = scenario("first"), scenario("second")
    held = Measured(figures=["p99 1 ms"])
    late = Measured(figures=["p99 9 ms"], late=["p99 9 ms, target 1 ms"])
    report.write(path, ["first", "second"], {"second": report.row(second, held)})
    report.write(path, ["first", "second"], {"first": report.row(first, late, 999)})
    load = f"(load 999 on {os.cpu_count()} cores)"
    rows = [line for line in path.read_text().splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `first` | fault | how | target / limit | p99 9 ms {load} | late |",
        "| `second` | fault | how | target / limit | p99 1 ms | held |",
    ]


def test_a_broken_promise_is_a_failure_and_a_missed_time_is_none() -> None:
    """So a busy machine does not make CI red, and a lost chunk does."""
    measured = Measured()
    measured.within("p99", 2.0, 1.0)
    assert measured.result == "late"
    verdict = {
        "violations": [],
        "unshown": ["s 3: sent -1.00, acknowledged -0.50 s"],
        "streams": 1,
        "sent": 10,
        "lost": 1,
        "outcomes": {"completed": 1},
    }
    measured.judged(verdict)
    assert measured.result == "FAILED"
    assert measured.told[0] == "1 of 10 chunks not shown, in 1 streams"


def test_an_answer_that_is_not_whole_is_a_failure() -> None:
    """Unless the scenario expects that."""
    verdict = {
        "violations": [],
        "unshown": [],
        "streams": 2,
        "sent": 10,
        "lost": 0,
        "outcomes": {"completed": 1, "bot_gone": 1},
    }
    for whole, result in ((True, "FAILED"), (False, "held")):
        measured = Measured()
        measured.judged(verdict, whole=whole)
        assert measured.result == result


def test_both_sides_make_the_same_answer() -> None:
    """From the question alone, and no two pieces are equal."""
    answer = Answer(7, 200, 1.5, 0, nul=True)
    assert read_question(answer.question) == answer
    assert len({answer.piece(n) for n in range(200)}) == 200
    assert len(Answer(1, 1, size=500).piece(0)) == 500


def test_a_percentile_is_one_of_the_values() -> None:
    """The smallest that so many percent do not exceed."""
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert percentile([], 99) == 0.0
