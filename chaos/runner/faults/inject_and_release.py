"""Injects a fault by pods on the targets' nodes: all or none, recorded ahead, released and confirmed.

Every injector is ready before one is told to inject; the fault's time begins then. What is released is confirmed by the
injector, or by the end of its pod; what is not is over when its deadline in the kernel has passed: that is waited for.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from chaos.injector.order import InjectionOrder
from chaos.runner.faults.context import FaultContext, FaultError
from chaos.runner.injectors.pods import RunnerPod, injector_manifest, runner_pod
from chaos.runner.injectors.registry import SILENT_SECONDS, Injector, Injectors
from chaos.runner.targets import PODS, TargetPod, container_id
from cluster_api.objects import Objects
from cluster_api.resources import ObjectName
from podsonar.errors import ObjectRefusedError
from podsonar.run_labels import injectors_of

READY_SECONDS = 60.0
HELD_SECONDS = 10.0
CONFIRM_SECONDS = 1.0  # between two looks at the pods of those that say nothing
BEYOND_DEADLINE_SECONDS = 2.0  # of the kernel's own
LOOK_SECONDS = 0.25
NOT_CONFIRMED = "released by its deadline; not confirmed"
BY_ITSELF = frozenset({"G1", "G2", "done"})  # how a fault ends that went as it should
NEVER_STARTS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerError",
    "CreateContainerConfigError",
)


class Aim(NamedTuple):
    """An order for one pod; `container` is the name of the container that it means, empty for the pod as a whole."""

    pod: TargetPod
    order: InjectionOrder
    container: str = ""


class Planted(NamedTuple):
    """An injector's pod."""

    name: ObjectName
    uid: str
    aim: Aim
    injector: Injector


class Injection:
    """One fault of one step."""

    def __init__(self, context: FaultContext) -> None:
        if context.injectors is None:
            raise FaultError("E3010: NO_INJECTOR", "DDCR_ENDPOINT is empty: expected the URL of the runner's Service")
        self.context, self.injectors = context, context.injectors
        self.runner = self.find_runner()
        self.planted: list[Planted] = []
        self.told: dict[str, str] = {}

    def find_runner(self) -> RunnerPod:
        """What the injectors take over from this runner's Deployment, which owns them."""
        deployment = self.context.deployment()
        if deployment is None:
            raise FaultError(
                "E3010: NO_INJECTOR", "the runner's Deployment is not there: expected one to own injectors"
            )
        return runner_pod(deployment, self.context.report_url, self.context.run_id)

    def run(self, aims: Sequence[Aim]) -> list[Injector]:
        """Inject, wait for the end, and return every injector as it ended; FaultError if it did not go as it should."""
        seconds = max(aim.order.seconds for aim in aims)
        try:
            self.plant(aims)
            self.await_ready()
            self.context.record([one.name.name for one in self.planted])
            self.check_targets()
            early = self.hold(seconds)
            self.context.on_over()
            unconfirmed = self.release(seconds)
        finally:
            self.log_states()
            self.remove()
        failed = [one for one in self.all if one.state == "failed"]
        if failed:
            raise FaultError("E3011: INJECTION_FAILED", failed[0].message or "an injector failed")
        if early and not self.context.stopped():
            raise FaultError("E3012: FAULT_ENDED_EARLY", early)
        if unconfirmed:
            self.context.log(f"{len(unconfirmed)} injectors: {NOT_CONFIRMED}", "warn")
        return self.all

    @property
    def all(self) -> list[Injector]:
        """The injectors."""
        return [one.injector for one in self.planted]

    def log_states(self) -> None:
        """A line for each injector that says something new."""
        for one in self.planted:
            state = one.injector.state
            if state != self.told.get(one.name.name, "new"):
                self.told[one.name.name] = state
                text = f"injector {one.name.name} for {one.aim.pod.name}: {words_of(one)}"
                self.context.log(text, "error" if state == "failed" else "info")

    def plant(self, aims: Sequence[Aim]) -> None:
        """Create a pod per target."""
        for aim in aims:
            injector = self.injectors.add()
            body = injector_manifest(self.runner, self.context.step, injector, aim.pod, aim.order)
            try:
                made = self.context.objects.create(body)
            except ObjectRefusedError as error:
                raise FaultError("E3010: NO_INJECTOR", str(error)) from error
            self.planted.append(Planted(ObjectName.of(made), made["metadata"]["uid"], aim, injector))
            self.context.log(f"injector {made['metadata']['name']} on {aim.pod.node} for {aim.pod.name}")

    def await_ready(self) -> None:
        """Wait until every injector has found its target."""
        end = time.monotonic() + READY_SECONDS
        while not self.injectors.wait(LOOK_SECONDS, lambda: all(one.state != "new" for one in self.all)):
            self.log_states()
            late = next(one for one in self.planted if one.injector.state == "new")
            why = never_starts(self.context.objects.get(late.name))
            if why or time.monotonic() > end or self.context.stopped():
                text = why or ("stopped" if self.context.stopped() else f"not ready in {READY_SECONDS:.0f} s")
                raise FaultError("E3010: NO_INJECTOR", f"injector {late.name.name}: {text}; nothing was injected")
        self.log_states()
        failed = [one for one in self.all if one.state == "failed"]
        if failed:
            raise FaultError("E3011: INJECTION_FAILED", f"{failed[0].message}; nothing was injected")

    def check_targets(self) -> None:
        """FaultError unless every target is still the pod, and the container, that was chosen."""
        for one in self.planted:
            pod = self.context.objects.get(one.aim.pod.object_name)
            same = pod is not None and pod["metadata"]["uid"] == one.aim.pod.uid
            if pod is None or not same or pod["metadata"].get("deletionTimestamp"):
                text = f"pod {one.aim.pod.namespace}/{one.aim.pod.name} is another one now; nothing was injected"
                raise FaultError("E3013: TARGET_CHANGED", text)
            if one.aim.container and container_id(pod, one.aim.container) != one.aim.order.container:
                text = f"container {one.aim.container} of {one.aim.pod.name} has restarted; nothing was injected"
                raise FaultError("E3013: TARGET_CHANGED", text)

    def hold(self, seconds: float) -> str:
        """Tell them to inject and wait for the fault's end, or a stop; why it ended early, if it did."""
        if self.context.stopped():
            return "stopped before it began"
        self.context.log(f"inject: told to {len(self.planted)} injectors, for {seconds:g} s")
        self.injectors.command(self.all, "inject")
        begun = time.monotonic()
        while not self.context.stopped():
            self.log_states()
            now = time.monotonic()
            if why := self.why_early():
                return why
            if any(one.state == "ready" for one in self.all):
                if now > begun + HELD_SECONDS:
                    return "an injector did not inject in time"
            else:
                self.context.on_injected()
                if now >= begun + seconds or all_over(self.all):
                    return ""
            self.injectors.wait(min(LOOK_SECONDS, max(0.01, begun + seconds - now)), lambda: all_over(self.all))
        return ""

    def why_early(self) -> str:
        """Why the fault is not what it should be, while it should be on; empty if it is."""
        for one in self.all:
            if one.over and one.by not in BY_ITSELF:
                return one.message or f"the fault was over before its time ({one.by})"
            if not one.over and self.injectors.silent_seconds(one) > SILENT_SECONDS:
                return f"nothing was heard of an injector for {SILENT_SECONDS:.0f} s, which ends its fault"
        return ""

    def release(self, seconds: float) -> list[Planted]:
        """Tell them to release, and wait until each is certainly over; those that did not confirm it."""
        self.context.log(f"release: told to {len(self.planted)} injectors")
        self.injectors.command(self.all, "release")
        certain = time.monotonic() + seconds + BEYOND_DEADLINE_SECONDS
        while not self.injectors.wait(CONFIRM_SECONDS, lambda: all_over(self.all)):
            unconfirmed = [one for one in self.planted if not one.injector.over and not self.pod_ended(one)]
            if not unconfirmed or time.monotonic() > certain:
                return unconfirmed
        return []

    def pod_ended(self, planted: Planted) -> bool:
        """Whether the kubelet says that no process of an injector's pod is left."""
        pod = self.context.objects.get(planted.name)
        if pod is None or pod["metadata"]["uid"] != planted.uid:
            return True
        statuses = pod.get("status", {}).get("containerStatuses") or []
        return bool(statuses) and all("terminated" in one.get("state", {}) for one in statuses)

    def remove(self) -> None:
        """Delete the pods, and hear their injectors no more."""
        self.injectors.command(self.all, "release")
        for one in self.planted:
            try:
                self.context.objects.delete(one.name, one.uid)
            except ObjectRefusedError as error:  # they go with the Deployment that owns them
                self.context.log(f"injector {one.name.name} stays until its runner goes: {error}")


