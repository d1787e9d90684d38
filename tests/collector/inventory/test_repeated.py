"""Containers and volumes that replicas have in common are redacted once, and come out as if each had been."""

from collections import Counter
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.inventory.redacted_fields import LONGEST_DONE, MOST_DONE
from collector.inventory.redaction import Redaction

SCALARS = st.sampled_from(["", "a", "token=abc", "u:p@h", "\x00", 1, None, True])
ODD = st.sampled_from([{}, [], {"a": "secret"}, [[{"a": "b"}]], {"x": {"y": "z"}}, "text"])


def fields(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object that has some of these fields, now and then one of another shape."""
    return st.fixed_dictionaries({}, optional={name: value | ODD for name, value in known.items()})


CONTAINERS = fields(
    name=SCALARS,
    image=SCALARS,
    args=st.lists(SCALARS, max_size=2),
    env=st.lists(fields(name=SCALARS, value=SCALARS, valueFrom=fields(secretKeyRef=fields(key=SCALARS))), max_size=3),
    resources=fields(limits=st.dictionaries(st.sampled_from(["cpu", "token"]), SCALARS)),
    readinessProbe=fields(httpGet=fields(path=SCALARS, httpHeaders=st.lists(fields(value=SCALARS), max_size=2))),
    volumeMounts=st.lists(fields(name=SCALARS, mountPath=SCALARS), max_size=2),
    tomorrow=SCALARS,
)
VOLUMES = fields(
    name=SCALARS, csi=fields(volumeAttributes=st.dictionaries(st.just("a"), SCALARS)), configMap=fields(name=SCALARS)
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(CONTAINERS, min_size=1, max_size=2), st.lists(VOLUMES, max_size=2), st.lists(SCALARS, max_size=4))
def test_replicas_come_out_as_each_alone(
    containers: list[dict[str, Any]], volumes: list[dict[str, Any]], names: list[Any]
) -> None:
    """Text and counts are those of pods that were each redacted by a redaction of its own."""
    pods: list[dict[str, Any]] = []
    for name in ("first", "second", *names):
        mounts = [{"name": name, "mountPath": "/var/run"}]
        own = [{**container, "volumeMounts": mounts} if name else container for container in containers]
        held = [{**volume, "name": name} if name else volume for volume in volumes]
        pods.append({"spec": {"containers": own, "volumes": held}})
    together, counts = Redaction(), Counter[str]()
    for pod in pods:
        alone = Redaction()
        text = orjson.dumps(pod)
        expected = alone.json("Pod", [orjson.loads(text)])
        counts += alone.counts
        assert together.json("Pod", [orjson.loads(text)]) == expected
        assert together.counts == counts


def test_memory_of_what_was_redacted_is_bounded() -> None:
    """Neither many containers nor long ones fill it."""
    redaction = Redaction()
    for number in range(3 * MOST_DONE):
        redaction.json("Pod", [{"spec": {"containers": [{"name": f"c{number}", "args": ["x"]}]}}])
    redaction.json("Pod", [{"spec": {"containers": [{"name": "long", "args": ["x" * LONGEST_DONE]}]}}])
    spec: Any = redaction.structure.kinds["Pod"].known["spec"]
    done = spec.known["containers"].done
    assert 0 < len(done) <= MOST_DONE
    assert max(map(len, done)) <= LONGEST_DONE
