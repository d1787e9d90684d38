"""Every scenario, on the running kernel with the real program: records, counts and map equal its table."""

import pytest

from tests.scenarios.judge import judge
from tests.scenarios.run import Observed
from tests.scenarios.suite import SCENARIOS, observe

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> dict[str, Observed]:
    """The observations of all scenarios that this run selects."""
    here = [item for item in request.session.items if item.path == request.path]
    names = {item.callspec.params["name"] for item in here if isinstance(item, pytest.Function)}
    return observe(name for name in SCENARIOS if name in names)


@pytest.mark.parametrize("name", SCENARIOS)
def test_row_64_records_of_scenario_equal_its_table(outcomes: dict[str, Observed], name: str) -> None:
    """Exact edges, counts and reasons at both ends; nothing else attributed; every connect accounted for once."""
    assert judge(outcomes[name]) == []
