"""A secret in a pod's environment, and in kubectl's copy of it, stays in the cluster."""

from pathlib import Path
from typing import Any

import httpx
import orjson
from isal import igzip

from collector.inventory.inventory import Inventory
from delivery.batch import batch_of_payload
from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from directory.selection import Selection
from manager.server import serving
from podsonar.model import Window
from podsonar.settings import CollectorSettings, Data, ManagerEndpoint
from tests.acceptance.agent_process import payload_of
from tests.manager.fresh_database import migrated

CANARY = "canary-7b1e-password"
WINDOW = Window(1_700_000_000_000_000_000, 1_700_000_120_000_000_000)


class OnePod:
    """An API server's pages with one pod; it does not check authentication or paging."""

    def page(self, path: str, _query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """The list at a path."""
        container = {"name": "app", "image": "app", "env": [{"name": "DB_PASSWORD", "value": CANARY}]}
        copy = orjson.dumps({"spec": {"containers": [container]}}).decode()
        pod: dict[str, Any] = {
            "metadata": {
                "name": "app-1",
                "namespace": "shop",
                "uid": "6b1e5c0a-0000-4000-8000-000000000001",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": copy},
            },
            "spec": {"containers": [container]},
        }
        items = [pod] if path.endswith("/pods") else []
        return 200, None, orjson.dumps({"metadata": {"resourceVersion": "1"}, "items": items})


def test_row_59_canary_is_in_no_spool_file_store_or_answer(tmp_path: Path) -> None:
    """The pod arrives at the manager, its secret nowhere: not in the spool, the database or any API answer."""
    database = f"sqlite:///{tmp_path}/manager.db"
    token, key = migrated(database)
    (tmp_path / "token").write_text(token)
    spool = Spool(tmp_path / "spool")
    with serving(database) as url:
        settings = CollectorSettings(
            data=Data(enable_orphaned_pod=True), manager=ManagerEndpoint(url=url, token_file=str(tmp_path / "token"))
        )
        inventory = Inventory(OnePod(), settings, WINDOW, Selection.of(settings))
        for number, payload in enumerate(inventory.bodies(spool.folder)):
            spool.put(batch_of_payload(payload, "inventory", WINDOW, str(number)))
        spooled = b"".join(igzip.decompress(payload_of(path)) for path in spool.paths())
        pusher = Pusher(settings, spool, TokenFile(settings.manager.token_file))
        assert pusher.flush(10)
        pusher.close()
        query = {"page": "0", "limit": "100", "all": "true"}
        answers = [
            httpx.get(
                f"{url}/api/v1/agents/lab/{name}", params=query, headers={"X-API-Key": key}, timeout=30, trust_env=False
            )
            for name in ("pods", "map", "namespaces")
        ]
    spool.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("manager.db*"))
    assert b"app-1" in spooled
    assert "app-1" in answers[0].text
    assert all(CANARY.encode() not in content for content in (spooled, kept, *(one.content for one in answers)))
