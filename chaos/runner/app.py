"""The runner's life: read its ConfigMap, fetch the run, run the steps, delete its own Deployment."""

import signal
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from chaos.probes.confine import close_memory
from chaos.probes.probe_rounds import ProbeEnvironment
from chaos.runner.environment import (
    ABORT,
    ABORT_REASON,
    ABORTED_RUNS,
    ID_ANNOTATIONS,
    RunnerEnvironment,
    read_environment,
)
from chaos.runner.faults.context import FaultContext
from chaos.runner.faults.inject_and_release import remove_left
from chaos.runner.faults.pod_delete import new_chance
from chaos.runner.injectors.registry import Injectors
from chaos.runner.injectors.server import InjectorServer
from chaos.runner.kserver_client import Kserver
from chaos.runner.probes.commands import MOUNTS, command_environment, hidden_files
from chaos.runner.probes.k8s import look_at
from chaos.runner.run_state import RunState
from chaos.runner.step_logs import step_logs
from chaos.runner.steps import Steps, wall_clock, watch_for_stop
from chaos.runner.window_client import WindowClient
from cluster_api.client import ApiClient
from cluster_api.objects import Objects
from cluster_api.resources import ObjectName
from podsonar.errors import PodsonarError, SettingsError
from podsonar.supervised import start_supervised

POLL_SECONDS = 2.0

log = structlog.get_logger()


class Runner:
    """One run in one cluster."""

    def __init__(self, settings: RunnerEnvironment, api: ApiClient, commands: ProbeEnvironment) -> None:
        self.settings, self.objects, self.commands = settings, Objects(api), commands
        self.config_map = ObjectName("v1", "ConfigMap", settings.namespace, settings.name)
        annotations = self.annotations()
        missing = [name for name in ID_ANNOTATIONS if not annotations.get(name)]
        if missing:
            raise SettingsError(f"{self.config_map} has no annotation {missing[0]}: expected the run's ids there")
        ids = [annotations[name] for name in ID_ANNOTATIONS]
        self.kserver = Kserver(settings, *ids)
        self.over, self.injectors = threading.Event(), Injectors()
        url = settings.directory_url
        self.collector = WindowClient(url, settings.directory_token) if url else None
        self.logs = step_logs(settings, self.kserver.run_id)

    def annotations(self) -> Mapping[str, str]:
        """The annotations of the runner's ConfigMap."""
        found = self.objects.get(self.config_map)
        if found is None:
            raise SettingsError(f"{self.config_map} is not there: expected the runner's own")
        annotations: Mapping[str, str] = found["metadata"].get("annotations") or {}
        return annotations

    def run(self) -> str:
        """Run every step, and return the run's phase as its steps say."""
        data = self.kserver.fetch()
        if data["completed"]:
            self.delete_self(data)
            return str(data["phase"])
        try:
            serving = InjectorServer(self.settings.report_port, self.injectors) if self.settings.report_url else None
            with serving or nullcontext():
                self.run_steps(data)
        finally:
            self.logs.end()
        done = self.kserver.fetch()
        self.delete_self(done)
        return str(done["phase"])

    def run_steps(self, data: dict[str, Any]) -> None:
        """Run every step that has not ended, unless somebody asks for the end."""
        look = replace(self.commands, look=lambda inputs: look_at(self.objects.api, inputs))
        state = RunState(data, wall_clock, has_logs=self.logs.service is not None)
        steps = Steps(self.kserver, state, self.context_of, self.remove_left, look, self.logs.close, self.collector)
        signal.signal(signal.SIGTERM, lambda *_: steps.request_stop("the runner's pod is deleted"))
        start_supervised("stop", lambda: watch_for_stop(steps, POLL_SECONDS, self.over), self.over)
        start_supervised("abort", lambda: self.watch_for_abort(steps), self.over)
        try:
            steps.run(data["experimentYaml"])
        finally:
            self.over.set()

    def context_of(self, step: str) -> FaultContext:
        """What a step's fault is given."""
        return FaultContext(
            self.objects,
            wall_clock,
            self.logs.writer_of(step),
            step,
            self.injectors if self.settings.report_url else None,
            self.kserver.run_id,
            self.settings.report_url,
            self.deployment,
            chance=new_chance(),
        )

    def deployment(self) -> Mapping[str, Any] | None:
        """The runner's own Deployment, if it has one."""
        return self.objects.get(ObjectName("apps/v1", "Deployment", self.settings.namespace, self.settings.name))

    def remove_left(self) -> None:
        """Delete the injectors that a former runner of this run left."""
        remove_left(self.objects, self.settings.namespace, self.kserver.run_id, self.injectors)

    def watch_for_abort(self, steps: Steps) -> None:
        """Stop the run if the ConfigMap's annotations ask for it; a turn of a supervised loop."""
        if self.over.wait(POLL_SECONDS) or steps.stop.is_set():
            return
        try:
            found = self.annotations()
        except PodsonarError as error:
            log.warning("abort_not_read", error=str(error))
            return
        runs = [one.strip() for one in found.get(ABORTED_RUNS, "").split(",")]
        if found.get(ABORT) == "abort" and self.kserver.run_id in runs:
            steps.request_stop(f"abort: {found.get(ABORT_REASON) or 'no reason given'}")

    def delete_self(self, data: Mapping[str, Any]) -> None:
        """Delete the runner's own Deployment, unless the experiment retains it."""
        if data["experimentYaml"]["spec"].get("cleanupPolicy") == "retain":
            return
        found = self.deployment()
        if found is not None:
            name = ObjectName("apps/v1", "Deployment", self.settings.namespace, self.settings.name)
            self.objects.delete(name, found["metadata"]["uid"])
            log.info("deployment_deleted", name=str(name))


def run_runner(variables: Mapping[str, str], kubeconfig: Path | None) -> str:
    """Run the experiment of the environment once, and return its phase."""
    close_memory()
    settings, api = read_environment(variables), ApiClient.connect(kubeconfig, "runner")
    hidden = hidden_files(api.access, kubeconfig, MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    return Runner(settings, api, command_environment(hidden, unconfined=settings.unconfined)).run()
