"""`podsonar chaos run | runs | stop | report` against a running manager."""

import datetime as dt
import secrets
import threading
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import orjson
import pytest
import yaml
from click.testing import CliRunner, Result

from cli.main import podsonar
from lab.controlplane.certificates import Authority
from manager.store.database import Store
from manager.store.experiments.runs import find_run_of_key
from manager.store.tokens.issued import create_token
from podsonar.errors import InputError, PodsonarError, UsageError
from tests.chaos.conftest import Manager
from tests.chaos.control.experiments.test_kserver import MANIFEST, Run, with_phases

WITH_LONG_WINDOWS = yaml.safe_dump(MANIFEST | {"spec": MANIFEST["spec"] | {"windows": {"seconds": 61}}})
COLLECTOR = ["--directory", "http://c:8766", "--directory-token-file", "token"]
TENANT = ["--account", "acc", "--organization", "org", "--project", "pro", "--environment", "env"]


def invoke(manager: Manager, folder: Path, *words: str) -> Result:
    """A command with an admin's key."""
    with closing(Store(manager.database)) as store:
        key = create_token(store, "admin", "ada", 1, secrets.token_bytes)
    (folder / "key").write_text(key.text())
    given = [*words[:1], "--manager", manager.url, "--key-file", f"{folder}/key", *TENANT, *words[1:]]
    return CliRunner().invoke(podsonar, ["chaos", *given])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An experiment file."""
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(MANIFEST))
    return path


def test_run_is_ordered_listed_stopped_and_reported(manager: Manager, tmp_path: Path, file: Path) -> None:
    """The manifests carry the key that opens the run."""
    manifests = tmp_path / "runner.yaml"
    made = invoke(manager, tmp_path, "run", "--infra", "prodecommerce", "--manifests", str(manifests), str(file))
    assert made.exit_code == 0, made.output
    run_id = made.stdout.strip()
    objects = list(yaml.safe_load_all(manifests.read_text()))
    assert manifests.stat().st_mode & 0o077 == 0
    secret = next(one for one in objects if one["kind"] == "Secret")
    with closing(Store(manager.database)) as store, store.reading() as connection:
        assert find_run_of_key(connection, secret["stringData"]["ACCESS_KEY"]) == run_id
    (container,) = objects[-1]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"localhost/podsonar-collector:{version('podsonar').partition('+')[0]}"
    assert run_id in invoke(manager, tmp_path, "runs").stdout
    stopped = invoke(manager, tmp_path, "stop", "--reason", "enough", run_id)
    assert (stopped.exit_code, "not confirmed" in stopped.stderr) == (0, True)
    shown = invoke(manager, tmp_path, "report", run_id)
    assert "Queued" in shown.stdout
    assert "pod-delete-wm3: Pending" in shown.stdout
    assert orjson.loads(invoke(manager, tmp_path, "report", "--json", run_id).stdout)["experimentRunID"] == run_id


def test_nothing_is_ordered_for_a_runner_that_would_not_start(manager: Manager, tmp_path: Path, file: Path) -> None:
    """Its settings need a project and an environment: the error names what is missing."""
    words = ("run", "--infra", "prodecommerce", "--manifests", "-", "--project", "", "--environment", "", str(file))
    before = invoke(manager, tmp_path, "runs").stdout
    made = invoke(manager, tmp_path, *words)
    assert isinstance(made.exception, UsageError)
    assert "expected --project and --environment" in str(made.exception)
    assert invoke(manager, tmp_path, "runs").stdout == before


def test_runner_s_manager_may_be_another_url(manager: Manager, tmp_path: Path, file: Path) -> None:
    """The command reaches it by a forwarded port, say, and pods by its Service; a key never goes out in the clear."""
    manifests = tmp_path / "runner.yaml"
    words = ("run", "--infra", "prodecommerce", "--manifests", str(manifests), "--runner-manager")
    made = invoke(manager, tmp_path, *words, "http://podsonar-manager.podsonar.svc:8080/", str(file))
    assert made.exit_code == 0, made.output
    objects = {one["kind"]: one for one in yaml.safe_load_all(manifests.read_text())}
    settings = objects["ConfigMap"]["data"]
    base = "http://podsonar-manager.podsonar.svc:8080"
    assert settings["KUBERNETES_INFRA_SERVICE_ENDPOINT"] == f"{base}/chaos/kserver/api"
    assert (settings["LOG_SERVICE_ENABLED"], settings["LOG_SERVICE_ENDPOINT"]) == ("true", f"{base}/log-service")
    assert objects["Secret"]["stringData"]["LOG_SERVICE_TOKEN"].startswith("podsonar_")
    listed = invoke(manager, tmp_path, "runs").stdout
    refused = invoke(manager, tmp_path, *words, "http://manager.example", str(file))
    assert isinstance(refused.exception, PodsonarError)
    assert "expected https" in str(refused.exception)
    assert invoke(manager, tmp_path, "runs").stdout == listed  # nothing was ordered


def test_runner_gets_the_authority_of_its_manager(manager: Manager, tmp_path: Path, file: Path) -> None:
    """The file's certificates are in its ConfigMap; what no runner would start with orders nothing."""
    manifests, spoilt = tmp_path / "runner.yaml", tmp_path / "spoilt.crt"
    authority = Authority(tmp_path, dt.datetime.now(dt.UTC)).file
    words = ("run", "--infra", "prodecommerce", "--manifests", str(manifests), "--runner-ca-file")
    listed = invoke(manager, tmp_path, "runs").stdout
    for content in (b"", b"nonsense", b"\xff" * 9, authority.read_bytes() * 200):
        spoilt.write_bytes(content)
        refused = invoke(manager, tmp_path, *words, str(spoilt), str(file))
        assert isinstance(refused.exception, InputError), content[:9]
        assert "spoilt.crt" in str(refused.exception)
    assert invoke(manager, tmp_path, "runs").stdout == listed
    made = invoke(manager, tmp_path, *words, str(authority), str(file))
    assert made.exit_code == 0, made.output
    objects = {one["kind"]: one for one in yaml.safe_load_all(manifests.read_text())}
    assert objects["ConfigMap"]["data"]["PODSONAR_MANAGER_CA"] == authority.read_text()


