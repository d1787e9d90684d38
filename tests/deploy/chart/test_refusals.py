"""Values that cannot work are refused while rendering, in a sentence that names them."""

import pytest

from tests.deploy.conftest import Chart

INGRESS = "manager.ingress.enabled=true,manager.ingress.host=map.example,manager.ingress.tlsSecretName=t"
SPOOL = "nodeAgent.spool.kind=hostPath,nodeAgent.spool.hostPath"
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
        ("manager.ingress.enabled=true,manager.ingress.host=map.example", "manager.ingress.tlsSecretName is empty"),
        (INGRESS, "networkPolicy.managerFrom is empty and the manager is reached by an Ingress"),
        ("manager.service.type=LoadBalancer", "is reached by a Service of type LoadBalancer"),
        ("manager.tls.secretName=t", "manager.caSecret.name is empty"),
        ("manager.caSecret.name=t", "manager.tls.secretName is empty"),
        ("manager.existingTokenSecret=a,manager.existingSecrets.readKey=b", "expected one of them"),
        ("manager.existingSecrets.ingestToken=a", "and not both ingestToken and tokenHashes"),
        ("nodeAgent.hostPID=false,nodeAgent.hostPaths.proc=/etc", "at '/nodeAgent/hostPaths/proc'"),
        ("nodeAgent.hostPaths.proc=/host/../proc", "at '/nodeAgent/hostPaths/proc'"),
        ("nodeAgent.hostPaths.tracing=/", "at '/nodeAgent/hostPaths/tracing'"),
        (f"{SPOOL}=/", "at '/nodeAgent/spool/hostPath'"),
        (f"{SPOOL}=/var/lib/../../etc/cron.d", "at '/nodeAgent/spool/hostPath'"),
        (f"{SPOOL}=/etc/cron.d", "expected a folder of its own below /var/lib"),
        (f"{SPOOL}=/var/lib", "expected a folder of its own below /var/lib"),
        (f"{SPOOL}=/var/lib/kubelet/pods", "none of the node's own"),
        (f"{SPOOL}=/proc/1/root", "expected a folder of its own below /var/lib"),
        ("networkPolicy.dnsTo[0].cidr=10.0.0.1/32", "at '/networkPolicy/dnsTo/0'"),
        ("networkPolicy.databasePort=0", "at '/networkPolicy/databasePort'"),
        ("manager.image.digest=sha256:abc", "at '/manager/image/digest'"),
        ("nodeAgent.method=tracepoint", "nodeAgent.capabilities has no DAC_READ_SEARCH"),
        ("nodeAgent.runAsUser=-1", "at '/nodeAgent/runAsUser'"),
        ("nodeAgent.seccompProfile.type=Localhost", "localhostProfile is empty"),
        ("nodeAgent.resources.limits.memory=64Mi", "at '/nodeAgent/resources/limits/memory'"),
        ("data.nodeAgentSelector=zone in (a)", "expected key=value pairs"),
        ("data.cron.expression=hourly", "at '/data/cron/expression'"),
        ("data.collectionWindowInMin=0", "at '/data/collectionWindowInMin'"),
        ("serviceAccount.create=false", "expected the name of an existing service account"),
        ("delegate.directory.secret=t", "one of delegate.directory.url and delegate.directory.secret is empty"),
        ("delegate.directory.url=http://c,delegate.directory.secret=t", "delegate.runners is false, expected true"),
        ("delegate.directory.url=collector:8766,delegate.directory.secret=t", "at '/delegate/directory/url'"),
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
    chart.template("--set", f"{ELSEWHERE},manager.url={url}")


def test_plain_http_renders_once_it_is_allowed(chart: Chart) -> None:
    """manager.allowInsecureHttp allows plain http explicitly."""
    chart.template("--set", f"{ELSEWHERE},manager.url=http://example.org,manager.allowInsecureHttp=true")
