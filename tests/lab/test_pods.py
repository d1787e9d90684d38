"""A pod's process answers every command, and a missing answer raises an error that names it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.simulated import pods
from lab.simulated.network import LabError
from lab.simulated.pods import Lab, PodProcess

pytestmark = pytest.mark.kernel


@pytest.fixture
def outside() -> Iterator[PodProcess]:
    """The process that scenarios share."""
    with Lab("sonartest") as lab:
        lab.add_outside(())
        yield lab.pods["(outside)"]


def test_each_of_many_that_ask_at_once_gets_its_own_answer(outside: PodProcess) -> None:
    """Eight threads and one process: no answer is another's, and none is missing."""
    words = [str(number) for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda word: outside.send_command({"run": ["echo", "-n", word]})["output"], words))
    assert answers == words


def test_command_without_an_answer_raises(outside: PodProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller never waits without a limit."""
    monkeypatch.setattr(pods, "ANSWER_SECONDS", 0.2)
    with pytest.raises(LabError, match=r"pod \(outside\) has not answered .*sleep.* in 0.2 s"):
        outside.send_command({"run": ["sleep", "30"]})


def test_process_that_has_ended_raises(outside: PodProcess) -> None:
    """Whether it ends before the command or while it runs."""
    outside.process.kill()
    outside.process.wait()
    with pytest.raises(LabError, match="has ended with -9"):
        outside.send_command({"run": ["true"]})


def test_failed_command_raises_with_its_traceback(outside: PodProcess) -> None:
    """The error holds the traceback; the next command runs."""
    with pytest.raises(LabError, match=r"(?s)pod \(outside\) failed to run .*by-pigeon.*KeyError: 'by-pigeon'"):
        outside.connect("127.0.0.1", 1, 1, "by-pigeon")
    assert outside.send_command({"run": ["echo", "-n", "here"]})["output"] == "here"
