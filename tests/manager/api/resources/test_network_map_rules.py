"""Which discovered services a rule of a network map matches."""

from typing import Any

import pytest

from manager.api.resources.network_map_rules import matches


def part(place: str, prefix: str = "") -> dict[str, dict[str, str]]:
    """Labels and annotations of a part of a service: each names its place."""
    names = ("podLabels", "podAnnotations") if prefix else ("labels", "annotations")
    return {name: {"at": place, f"{place}-{kind}": "yes"} for name, kind in zip(names, ("label", "note"), strict=True)}


KUBERNETES: dict[str, Any] = {
    "namespace": "shop",
    "service": part("service"),
    "workloads": [part("workload") | part("pod", "pod")],
}
WIRE = {"spec": {"kubernetes": KUBERNETES}}
BARE = {"spec": {"kubernetes": {"namespace": "shop", "workloads": KUBERNETES["workloads"]}}}
# Rules and whether the service of a Service, and the one of a workload alone, match.
CASES: dict[str, tuple[dict[str, dict[str, str]], bool, bool]] = {
    "no rule": ({}, False, False),
    "namespace": ({"namespace": {"name": "shop"}}, True, True),
    "other namespace": ({"namespace": {"name": "bank"}}, False, False),
    "label of the Service": ({"label": {"key": "at", "value": "service"}}, True, False),
    "label of the workload": ({"label": {"key": "at", "value": "workload"}}, True, True),
    "label of a pod": ({"label": {"key": "at", "value": "pod"}}, True, True),
    "label with another value": ({"label": {"key": "at", "value": "node"}}, False, False),
    "label with any value": ({"label": {"key": "at", "value": ""}}, True, True),
    "label in its namespace": ({"label": {"key": "at", "namespace": "shop"}}, True, True),
    "label in another namespace": ({"label": {"key": "at", "namespace": "bank"}}, False, False),
    "annotation is no label": ({"label": {"key": "service-note"}}, False, False),
    "annotation": ({"annotation": {"key": "pod-note", "value": "yes"}}, True, True),
    "label is no annotation": ({"annotation": {"key": "service-label"}}, False, False),
    "Service's label": ({"serviceLabel": {"key": "service-label"}}, True, False),
    "Service's label at the workload": ({"serviceLabel": {"key": "workload-label"}}, False, False),
    "Service's annotation": ({"serviceAnnotation": {"key": "service-note"}}, True, False),
    "workload's label": ({"workloadLabel": {"key": "workload-label"}}, True, True),
    "workload's label at the pod": ({"workloadLabel": {"key": "pod-label"}}, False, False),
    "workload's annotation": ({"workloadAnnotation": {"key": "workload-note"}}, True, True),
    "pod's label": ({"podLabel": {"key": "pod-label"}}, True, True),
    "pod's label at the workload": ({"podLabel": {"key": "workload-label"}}, False, False),
    "pod's annotation": ({"podAnnotation": {"key": "pod-note"}}, True, True),
    "every rule": ({"namespace": {"name": "shop"}, "podLabel": {"key": "at", "value": "pod"}}, True, True),
    "one rule of two": ({"namespace": {"name": "shop"}, "podLabel": {"key": "at", "value": "x"}}, False, False),
    "chart without a release": ({"helmChart": {"releaseName": "web"}}, False, False),
}


@pytest.mark.parametrize("case", CASES)
def test_service_matches_if_every_rule_does(case: str) -> None:
    """At the Service, its workloads and their pods, or at those that the rule names."""
    rules, with_service, without = CASES[case]
    assert (matches(WIRE, rules), matches(BARE, rules)) == (with_service, without)


@pytest.mark.parametrize("place", ["service", "workload", "pod"])
def test_chart_is_known_by_helms_label_and_annotation(place: str) -> None:
    """Of the release's name, at any part; an empty name stands for any release."""
    for what, key in (("labels", "app.kubernetes.io/instance"), ("annotations", "meta.helm.sh/release-name")):
        empty = {"labels": {}, "annotations": {}}
        workload: dict[str, Any] = {**empty, "podLabels": {}, "podAnnotations": {}}
        found: dict[str, Any] = {"namespace": "shop", "service": {**empty}, "workloads": [workload]}
        name = f"pod{what.capitalize()}" if place == "pod" else what
        (found["service"] if place == "service" else workload)[name] = {key: "web"}
        wire = {"spec": {"kubernetes": found}}
        wanted = {"web": True, "": True, "other": False}
        assert {one: matches(wire, {"helmChart": {"releaseName": one}}) for one in wanted} == wanted
        assert not matches(wire, {"helmChart": {"releaseName": "web", "namespace": "bank"}})
