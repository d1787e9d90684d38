"""What happens to an installation without a request."""

import secrets

from sqlalchemy import Connection, select

from manager.installations.installations import Installation, create_installation
from manager.store.agents import Agent, agent_of_row
from manager.store.retention import delete_outdated
from manager.store.tables import AGENTS
from tests.manager.installations.conftest import NOON, SECOND, Desk


def started(desk: Desk, *, permanent: bool) -> tuple:  # type: ignore[type-arg]
    """An agent and its installation, a minute after noon, whose pods run on two nodes."""
    agent = desk.agent(permanent=permanent)
    installation = desk.install(agent)
    (task,) = desk.lease()
    desk.report(task, "RUNNING", a="absent")
    desk.pass_time(60)
    desk.report(task, "SUCCESS", a="created")
    return agent, installation


def test_task_for_which_nobody_asks_expires(desk: Desk) -> None:
    """After 10 minutes, and not before; the installation says why, and a delegate that comes later gets nothing."""
    installation = desk.install(desk.agent())
    desk.pass_time(599)
    assert desk.task(installation.task_id).status == "PROCESSED"
    assert (desk.expired("apply"), desk.expired("delete")) == (0, 0)
    desk.pass_time(1)
    assert desk.task(installation.task_id).status == "EXPIRED"
    desk.pass_time(1)
    assert (desk.expired("apply"), desk.expired("delete")) == (1, 0)
    found = desk.installation(installation)
    assert (found.agent_status, found.task_status) == ("FAILED", "EXPIRED")
    assert "no delegate asked" in found.message
    assert desk.lease() == []


def test_stop_tries_again_what_an_expired_removal_left(desk: Desk) -> None:
    """Not while it may still come, and not where the agent was installed anew meanwhile."""
    agent, installation = started(desk, permanent=True)
    removal = desk.stop(installation).removal_task_id

    def stop_again() -> Installation:
        return desk.stop(desk.installation(installation))

    assert stop_again().removal_task_id == removal
    desk.pass_time(600)
    assert desk.expired("delete") == 1
    second = desk.install(agent)
    assert stop_again().removal_task_id == removal
    desk.pass_time(600)
    desk.stop(second)
    desk.pass_time(600)
    assert desk.lease() == []
    again = stop_again().removal_task_id
    (task,) = desk.lease()
    assert (task.id, task.kind) == (again, "delete")
    assert [one["uid"] for one in desk.wire(task)["objects"]] == ["uid-a"]
    desk.report(task, "SUCCESS", a="deleted")
    assert (stop_again().removal_task_id, desk.lease()) == (again, [])


def test_agent_succeeds_with_a_window_that_every_node_observed(desk: Desk) -> None:
    """Neither a window from before, nor one of some nodes, nor one without an inventory."""
    agent, installation = started(desk, permanent=True)
    desk.observe(agent, "node-a", "node-b", start_ns=NOON)
    desk.pass_time(60)
    desk.observe(agent, "node-a", start_ns=NOON + 120 * SECOND)
    desk.pass_time(60)
    assert desk.installation(installation).agent_status == "RUNNING"
    desk.observe(agent, "node-a", "node-b", start_ns=NOON + 180 * SECOND, inventory=False)
    desk.pass_time(2)
    assert desk.installation(installation).agent_status == "SUCCESS"
    desk.pass_time(4000)
    assert desk.lease() == []


def test_transient_agent_is_taken_away_after_its_window_and_comes_again_at_the_next_tick(desk: Desk) -> None:
    """Its tick is at 15 minutes past the hour; not before what was there is gone."""
    agent, installation = started(desk, permanent=False)
    desk.observe(agent, "node-a", "node-b", start_ns=NOON + 120 * SECOND)
    desk.pass_time(120)
    found = desk.installation(installation)
    assert (found.agent_status, found.stopped) == ("SUCCESS", False)
    (removal,) = desk.lease()
    assert (removal.id, removal.kind) == (found.removal_task_id, "delete")
    assert [one["uid"] for one in desk.wire(removal)["objects"]] == ["uid-a"]
    desk.pass_time(720)
    (removal,) = desk.lease()
    assert removal.kind == "delete", "the lease ended, and nothing is applied before what was there is gone"
    desk.report(removal, "SUCCESS", a="deleted")
    desk.pass_time(1)
    (task,) = desk.lease()
    second = desk.installation_of(task)
    assert (task.kind, second.cron_triggered, second.agent_status) == ("apply", True, "PENDING")
    assert task.cluster_uid == removal.cluster_uid


def test_transient_agent_without_a_whole_window_is_taken_away_when_its_time_is_up(desk: Desk) -> None:
    """FAILED, with the reason."""
    agent, installation = started(desk, permanent=False)
    desk.observe(agent, "node-a", start_ns=NOON + 120 * SECOND)
    desk.pass_time(500)
    assert desk.installation(installation).agent_status == "RUNNING"
    desk.pass_time(200)
    found = desk.installation(installation)
    assert (found.agent_status, found.removal_task_id is not None) == ("FAILED", True)
    assert "every node" in found.message


def test_stopped_transient_agent_stays_away(desk: Desk) -> None:
    """Until somebody installs it again."""
    _agent, installation = started(desk, permanent=False)
    desk.stop(installation)
    (removal,) = desk.lease()
    desk.report(removal, "SUCCESS", a="deleted")
    desk.pass_time(7200)
    assert desk.lease() == []
    assert desk.installation(installation).stopped


def test_installations_that_are_gone_are_deleted_after_the_retention(desk: Desk) -> None:
    """With their tasks; neither the newest, by which the next tick is found, nor one that is there."""
    _agent, first = started(desk, permanent=False)
    desk.stop(first)
    (removal,) = desk.lease()
    desk.report(removal, "SUCCESS", a="deleted")
    agent, there = started(desk, permanent=True)
    desk.pass_time(40 * 86_400)
    assert delete_outdated(desk.store, desk.now_ns, 30).get("installations", 0) == 0
    with desk.store.writing() as connection:
        gone = find_agent_of(connection, first)
        create_installation(connection, gone, desk.now_ns, secrets.token_bytes)
    counts = delete_outdated(desk.store, desk.now_ns, 30)
    assert (counts["installations"], counts["delegate_tasks"]) == (1, 2)
    desk.stop(there)
    assert [task.agent_id for task in desk.lease() if task.kind == "delete"] == [agent.id]


def find_agent_of(connection: Connection, installation: Installation) -> Agent:
    """The agent of an installation."""
    wanted = select(AGENTS).where(AGENTS.c.id == installation.agent_id)
    return agent_of_row(connection.execute(wanted).mappings().one())


def test_failed_transient_agent_leaves_nothing_and_is_tried_at_the_next_tick(desk: Desk) -> None:
    """A permanent one stays for a person to look at."""
    for permanent, kinds in ((False, ["delete"]), (True, [])):
        installation = desk.install(desk.agent(permanent=permanent))
        (task,) = desk.lease()
        desk.report(task, "RUNNING", a="absent")
        desk.report(task, "FAILED", a="created", message="Deployment podsonar-collector: ImagePullBackOff")
        found = desk.installation(installation)
        assert (found.agent_status, found.message) == ("FAILED", "Deployment podsonar-collector: ImagePullBackOff")
        leased = desk.lease()
        assert [one.kind for one in leased] == kinds
        assert [desk.report(one, "SUCCESS", a="deleted").value for one in leased] == [200] * len(kinds)
