"""What the tests of bad days share: the count of what was tried, which docs/reliability.md quotes."""

from collections import Counter
from collections.abc import Callable

import pytest

PROPERTY = "tried"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What only `make torture` runs is left out by `make test-fast` too."""
    for item in items:
        if item.get_closest_marker("torture"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Count what a test tried: ``tally("kills")``, ``tally("hostile files", 300)``. The sums end the test run."""
    return lambda what, count=1: record_property(PROPERTY, (what, count))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the sums over all tests that passed."""
    sums: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for key, value in report.user_properties:
            if key == PROPERTY and report.when == "call":
                sums[value[0]] += value[1]
    if sums:
        terminalreporter.section("tried")
        for what, count in sorted(sums.items()):
            terminalreporter.line(f"{count:>9,} {what}")