def words_of(one: Planted) -> str:
    """What an injector says, with the pod or container that it has found."""
    injector, order = one.injector, one.aim.order
    if injector.state == "ready":
        where = f"container {one.aim.container} of pod {order.pod}" if one.aim.container else f"pod {order.pod}"
        return f"ready, has found {where}"
    if injector.state == "held":
        return f"injected {order.kind}"
    if injector.state == "failed":
        return f"failed: {injector.message}"
    counters = "".join(f", {name} {value:.10g}" for name, value in sorted(injector.counters.items()))
    return f"released by {injector.by or 'nobody'}{counters}"


def all_over(injectors: Sequence[Injector]) -> bool:
    """Whether none holds anything, or ever will."""
    return all(one.over for one in injectors)


def never_starts(pod: dict[str, Any] | None) -> str:
    """Why a pod will never be ready; empty as long as it may."""
    if pod is None:
        return "its pod is gone"
    status = pod.get("status", {})
    if status.get("phase") == "Failed":
        return f"its pod failed: {status.get('reason') or status.get('message') or 'its container ended'}"
    for one in status.get("containerStatuses") or []:
        waiting = one.get("state", {}).get("waiting", {})
        if waiting.get("reason") in NEVER_STARTS:
            return f"{waiting['reason']}: {str(waiting.get('message', ''))[:200]}"
    return ""


def remove_left(objects: Objects, namespace: str, run_id: str, injectors: Injectors | None) -> None:
    """Delete the injectors that a run's former runner left, and wait until they are gone."""
    end = time.monotonic() + READY_SECONDS
    while left := objects.list(PODS, namespace, injectors_of(run_id)):
        for pod in left:
            if not pod["metadata"].get("deletionTimestamp"):
                objects.delete(ObjectName("v1", "Pod", namespace, pod["metadata"]["name"]), pod["metadata"]["uid"])
        if time.monotonic() > end or injectors is None:
            return
        injectors.wait(1.0, lambda: False)
