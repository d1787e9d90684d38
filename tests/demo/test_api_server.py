"""The demo's objects reach a server completely, whatever uids it assigns."""

from typing import Any

from lab.demo import api_server, shop

Object = dict[str, Any]


def renamed(item: Object) -> Object:
    """The object as a server stores it: with a uid of its own."""
    return {**item, "metadata": {**item["metadata"], "uid": f"server-{item['metadata']['uid']}"}}


def test_objects_stored_by_a_server_refer_to_its_uids() -> None:
    """Every object is stored once, and every reference is to the uid of an object stored before it."""
    kept = api_server.apply_in_stages(lambda stage: [renamed(item) for item in stage], shop.objects())
    assert len(kept) == len(shop.objects())
    known: set[str] = set()
    references = 0
    for item in kept:
        owners = item["metadata"].get("ownerReferences", [])
        targets = [one["targetRef"] for one in item.get("endpoints", [])]
        references += len(owners) + len(targets)
        assert {one["uid"] for one in (*owners, *targets)} <= known
        known.add(item["metadata"]["uid"])
    assert references
