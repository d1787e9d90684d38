"""docs/reliability.md is what the tests' names say, and no fault is without a test."""

from pathlib import Path

from tests.faults.reliability import page, shown_by_row
from tests.faults.rows import ROWS


def test_page_is_made_of_the_tests(repository: Path) -> None:
    """`python -m tests.faults.reliability > docs/reliability.md` changes nothing."""
    assert (repository / "docs/reliability.md").read_text() == page(repository)


def test_every_fault_has_a_test_of_its_name(repository: Path) -> None:
    """All of them, and no test of a fault that is not in the table."""
    assert sorted(shown_by_row(repository / "tests")) == sorted(ROWS) == list(range(1, 65))
