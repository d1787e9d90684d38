"""…/explain and `podsonar explain` show the cgroups of a record's pod, on each database."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.map.conftest import run_command
from tests.manager.conftest import CLIENT
from tests.manager.history.conftest import Kept
from tests.manager.shop import NODE_A, NODE_B, connection, inventory, observed

PATH = "/kubepods.slice/kubepods-poduid.slice/cri-containerd-0123456789ab.scope"
HOSTILE = "/kubepods/\x1b]0;owned\x07<img src=x>\u202e\n/c"
SHOWN = r"cgroup /kubepods/\x1b]0;owned\x07<img src=x>\u202e\n/c"
FRONTEND = "uid-frontend-1"


def explained(kept: Kept, *bodies: dict[str, Any], source: str = "shop/frontend") -> list[dict[str, Any]]:
    """The records of an edge, after these pushes."""
    for place, body in enumerate((inventory(), *bodies)):
        assert kept.running.push(body, f"b-{place}").status_code == 201
    found = kept.running.get("/agents/lab/explain", source=source, destination="shop/cart")
    records: list[dict[str, Any]] = found["records"]
    return records


def test_record_has_the_cgroups_of_its_pod(kept: Kept) -> None:
    """With how many more there were; batches of one node are taken together, those of others are not."""
    cgroups = {FRONTEND: {"paths": [PATH], "more": 3}}
    again = observed("node-a", [], []) | {"podCgroups": {FRONTEND: {"paths": ["/kubepods/a", PATH]}}}
    other = NODE_B | {"podCgroups": {FRONTEND: {"paths": ["/kubepods/of-another-node"]}}}
    (record,) = explained(kept, NODE_A | {"podCgroups": cgroups}, again, other)
    assert (record["cgroups"], record["moreCgroups"]) == ([PATH, "/kubepods/a"], 3)
    assert record["identity"] == f"the name of the connecting task's cgroup on node-a holds the pod UID {FRONTEND}"


def test_holder_of_the_address_has_those_of_its_own_node(kept: Kept) -> None:
    """A pod is asked for at the node that it is on; a Service has none."""
    direct = connection("frontend-1", "10.1.1.10", "10.1.2.20", 8080, pod="cart-2", n=1)
    paths = {"node-a": "/kubepods/of-another-node", "node-b": PATH}
    bodies = [observed("node-a", [direct, *NODE_A["connectionList"]], []), NODE_B]
    cgroups = [{"uid-cart-2": {"paths": [paths[body["nodeName"]]], "more": 1}} for body in bodies]
    explained(kept, *(body | {"podCgroups": listed} for body, listed in zip(bodies, cgroups, strict=True)))
    found = kept.running.get("/agents/lab/explain", source="shop/frontend", destination="shop/cart")
    held = {one["address"]: one["heldBy"] for one in found["addresses"]}
    assert (held["10.1.2.20"]["cgroups"], held["10.1.2.20"]["moreCgroups"]) == ([PATH], 1)
    assert (held["10.96.0.11"]["cgroups"], held["10.96.0.11"]["moreCgroups"]) == (None, 0)


def test_agent_of_before_sends_none(kept: Kept) -> None:
    """The record says what it said."""
    (record,) = explained(kept, NODE_A)
    assert (record["cgroups"], record["moreCgroups"]) == (None, 0)
    assert record["identity"].endswith(f"holds the pod UID {FRONTEND}")


def test_pod_without_a_cgroup_is_known_by_its_address(kept: Kept) -> None:
    """Nothing claims that a cgroup named it."""
    (record,) = explained(kept, NODE_A | {"podCgroups": {"uid-cart-1": {"paths": [PATH]}}})
    assert record["cgroups"] is None
    assert record["identity"] == (
        f"no listed cgroup on node-a holds the pod UID {FRONTEND}: 10.1.1.10 was the address of this pod alone"
    )


def test_socket_that_was_open_before_keeps_its_holder(kept: Kept) -> None:
    """Its process was found by its cgroup in /proc, which is not listed."""
    one = connection("frontend-1", "10.1.1.10", "10.96.0.11", 7000, service="cart", n=1) | {"openedBefore": True}
    (record,) = explained(kept, observed("node-a", [one], []) | {"podCgroups": {}})
    assert record["identity"].endswith(f"holds the pod UID {FRONTEND}")


@pytest.mark.parametrize("odd", [None, [], "x", {FRONTEND: {"paths": [7]}}, {FRONTEND: {"paths": ["x" * 513]}}])
def test_odd_member_is_counted_and_its_batch_is_whole(kept: Kept, odd: object) -> None:
    """The edge is there with its record."""
    (record,) = explained(kept, NODE_A | {"podCgroups": odd})
    assert (record["attempts"], record["cgroups"] or ()) == (23, ())
    scraped = CLIENT.get(f"{kept.running.url}/metrics").text
    cleaned = {
        sample.labels["part"]: sample.value
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
        if sample.name == "podsonar_manager_cleaned_total"
    }
    assert cleaned["member"] == 1


def printed(kept: Kept, folder: Path, *words: str) -> str:
    """What `podsonar` prints."""
    key = folder / "key"
    key.write_text(kept.running.key)
    key.chmod(0o600)
    done = run_command({"PODSONAR_MANAGER": kept.running.url, "PODSONAR_KEY_FILE": str(key)}, *words)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_command_prints_names_that_cannot_act_on_a_terminal(kept: Kept, tmp_path: Path) -> None:
    """Control characters and a change of direction as escapes; as JSON what was sent."""
    explained(kept, NODE_A | {"podCgroups": {FRONTEND: {"paths": [PATH, HOSTILE], "more": 2}}})
    words = ("explain", "shop/frontend", "shop/cart")
    text = printed(kept, tmp_path, *words)
    lines = [line.strip() for line in text.splitlines()]
    place = lines.index(SHOWN)
    assert lines[place - 1 : place + 2] == [f"cgroup {PATH}", SHOWN, "and 2 more cgroups of this pod"]
    assert not set("\x1b\x07\u202e") & set(text)
    assert r"\u001b]0;owned\u0007" in printed(kept, tmp_path, *words, "-o", "json")


def test_command_prints_the_cgroups_of_a_holder_below_its_address(kept: Kept, tmp_path: Path) -> None:
    """And none below that of a Service."""
    direct = connection("frontend-1", "10.1.1.10", "10.1.2.20", 8080, pod="cart-2", n=1)
    explained(
        kept,
        observed("node-a", [direct, *NODE_A["connectionList"]], []),
        NODE_B | {"podCgroups": {"uid-cart-2": {"paths": [PATH, HOSTILE], "more": 1}}},
    )
    lines = printed(kept, tmp_path, "explain", "shop/frontend", "shop/cart").splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.startswith("address 10.1.2.20,"))
    assert [line.strip() for line in lines[place + 1 : place + 4]] == [
        f"cgroup {PATH}",
        SHOWN,
        "and 1 more cgroups of this pod",
    ]
    assert sum("cgroup " in line for line in lines) == 3
