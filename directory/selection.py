"""Which pods and objects the settings select: one rule for the inventory and for the sources of connections."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from podsonar.directory_answer import Exclusion
from podsonar.owner_chain import Controller, is_batch
from podsonar.settings import AgentConfiguration


@dataclass(frozen=True, slots=True)
class Selection:
    """The settings' choice; `selected` are the namespaces that the namespace selector matches, None for all."""

    observed: frozenset[str] = frozenset()
    blacklisted: frozenset[str] = frozenset()
    orphaned: bool = False
    batch: bool = False
    selected: frozenset[str] | None = None

    @classmethod
    def of(cls, settings: AgentConfiguration, selected: frozenset[str] | None = None) -> "Selection":
        """Return the selection of an agent configuration."""
        data = settings.data
        return cls(
            frozenset(data.observed_namespaces),
            frozenset(data.blacklisted_namespaces),
            data.enable_orphaned_pod,
            data.enable_batch_resources,
            selected,
        )

    @property
    def leaves_namespaces_out(self) -> bool:
        """Return whether an inventory made with it lacks the objects of some namespaces."""
        return bool(self.observed or self.blacklisted or self.selected is not None)

    def among(self, names: Iterable[str]) -> "Selection":
        """Return the same selection limited to the namespaces that the namespace selector matches."""
        return replace(self, selected=frozenset(names))

    def namespace(self, name: str) -> Exclusion | None:
        """Return why a namespace is left out, or None."""
        if name in self.blacklisted:
            return "namespace_blacklisted"
        if self.observed and name not in self.observed:
            return "namespace_not_observed"
        if self.selected is not None and name not in self.selected:
            return "namespace_not_observed"
        return None

    def pod(self, namespace: str, root: Controller | None) -> Exclusion | None:
        """Return why a pod is left out, by its namespace and the root of its owner chain (None: no controller)."""
        reason = self.namespace(namespace)
        if reason:
            return reason
        if root is None and not self.orphaned:
            return "orphaned_pod"
        if root is not None and is_batch(root) and not self.batch:
            return "batch_pod"
        return None
