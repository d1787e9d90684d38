"""The bounds of an experiment's `guards`: checked by the manager when a run is ordered, and by the runner. Pure."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

NEVER = "podsonar.io/chaos=never"


class GuardSettings(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The bounds; `protected_labels` are `key=value` of pods that nothing may hit."""

    max_exposed_services: Annotated[int, msgspec.Meta(ge=0)] | None = None
    max_pods_percentage: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100
    max_duration_seconds: Annotated[int, msgspec.Meta(ge=1, le=600)] = 600
    protected_namespaces: tuple[str, ...] = ("kube-system", "podsonar")
    protected_labels: tuple[Annotated[str, msgspec.Meta(pattern="^[^=]+=[^=]*$")], ...] = (NEVER,)
    allow_blind: bool = False
    all_traffic: bool = False

    def protecting(self, labels: Mapping[str, str]) -> list[str]:
        """The protected labels that a pod has."""
        return [one for one in self.protected_labels if labels.get(one.partition("=")[0]) == one.partition("=")[2]]
