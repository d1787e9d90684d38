"""What an experiment claims: edges that break, edges that hold, and what holds elsewhere. Pure."""

from typing import Annotated, Any, Literal

import msgspec

from chaos.control.judge.edge_pattern import EdgePattern, parse_edge
from chaos.control.judge.impact import Thresholds
from podsonar.errors import InputError

Percentage = Annotated[str, msgspec.Meta(pattern=r"^(100|[0-9]{1,2})(\.[0-9]+)?%$")]


class HeldEdge(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """An edge that must hold, and how well; without `min_established` as well as in the baseline."""

    edge: str
    min_established: Percentage | None = None
    max_handshake_ms: Annotated[float, msgspec.Meta(gt=0)] | None = None

    @property
    def pattern(self) -> EdgePattern:
        """The edges that are meant."""
        return parse_edge(self.edge, "hypothesis.holds")


class Hypothesis(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A hypothesis file's `hypothesis`."""

    breaks: tuple[str, ...] = ()
    degrades: tuple[str, ...] = ()
    slows: tuple[str, ...] = ()
    holds: tuple[str | HeldEdge, ...] = ()
    elsewhere: Literal["holds", "ignored"] = "holds"
    ignores: tuple[str, ...] = ()
    max_surge: Annotated[float, msgspec.Meta(gt=0)] | None = None
    min_attempts: Annotated[int, msgspec.Meta(ge=1)] = 5

    @property
    def thresholds(self) -> Thresholds:
        """The limits of the states."""
        return Thresholds(min_attempts=self.min_attempts)

    @property
    def breaking(self) -> list[EdgePattern]:
        """The edges that must break."""
        return [parse_edge(text, "hypothesis.breaks") for text in self.breaks]

    @property
    def degrading(self) -> list[EdgePattern]:
        """The edges that must at least degrade."""
        return [parse_edge(text, "hypothesis.degrades") for text in self.degrades]

    @property
    def slowing(self) -> list[EdgePattern]:
        """The edges whose handshakes must take longer."""
        return [parse_edge(text, "hypothesis.slows") for text in self.slows]

    @property
    def ignored(self) -> list[EdgePattern]:
        """The edges that nothing is claimed of."""
        return [parse_edge(text, "hypothesis.ignores") for text in self.ignores]

    @property
    def holding(self) -> list[HeldEdge]:
        """The edges that must hold."""
        return [HeldEdge(one) if isinstance(one, str) else one for one in self.holds]


def read_hypothesis(document: object, place: str) -> Hypothesis:
    """The hypothesis of a parsed file, alone or as its member `hypothesis`; InputError names member and expectation."""
    inner: Any = document
    if isinstance(document, dict) and "hypothesis" in document:
        inner = document["hypothesis"]
    try:
        found = msgspec.convert(inner, Hypothesis)
    except msgspec.ValidationError as error:
        raise InputError(f"{place}: hypothesis: {error}") from error
    claimed = [*found.breaking, *found.degrading, *found.slowing]
    named = [*claimed, *found.ignored, *(one.pattern for one in found.holding)]
    twice = sorted({one.text for one in named if named.count(one) > 1})
    if twice:
        raise InputError(f"{place}: hypothesis names {twice[0]!r} twice: expected one claim per edge")
    return found
