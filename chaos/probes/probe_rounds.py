"""Rounds of a probe: up to `attempt` tries with `interval` between, until one passes or the fault has to end."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.probes.attempt import Attempt
from chaos.probes.command_probe import try_command
from chaos.probes.http_probe import try_http
from chaos.probes.prom_probe import try_prometheus
from chaos.task_action import EdgeInputs, Probe, ResourceInputs
from podsonar.supervised import place_of

Wait = Callable[[float], bool]  # waits that many seconds; True: stop
Heard = Callable[[Attempt], object]  # of a try that is not its round's last


@dataclass(frozen=True)
class ProbeEnvironment:
    """Where commands run, and what they cannot read there: with `hidden` nor may they look into this process.

    `refused` is why no command is run at all, if so. `look` is a k8sProbe's look at the cluster that the probes are in,
    if there is one. `judge` is an edgeProbe's question to the manager; it may take the seconds that it is given.
    """

    folder: str = "/"
    variables: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    hidden: tuple[str, ...] = ()
    refused: str = ""
    look: Callable[[ResourceInputs], Attempt] | None = None
    judge: Callable[[EdgeInputs, float], Attempt] | None = None


def look_once(probe: Probe, environment: ProbeEnvironment) -> Attempt:
    """What a try of the probe's kind finds."""
    seconds = probe.properties.timeout_seconds()
    if probe.command is not None and environment.refused:
        return Attempt("Error", environment.refused)
    if probe.command is not None:
        return try_command(probe.command, seconds, environment.folder, environment.variables, environment.hidden)
    if probe.http is not None:
        return try_http(probe.http, seconds)
    if probe.prometheus is not None:
        return try_prometheus(probe.prometheus, seconds)
    if probe.resource is not None and environment.look is not None:
        return environment.look(probe.resource)
    if probe.edge is not None and environment.judge is not None:
        return environment.judge(probe.edge, seconds)
    return Attempt("Error", f"a {probe.type} has nothing to look at here")


def try_once(probe: Probe, environment: ProbeEnvironment) -> Attempt:
    """One try, with its time; a defect is an Error, so that no probe ends in silence with its earlier verdict."""
    began, clock = time.time(), time.monotonic()
    try:
        found = look_once(probe, environment)
    except Exception as error:  # noqa: BLE001 - the thread of a probe that runs all the time would end
        found = Attempt("Error", f"defect: {type(error).__name__} at {place_of(error)}")
    return found._replace(began=began, seconds=time.monotonic() - clock)


def nobody(_attempt: Attempt) -> None:
    """Tell nobody of a try."""


def run_round(probe: Probe, environment: ProbeEnvironment, wait: Wait, heard: Heard = nobody) -> Attempt:
    """The last try of a round, `heard` gets those before; an Error is not tried again."""
    properties = probe.properties
    if properties.delay_seconds() and wait(properties.delay_seconds()):
        return Attempt("Failed", "stopped before the first try")
    for left in range(properties.attempts() - 1, -1, -1):
        found = try_once(probe, environment)
        if found.outcome != "Failed" or left == 0 or wait(properties.interval_seconds()):
            break
        heard(found)
    return found
