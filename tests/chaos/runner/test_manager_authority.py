"""A manager behind TLS whose authority no image knows, as a real program: a runner with that authority reaches it."""

import datetime as dt
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from chaos.runner.environment import RunnerEnvironment, read_environment
from chaos.runner.kserver_client import Kserver, KserverError, KserverUnavailableError
from chaos.runner.step_logs import HttpLogService
from lab.controlplane.certificates import Authority
from podsonar.errors import SettingsError
from tests.manager.manager_process import manager_process

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The manager's."""
    return Authority(tmp_path_factory.mktemp("own"), NOW)


@pytest.fixture(scope="module")
def secured(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the manager."""
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    pair = authority.pair("manager", ExtendedKeyUsageOID.SERVER_AUTH, alternatives=names)
    files = {"PODSONAR_TLS_CERTIFICATE_FILE": str(pair.certificate), "PODSONAR_TLS_KEY_FILE": str(pair.key)}
    with manager_process(tmp_path_factory.mktemp("manager"), settings=files) as made:
        yield made.url


def settings(url: str, ca: str) -> RunnerEnvironment:
    """A runner's, by its environment variables."""
    needed = ("INFRA_ID", "ACCOUNT_ID", "PROJECT_ID", "ENVIRONMENT_ID", "CHAOS_NAMESPACE", "CORRELATION_ID")
    given = dict.fromkeys(needed, "x") | {"ACCESS_KEY": "k" * 32, "PODSONAR_MANAGER_CA": ca}
    endpoints = {"KUBERNETES_INFRA_SERVICE_ENDPOINT": f"{url}/chaos/kserver/api"}
    logs = {"LOG_SERVICE_ENABLED": "true", "LOG_SERVICE_ENDPOINT": f"{url}/log-service"}
    return read_environment(given | endpoints | logs)


def test_runner_with_the_authority_is_answered(secured: str, authority: Authority) -> None:
    """As somebody whose key opens nothing, of the run and of its logs: the manager said so."""
    found = settings(secured, authority.file.read_text())
    kserver, logs = Kserver(found, "e", "r", "n"), HttpLogService(found)
    with kserver.http, logs.http:
        with pytest.raises(KserverError, match=r"answered 40[134]") as refused:
            kserver.fetch()
        assert type(refused.value) is KserverError
        assert logs.send("POST", "key") in (401, 403)


def test_runner_with_another_authority_or_none_says_what_is_wrong(secured: str, tmp_path: Path) -> None:
    """It is away, with the words of the verification, and no key goes out."""
    for ca in ("", Authority(tmp_path, NOW).file.read_text()):
        found = settings(secured, ca)
        kserver, logs = Kserver(found, "e", "r", "n"), HttpLogService(found)
        with kserver.http, logs.http:
            with pytest.raises(KserverUnavailableError, match="certificate verify failed"):
                kserver.fetch()
            assert logs.send("POST", "key") == 0


def test_authority_that_is_none_is_refused_at_the_start() -> None:
    """A setting that is wrong, named."""
    with pytest.raises(SettingsError, match="PODSONAR_MANAGER_CA holds no certificate: expected PEM"):
        settings("https://manager.example", "nonsense")
