"""Pushes go through the proxy that the settings name, or around it where they say so; nothing else goes through one."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster_api.client import ApiClient
from delivery.manager_client import probe_manager
from delivery.proxies import manager_proxy
from delivery.token_file import TokenFile
from lab.controlplane.certificates import Authority
from lab.demo.fake_api_server import kubeconfig
from node_agent.attribution.directory_client import DirectoryClient
from podsonar.directory_answer import Query
from podsonar.errors import ApiServerError, DirectoryUnavailableError, SettingsError
from podsonar.settings import AgentConfiguration, ManagerEndpoint, Proxy
from tests.delivery.test_manager_tls import Served, authority, pair_for, pusher, serving
from tests.silent_server import SilentServer

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
DEAD = "http://127.0.0.1:1"


class RunningProxy:
    """A proxy in a process of its own, and what it was asked for."""

    def __init__(self, repository: Path) -> None:
        command = [sys.executable, "-u", "-m", "tests.delivery.proxy_program"]
        self.process = subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.lines: list[str] = []
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout or ()), daemon=True)
        self.reader.start()

    def asked(self) -> list[str]:
        """Everything that it was asked for; it has ended afterwards."""
        self.process.kill()
        self.process.wait()
        self.reader.join()
        if self.process.stdout:
            self.process.stdout.close()
        return [line.strip() for line in self.lines]


@pytest.fixture
def proxy(repository: Path) -> Iterator[RunningProxy]:
    """A real proxy on loopback."""
    made = RunningProxy(repository)
    yield made
    made.asked()


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a webhook that sets proxies in every pod leaves in the environment: here one that is dead."""
    for name in VARIABLES:
        monkeypatch.setenv(name, DEAD)
    monkeypatch.setenv("NO_PROXY", "")


@pytest.mark.parametrize(
    ("settings", "proxied"),
    [
        ({"url": "PROXY"}, True),
        ({"https_proxy": "PROXY", "http_proxy": DEAD}, True),
        ({"url": "PROXY", "https_proxy": DEAD}, True),
        ({"http_proxy": DEAD}, False),
        ({}, False),
        ({"url": DEAD, "no_proxy": "localhost"}, False),
        ({"url": DEAD, "no_proxy": "elsewhere.example, LOCALHOST:PORT"}, False),
        ({"https_proxy": DEAD, "no_proxy": "*"}, False),
        ({"url": "PROXY", "no_proxy": "localhost:1,host,.localhost,10.0.0.0/8"}, True),
    ],
)
def test_push_goes_through_the_named_proxy_or_straight(
    tmp_path: Path, proxy: RunningProxy, webhook: None, settings: dict[str, str], proxied: bool
) -> None:
    """A batch arrives over TLS that ends at the manager; the proxy sees a name and a port, or nothing at all."""
    own: Authority = authority(tmp_path, "own")
    with serving(Served(pair_for(own, "localhost"))) as server:
        port = str(server.server_port)
        filled = {key: text.replace("PROXY", proxy.url).replace("PORT", port) for key, text in settings.items()}
        made, spool, outcomes = pusher(tmp_path, server.server_port, own.file, proxy=Proxy(**filled))
        made.step()
        made.close()
    assert [(one.code, one.reason) for one in outcomes] == [("201", None)]
    assert spool.stats().batches == 0
    assert proxy.asked() == ([f"CONNECT localhost:{port}"] if proxied else [])


HTTPS, AT_ADDRESS, AT_V6 = "https://manager.shop.svc:8443", "http://10.1.2.3", "https://[2001:db8::7]:8443"


