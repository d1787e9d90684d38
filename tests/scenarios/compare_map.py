"""Compares the manager's map of a scenario's first window with its table."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from lab.simulated.two_nodes import NODES
from manager.schema.push_schema import ConnectionsBatch, read_batch
from manager.schema.records import accepted_in, connections_in
from manager.service_map.build import NodeReport, build_map
from manager.store.batches.object_summary import summarize_object
from podsonar.model import Window
from podsonar.owner_chain import controller_reference, root_controller
from tests.scenarios import objects
from tests.scenarios.records import Body
from tests.scenarios.simulated_cluster import Cast
from tests.scenarios.table import Scenario


def view_of(body: Body) -> NodeReport:
    """A body as the manager reads and stores it."""
    batch = read_batch(orjson.dumps(body))
    if not isinstance(batch, ConnectionsBatch):
        raise TypeError(f"a batch of {batch}, expected connections")
    return NodeReport(
        batch.node_name,
        batch.observation,
        connections_in(batch.connections.blocks),
        accepted_in(batch.accepted.blocks),
    )


def is_listed(scenario: Scenario, item: Body) -> bool:
    """Return whether the collector's inventory has the object under the scenario's selection."""
    if item["kind"] != "Pod":
        return True
    namespace = item["metadata"]["namespace"]
    return scenario.selection.pod(namespace, root_controller(controller_reference(item), namespace, {})) is None


def judge_map(cast: Cast, bodies: Mapping[str, Body], window: Window) -> Iterator[str]:
    """Differences between the table and the manager's map of the first window."""
    scenario = cast.scenario
    items = [*map(objects.node, NODES.values()), *cast.objects]
    facts: dict[str, list[Any]] = {}
    for item in filter(lambda one: is_listed(scenario, one), items):
        facts.setdefault(item["kind"], []).append(summarize_object(item["kind"], item))
    shown = build_map(window, facts, [view_of(body) for body in bodies.values()])
    yield from judge_recall(scenario, bodies, shown["recall"])
    yield from judge_edges(scenario, shown["edges"])


def accepted_in_window(body: Body) -> int:
    """How many connections a node's pods accepted in the window itself."""
    return sum(one["accepted"] for one in body["acceptedList"] if not one["openedBefore"])


def judge_recall(scenario: Scenario, bodies: Mapping[str, Body], recall: Body) -> Iterator[str]:
    """Differences in recall, in total and per node."""
    accepted = {body["nodeName"]: accepted_in_window(body) for body in bodies.values()}
    total = sum(accepted.values())
    comparable = total - sum(scenario.uncompared.values())
    wanted = (comparable, comparable - scenario.unexplained, dict(scenario.uncompared))
    if (recall["accepted"], recall["explained"], recall["notComparable"]) != wanted:
        yield f"map: recall {recall}, expected (accepted, explained, not comparable) {wanted}"
    before = recall["openedBefore"]
    opened = sum(one["accepted"] for body in bodies.values() for one in body["acceptedList"] if one["openedBefore"])
    if (
        before["accepted"] != before["explained"]
        or sum(before["notComparable"].values()) != scenario.opened_uncompared
        or before["accepted"] + sum(before["notComparable"].values()) != opened
    ):
        uncompared = scenario.opened_uncompared
        yield f"map: recall of connections from before {before}, expected {opened} accepted, {uncompared} not compared"
    for body in bodies.values():
        arguments = recall["nodes"].get(body["nodeName"], {"accepted": 0, "notComparable": {}})
        taken = accepted[body["nodeName"]]
        if arguments["accepted"] + sum(arguments["notComparable"].values()) != taken:
            yield f"map: recall of {body['nodeName']} {arguments}, expected {taken} accepted in all"


def judge_edges(scenario: Scenario, edges: list[Body]) -> Iterator[str]:
    """Differences of the edges to services on the map."""
    for service, pods in scenario.backends.items():
        target = f"service/{scenario.name}/{service}"
        counts: Counter[str] = Counter()
        for edge in edges:
            if edge["destination"] == target:
                counts.update({one["pod"].partition("/")[2]: one["accepted"] for one in edge["backends"]})
        if counts != Counter(pods):
            yield f"map: backends of {service} {dict(counts)}, expected {dict(pods)}"
    for service, arguments in scenario.both_ends.items():
        says = {one["bothEnds"] for one in edges if one["destination"] == f"service/{scenario.name}/{service}"}
        if says != {arguments}:
            yield f"map: both ends of {service} {says}, expected {arguments}"
