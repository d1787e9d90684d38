"""The JSON of a run as runners fetch it: the 32 members of the document, in its order. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.control.experiments.runs.events import Execution, execution_json
from chaos.control.experiments.runs.manifest import without_empty_values
from chaos.control.experiments.runs.score import Score
from manager.store.tenancy import Tenant


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it is stored; times in nanoseconds since 1970."""

    run_id: str
    notify_id: str
    experiment_id: str
    revision_id: str
    name: str
    account: str
    organization: str
    project: str
    environment: str
    infra_id: str
    manifest: Mapping[str, Any]
    execution: Execution
    sequence: int
    completed: bool
    created_ns: int
    updated_ns: int
    created_by: str
    deadline_ns: int
    governance: Mapping[str, Any] = field(default_factory=dict)
    probes: Sequence[Mapping[str, Any]] = ()
    weights: Mapping[str, int] = field(default_factory=dict)
    updated_by: str = ""
    error_response: str = ""
    network_map_id: str = ""
    targeted_services: Sequence[Any] | None = None
    removed: bool = False
    score: Score = field(default_factory=Score)
    stop_ns: int | None = None
    stop_reason: str = ""

    @property
    def tenant(self) -> Tenant:
        """The owner of the run."""
        return Tenant(self.account, self.organization, self.project, self.environment)


def run_json(run: RunRecord) -> dict[str, Any]:
    """`{"data": …}`; after the document's members one of ours, only while a stop is asked for."""
    data = {
        "notifyID": run.notify_id,
        "resiliencyScore": run.score.resiliency_score,
        "faultsPassed": run.score.passed,
        "faultsFailed": run.score.failed,
        "faultsAwaited": run.score.awaited,
        "faultsStopped": run.score.stopped,
        "faultsNA": run.score.not_available,
        "totalFaults": run.score.total,
        "accountID": run.account,
        "orgID": run.organization,
        "projectID": run.project,
        "experimentType": "experiment_v2",
        "infraID": f"{run.environment}/{run.infra_id}",
        "experimentRunID": run.run_id,
        "experimentID": run.experiment_id,
        "experimentName": run.name,
        "phase": run.execution.phase,
        "executionData": execution_json(run.execution),
        "revisionID": run.revision_id,
        "errorResponse": run.error_response,
        "networkMapID": run.network_map_id,
        "experimentYaml": without_empty_values(run.manifest),
        "targetedServices": run.targeted_services,
        "securityGovernance": run.governance,
        "faultsWithProbes": list(run.probes),
        "createdBy": run.created_by,
        "updatedBy": run.updated_by,
        "updatedAt": run.updated_ns // 1_000_000,
        "createdAt": run.created_ns // 1_000_000,
        "isRemoved": run.removed,
        "runSequence": run.sequence,
        "completed": run.completed,
    }
    if run.stop_ns is not None and not run.completed:
        data["stopRequested"] = {"at": run.stop_ns // 1_000_000, "reason": run.stop_reason}
    return {"data": data}
