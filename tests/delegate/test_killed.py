"""A delegate that is killed at any moment leaves neither half an agent nor a stray object."""

import time

import pytest

from manager.installations.installations import Installation
from manager.store.tenancy import Tenant
from tests.delegate.conftest import Site
from tests.delegate.kill_moments import kill_moments

pytestmark = [pytest.mark.cluster, pytest.mark.long]

KILLS = 20
APPLY_SECONDS = 0.5  # about as long as an apply takes


def uids(site: Site) -> dict[str, str]:
    """Every object and its uid."""
    return {name: one["metadata"]["uid"] for name, one in site.objects().items()}


def kill_within_apply(site: Site, installation: Installation, seconds: float) -> bool:
    """Start a delegate, and kill it so long after it began to work; whether there was work for it.

    The manager may store the last report of a delegate after its death: then the task is over.
    """
    already = site.log_text().count("task_began")

    def began() -> bool:
        return site.log_text().count("task_began") > already

    process = site.start()
    try:
        site.wait(lambda: began() or site.state(installation.task_id).status == "SUCCESS")
        if not began():
            return False
        time.sleep(seconds)
        return True
    finally:
        process.kill()
        process.wait()


def finish(site: Site, installation: Installation, before: dict[str, str]) -> set[str]:
    """Let a delegate finish, and take the agent away again; what was there meanwhile."""
    with site.delegate():
        assert site.wait_for_end(installation.task_id).status == "SUCCESS"
        added = set(uids(site)) - set(before)
        site.remove(installation)
    assert uids(site) == before
    return added


def test_delegate_killed_at_twenty_moments_installs_the_same_and_takes_all_of_it_away(site: Site) -> None:
    """Kill -9 while it applies, again and again: the same objects, one SUCCESS; then everything as before."""
    moments = kill_moments()
    before = uids(site)
    found, unfinished, kills = [], 0, 0
    installation = site.install(site.agent(tenant=Tenant(site.namespace)))
    while kills < KILLS:
        if site.state(installation.task_id).status == "SUCCESS":
            found.append(finish(site, installation, before))
            installation = site.install(site.agent(tenant=Tenant(site.namespace)))
        kills += kill_within_apply(site, installation, moments.uniform(0.0, APPLY_SECONDS))
        unfinished += site.state(installation.task_id).status == "RUNNING"
    found.append(finish(site, installation, before))
    assert all(names == found[0] for names in found)
    assert len(found[0]) == 12
    assert unfinished >= KILLS // 4, "few kills fell into an apply"
