"""Markers of what tests need: a test is skipped only if the need is missing; REQUIRE turns the skip into a failure."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from lab.controlplane import binaries
from lab.real_cluster.debian_image import programs_image
from lab.real_cluster.images import cluster_images
from lab.real_cluster.installed.install import prepare_images
from podsonar.errors import ApiServerError
from tests import lanes
from tests.lanes import LaneScheduling
from tests.manager.api.go_program import missing_go
from tests.manager.postgresql import missing_postgresql

REPOSITORY = Path(__file__).resolve().parent.parent

# No test asserts how fast this machine is at this moment. EXAMPLES=10000 looks longer, by hand.
settings.register_profile(
    "any_machine",
    deadline=None,
    max_examples=int(os.environ.get("EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any_machine")


def missing_kernel() -> str | None:
    """What the kernel suite needs and this machine lacks; None if it has all."""
    if os.geteuid() != 0:
        return "root"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "/sys/kernel/btf/vmlinux"
    return None


BUILD_ERRORS: list[str] = []  # why programs of the cluster suite could not be built; each of its tests reports it


def missing_cluster() -> str | None:
    """Why the programs of the cluster suite could not be built; None if they could."""
    return BUILD_ERRORS[0] if BUILD_ERRORS else None


def missing_browser() -> str | None:
    """What the browser suite needs and this machine lacks; None if it has all."""
    names = ("chromium", "chromium-browser", "google-chrome")
    folders = os.environ.get("PATH", "").split(":")
    if any((Path(folder) / name).exists() for folder in folders for name in names):
        return None
    return "Chromium (Debian package `chromium`)"


MISSING: dict[str, Callable[[], str | None]] = {
    "kernel": missing_kernel,
    "cluster": missing_cluster,
    "browser": missing_browser,
    "go": missing_go,
    "postgresql": missing_postgresql,
}


def build_ahead(fixtures: set[str], report: Callable[[str], object]) -> None:
    """Find or build the programs that cluster tests with these fixtures run, and the images of their pods.

    The image of real programs waits for its packages while compilers keep the processors busy.
    """
    with ThreadPoolExecutor() as pool:
        programs = pool.submit(programs_image, report) if "programs" in fixtures else None
        for version in binaries.VERSIONS:
            binaries.find_or_build(("kube-apiserver", "etcd"), report, version=version)
        if "installed" in fixtures:
            prepare_images(report)
        if "nodes" in fixtures:
            binaries.find_or_build((*binaries.EVERY_PROGRAM, *binaries.NODE_PROGRAMS), report)
            cluster_images(report)
        if "watching" in fixtures:
            binaries.find_or_build(("podtargets",), report)
        if programs is not None:
            programs.result()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first, in each lane, what bears the tests of the other lane best."""
    items.sort(key=lambda item: lanes.place_of(item.nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LaneScheduling | None:
    """Run `--dist loadgroup` by lanes; other distributions are pytest-xdist's."""
    return LaneScheduling(config, log) if config.option.dist == "loadgroup" else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the chosen cluster tests run, once per machine: no test's time limit applies here."""
    chosen = [item for item in session.items if item.get_closest_marker("cluster")]
    if session.config.option.collectonly or not chosen:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    try:
        build_ahead(
            {name for item in chosen for name in getattr(item, "fixturenames", ())},
            reporter.write_line if reporter else print,
        )
    except ApiServerError as error:
        BUILD_ERRORS.append(str(error))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked test if its need is missing; fail it instead if REQUIRE names the marker."""
    required = {word for word in os.environ.get("REQUIRE", "").split(",") if word}
    for marker, missing in MISSING.items():
        if item.get_closest_marker(marker) is None:
            continue
        missing_thing = missing()
        if missing_thing is None:
            continue
        if marker in required:
            pytest.fail(f"REQUIRE names {marker}, but this machine lacks {missing_thing}", pytrace=False)
        pytest.skip(f"{marker}: this machine lacks {missing_thing}")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(autouse=True)
def default_logs() -> Iterator[None]:
    """A program that a test runs in this process configures logs for that test alone."""
    yield
    structlog.reset_defaults()
