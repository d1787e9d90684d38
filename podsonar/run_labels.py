"""Labels of a run's objects in a cluster: the runner's by the manager, injectors' by the runner.

A delegate accepts a runner's objects by theirs, and deletes injectors by theirs.
"""

OF_RUNNERS = ("ddcr.app/name", "ddcr.app/namespace")
RUN, ROLE = "podsonar.io/run-id", "podsonar.io/role"
INJECTOR = "injector"


def labels_of_injector(run_id: str) -> dict[str, str]:
    """The labels of an injector's pod."""
    return {RUN: run_id, ROLE: INJECTOR}


def injectors_of(run_id: str) -> str:
    """The selector of a run's injectors."""
    return ",".join(f"{name}={value}" for name, value in labels_of_injector(run_id).items())
