"""Values that cannot work are refused while rendering, in a sentence that names them."""

import pytest

from tests.deploy.conftest import Chart

ELSEWHERE = "manager.install=false,manager.tokenSecret.name=t"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("nodAgent.method=tracepoint", "additional properties 'nodAgent' not allowed"),
        ("nodeAgent.metod=tracepoint", "at '/nodeAgent': additional properties 'metod' not allowed"),
        ("manager.install=false", "manager.url is empty and manager.install is false"),
        (f"{ELSEWHERE},manager.url=http://example.org", "expected https:// (or manager.allowInsecureHttp"),
        (f"{ELSEWHERE},manager.url=ftp://example.org", "expected https://host[:port]"),
        (f"{ELSEWHERE},manager.url=https://me:secret@example.org", "names a user (host example.org)"),
        (f"{ELSEWHERE},manager.url=https://example.org/#x", "without query and fragment"),
        (f"{ELSEWHERE},manager.url=https://example.org,manager.token=x", "'oneOf' failed"),
        ("manager.install=false,manager.url=https://example.org", "manager.tokenSecret.name is empty"),
        ("manager.url=https://example.org", "expected one manager"),
        ("collector.replicas=2", "there is no leader election"),
        ("manager.replicas=2", "a SQLite file has one writer"),
        ("manager.database.kind=postgresql", "manager.database.urlSecret.name is empty"),
        ("nodeAgent.privileged=true,nodeAgent.capabilities={SYS_ADMIN}", "a privileged container holds every"),
        ("nodeAgent.capabilities={NET_ADMIN}", "at '/nodeAgent/capabilities/0'"),
        ("nodeAgent.seccompProfile.type=Localhost", "localhostProfile is empty"),
        ("nodeAgent.resources.limits.memory=64Mi", "at '/nodeAgent/resources/limits/memory'"),
        ("data.nodeAgentSelector=zone in (a)", "expected key=value pairs"),
        ("data.cron.expression=hourly", "at '/data/cron/expression'"),
        ("data.collectionWindowInMin=0", "at '/data/collectionWindowInMin'"),
        ("serviceAccount.create=false", "expected the name of an existing service account"),
        ("log.level=loud", "at '/log/level'"),
        ("redaction.mode=none", "at '/redaction/mode'"),
        ("redaction.kep={a}", "at '/redaction': additional properties 'kep' not allowed"),
    ],
)
def test_value_that_cannot_work_is_refused_by_name(chart: Chart, values: str, said: str) -> None:
    """The refusal names the value and what was expected (rows 1 to 5, 12, 13, 36)."""
    assert said in chart.refusal("--set", values)


def test_password_in_a_refused_url_is_not_repeated(chart: Chart) -> None:
    """A URL with a password is refused without the password."""
    assert "secret" not in chart.refusal("--set", f"{ELSEWHERE},manager.url=https://me:secret@example.org")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/",
        "https://[2001:db8::7]:8443",
        "https://xn--bcher-kva.example",
        "http://manager.tools.svc:8080",
        "http://manager.tools.svc.cluster.local",
    ],
)
def test_url_that_works_is_taken(chart: Chart, url: str) -> None:
    """A trailing slash, an IPv6 literal, an international name, and plain http inside the cluster (row 4)."""
    chart.template("--set", f"{ELSEWHERE},manager.url={url},networkPolicy.enabled=true")


def test_plain_http_renders_once_it_is_allowed(chart: Chart) -> None:
    """manager.allowInsecureHttp allows plain http explicitly."""
    chart.template("--set", f"{ELSEWHERE},manager.url=http://example.org,manager.allowInsecureHttp=true")
