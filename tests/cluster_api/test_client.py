"""Under which identity the API server is asked, and which error is raised if it cannot be: real requests, plugins."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from cluster_api import client as client_module
from cluster_api.client import ApiClient
from cluster_api.credentials import Credentials
from cluster_api.kubeconfig import read_kubeconfig
from podsonar.errors import ApiServerError, WatchRefusedError
from tests.cluster_api.header_server import HeaderServer
from tests.cluster_api.test_kubeconfig import CANARY, EXEC_V1, kubeconfig

LIST = {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": []}


@contextmanager
def asked_as(
    folder: Path, user: Any = None, cluster: Any = None, status: int = 200
) -> Iterator[tuple[ApiClient, HeaderServer]]:
    """A client with that user, and the server that it asks."""
    with HeaderServer(status, orjson.dumps(LIST)) as server:
        client = ApiClient.connect(kubeconfig(folder, user, {"server": server.url, **(cluster or {})}))
        yield client, server
        client.end()


def plugin(folder: Path, script: str, **fields: Any) -> dict[str, Any]:
    """A user whose credentials come from a Python script."""
    path = folder / "plugin.py"
    path.write_text(script)
    return {"exec": {"apiVersion": EXEC_V1, "command": sys.executable, "args": [str(path)], **fields}}


def giving(status: dict[str, Any], before: str = "") -> str:
    """A script that gives a status."""
    answer = {"apiVersion": EXEC_V1, "kind": "ExecCredential", "status": status}
    return f"{before}\nprint({orjson.dumps(answer).decode()!r})\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"token": "t"}, {"Authorization": ["Bearer t"]}),
        ({"username": "u", "password": "p"}, {"Authorization": ["Basic dTpw"]}),
        (
            {
                "token": "admin",
                "as": "readonly",
                "as-groups": ["viewers", "auditors"],
                "as-user-extra": {"why": ["map"]},
            },
            {
                "Authorization": ["Bearer admin"],
                "Impersonate-User": ["readonly"],
                "Impersonate-Group": ["viewers", "auditors"],
                "Impersonate-Extra-why": ["map"],
            },
        ),
        ({}, {"Authorization": []}),
    ],
)
def test_request_is_made_as_the_kubeconfig_says(tmp_path: Path, user: Any, expected: dict[str, list[str]]) -> None:
    """Token, user and password, and whom the API server shall act as: each in its header."""
    with asked_as(tmp_path, user) as (client, server):
        assert client.page("/api/v1/pods", {"limit": 1})[0] == 200
        (headers,) = server.headers
        assert {name: headers.get_all(name) or [] for name in expected} == expected


@pytest.mark.parametrize(("idle_seconds", "connections"), [(client_module.IDLE_SECONDS, 1), (0.0, 3)])
def test_connection_that_is_idle_since_long_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idle_seconds: float, connections: int
) -> None:
    """The server closes it at some moment, or something between has forgotten it: a request there has no answer."""
    monkeypatch.setattr(client_module, "IDLE_SECONDS", idle_seconds)
    with asked_as(tmp_path) as (client, server):
        for _ in range(3):
            assert client.page("/api/v1/pods", {})[0] == 200
    assert len(set(server.ports)) == connections


def test_token_file_is_read_for_every_request(tmp_path: Path) -> None:
    """The kubelet replaces a token before it expires; white space around it is none of it."""
    file = tmp_path / "token"
    file.write_text("first\n")
    with asked_as(tmp_path, {"tokenFile": "token"}) as (client, server):
        client.page("/api/v1/pods", {})
        file.write_text("second")
        client.page("/api/v1/pods", {})
        assert [headers["Authorization"] for headers in server.headers] == ["Bearer first", "Bearer second"]
        file.write_text(f"{CANARY}\nsecond line")
        with pytest.raises(ApiServerError, match="token in") as raised:
            client.page("/api/v1/pods", {})
        assert CANARY not in str(raised.value)
        file.unlink()
        with pytest.raises(ApiServerError, match="No such file"):
            client.page("/api/v1/pods", {})
        assert len(server.headers) == 2


def test_plugin_gives_the_token_once_until_it_is_refused(tmp_path: Path) -> None:
    """It is not run for each request, and again after a 401; its environment is the kubeconfig's."""
    script = giving(
        {"token": "of-plugin"}, f"import os; open({str(tmp_path / 'runs')!r}, 'a').write(os.environ['MARK'])"
    )
    user = plugin(tmp_path, script, env=[{"name": "MARK", "value": "x"}])
    with asked_as(tmp_path, user, status=401) as (client, server):
        for _ in range(2):
            client.page("/api/v1/pods", {})
        assert [headers["Authorization"] for headers in server.headers] == ["Bearer of-plugin"] * 2
        assert (tmp_path / "runs").read_text() == "xx"
        server.status = 200
        for _ in range(3):
            client.page("/api/v1/pods", {})
        assert (tmp_path / "runs").read_text() == "xxx"