def test_run_with_windows_of_its_own_names_the_collector(manager: Manager, tmp_path: Path) -> None:
    """Its runner gets the directory's URL and the agents' token; without them nothing is ordered."""
    (tmp_path / "token").write_text("podsonar_0123456789ab_" + "A" * 43)
    path, manifests = tmp_path / "experiment.yaml", tmp_path / "runner.yaml"
    path.write_text(yaml.safe_dump(MANIFEST | {"spec": MANIFEST["spec"] | {"windows": {"seconds": 10}}}))
    words = ("run", "--infra", "prodecommerce", "--manifests", str(manifests))
    url = "http://podsonar-collector.podsonar:8766"
    collector = ("--directory", url, "--directory-token-file", str(tmp_path / "token"))
    listed = invoke(manager, tmp_path, "runs").stdout
    for given in ((), collector[:2], collector[2:]):
        refused = invoke(manager, tmp_path, *words, *given, str(path))
        assert isinstance(refused.exception, UsageError), given
    assert invoke(manager, tmp_path, "runs").stdout == listed
    made = invoke(manager, tmp_path, *words, *collector, str(path))
    assert made.exit_code == 0, made.output
    objects = {one["kind"]: one for one in yaml.safe_load_all(manifests.read_text())}
    assert objects["ConfigMap"]["data"]["PODSONAR_DIRECTORY_URL"] == url
    assert objects["Secret"]["stringData"]["PODSONAR_DIRECTORY_TOKEN"] == (tmp_path / "token").read_text()


