"""delegate/stages/injectors.py: which injectors a delegate may be asked to delete."""

import pytest

from delegate.stages.injectors import injector_refusals, is_owned
from delegate.task import RunInjectors
from podsonar.settings import DelegateRules

RUN = RunInjectors("hce", "0b9c2f6e-3a1d-4c5e-8f70-123456789abc", "podsonar-run-0b9c2f6e")
RULES = DelegateRules(name="d", namespaces=["hce"], image_prefixes=["localhost/podsonar-"], runners=True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"namespace": "kube-system"}, "another namespace", id="namespace"),
        pytest.param({"runner": "cart"}, "no configured prefix", id="somebody else's Deployment"),
        pytest.param({"run_id": "x,podsonar.io/role!=injector"}, "expected a UUID", id="selector"),
        pytest.param({"run_id": RUN.run_id + "\n"}, "expected a UUID", id="line end"),
    ],
)
def test_injectors_that_are_not_ours_to_delete_are_refused(change: dict[str, str], expected: str) -> None:
    """With the reason; those of a run in our namespaces are not."""
    given = {"namespace": RUN.namespace, "run_id": RUN.run_id, "runner": RUN.runner} | change
    (found,) = injector_refusals(RunInjectors(**given), RULES)
    assert expected in found.message
    assert injector_refusals(RUN, RULES) == []


def test_without_runners_no_injector_is_deleted() -> None:
    """The setting is off by default."""
    rules = DelegateRules(name="d", namespaces=["hce"], image_prefixes=["localhost/podsonar-"])
    assert [one.message for one in injector_refusals(RUN, rules)] == [
        "injectors of a run, and delegate.runners is false"
    ]


def test_pod_is_an_injector_if_the_runner_s_deployment_owns_it() -> None:
    """Neither a pod of nobody, nor one of something else with that name."""
    owned = {"metadata": {"ownerReferences": [{"kind": "Deployment", "name": RUN.runner}]}}
    other = {"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "name": RUN.runner}]}}
    assert [is_owned(pod, RUN.runner) for pod in (owned, other, {"metadata": {}})] == [True, False, False]