def test_plugin_runs_again_when_its_credentials_expire(tmp_path: Path) -> None:
    """An expiry that is over, or nearly, is not waited for."""
    mark = f"open({str(tmp_path / 'runs')!r}, 'a').write('x')"
    user = plugin(tmp_path, giving({"token": "t", "expirationTimestamp": "2020-01-01T00:00:00Z"}, mark))
    with asked_as(tmp_path, user) as (client, _server):
        client.page("/api/v1/pods", {})
        client.page("/api/v1/pods", {})
    assert len((tmp_path / "runs").read_text()) >= 2


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f"import sys; print('{CANARY}', file=sys.stderr); sys.exit(3)", "ended with 3"),
        (f"print('{CANARY}')", "printed no JSON"),
        (f"print('[\"{CANARY}\"]')", "no ExecCredential"),
        (giving({"token": f"{CANARY}\n"}), "no header can carry"),
        (giving({"token": 7}), "something else than texts"),
        (giving({"clientCertificateData": CANARY}), "neither a token nor a certificate"),
        (giving({"token": CANARY, "expirationTimestamp": CANARY}), "no time"),
        (giving({"token": CANARY}).replace("/v1", "/v1beta1"), "another version"),
        (f"print('{CANARY}' * 200_000)", "more than"),
    ],
)
def test_plugin_that_fails_leads_to_no_request_and_shows_nothing(tmp_path: Path, script: str, words: str) -> None:
    """Not a request without credentials, and none of the plugin's words in the error."""
    with asked_as(tmp_path, plugin(tmp_path, script)) as (client, server):
        with pytest.raises(ApiServerError, match=words) as raised:
            client.page("/api/v1/pods", {})
        assert CANARY not in str(raised.value)
        assert server.headers == []


def test_plugin_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    """Its name and why, without its arguments."""
    user = {"exec": {"apiVersion": EXEC_V1, "command": "/nowhere/login", "args": [CANARY]}}
    with asked_as(tmp_path, user) as (client, server):
        with pytest.raises(ApiServerError, match="'login' cannot be started: No such file") as raised:
            client.page("/api/v1/pods", {})
        assert CANARY not in str(raised.value)
        assert server.headers == []


WAITING = """
import subprocess, sys, time
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
time.sleep(60)
"""


def test_plugin_that_waits_ends_with_its_time(tmp_path: Path) -> None:
    """It and what it started are ended; the error has the time that it took."""
    access = read_kubeconfig(kubeconfig(tmp_path, plugin(tmp_path, WAITING)))
    credentials = Credentials(access, plugin_seconds=0.5)
    with pytest.raises(ApiServerError, match=r"longer than 0\.5 s"):
        credentials.token()


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended before, or while it was read
        return False


def test_plugin_that_waits_ends_with_the_program(tmp_path: Path) -> None:
    """Whoever waits for its credentials goes on at once, and it is not left behind."""
    started = tmp_path / "started"
    script = f"import os; open({str(started)!r}, 'w').write(str(os.getpid()))\n{WAITING}"
    with asked_as(tmp_path, plugin(tmp_path, script)) as (client, _server):
        failed: list[ApiServerError] = []

        def ask() -> None:
            with pytest.raises(ApiServerError) as raised:
                client.page("/api/v1/pods", {})
            failed.append(raised.value)

        asking = threading.Thread(target=ask)
        asking.start()
        while not (started.exists() and started.read_text()):
            time.sleep(0.01)
        client.end()
        asking.join(60)
        assert failed
        while is_running(int(started.read_text())):
            time.sleep(0.01)


