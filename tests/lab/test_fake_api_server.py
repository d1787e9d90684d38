"""The fake API server answers as the Kubernetes API does, as far as the collector uses it."""

import httpx
import orjson

from lab.demo import fake_api_server, shop


def test_list_paged_gives_each_object_once() -> None:
    """Pages of two, followed by their continue token, are the whole list."""
    names, token = [], ""
    with fake_api_server.serving(shop.objects()) as url, httpx.Client(timeout=30, trust_env=False) as client:
        while True:
            document = client.get(f"{url}/api/v1/pods", params={"limit": 2, "continue": token or "0"}).json()
            names += [item["metadata"]["name"] for item in document["items"]]
            token = document["metadata"].get("continue", "")
            if not token:
                break
    assert sorted(names) == sorted(w.pod(n) for w in shop.WORKLOADS for n in range(len(w.hosts)))


def test_watch_opened_gives_a_bookmark() -> None:
    """A watch starts with a bookmark of the list's resource version."""
    with fake_api_server.serving([]) as url, httpx.Client(timeout=30, trust_env=False) as client:
        query = {"watch": "true", "timeoutSeconds": "1"}
        with client.stream("GET", f"{url}/apis/discovery.k8s.io/v1/endpointslices", params=query) as stream:
            event = orjson.loads(next(stream.iter_lines()))
    assert event["type"] == "BOOKMARK"
    assert event["object"]["metadata"]["resourceVersion"] == fake_api_server.VERSION
