"""A task's action as the API document spells it: the fault, its inputs and its probes. Pure; both ends check it."""

import re
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

# Go's durations (time.ParseDuration), without fractions below a millisecond.
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
MOST_PROBES = 50
MOST_SECONDS = 24 * 3600  # of a duration, and of a round of a probe
MOST_ATTEMPTS = 10_000
HOST_PROBES = ("cmdProbe", "httpProbe")


class ActionError(ValueError):
    """The action is not what it should be; one sentence."""


class Input(Struct, frozen=True):
    """An input of a fault: both are text."""

    name: str
    value: str


class Comparator(Struct, frozen=True):
    """How the output of a command is judged."""

    type: Literal["int", "float", "string"] = "string"
    criteria: str = "contains"
    value: str = ""


class CommandInputs(Struct, frozen=True):
    """What a cmdProbe runs."""

    command: str
    comparator: Comparator = Comparator()


class HttpMethod(Struct, frozen=True, rename="camel"):
    """What an httpProbe expects: a status, or a body."""

    criteria: str = "=="
    response_code: str = "200"
    response_body: str = ""
    body: str = ""
    content_type: str = "application/json"


class HttpMethods(Struct, frozen=True):
    """One of both."""

    get: HttpMethod | None = None
    post: HttpMethod | None = None


class HttpInputs(Struct, frozen=True, rename="camel"):
    """What an httpProbe asks."""

    url: str
    method: HttpMethods = HttpMethods(get=HttpMethod())
    insecure_skip_verify: bool = False


class ResourceInputs(Struct, frozen=True, rename="camel"):
    """What a k8sProbe looks for: objects of one resource, and whether they are to be there."""

    version: str
    resource: str
    group: str = ""
    namespace: str = ""
    resource_names: str = ""
    field_selector: str = ""
    label_selector: str = ""
    operation: Literal["present", "absent"] = "present"


class PromInputs(Struct, frozen=True):
    """What a promProbe asks of a Prometheus: a query with one number for an answer."""

    endpoint: str
    query: str
    comparator: Comparator = Comparator("float", ">=", "0")