def test_plugin_gets_the_cluster_only_if_the_kubeconfig_says_so(tmp_path: Path) -> None:
    """KUBERNETES_EXEC_INFO has its version, that nobody answers, and the server where it is asked for."""
    mark = f"import os; open({str(tmp_path / 'info')!r}, 'w').write(os.environ['KUBERNETES_EXEC_INFO'])"
    for cluster_info in (False, True):
        user = plugin(tmp_path, giving({"token": "t"}, mark), provideClusterInfo=cluster_info)
        with asked_as(tmp_path, user) as (client, server):
            client.page("/api/v1/pods", {})
        info = orjson.loads((tmp_path / "info").read_bytes())
        cluster = {"cluster": {"server": server.url}} if cluster_info else {}
        assert info == {"apiVersion": EXEC_V1, "kind": "ExecCredential", "spec": {"interactive": False, **cluster}}


def test_proxy_is_asked_with_its_password(tmp_path: Path) -> None:
    """User and password of `proxy-url` go to the proxy as a header, and to the API server not at all."""
    with HeaderServer(200, orjson.dumps(LIST)) as proxy:
        url = proxy.url.replace("http://", "http://u:p%40ss@")
        client = ApiClient.connect(kubeconfig(tmp_path, {}, {"server": "http://api.example:8080", "proxy-url": url}))
        assert client.page("/api/v1/pods", {})[0] == 200
        assert proxy.headers[0]["Proxy-Authorization"] == "Basic dTpwQHNz"
        assert proxy.headers[0]["Host"] == "api.example:8080"
        client.end()


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        ({"server": "http://127.0.0.1:1"}, "Connection refused"),
        ({"server": "http://nowhere.invalid"}, "nowhere.invalid"),
        ({"server": "https://127.0.0.1:1", "certificate-authority": "gone.pem"}, "authority .* is no file"),
        ({"server": "https://127.0.0.1:1", "certificate-authority-data": "Q0FOQVJZLTdmM2E="}, "expected certificates"),
        ({"server": "http://127.0.0.1:1", "proxy-url": f"http://u:{CANARY}@127.0.0.1:2"}, "API server"),
    ],
)
def test_server_that_cannot_be_asked_is_named_without_a_credential(tmp_path: Path, cluster: Any, words: str) -> None:
    """One sentence in our own words, whatever the libraries below would have quoted."""
    client = ApiClient.connect(kubeconfig(tmp_path, {"token": CANARY}, cluster))
    with pytest.raises(ApiServerError, match=words) as raised:
        client.page("/api/v1/pods", {})
    assert CANARY not in str(raised.value)


def test_refusal_of_a_watch_shows_the_reason_and_not_the_body(tmp_path: Path) -> None:
    """What else stands in an answer may quote the request."""
    for body, reason in (
        ({"reason": "Forbidden", "message": CANARY}, r"403 \(Forbidden\)"),
        ({"reason": CANARY}, "403,"),
    ):
        with HeaderServer(403, orjson.dumps(body)) as server:
            client = ApiClient.connect(kubeconfig(tmp_path, {"token": "t"}, {"server": server.url}))
            with pytest.raises(WatchRefusedError, match=reason) as raised:
                client.watch("/api/v1/pods", {}, 5)
            assert CANARY not in str(raised.value)
            client.end()


def test_certificate_data_lies_in_files_of_its_owner_and_not_for_long(tmp_path: Path) -> None:
    """A key that came as data is readable by nobody else, and gone with its connections."""
    client = ApiClient.connect(kubeconfig(tmp_path, {"client-key-data": "a2V5"}, {"server": "http://127.0.0.1:1"}))
    client.connections()
    assert client.transport is not None
    assert client.transport.folder is not None
    folder = client.transport.folder
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, *folder.iterdir())] == ["0o700", "0o600"]
    client.transport = None
    assert not folder.exists()