@pytest.mark.parametrize(
    ("phase", "verdict", "code"),
    [
        ("Completed", "Pass", 0),
        ("Error", "Error", 1),
        ("Completed_With_Probe_Failure", "Fail", 1),
        ("Completed_With_Probe_Failure", "N/A", 4),
        ("Skipped", "N/A", 4),
    ],
)
def test_watch_ends_with_the_run(
    manager: Manager, tmp_path: Path, file: Path, phase: str, verdict: str, code: int
) -> None:
    """Exit 0 only for Completed, 4 where nothing failed and something could not be judged; steps are shown."""
    manifests = tmp_path / "runner.yaml"

    def play() -> None:
        """Be the runner."""
        while not manifests.exists():
            time.sleep(0.05)
        objects = {one["kind"]: one for one in yaml.safe_load_all(manifests.read_text())}
        annotations = objects["ConfigMap"]["metadata"]["annotations"]
        names = {"runID": "run-id", "notifyID": "notify-id", "experimentID": "experiment-id"}
        ids = {member: annotations[f"podsonar.io/{name}"] for member, name in names.items()}
        run = Run(manager.url, ids | {"accessKey": objects["Secret"]["stringData"]["ACCESS_KEY"]}, "")
        final = with_phases(run.data()["executionData"], delete=phase, cpu="Completed")
        step = next(node for node in final["nodes"].values() if node["name"] == "pod-delete-wm3")
        step["chaosData"]["experimentVerdict"] = verdict
        assert run.event(final, completed=True).status_code == 200

    player = threading.Thread(target=play)
    player.start()
    order = ("run", "--infra", "prodecommerce", "--watch", "--manifests", str(manifests), str(file))
    watched = invoke(manager, tmp_path, *order)
    player.join()
    assert watched.exit_code == code, watched.output
    assert f"pod-delete-wm3: {phase}" in watched.stderr


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        pytest.param("kind: Pod", ["--infra", "x"], "experiment:", id="no experiment"),
        pytest.param("- a", ["--infra", "x"], "no mapping", id="list"),
        pytest.param(WITH_LONG_WINDOWS, ["--infra", "x"], "Expected `int` <= 60", id="windows too long"),
        pytest.param(yaml.safe_dump(MANIFEST), [], "expected --infra", id="no infrastructure"),
    ],
)
def test_bad_file_is_one_sentence(
    manager: Manager, tmp_path: Path, content: str, options: list[str], expected: str
) -> None:
    """Nothing is ordered."""
    path = tmp_path / "e.yaml"
    path.write_text(content)
    result = invoke(manager, tmp_path, "run", *options, str(path))
    assert isinstance(result.exception, PodsonarError)
    assert (result.exception.exit_code, expected in str(result.exception)) == (2, True), str(result.exception)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--delegate", "nobody"], "delegate 'nobody' is known in 0 clusters"),
        (["--delegate", "nobody", "--manifests", "-"], "delegate is 'nobody' and --manifests is '-': expected one of"),
        (["--manifests", ""], "--manifests is '': expected FILE"),
        (["--manifests", "-", "--watch"], "--manifests is - and --watch is given: expected FILE"),
        (["--manifests", "-", "--json"], "--manifests is - and --json is given: expected FILE"),
        (["--manifests", "-", *COLLECTOR], "--directory is 'http://c:8766' and the experiment has no spec.windows"),
        (COLLECTOR, "--directory is 'http://c:8766' without --manifests FILE: expected both or neither"),
        (["--directory-token-file", "t"], "--directory-token-file is 't' without --manifests"),
        (["--image", "i:1"], "--image is 'i:1' without --manifests"),
        (["--runner-manager", "https://m"], "--runner-manager is 'https://m' without --manifests"),
    ],
)
def test_options_that_contradict_each_other_are_an_error(
    manager: Manager, tmp_path: Path, file: Path, words: list[str], expected: str
) -> None:
    """None is left out in silence: nothing is ordered."""
    refuse(manager, tmp_path, file, words, expected)


@pytest.mark.parametrize(
    ("member", "words", "expected"),
    [
        ({"ownRunner": True}, [], "ownRunner is true in the file: expected --manifests FILE"),
        ({"ownRunner": True}, ["--delegate", "d"], "ownRunner is true in the file: expected --manifests FILE"),
        ({"ownRunner": False}, ["--manifests", "-"], "ownRunner is 'False' and --manifests is '-': expected one of"),
        ({"delegate": "d"}, ["--manifests", "-"], "delegate is 'd' and --manifests is '-': expected one of them"),
        ({"authority": "PEM"}, ["--manifests", "-"], "authority is 'PEM' and --manifests is '-': expected one of them"),
        ({"authority": "PEM"}, [], "authority has 3 characters and no delegate installed 'prodecommerce'"),
        ({"nobody": 1}, [], "nobody"),
    ],
)
def test_members_of_the_file_that_contradict_the_options_are_an_error(
    manager: Manager, tmp_path: Path, file: Path, member: dict[str, object], words: list[str], expected: str
) -> None:
    """The file may be an order with every member of the API's."""
    file.write_text(yaml.safe_dump({"experiment": MANIFEST, **member}))
    refuse(manager, tmp_path, file, words, expected)


def refuse(manager: Manager, folder: Path, file: Path, words: list[str], expected: str) -> None:
    """One sentence, and nothing is ordered."""
    before = invoke(manager, folder, "runs").stdout
    made = invoke(manager, folder, "run", "--infra", "prodecommerce", *words, str(file))
    assert isinstance(made.exception, PodsonarError)
    assert expected in str(made.exception)
    assert invoke(manager, folder, "runs").stdout == before


def test_manifests_on_the_standard_output_are_all_that_is_there(manager: Manager, tmp_path: Path, file: Path) -> None:
    """`kubectl apply -f -` reads them."""
    made = invoke(manager, tmp_path, "run", "--infra", "prodecommerce", "--manifests", "-", str(file))
    assert made.exit_code == 0, made.output
    assert [one["kind"] for one in yaml.safe_load_all(made.stdout)][-1] == "Deployment"
    assert "is ordered" in made.stderr


def test_order_whose_runner_nobody_brings_says_so(manager: Manager, tmp_path: Path, file: Path) -> None:
    """It ends by its deadline."""
    made = invoke(manager, tmp_path, "run", "--infra", "prodecommerce", str(file))
    assert made.exit_code == 0, made.output
    assert "and nobody brings its runner: expected --delegate NAME, or --manifests FILE" in made.stderr