class EdgeInputs(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What an edgeProbe expects of an edge while the fault is in."""

    edge: str
    expect: Literal["holds", "breaks", "degrades", "slows"] = "holds"
    min_established: str | None = None
    max_handshake_ms: float | None = None
    max_surge: float | None = None
    min_attempts: int = 5


class RunProperties(Struct, frozen=True, rename="camel"):
    """How often and how long a probe is tried; durations are seconds or Go's texts."""

    probe_timeout: str | float = "30s"
    interval: str | float = "1s"
    attempt: int = 1
    retry: int = 0  # Litmus' older name: tries beyond the first
    probe_polling_interval: str | float = "0s"
    initial_delay: str | float = "0s"
    stop_on_failure: bool = False

    def attempts(self) -> int:
        """How often a probe is tried before it has failed."""
        return max(1, self.attempt, self.retry + 1 if self.retry else 0)

    def timeout_seconds(self) -> float:
        """Seconds that one try may take."""
        return seconds_of("runProperties.probeTimeout", self.probe_timeout)

    def interval_seconds(self) -> float:
        """Seconds between tries."""
        return seconds_of("runProperties.interval", self.interval)

    def delay_seconds(self) -> float:
        """Seconds before the first try."""
        return seconds_of("runProperties.initialDelay", self.initial_delay)

    def polling_seconds(self) -> float:
        """Seconds between rounds of a probe that runs all the time."""
        return max(seconds_of("runProperties.probePollingInterval", self.probe_polling_interval), 0.1)

    def longest_seconds(self) -> float:
        """The most that one round may take."""
        return self.delay_seconds() + self.attempts() * (self.timeout_seconds() + self.interval_seconds())


class Probe(Struct, frozen=True):
    """A probe of a task."""

    name: str
    type: Literal["cmdProbe", "httpProbe", "k8sProbe", "promProbe", "edgeProbe"]
    mode: Literal["SOT", "EOT", "Edge", "Continuous", "OnChaos"]
    command: CommandInputs | None = field(name="cmdProbe/inputs", default=None)
    http: HttpInputs | None = field(name="httpProbe/inputs", default=None)
    resource: ResourceInputs | None = field(name="k8sProbe/inputs", default=None)
    prometheus: PromInputs | None = field(name="promProbe/inputs", default=None)
    edge: EdgeInputs | None = field(name="edgeProbe/inputs", default=None)
    properties: RunProperties = field(name="runProperties", default=RunProperties())

    def check(self) -> None:
        """ActionError unless the probe has the inputs of its type and no others, and durations that are such."""
        inputs = {
            "cmdProbe": self.command,
            "httpProbe": self.http,
            "k8sProbe": self.resource,
            "promProbe": self.prometheus,
            "edgeProbe": self.edge,
        }
        if [name for name, given in inputs.items() if given is not None] != [self.type]:
            raise ActionError(f"probe {self.name[:80]!r}: expected {self.type}/inputs and no others")
        if self.properties.attempts() > MOST_ATTEMPTS:
            raise ActionError(
                f"probe {self.name[:80]!r} is tried {str(self.properties.attempts())[:40]} times: expected at most "
                f"{MOST_ATTEMPTS}"
            )
        longest = self.properties.longest_seconds()
        if longest > MOST_SECONDS:
            raise ActionError(f"probe {self.name[:80]!r} may take {longest:.0f} s a round: expected no more than 24h")
        if self.edge is not None and self.mode != "EOT":
            text = (
                f"probe {self.name[:80]!r} has mode {self.mode}: expected EOT, since windows are judged when they ended"
            )
            raise ActionError(text)


class Chaos(Struct, frozen=True):
    """The fault's name, its inputs, and the probes."""

    experiment: str
    inputs: list[Input] = field(name="experimentInputs", default_factory=list)
    probes: list[Probe] = field(default_factory=list)

    def input(self, name: str, default: str = "") -> str:
        """The value of an input."""
        return next((one.value for one in self.inputs if one.name == name), default)

    def duration_seconds(self) -> float:
        """How long the fault lasts; 0 for one that is over at once."""
        return seconds_of("Duration", self.input("Duration", "0s"))

    def longest_seconds(self) -> float:
        """The most that the task may take: the fault and every probe at its worst."""
        return self.duration_seconds() + sum(probe.properties.longest_seconds() * 2 for probe in self.probes)


def seconds_of(name: str, text: str | float) -> float:
    """The seconds of a duration, at most a day's: ActionError for any other, as of a text that is none."""
    if isinstance(text, str) and not text.isdecimal():
        if not DURATION.fullmatch(text):
            raise ActionError(f"{name} is {text[:40]!r}, expected a duration such as 30s or 1m30s")
        found = sum(float(number) * UNITS[unit] for number, unit in PART.findall(text))
    else:
        found = text if isinstance(text, int) else float(text)
    if not 0 <= found <= MOST_SECONDS:
        raise ActionError(f"{name} is {str(text)[:40]!r}, expected 0 s to 24h")
    return float(found)


def read_action(action: Any) -> Chaos:  # noqa: ANN401 - any JSON
    """The action of a task, checked; ActionError names the place and what was expected."""
    try:
        chaos = msgspec.convert(action, type=dict[Literal["chaos"], Chaos])["chaos"]
    except msgspec.ValidationError as error:
        raise ActionError(f"action: {error}") from error
    except KeyError:
        raise ActionError("action: expected a member chaos") from None
    if len(chaos.probes) > MOST_PROBES:
        raise ActionError(f"action: {len(chaos.probes)} probes, expected no more than {MOST_PROBES}")
    if len({probe.name for probe in chaos.probes}) != len(chaos.probes):
        raise ActionError("action: two probes have the same name")
    for probe in chaos.probes:
        if probe.type not in HOST_PROBES:
            raise ActionError(f"probe {probe.name[:80]!r} is a {probe.type}: expected {' or '.join(HOST_PROBES)}")
        probe.check()
    chaos.duration_seconds()
    return chaos
