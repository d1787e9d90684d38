"""Up to which moment every change of a kind has been received, as far as that is proven. Pure.

The time at which something is read proves nothing: events may wait unread behind it. Proof is an order. A probe (the
smallest consistent list) returns the version of the cluster at a moment; the watch delivers its events and bookmarks in
the order of versions; so whoever has received a version at or after the probe's has received every change from before
the probe. Versions are compared as numbers (Kubernetes: "resource versions", comparable since 1.35, increasing in every
release); a version that is no number is only equal or not.
"""

from dataclasses import dataclass


def version_number(version: str) -> int | None:
    """Return a resource version as a number; None if it is none."""
    return int(version) if version.isascii() and version.isdigit() and len(version) <= 20 else None


@dataclass(slots=True)
class ProgressProof:
    """The latest received version, and the probe that is not proven yet: its version, and the moment before it."""

    received: str
    probe_version: str | None = None
    probe_ns: int = 0
    unproven: int = 0  # probes in a row that were not proven though a watch waited for it; counted by the caller

    def probed(self, version: str, at_ns: int) -> int | None:
        """Take a probe that was sent at `at_ns`; return that moment if everything up to it has been received already.

        A probe that is older than what has been received was answered from somewhere else: it proves nothing.
        """
        self.probe_version, self.probe_ns = (None if self.is_behind(version) else version), at_ns
        return self.proven_ns() if version == self.received else None

    def receive(self, version: str) -> int | None:
        """Take the version of an event or bookmark; return the moment that it proves, if any."""
        if not self.is_behind(version):
            self.received = version
        return self.proven_ns() if self.is_reached() else None

    def is_reached(self) -> bool:
        """Whether the received version is the probe's, or after it."""
        if self.probe_version is None:
            return False
        received, probed = version_number(self.received), version_number(self.probe_version)
        if received is None or probed is None:
            return self.received == self.probe_version
        return received >= probed

    def proven_ns(self) -> int:
        """Return the moment of the probe, which is proven now."""
        self.probe_version = None
        self.unproven = 0
        return self.probe_ns

    def is_behind(self, version: str) -> bool:
        """Whether a version is older than what has been received: a consistent list never is."""
        received, listed = version_number(self.received), version_number(version)
        return received is not None and listed is not None and listed < received
