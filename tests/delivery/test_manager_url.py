"""delivery/manager_url.py: which URLs a token may be sent to, and the URL of the pushes."""

import pytest

from delivery.manager_url import ingest_url
from podsonar.errors import SettingsError
from podsonar.settings import AgentConfiguration, ManagerEndpoint


@pytest.mark.parametrize(
    "url",
    [
        "http://x.svc.attacker.example",
        "http://manager.shop.svc.cluster.local.attacker.example",
        "http://localhost.attacker.example",
        "http://127.0.0.1.attacker.example",
        "http://attacker.example/.svc",
        "http://attacker.example?.svc",
        "http://attacker.example#.svc",
        "http://x.svc@attacker.example",
        "http://attacker.example\\.svc",
        "http://svc",
        "http://x.SVC.attacker.example:80",
        "https://manager:99999",
        "https://manager:port",
        "https://[::1",
        "https://me:hidden@[::1",
    ],
)
def test_url_that_leaves_the_cluster_in_clear_or_cannot_work_is_refused(url: str) -> None:
    """One sentence, without a password."""
    with pytest.raises(SettingsError, match=r"manager\.url") as error:
        ingest_url(AgentConfiguration(manager=ManagerEndpoint(url=url)))
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://manager.shop.svc:8080", "http://manager.shop.svc:8080/api/v1/collections"),
        ("http://manager.shop.svc.cluster.local.", "http://manager.shop.svc.cluster.local./api/v1/collections"),
        ("http://[::1]:8080/", "http://[::1]:8080/api/v1/collections"),
        ("https://manager.example/prefix/?a#b", "https://manager.example/prefix/api/v1/collections"),
    ],
)
def test_url_is_normalised(url: str, expected: str) -> None:
    """Path prefixes stay; a query or a fragment is no part of it."""
    assert ingest_url(AgentConfiguration(manager=ManagerEndpoint(url=url))) == expected
