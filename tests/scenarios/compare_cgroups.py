"""Compares the cgroups that a body lists with the tables: each is one that its pod was put into, down to the container.

The shape is read from the scenario's template and not by the product's rules.
"""

import re
from collections.abc import Iterator

from node_agent.attribution.body.pod_cgroups import MOST_OF_POD
from tests.scenarios.records import Body
from tests.scenarios.simulated_cluster import Cast
from tests.scenarios.table import ScenarioPod

PLACES = {"container": "[0-9a-f]+…?", "outer": "[0-9a-f]+"}
KEPT_LEVELS, KEPT_BYTES = 8, 95


def expected_path(cast: Cast, pod: ScenarioPod) -> str | None:
    """A pattern of the paths of the pod's cgroups; None where no name that the kernel side keeps holds its UID."""
    levels = pod.cgroup.split("/")
    own = next((place for place, name in enumerate(levels) if "{uid}" in name or "{underscored}" in name), None)
    if own is None or len(levels) - own > KEPT_LEVELS:
        return None
    uid = cast.cgroup_uid(pod)
    if len(levels[own].partition("{")[0].encode()) + len(uid) > KEPT_BYTES:
        return None
    below = "{container}" in levels[own + 1] if len(levels) > own + 1 and "{container}" not in levels[own] else False
    texts = PLACES | {"uid": re.escape(uid), "underscored": uid.replace("-", "_")}
    pieces = re.split(r"\{(\w+)\}", "/".join(levels[: own + 1 + below]))  # texts and names of places in turn
    shown = "".join(texts[piece] if place % 2 else re.escape(piece) for place, piece in enumerate(pieces))
    return f"…?(?:/{re.escape(cast.lab.run)})?/{shown}"


def judge_cgroups(cast: Cast, at: str, body: Body) -> Iterator[str]:
    """One sentence for each path that is not its pod's, and for each connecting pod without one."""
    listed = body["podCgroups"]
    of_uid = {cast.uid("Pod", pod.name): pod for pod in cast.scenario.pods}
    for uid, found in listed.items():
        pod = of_uid.get(uid)
        pattern = expected_path(cast, pod) if pod else None
        wrong = [path for path in found["paths"] if pattern is None or not re.fullmatch(pattern, path)]
        if wrong or not 1 <= len(found["paths"]) <= MOST_OF_POD or "more" in found:
            yield f"{at}: cgroups {found} of {pod and pod.name}, expected {pattern}"
    for one in body["connectionList"]:
        pod = of_uid.get(one["kubernetes"]["sourcePod"]["uid"])
        if pod and not one["openedBefore"] and expected_path(cast, pod) and cast.uid("Pod", pod.name) not in listed:
            yield f"{at}: no cgroup of {pod.name}, which connected"
