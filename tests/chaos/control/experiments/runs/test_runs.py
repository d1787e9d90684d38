"""Events of a run -> its state, score and JSON; the samples of the API's document are pairs."""

import random
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.control.experiments.runs.document import RunRecord, run_json
from chaos.control.experiments.runs.events import Execution, Node, execution_json, read_event
from chaos.control.experiments.runs.manifest import first_execution, read_manifest
from chaos.control.experiments.runs.merge import DEADLINE_MESSAGE, merge
from chaos.control.experiments.runs.score import score_of
from podsonar.errors import InputError

SAMPLES = Path(__file__).parents[1] / "samples"
EVENT = (SAMPLES / "event.json").read_bytes()
RUN = orjson.loads((SAMPLES / "experimentrun.json").read_bytes())
NS = 1_000_000


def execution_of(document: dict[str, Any]) -> Execution:
    """An execution as an object."""
    return msgspec.convert(document, Execution)


def merge_all(events: Iterable[Execution]) -> Execution | None:
    """The state after some events."""
    return reduce(merge, events, None)


def sample_record(execution: Execution) -> RunRecord:
    """The run of the samples with a state."""
    data = RUN["data"]
    return RunRecord(
        run_id=data["experimentRunID"],
        notify_id=data["notifyID"],
        experiment_id=data["experimentID"],
        revision_id=data["revisionID"],
        name=data["experimentName"],
        account=data["accountID"],
        organization=data["orgID"],
        project=data["projectID"],
        environment="test",
        infra_id="prodecommerce",
        manifest=data["experimentYaml"],
        execution=execution,
        sequence=1,
        completed=False,
        created_ns=data["createdAt"] * NS,
        updated_ns=data["updatedAt"] * NS,
        created_by=data["createdBy"],
        deadline_ns=0,
        governance=data["securityGovernance"],
        probes=data["faultsWithProbes"],
    )


def test_sample_run_is_what_the_document_shows() -> None:
    """Every member, in its order."""
    execution = execution_of(RUN["data"]["executionData"])
    assert orjson.dumps(run_json(sample_record(execution))) == orjson.dumps(RUN)


def test_sample_event_moves_the_sample_run() -> None:
    """UPDATE; pod-delete runs and has its log stream; all else is as before."""
    before = execution_of(RUN["data"]["executionData"])
    event = read_event(EVENT, "prodecommerce")
    after = merge(before, event.execution)
    sent = orjson.loads(orjson.loads(EVENT)["args"]["executionData"])
    assert orjson.dumps(execution_json(after)) == orjson.dumps(sent)
    assert not event.completed


def test_first_state_has_the_sample_s_nodes() -> None:
    """From the manifest alone: the same keys, groups chained, everything Pending."""
    manifest = read_manifest(RUN["data"]["experimentYaml"])
    first = execution_json(first_execution(manifest, 1746117494))
    shown = RUN["data"]["executionData"]
    assert {key: node["children"] for key, node in first["nodes"].items()} == {
        key: node["children"] for key, node in shown["nodes"].items()
    }
    assert [first["nodes"][key] for key in list(shown["nodes"])[1:]] == list(shown["nodes"].values())[1:]


def step(name: str, phase: str, at: int = 0, verdict: str = "", share: str = "") -> Node:
    """A step's node; `at` is when it began, ended or was touched."""
    first = execution_of(RUN["data"]["executionData"]).nodes["api-payload-test-pod-delete-wm3"]
    assert first.chaos_data is not None
    data = msgspec.structs.replace(
        first.chaos_data, last_updated_at=str(at), experiment_verdict=verdict, probe_success_percentage=share
    )
    ended = phase not in {"Pending", "Running"}
    return msgspec.structs.replace(
        first, name=name, phase=phase, children=None, finished_at=str(at) if ended else "", chaos_data=data
    )


def state(*steps: Node, event: str = "UPDATE") -> Execution:
    """A run with some steps."""
    root = Node("run", "Running", "", "1", "", tuple(f"run-{one.name}" for one in steps), "Steps")
    return Execution(
        "events",
        event,
        "hce",
        "run",
        "1",
        "Running",
        "",
        "1",
        "",
        {"run": root} | {f"run-{s.name}": s for s in steps},
        "",
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Execution]:
    """The events of one true run: time goes on, each step goes Pending, Running (some times touched), one end."""
    events, clock = [], 10
    steps = {f"s{number}": step(f"s{number}", "Pending", 1) for number in range(draw(st.integers(1, 3)))}
    events.append(state(*steps.values(), event="CREATE"))
    for name in list(steps):
        for _ in range(draw(st.integers(1, 3))):
            clock += draw(st.integers(0, 5))
            steps[name] = step(name, "Running", clock, "Awaited")
            events.append(state(*steps.values()))
        clock += 1
        phase, verdict = draw(st.sampled_from([("Completed", "Pass"), ("Error", "Error"), ("Stopped", "Stopped")]))
        steps[name] = step(name, phase, clock, verdict, "100" if verdict == "Pass" else "0")
        events.append(state(*steps.values()))
    return events


