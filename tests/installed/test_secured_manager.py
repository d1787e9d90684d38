"""The manager's own TLS on real nodes: pushes and page by https, a certificate and an authority that change.

A second release beside the shared one, with windows of half a minute.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import pytest

from lab.real_cluster.cluster import RealCluster
from tests.installed.releases import secured_release
from tests.installed.releases.secured_release import NAMESPACE, PARTS, Object, SecuredRelease, in_der

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(900)]

STORED = 'podsonar_push_requests_total{code="201"}'
UNTRUSTED = 'podsonar_push_failures_total{reason="tls_untrusted"}'
DROPPED = 'podsonar_spool_dropped_batches_total{{reason="{}"}}'
DROPS = ("full", "expired", "rejected", "corrupt", "too_large")
SERVED_SECONDS = 60.0  # until a changed Secret is in the pod, and in use
PUSHED_SECONDS = 120.0  # and until everything that pushes has met it: a window, its report, a held queue's probe


@dataclass
class Course:
    """What was seen of the release while its certificate, and then its authority, was another one."""

    served: dict[str, bytes] = field(default_factory=dict)
    signed: dict[str, bytes] = field(default_factory=dict)
    page: str = ""
    in_the_clear: str | None = None  # what a request without TLS was answered
    failures_before: float = 0.0
    refused: dict[str, list[Object]] = field(default_factory=dict)  # lines of the log by pod
    waiting: dict[str, float] = field(default_factory=dict)  # batches by pod
    made: set[tuple[str, str]] = field(default_factory=set)  # window and node of batches
    stored_meanwhile: set[tuple[str, str]] = field(default_factory=set)  # of these, while nobody trusted the manager
    stored: set[tuple[str, str]] = field(default_factory=set)  # and in the end
    dropped: float = 0.0
    pods: dict[str, set[tuple[str, int]]] = field(default_factory=dict)  # name and restarts, at the begin and the end


def pods_of(release: SecuredRelease) -> set[tuple[str, int]]:
    """Every pod of the release, and how often it was started again."""
    found = release.pods("manager", *PARTS)
    return {(pod["metadata"]["name"], pod["status"]["containerStatuses"][0]["restartCount"]) for pod in found}


def wait_stored(release: SecuredRelease) -> None:
    """Return once everything that pushes has had a push stored from now on."""
    before = release.metric(STORED)
    release.cluster.wait(
        "every agent's push was stored",
        lambda: all(number > before[pod] for pod, number in release.metric(STORED).items()),
        PUSHED_SECONDS,
    )


def rotate(release: SecuredRelease, course: Course, authority: secured_release.Authority) -> None:
    """Another certificate of the same authority, in use by the manager and pushed to."""
    pair = release.certificate(authority, "second")
    course.signed["second"] = in_der(pair)
    release.serve(pair)
    release.cluster.wait("it serves the new one", lambda: release.served() == course.signed["second"], SERVED_SECONDS)
    course.served["second"] = release.served()
    wait_stored(release)
    course.failures_before = sum(release.metric(UNTRUSTED).values())


def distrust(release: SecuredRelease, course: Course, reader: httpx.Client) -> None:
    """Agents are given an authority that signed nothing, until each has met the manager and been refused by itself."""
    release.trust(release.authority("of-others"))
    release.cluster.wait("nobody trusts the manager", lambda: all(release.metric(UNTRUSTED).values()), PUSHED_SECONDS)
    course.waiting = release.metric("podsonar_spool_batches")
    for pod in course.waiting:
        lines = release.log_lines(pod, "push_failed")
        course.refused[pod] = [line for line in lines if line["reason"] == "tls_untrusted"]
    course.made = release.spooled()
    course.stored_meanwhile = release.stored(reader, {window for window, _node in course.made})


def take_course(release: SecuredRelease) -> Course:
    """Install, rotate the certificate, take the authority away and give it back."""
    course, authority = Course(), release.authority("own")
    first = release.certificate(authority, "first")
    course.signed["first"] = in_der(first)
    release.serve(first)
    release.trust(authority)
    release.install()
    course.pods["begin"] = pods_of(release)
    course.served["first"] = release.served()
    with release.reader(authority) as reader:
        course.page = reader.get("/").raise_for_status().text
        with suppress(httpx.TransportError):
            course.in_the_clear = httpx.get("http://{}:{}/".format(*release.address), timeout=30, trust_env=False).text
        wait_stored(release)
        rotate(release, course, authority)
        distrust(release, course, reader)
        release.trust(authority)
        windows = {window for window, _node in course.made}
        release.cluster.wait(
            "what waited is stored", lambda: course.made <= release.stored(reader, windows), PUSHED_SECONDS
        )
        course.stored = release.stored(reader, windows)
    course.dropped = sum(sum(release.metric(DROPPED.format(reason)).values()) for reason in DROPS)
    course.pods["end"] = pods_of(release)
    return course


@pytest.fixture(scope="module")
def course(installed: RealCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """A release with TLS of its own, in its namespace."""
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    installed.apply([namespace])
    release = SecuredRelease(installed, tmp_path_factory.mktemp("secured"))
    try:
        yield take_course(release)
    finally:
        release.uninstall()


def test_page_and_pushes_go_by_https_alone(course: Course) -> None:
    """The certificate of the Secret is served, the page opens by its authority, and nothing answers in the clear."""
    assert course.served["first"] == course.signed["first"]
    assert "<title>" in course.page
    assert course.in_the_clear is None
    assert {node for _window, node in course.stored_meanwhile} == {"node-a", "node-b"}


def test_rotated_certificate_is_served_and_trusted_without_a_restart(course: Course) -> None:
    """The manager takes it from its Secret; agents push on without one refusal; every pod is the one from the begin."""
    assert course.served["second"] == course.signed["second"] != course.signed["first"]
    assert course.failures_before == 0
    assert course.pods["end"] == course.pods["begin"]
    assert {restarts for _name, restarts in course.pods["begin"]} == {0}


def test_wrong_authority_is_named_by_everything_that_pushes(course: Course) -> None:
    """`tls_untrusted` with what verification says, in the log of collector and both agents; the batches wait."""
    assert len(course.refused) == 3
    for pod, lines in course.refused.items():
        assert lines, pod
        assert "certificate verify failed" in lines[-1]["error"]
        assert course.waiting[pod] >= 1


def test_nothing_is_lost_while_the_authority_is_wrong(course: Course) -> None:
    """Of both nodes something waited, and each batch that an agent ever made is on the map in the end."""
    assert {node for _window, node in course.made - course.stored_meanwhile} == {"node-a", "node-b"}
    assert course.made <= course.stored
    assert course.dropped == 0
