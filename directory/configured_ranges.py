"""The ranges that the settings name: what the cluster uses beside what its objects show, and what lies outside."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from directory.addresses import Ranges
from podsonar.errors import InputError, SettingsError
from podsonar.settings import AgentConfiguration


@dataclass(frozen=True, slots=True)
class ConfiguredRanges:
    """`data.clusterRanges` and `data.externalRanges`; an address in both is the cluster's."""

    cluster: Ranges = field(default_factory=Ranges)
    external: Ranges = field(default_factory=Ranges)

    @classmethod
    def of(cls, settings: AgentConfiguration) -> "ConfiguredRanges":
        """Return the ranges of an agent configuration; SettingsError for a text that is no range."""
        return cls(
            ranges_of("setting data.clusterRanges", settings.data.cluster_ranges),
            ranges_of("setting data.externalRanges", settings.data.external_ranges),
        )


def ranges_of(named: str, networks: Sequence[str]) -> Ranges:
    """Return the ranges of a setting or option, which `named` names; SettingsError for a text that is no range."""
    ranges = Ranges()
    for cidr in networks:
        try:
            ranges.add(cidr)
        except InputError as error:
            raise SettingsError(f"{named} has {cidr[:60]!r}, expected ranges such as 203.0.113.0/24") from error
    return ranges
