"""Commands whose manager is another program: one sentence, an exit code that claims nothing, and no traceback."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import yaml

from cli.main import main
from tests.answering_server import GivenAnswer, answering
from tests.chaos.control.experiments.test_kserver import MANIFEST

SECRET = "podsonar_60b1ec6efd36_SECRETSECRETSECRETSECRETSECRETSECRETSECRETX"
JSON = {"Content-Type": "application/json"}
ANSWERS = {
    "a login page": GivenAnswer(200, b"<html>\x1b[31mlog in</html>", {"Content-Type": "text/html\t\x1b[31m"}),
    "nothing": GivenAnswer(200, b"", JSON),
    "null": GivenAnswer(200, b"null", JSON),
    "a list": GivenAnswer(200, b'[{"identity":"lab"}]', JSON),
    "no members": GivenAnswer(200, b"{}", JSON),
    "a number no float holds": GivenAnswer(200, b"1e400", JSON),
    "null members": GivenAnswer(
        200, orjson.dumps(dict.fromkeys(("items", "window", "services", "edges", "data"))), JSON
    ),
    "numbers for members": GivenAnswer(200, b'{"items":[1],"services":[1],"edges":[1],"data":1,"changes":[1]}', JSON),
    "empty objects": GivenAnswer(200, b'{"items":[{}],"services":[{}],"edges":[{}],"data":{},"changes":[{}]}', JSON),
    "half of it": GivenAnswer(200, b'{"items":[{"identity":"lab"', JSON),
    "no UTF-8": GivenAnswer(200, b'{"items":"\xff"}', JSON),
    "deep nesting": GivenAnswer(200, b"[" * 5000 + b"]" * 5000, JSON),
    "no gzip": GivenAnswer(200, b"x", JSON | {"Content-Encoding": "gzip"}),
    "a redirect": GivenAnswer(302, b"", {"Location": "http://127.0.0.1:1/"}),
    "an error page": GivenAnswer(500, b"<h1>\x1b[31m", {"Content-Type": "text/html"}),
    "a coloured error": GivenAnswer(400, b'{"message":"\\u001b[31mred"}', JSON),
}
TENANT = ["--project", "p", "--environment", "e"]
AGENT = ["--agent", "lab"]
RUN = ["chaos", "run", "experiment.yaml", "--infra", "i"]
JUDGE = ["chaos", "judge", "--baseline", "a", "--fault", "b"]
# Words of a command -> its exit codes without an answer; not 1 where 1 says something of windows. 2: an odd map.
COMMANDS: dict[str, tuple[list[str], set[int]]] = {
    "the only agent": (["map"], {1}),
    **{
        f"map -o {shape}": (["map", *AGENT, "-o", shape], {1}) for shape in ("json", "dot", "mermaid", "graphml", "csv")
    },
    "map": (["map", *AGENT], {1}),
    "map -o networkpolicy": (["map", *AGENT, "-o", "networkpolicy"], {1, 3}),
    "windows": (["windows", *AGENT], {1}),
    "window tag": (["window", "tag", "n", *AGENT], {1}),
    "window tag --delete": (["window", "tag", "n", "--delete", *AGENT], {1}),
    "edges": (["edges", *AGENT], {1}),
    "history": (["history", "a/b>c/d:80", *AGENT], {1}),
    "explain": (["explain", "a/b", "c/d", *AGENT], {1}),
    "diff": (["diff", "a", "b", *AGENT], {3}),
    "policy generate": (["policy", "generate", *AGENT], {3}),
    "policy check": (["policy", "check", "policy.yaml", *AGENT], {3}),
    "export": (["export", "folder", *AGENT], {1}),
    "linux infra add": (["linux", "infra", "add", "n", *TENANT], {1}),
    "linux infra list": (["linux", "infra", "list", *TENANT], {1}),
    "linux infra token": (["linux", "infra", "token", "n", *TENANT], {1}),
    "linux infra remove": (["linux", "infra", "remove", "n", *TENANT], {1}),
    "linux run": (["linux", "run", "task.yaml", "--infra", "h", *TENANT], {1}),
    "linux tasks": (["linux", "tasks", *TENANT], {1}),
    "linux stop": (["linux", "stop", "t", *TENANT], {1}),
    "chaos run": ([*RUN, *TENANT], {1}),
    "chaos run --watch": ([*RUN, "--watch", *TENANT], {1}),
    "chaos run --manifests": (
        ["chaos", "run", "experiment.yaml", "--infra", "i", "--manifests", "m.yaml", *TENANT],
        {1},
    ),
    "chaos runs": (["chaos", "runs", *TENANT], {1}),
    "chaos stop": (["chaos", "stop", "r", *TENANT], {1}),
    "chaos report": (["chaos", "report", "r", *TENANT], {1}),
    "chaos plan": (["chaos", "plan", "fault.yaml", "--baseline", "latest", *AGENT], {1, 2}),
    "chaos judge": (
        ["chaos", "judge", "--baseline", "a", "--fault", "b", "--hypothesis", "fault.yaml", *AGENT],
        {2, 4},
    ),
}
SENTENCE = re.compile(r"podsonar: [^\n]+\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command is started in, with its files."""
    fault = {"fault": "pod-delete", "target": {"workload": "a/b"}, "hypothesis": {"breaks": ["a/b -> c/d"]}}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"podSelector": {}}}
    documents = {
        "experiment.yaml": MANIFEST,
        "task.yaml": {"name": "x", "action": {"chaos": {"experiment": "x"}}},
        "fault.yaml": fault,
        "policy.yaml": policy | {"metadata": {"name": "x", "namespace": "y"}},
    }
    for name, document in documents.items():
        (tmp_path / name).write_text(yaml.safe_dump(document))
    (tmp_path / "key").write_text(SECRET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module", params=ANSWERS)
def answered(request: pytest.FixtureRequest) -> Iterator[str]:
    """A program that gives one answer to everything."""
    with answering(lambda _request: ANSWERS[request.param]) as url:
        yield url


def called(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `podsonar`."""
    monkeypatch.setattr(sys, "argv", ["podsonar", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("command", COMMANDS)
def test_answer_of_another_program_is_one_sentence(
    command: str, answered: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """On stderr, with the request; nothing of the answer acts on the terminal, the key is nowhere."""
    words, codes = COMMANDS[command]
    found = called([*words, "--manager", answered, "--key-file", str(folder / "key")], monkeypatch)
    printed = capfd.readouterr()
    assert found in codes, printed
    assert SENTENCE.fullmatch(printed.err), printed
    assert "/v1/" in printed.err or found == 2
    assert "\x1b" not in printed.err + printed.out
    assert SECRET not in printed.err + printed.out


ESCAPES = GivenAnswer(
    200,
    orjson.dumps(
        dict.fromkeys(("infraID", "accessKey", "taskName", "runID", "window", "name", "message"), "\x1b]0;x\x07")
        | {"before": "\x1b[31m", "now": "\x9b31m", "changes": [], "notComparable": ["\x1b[31m"]}
        | {"source": ["\x1b"], "destination": ["\x1b"], "verdict": "seen", "reasons": ["\x1b"], "edges": []}
        | {"records": [], "batchesKept": True}
        | {"addresses": [{"address": "\x1b", "from": "\x1b", "to": "\u202e", "heldBy": None, "others": []}]}
    ),
    JSON,
)


@pytest.mark.parametrize(
    "command",
    [
        *("linux infra add", "linux infra token", "linux infra remove", "linux run", "linux stop"),
        *("chaos run", "chaos stop", "window tag", "diff", "explain"),
    ],
)
def test_names_in_an_answer_are_text_on_a_terminal(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever the manager calls things."""
    with answering(lambda _request: ESCAPES) as url:
        code = called([*COMMANDS[command][0], "--manager", url, "--key-file", str(folder / "key")], monkeypatch)
    printed = capfd.readouterr()
    assert code == (3 if command == "diff" else 0), printed
    assert not re.search("[\x1b\x07\x9b\u202e]", printed.out + printed.err)
    assert "x1b" in printed.out + printed.err


@pytest.mark.parametrize("url", ["http://[::1", "https://[x]:y", "http://127.0.0.1:99999", "https://\x1b[31m"])
def test_address_that_is_none_is_a_usage_error(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, as for every wrong option."""
    code = called(["map", *AGENT, "--manager", url, "--key-file", str(folder / "key")], monkeypatch)
    printed = capfd.readouterr()
    assert (code, bool(SENTENCE.fullmatch(printed.err))) == (2, True), printed
    assert "\x1b" not in printed.err


def test_mistake_of_podsonar_is_a_sentence_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """70, which no command says of anything; what the error holds is not printed."""
    monkeypatch.setattr("cli.main.installed_version", lambda _name: int("\x1b[31m"))
    assert called(["version"], monkeypatch) == 70
    assert SENTENCE.fullmatch(printed := capfd.readouterr().err), printed
    assert "ValueError at test_foreign_answers.py:" in printed
    assert "\x1b" not in printed


def test_reader_that_is_gone_ends_the_command(folder: Path) -> None:
    """A closed pipe is no error of anybody: no traceback in the real process."""
    lines = b'{"out":"x"}\n' * 100_000
    with answering(lambda _request: GivenAnswer(200, lines, JSON)) as url:
        words = ["logs", "k", "--manager", url, "--key-file", str(folder / "key")]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        command = [sys.executable, "-c", "from cli.main import main; main()", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(10)
            process.stdout.close()
            assert process.stderr.read() == b""
    assert process.returncode == 1