@pytest.mark.parametrize(
    ("no_proxy", "url", "proxied"),
    [
        ("", HTTPS, True),
        (" , ", HTTPS, True),
        (".svc,.cluster.local", HTTPS, False),
        ("svc", HTTPS, False),
        (".shop.svc", HTTPS, False),
        (".manager.shop.svc", HTTPS, True),
        ("anager.shop.svc", HTTPS, True),
        ("shop.svc:8443", HTTPS, False),
        ("shop.svc:443", HTTPS, True),
        ("manager.example:443", "https://manager.example", False),
        ("10.0.0.0/8", HTTPS, True),
        ("10.0.0.0/8,192.0.2.1", AT_ADDRESS, False),
        ("192.0.2.1", AT_ADDRESS, True),
        ("10.1.2.3:80", AT_ADDRESS, False),
        ("10.1.2.3:81", AT_ADDRESS, True),
        ("10.1.2.3:x", AT_ADDRESS, True),
        ("2001:db8::/32", AT_V6, False),
        ("[2001:db8::7]:8443", AT_V6, False),
        ("[2001:db8::7]", AT_V6, False),
        ("a.example,*", AT_V6, False),
    ],
)
def test_no_proxy_reads_as_elsewhere(no_proxy: str, url: str, *, proxied: bool) -> None:
    """Names, subdomains, addresses, ranges and ports, as other programs of a cluster read NO_PROXY."""
    found = manager_proxy(Proxy(url="http://proxy.example:3128", no_proxy=no_proxy), url)
    assert (found is not None) is proxied


@pytest.mark.parametrize(
    "url", ["proxy.example:3128", "socks5://u:hunter2@proxy.example", "http://", "http://u:hunter2@proxy:port"]
)
def test_invalid_proxy_is_reported_without_its_password(url: str) -> None:
    """The key and what was expected; the value may hold a password and is not repeated."""
    with pytest.raises(
        SettingsError, match=r"setting proxy.url is not a proxy's URL, expected http://host:port"
    ) as refused:
        manager_proxy(Proxy(url=url), HTTPS)
    assert "hunter2" not in str(refused.value)


def test_preflight_reaches_the_manager_as_pushes_do(tmp_path: Path, proxy: RunningProxy, webhook: None) -> None:
    """Preflight checks the manager by the way that pushes take."""
    own = authority(tmp_path, "own")
    with serving(Served(pair_for(own, "localhost"))) as server:
        manager = ManagerEndpoint(url=f"https://localhost:{server.server_port}", ca_file=str(own.file))
        assert probe_manager(AgentConfiguration(manager=manager, proxy=Proxy(url=proxy.url))) == (405, "")
        assert proxy.asked() == [f"CONNECT localhost:{server.server_port}"]
        assert probe_manager(AgentConfiguration(manager=manager, proxy=Proxy(url=DEAD))) == (None, "connect")


def test_directory_is_asked_straight(tmp_path: Path, webhook: None) -> None:
    """The questions of a node agent, with its token, go to the collector and nowhere else."""
    (tmp_path / "token").write_text("t" * 32)
    directory = SilentServer()
    client = DirectoryClient(directory.url, TokenFile(str(tmp_path / "token")).read, None)

    def ask() -> None:
        with pytest.raises(DirectoryUnavailableError):
            client.ask([Query("192.0.2.1", 80, 0, 1)])

    asking = threading.Thread(target=ask)
    asking.start()
    assert directory.request_lines(1) == [b"POST /v1/resolve HTTP/1.1"]
    directory.close()
    asking.join()
    client.client.close()


@pytest.mark.parametrize("own_proxy", [False, True])
def test_api_server_is_asked_straight_unless_its_kubeconfig_has_a_proxy(
    tmp_path: Path, proxy: RunningProxy, webhook: None, own_proxy: bool
) -> None:
    """The environment's proxies never see its token; `proxy-url` of a kubeconfig is honoured, as kubectl does."""
    api = SilentServer()
    document = kubeconfig(api.url)
    if own_proxy:
        document["clusters"][0]["cluster"]["proxy-url"] = proxy.url
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    server = ApiClient.connect(tmp_path / "kubeconfig")

    def ask() -> None:
        with pytest.raises(ApiServerError):
            server.page("/api/v1/pods", {"limit": 1})

    asking = threading.Thread(target=ask)
    asking.start()
    (line,) = api.request_lines(1)
    assert b"/api/v1/pods?limit=1" in line
    assert proxy.asked() == ([f"GET {api.url.removeprefix('http://')}"] if own_proxy else [])
    server.end()
    asking.join()
    api.close()
