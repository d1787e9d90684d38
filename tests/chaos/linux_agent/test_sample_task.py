"""The document's own task, run for real by the agent, gives the document's own result."""

import json
from pathlib import Path

import orjson
import pytest

from tests.chaos.control.linux.conftest import SAMPLES, sample
from tests.chaos.linux_agent.conftest import agent_on


@pytest.mark.kernel
@pytest.mark.long
def test_sample_task_gives_the_sample_result_byte_for_byte(tmp_path: Path) -> None:
    """30 CPU seconds are used, `./healthcheck` is not there: every byte of the result but `logs` is the sample's.

    The sample's host id stands for this host's; its log lines are those of the sample but for the mistake of Go's
    formatter, and their times.
    """
    with agent_on(tmp_path) as agent:
        agent.prefer()  # what is measured is what the fault uses, not what others leave it
        made = agent.host.make()
        task = agent.ended_task(made["taskName"])
        lines = agent.host.manager.lines(made["streamID"])
    assert task["status"] == "Error"
    expected = (SAMPLES / "result.json").read_text()
    expected = expected.replace("6bdacf96-14fc-4edd-9277-8707b14c2f75", agent.host.id)
    sent = task["result"]
    logs = sent["logs"]
    sent["logs"] = sample("result")["logs"]
    assert orjson.dumps(sent, option=orjson.OPT_INDENT_2).decode() + "\n" == expected
    for found, shown in zip(lines[:3], sample("logs")["logs"], strict=True):
        shown["time"] = found["time"]
        if "args" in shown:
            shown["args"]["Load"] = json.dumps("100%")
        assert found == shown
    (over,) = [line for line in lines if line["out"] == "[Chaos]: The CPU stress chaos is over"]
    assert over["args"]["by"] == "G1"
    assert abs(float(over["args"]["cpuSeconds"]) - 30) <= 1
    assert logs.splitlines()[0].endswith("[Status]: Verify experiment steady state")
