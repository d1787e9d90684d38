"""The pages for operators name what the chart and the alerts have."""

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy import fault_rows
from tests.deploy.conftest import Chart

LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)
VALUE = re.compile(r"`((?:data|kubernetes|manager|collector|nodeAgent|networkPolicy|metrics|rbac)\.[A-Za-z.]+)[`=]")
PAGES = ("install", "upgrade", "security", "troubleshooting", "faults")


def test_each_of_the_46_faults_has_its_row(repository: Path) -> None:
    """Numbers 1 to 46, each once: symptom, cause, what to do."""
    rows = [int(number) for number in ROW.findall((repository / "docs/troubleshooting.md").read_text())]
    assert sorted(rows) == list(range(1, 47))


def test_each_of_the_46_faults_has_a_test(repository: Path) -> None:
    """A row without a test is a promise without proof; docs/faults.md lists them."""
    assert sorted(fault_rows.tests_of_rows(repository / "tests")) == list(range(1, 47))
    assert (repository / "docs/faults.md").read_text() == fault_rows.page(repository)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(repository: Path, page: str) -> None:
    """Each relative link of a page is a file of the repository."""
    text = (repository / f"docs/{page}.md").read_text()
    assert [link for link in LINK.findall(text) if not (repository / "docs" / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_values_that_a_page_names_are_values_of_the_chart(chart: Chart, repository: Path, page: str) -> None:
    """A renamed value cannot stay behind in the documentation."""
    values = yaml.safe_load((chart.folder / "values.yaml").read_text())
    for name in VALUE.findall((repository / f"docs/{page}.md").read_text()):
        place = values
        for key in name.split("."):
            assert isinstance(place, dict), name
            if not place:  # a free map, such as seLinuxOptions
                break
            assert key in place, name
            place = place[key]
