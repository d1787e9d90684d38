"""Probes run for real: commands with their process groups, requests against a server, comparisons, modes."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaos.probes.attempt import Attempt
from chaos.probes.command_probe import run_command, try_command
from chaos.probes.comparator import ComparisonError, meets
from chaos.probes.http_probe import try_http
from chaos.probes.phases import NOT_EVALUATED, Probes
from chaos.probes.probe_rounds import ProbeEnvironment
from chaos.task_action import CommandInputs, Comparator, HttpInputs, HttpMethod, HttpMethods, Probe, read_action
from tests.ended import wait_for_end

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("kind", "criteria", "expected", "actual", "outcome"),
    [
        ("int", "==", "5", "5\n", True),
        ("int", ">=", "5", "4", False),
        ("int", "!=", "5", "4", True),
        ("int", "between", "[3, 5]", "5", True),
        ("int", "oneOf", "1,2,3", "4", False),
        ("float", "<", "1.5", "1.25", True),
        ("float", "between", "1,2", "2.5", False),
        ("string", "contains", "[P000]", "x [P000] y", True),
        ("string", "equal", "up", "up\n", True),
        ("string", "notEqual", "up", "up", False),
        ("string", "matches", "^u.$", "up", True),
        ("string", "notMatches", "^u.$", "up", False),
        ("string", "oneOf", "[up, down]", "down", True),
    ],
)
def test_value_is_compared_by_type_and_criterion(
    kind: Any, criteria: str, expected: str, actual: str, outcome: bool
) -> None:
    """One row per criterion."""
    assert meets(actual, Comparator(kind, criteria, expected)) is outcome


@pytest.mark.parametrize(
    ("kind", "criteria", "expected", "actual"),
    [("int", "==", "5", "x"), ("int", "~", "5", "5"), ("string", "matches", "(", "x"), ("int", "between", "1", "1")],
)
def test_comparison_without_sense_is_an_error(kind: Any, criteria: str, expected: str, actual: str) -> None:
    """It is neither passed nor failed."""
    with pytest.raises(ComparisonError):
        meets(actual, Comparator(kind, criteria, expected))


@pytest.mark.parametrize(
    ("command", "outcome", "text"),
    [
        ("echo '[P000] fine'", "Passed", "[P000] fine"),
        ("echo bad", "Failed", "output 'bad'"),
        ("echo oops >&2; exit 3", "Failed", "unable to run command, exit status 3; oops\n"),
        ("./healthcheck", "Error", "unable to run command, exit status 127; /bin/sh: 1: ./healthcheck: not found\n"),
        ("/etc/passwd", "Error", "exit status 126"),
        ("kill -9 $$", "Failed", "signal: Killed"),
        ("sleep 60", "Failed", "command timed out after 0.5s"),
        ("sleep 60 & echo '[P000]'", "Passed", "[P000]"),
        ("yes '[P000]' | head -c 10000000", "Passed", "[P000]"),
    ],
)
def test_command_is_judged_by_the_table(command: str, outcome: str, text: str) -> None:
    """A child left behind, endless output and a missing program hold nobody up."""
    began, seconds = time.monotonic(), 0.5 if command == "sleep 60" else 30.0
    found = try_command(CommandInputs(command, Comparator("string", "contains", "[P000]")), seconds, "/", ENVIRONMENT)
    assert found.outcome == outcome, found
    assert text in found.text
    assert time.monotonic() - began < 25


def test_time_out_ends_the_whole_process_group(tmp_path: Path) -> None:
    """A grandchild is gone, too."""
    run_command(f"sh -c 'echo $$ > {tmp_path}/pid; sleep 1000' ; true", 3.0, "/", ENVIRONMENT)
    wait_for_end(int((tmp_path / "pid").read_text()))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server with a good, a bad, a slow and an endless answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(500 if self.path == "/bad" else 200)
            self.end_headers()
            for _ in range(100 if self.path == "/slow" else 1):
                self.wfile.write(b"all is well")
                self.wfile.flush()
                if self.path == "/slow":
                    time.sleep(0.2)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(201 if content == b"{}" else 400)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize(
    ("path", "methods", "outcome"),
    [
        ("/", HttpMethods(get=HttpMethod()), "Passed"),
        ("/bad", HttpMethods(get=HttpMethod()), "Failed"),
        ("/bad", HttpMethods(get=HttpMethod("!=", "200")), "Passed"),
        ("/", HttpMethods(get=HttpMethod("contains", response_body="well")), "Passed"),
        ("/", HttpMethods(get=HttpMethod("equal", response_body="well")), "Failed"),
        ("/", HttpMethods(post=HttpMethod("==", "201", body="{}")), "Passed"),
        ("/slow", HttpMethods(get=HttpMethod()), "Failed"),
        ("/", HttpMethods(get=HttpMethod("~", "200")), "Error"),
        ("/", HttpMethods(), "Error"),
    ],
)
def test_request_is_judged_by_the_table(server: str, path: str, methods: HttpMethods, outcome: str) -> None:
    """A slow answer has failed at the time-out, however it drips."""
    began, seconds = time.monotonic(), 1.0 if path == "/slow" else 30.0
    assert try_http(HttpInputs(server + path, methods), seconds).outcome == outcome
    assert path != "/slow" or time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("url", "outcome"),
    [("http://127.0.0.1:1/", "Failed"), ("ftp://x/", "Error"), ("http://", "Error"), ("http://[::1", "Error")],
)
def test_refused_is_failed_and_no_url_an_error(url: str, outcome: str) -> None:
    """A connection refused is what an experiment looks for; a bad URL is a mistake of the probe."""
    assert try_http(HttpInputs(url), 1.0).outcome == outcome


def probe(name: str, mode: str, command: str, **properties: Any) -> dict[str, Any]:
    """A cmdProbe that passes when its output holds `ok`."""
    return {
        "name": name,
        "type": "cmdProbe",
        "mode": mode,
        "cmdProbe/inputs": {
            "command": command,
            "comparator": {"type": "string", "criteria": "contains", "value": "ok"},
        },
        "runProperties": {"probeTimeout": "5s", "interval": "0s", "attempt": 1, **properties},
    }


def probes_of(*wanted: dict[str, Any]) -> list[Probe]:
    """The probes of an action."""
    return read_action({"chaos": {"experiment": "x", "probes": list(wanted)}}).probes


def run_all(wanted: list[Probe], is_over: Callable[[], bool] = lambda: True) -> Probes:
    """The probes of a fault that lasts until it is over, or until a probe stops it; 30 s at most."""
    found = Probes(wanted, ProbeEnvironment())
    if found.before():
        found.begin_fault()
        deadline = time.monotonic() + 30
        while not is_over() and not found.stop.wait(0.05):
            assert time.monotonic() < deadline
        found.end_rounds()
        if found.error is None:
            found.after()
    return found


def verdicts(found: Probes) -> dict[str, str]:
    """Name -> verdict."""
    return {one["name"]: one["status"]["verdict"] for one in found.statuses()}


def test_each_mode_runs_at_its_time(tmp_path: Path) -> None:
    """SOT before, EOT after, Edge twice, Continuous and OnChaos round after round."""
    modes = ("SOT", "EOT", "Edge", "Continuous", "OnChaos")
    wanted = [probe(mode, mode, f"echo ok | tee -a {tmp_path}/{mode}", probePollingInterval="100ms") for mode in modes]

    def rounds(mode: str) -> int:
        return len((tmp_path / mode).read_text().split()) if (tmp_path / mode).exists() else 0

    found = run_all(probes_of(*wanted), lambda: min(rounds("Continuous"), rounds("OnChaos")) > 2)
    assert verdicts(found) == dict.fromkeys(modes, "Passed")
    assert found.percentage() == 100
    assert [rounds(mode) for mode in ("SOT", "EOT", "Edge")] == [1, 1, 2]


def test_steady_state_that_is_not_there_lets_nothing_begin() -> None:
    """The probe has failed, those of later are not evaluated."""
    found = run_all(probes_of(probe("a", "SOT", "echo bad"), probe("b", "EOT", "echo ok")))
    assert verdicts(found) == {"a": "Failed", "b": "N/A"}
    assert (found.percentage(), found.error) == (0, None)


def test_round_that_failed_once_is_a_failure_whatever_comes_after(tmp_path: Path) -> None:
    """Continuous and Edge probes keep every round."""
    once = f"test -e {tmp_path}/x && echo ok | tee {tmp_path}/again; touch {tmp_path}/x"
    found = run_all(
        probes_of(
            probe("a", "OnChaos", once, probePollingInterval="100ms"),
            probe("b", "Edge", f"test -e {tmp_path}/e || echo ok; touch {tmp_path}/e"),
            probe("c", "EOT", "echo ok"),
        ),
        (tmp_path / "again").exists,
    )
    assert verdicts(found) == {"a": "Failed", "b": "Failed", "c": "Passed"}
    assert found.percentage() == 33


def test_tries_go_on_until_one_passes(tmp_path: Path) -> None:
    """`attempt` is how often a round is tried."""
    command = f"echo x >> {tmp_path}/n; test $(wc -l < {tmp_path}/n) -ge 3 && echo ok"
    assert verdicts(run_all(probes_of(probe("a", "EOT", command, attempt=3)))) == {"a": "Passed"}
    assert (tmp_path / "n").read_text() == "x\nx\nx\n"


def test_stop_on_failure_asks_for_the_end_of_the_fault() -> None:
    """The fault ends by it, and by nothing else."""
    found = run_all(probes_of(probe("a", "OnChaos", "echo bad", stopOnFailure=True)), lambda: False)
    assert (found.stop.is_set(), verdicts(found)) == (True, {"a": "Failed"})


def test_defect_in_a_probe_that_runs_all_the_time_is_its_error_and_no_silent_end() -> None:
    """Its thread would end, and the verdict of its earlier tries would stand."""
    tries = iter([Attempt("Passed", "ok")])
    inputs = {"version": "v1", "resource": "pods", "namespace": "shop", "operation": "present"}
    timing = {"probeTimeout": "5s", "interval": "0s", "attempt": 1, "probePollingInterval": "10ms"}
    wanted = {"name": "a", "type": "k8sProbe", "mode": "Continuous", "k8sProbe/inputs": inputs, "runProperties": timing}
    found = Probes([msgspec.convert(wanted, type=Probe)], ProbeEnvironment(look=lambda _inputs: next(tries)))
    assert found.before()
    assert found.stop.wait(20)
    found.end_rounds()
    assert found.error is not None
    assert found.error.reason.startswith("defect: StopIteration at test_probes.py:")
    assert verdicts(found) == {"a": "N/A"}


def test_probe_that_cannot_run_is_the_error_and_not_evaluated() -> None:
    """With its phase and its words, as in the document's sample."""
    found = run_all(probes_of(probe("system-probe", "EOT", "./healthcheck"), probe("b", "EOT", "echo ok")))
    assert found.error is not None
    assert (found.error.probe, found.error.code, found.error.phase) == (
        "system-probe",
        "E2008: CMD_PROBE_ERROR",
        "PostChaos",
    )
    assert [one["status"] for one in found.statuses()] == [{"verdict": "N/A", "description": NOT_EVALUATED}] * 2
    assert found.percentage() == 0