@settings(max_examples=300, deadline=None)
@given(events=histories(), shuffled=st.randoms(use_true_random=False))
def test_any_order_repetition_or_resending_gives_the_same_state(
    events: list[Execution], shuffled: random.Random
) -> None:
    """Shuffled, repeated, some lost and sent again later: the final state is that of the events in order."""
    sent = [*events, *shuffled.choices(events, k=len(events))]
    shuffled.shuffle(sent)
    assert merge_all(sent) == merge_all(events)


@settings(max_examples=100, deadline=None)
@given(events=histories())
def test_nothing_goes_back(events: list[Execution]) -> None:
    """After the last event each earlier one changes nothing."""
    final = merge_all(events)
    for event in events:
        assert merge(final, event) == final


def test_end_by_deadline_gives_way_to_the_runner_s_own() -> None:
    """Whichever comes first."""
    assumed = msgspec.structs.replace(step("a", "Stopped", 50, "Stopped"), message=DEADLINE_MESSAGE)
    told = step("a", "Completed", 60, "Pass")
    for order in ([assumed, told], [told, assumed]):
        merged = merge_all(state(one) for one in order)
        assert merged is not None
        assert merged.nodes["run-a"].phase == "Completed"


@pytest.mark.parametrize(
    ("phases", "phase"),
    [
        (["Completed", "Completed"], "Completed"),
        (["Completed", "Completed_With_Probe_Failure"], "Completed_With_Probe_Failure"),
        (["Stopped", "Completed_With_Probe_Failure"], "Stopped"),
        (["Stopped", "Error"], "Error"),
        (["Completed", "Running"], "Running"),
        (["Completed", "Skipped"], "Completed"),
        (["Skipped", "Skipped"], "Stopped"),
    ],
)
def test_phase_is_computed_from_the_steps(phases: list[str], phase: str) -> None:
    """What the runner says of the whole is not believed."""
    steps = [step(f"s{number}", one, 9) for number, one in enumerate(phases)]
    merged = merge(None, state(*steps))
    assert (merged.phase, merged.nodes["run"].phase) == (phase, phase)
    assert bool(merged.finished_at) == (phase != "Running")


def test_score_is_weighted_and_cut() -> None:
    """(2 x 0 + 4 x 100 + 8 x 75) / 14 = 71.42; Error, Awaited and Stopped without probes are 0."""
    steps = [
        step("a", "Completed_With_Probe_Failure", 9, "Fail", "0"),
        step("b", "Completed", 9, "Pass", "100"),
        step("c", "Completed_With_Probe_Failure", 9, "Fail", "75"),
    ]
    found = score_of(state(*steps), {"a": 2, "b": 4, "c": 8})
    assert (found.resiliency_score, found.passed, found.failed, found.total) == (71.42, 1, 2, 3)
    odd = [step("a", "Error", 9, "Error", "100"), step("b", "Stopped", 9, "Stopped"), step("c", "Skipped", 9, "N/A")]
    found = score_of(state(*odd, step("d", "Completed", 9, "Pass")), {})
    assert found == (25, 1, 1, 0, 1, 1, 4)


def changed_event(**changes: Any) -> bytes:
    """The sample with members changed; `execution` changes the inner JSON."""
    body = orjson.loads(EVENT)
    execution = orjson.loads(body["args"]["executionData"]) | changes.pop("execution", {})
    body["args"]["executionData"] = orjson.dumps(execution).decode()
    body["args"] |= changes.pop("args", {})
    return orjson.dumps(body | changes)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"[]", "Expected `object`", id="no object"),
        pytest.param(b"\xff", "event:", id="not UTF-8"),
        pytest.param(changed_event(taskType="OTHER"), "Invalid enum value 'OTHER'", id="task type"),
        pytest.param(changed_event(infraId="other"), "expected one infrastructure", id="infrastructure"),
        pytest.param(changed_event(args={"completed": "true"}), "has not ended", id="completed too early"),
        pytest.param(changed_event(args={"completed": True}), "completed", id="completed as boolean"),
        pytest.param(changed_event(args={"executionData": "{"}), "event:", id="inner JSON"),
        pytest.param(changed_event(execution={"nodes": {}}), "no root", id="no root"),
        pytest.param(changed_event(execution={"startedAt": "yesterday"}), "startedAt", id="time"),
        pytest.param(b'{"args":' + b"[" * 100_000, "event:", id="deep"),
    ],
)
def test_bad_event_names_what_is_wrong(content: bytes, expected: str) -> None:
    """One sentence, never a traceback."""
    with pytest.raises(InputError) as error:
        read_event(content, "prodecommerce")
    assert expected in str(error.value)


def test_manifest_without_matching_steps_is_refused() -> None:
    """Each task is in one group of steps."""
    document = orjson.loads(orjson.dumps(RUN["data"]["experimentYaml"]))
    document["spec"]["steps"].pop()
    with pytest.raises(InputError, match="each task in one group"):
        read_manifest(document)
