"""Rules by which network maps group discovered services by themselves. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

LABELS, ANNOTATIONS = "labels", "annotations"
# Rule -> where it looks: parts of a discovered service, and labels or annotations of them.
PLACES = {
    "label": (("service", "workload", "pod"), LABELS),
    "annotation": (("service", "workload", "pod"), ANNOTATIONS),
    "serviceLabel": (("service",), LABELS),
    "serviceAnnotation": (("service",), ANNOTATIONS),
    "workloadLabel": (("workload",), LABELS),
    "workloadAnnotation": (("workload",), ANNOTATIONS),
    "podLabel": (("pod",), LABELS),
    "podAnnotation": (("pod",), ANNOTATIONS),
}
# Where a Helm release leaves its name (helm.sh, chart best practices, labels).
HELM_LABEL, HELM_ANNOTATION = "app.kubernetes.io/instance", "meta.helm.sh/release-name"


def texts_of(wire: Mapping[str, Any], parts: tuple[str, ...], what: str) -> Iterator[Mapping[str, str]]:
    """The labels or annotations of some parts of a discovered service."""
    kubernetes = wire["spec"]["kubernetes"]
    if "service" in parts and kubernetes.get("service"):
        yield kubernetes["service"][what]
    for workload in kubernetes["workloads"]:
        if "workload" in parts:
            yield workload[what]
        if "pod" in parts:
            yield workload[f"pod{what.capitalize()}"]


def has_text(texts: Iterator[Mapping[str, str]], key: str, value: str) -> bool:
    """Whether one of them has the key with the value; an empty value stands for any."""
    return any(key in some and value in {"", some[key]} for some in texts)


def matches_rule(wire: Mapping[str, Any], name: str, rule: Mapping[str, str]) -> bool:
    """Whether a discovered service matches one rule."""
    namespace = wire["spec"]["kubernetes"]["namespace"]
    if name == "namespace":
        return bool(namespace == rule.get("name", ""))
    if rule.get("namespace", "") not in {"", namespace}:
        return False
    if name == "helmChart":
        release = rule.get("releaseName", "")
        every = ("service", "workload", "pod")
        return has_text(texts_of(wire, every, LABELS), HELM_LABEL, release) or has_text(
            texts_of(wire, every, ANNOTATIONS), HELM_ANNOTATION, release
        )
    parts, what = PLACES[name]
    return has_text(texts_of(wire, parts, what), rule.get("key", ""), rule.get("value", ""))


def matches(wire: Mapping[str, Any], rules: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a `database.DiscoveredServiceCollection` matches every rule; never without a rule."""
    return bool(rules) and all(matches_rule(wire, name, rule) for name, rule in rules.items())
