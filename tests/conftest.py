"""What every test shares: the outside programs it may need, and the settings of hypothesis."""

from __future__ import annotations

import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.tools import is_ci, what_is_missing

# Two cores that others use too: an example's duration says nothing about the code.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# In CI the same examples each time: a red run must mean that the change broke something.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if is_ci() else "local")


def pytest_configure() -> None:
    """Let Ctrl-C be told again: a shell has what it runs in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose `@pytest.mark.needs("redis-server")` this machine does not meet."""
    for mark in item.iter_markers("needs"):
        for tool in mark.args:
            reason = what_is_missing(tool)
            if reason is not None:
                pytest.skip(f"{reason}; `make test` installs what it may")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what was skipped, in CI: a green run there must mean that everything ran."""
    report = yield
    if is_ci() and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing: {report.longrepr}"
    return report
