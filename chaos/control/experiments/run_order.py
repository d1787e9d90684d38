"""What a person sends of a run: a new one, or a stop. Members that contradict each other are refused."""

from typing import Annotated, Any

import msgspec

from chaos.runner.environment import MOST_AUTHORITY_BYTES
from podsonar.errors import InputError


class RunOrder(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The body of a new run."""

    infra_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] = msgspec.field(name="infraID")
    experiment: dict[str, Any]
    weights: dict[str, int] = {}
    plan: dict[str, Any] = {}
    delegate: Annotated[str, msgspec.Meta(max_length=253)] = ""
    authority: Annotated[str, msgspec.Meta(max_length=MOST_AUTHORITY_BYTES)] = ""
    own_runner: bool = False

    def check_bringing(self, cluster: str | None) -> None:
        """InputError where members differ in who brings the runner; `cluster`: that of the delegate, if one does."""
        if self.own_runner and self.delegate:
            raise InputError(
                f"delegate is {self.delegate[:80]!r} and ownRunner is true: expected one of them, since a delegate "
                "brings no runner of your own"
            )
        if self.authority and cluster is None:
            who = "ownRunner is true" if self.own_runner else f"no delegate installed {self.infra_id[:80]!r}"
            raise InputError(
                f"authority has {len(self.authority)} characters and {who}: expected none, since only a runner that a "
                "delegate brings gets it; or the name of a delegate"
            )


class StopOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a stop."""

    reason: Annotated[str, msgspec.Meta(max_length=256)] = ""
