"""What happens to a test whose outside program is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tools

pytest_plugins = ["pytester"]

CONFTEST = (Path(tools.__file__).parent / "conftest.py").read_text(encoding="utf-8")


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A suite of one test that passes and one that needs a program which nobody has."""
    pytester.makeini(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\nmarkers = needs(*tools): tools"
    )
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import pytest

        def test_plain():
            pass

        @pytest.mark.needs("no-such-program")
        def test_needy():
            pass
        """
    )
    return pytester


def test_a_missing_program_skips_its_tests_and_says_why(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside CI the rest runs, and the reason names the program."""
    monkeypatch.setenv("CI", "")
    result = suite.runpytest_inprocess("-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*no-such-program is not installed*make test*"])


def test_in_ci_a_skip_is_a_failure(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI=true the same suite is red."""
    monkeypatch.setenv("CI", "true")
    result = suite.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_the_newest_of_several_versions_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 15 beats 9, although "9" sorts behind "15"."""
    for version in ("9", "15"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        (folder / "postgres").touch()
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(tools.ELSEWHERE, "postgres", f"{tmp_path}/*/bin")
    assert tools.find_program("postgres") == tmp_path / "15" / "bin" / "postgres"


def test_node_without_its_packages_is_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Node is there, its packages are not: that is missing too, and said."""
    program = tmp_path / "node"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.what_is_missing("node", js=tmp_path) == (
        "the packages of tests/js are not installed"
    )
    (tmp_path / "node_modules").mkdir()
    assert tools.what_is_missing("node", js=tmp_path) is None
