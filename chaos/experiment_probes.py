"""The probes of an experiment: `spec.probes` defines them, a task's `probeRef` names them with their mode. Pure.

A name without a definition is a probe that is kept elsewhere: it is not executed, and says so.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from chaos.task_action import MOST_PROBES, ActionError, Probe

UNREADABLE = frozenset({"secrets"})  # no k8sProbe gives a runner the right to read them


class TaskProbes(NamedTuple):
    """The probes of a task that can run, and the names of those that are not defined."""

    probes: list[Probe]
    undefined: tuple[str, ...]


def probes_of(spec: Mapping[str, Any], task: Mapping[str, Any]) -> TaskProbes:
    """A task's probes; ActionError says which is not what it should be."""
    definitions = spec.get("probes") or []
    by_name = {str(one.get("name")): one for one in definitions if isinstance(one, Mapping)}
    if len(by_name) != len(definitions) or len(by_name) > MOST_PROBES:
        raise ActionError(f"spec.probes: expected at most {MOST_PROBES} probes, each with a name of its own")
    found, undefined = [], []
    for reference in task.get("probeRef") or []:
        name = str(reference.get("probeID"))
        if name in by_name:
            found.append(read_probe(by_name[name], str(reference.get("mode"))))
        else:
            undefined.append(name)
    if len({one.name for one in found}) != len(found):
        raise ActionError("probeRef: a probe is named twice in one task, expected each once")
    return TaskProbes(found, tuple(undefined))


def read_probe(definition: Mapping[str, Any], mode: str) -> Probe:
    """A probe as it is defined, in a mode."""
    try:
        probe = msgspec.convert({**definition, "mode": mode}, type=Probe)
    except msgspec.ValidationError as error:
        raise ActionError(f"probe {str(definition.get('name'))[:80]!r}: {error}") from error
    probe.check()
    if probe.resource is not None and probe.resource.resource in UNREADABLE:
        raise ActionError(f"probe {probe.name[:80]!r} reads {probe.resource.resource}: expected another resource")
    return probe
