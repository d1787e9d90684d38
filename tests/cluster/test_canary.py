"""A credential in any string position of any kind, as a real API server publishes them, leaves nowhere."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import structlog

from cluster_api.client import ApiClient
from collector.app import inventory_of
from collector.inventory.field_table import COPIES
from collector.inventory.inventory import Inventory
from collector.inventory.redacted_fields import Mode
from collector.inventory.redaction import Redaction
from collector.k8s.kinds import API_VERSIONS, KINDS, Kind
from delivery.batch import batch_of_payload
from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from directory.selection import Selection
from manager.api.resources.objects import KIND_PATHS
from manager.server import serving
from podsonar.json_gzip import inflated
from podsonar.logs_and_probes import start_logs
from podsonar.model import Window
from podsonar.settings import CollectorSettings, Data, Kubernetes, ManagerEndpoint
from tests.answering_server import GivenAnswer, ReceivedRequest, answering
from tests.cluster.conftest import Crowd
from tests.cluster.schema_objects import Position, Schemas, dense, sparse
from tests.manager.fresh_database import migrated

pytestmark = pytest.mark.cluster

GROUPS = ("api/v1", "apis/apps/v1", "apis/batch/v1")
MARK = "CANARY7F3A"
FORMS: tuple[Callable[[int], str], ...] = (
    lambda number: f"ghp_{MARK}{number:08d}",
    lambda number: f"eyJ{MARK}{number:08d}.{MARK}.{MARK}",
    lambda number: f"AKIA{MARK}{number:08d}",
    lambda number: f"xoxb-{MARK}-{number:08d}",
    lambda number: f"postgres://app:{MARK}{number}@db/shop",
    lambda number: f"user:{MARK}{number}@registry.example/x",
    lambda number: f"--db-password={MARK}{number}",
    lambda number: f"exec app --api-key {MARK}{number} --port=80",
    lambda number: f"-----BEGIN PRIVATE KEY-----\n{MARK}{number}\n-----END PRIVATE KEY-----",
)

KEY_FORMS = FORMS[:4]
WORD = "marmalade7f3a"
FREE_TEXT = re.compile(
    r"(^|/)(env/0/value|httpHeaders/0/value|command/0|args/0|message|gmsaCredentialSpec|config/error|managedFields/.*"
    r"|(annotations|userAnnotations|volumeAttributes|options)/some\.key/name)$"
)
WITHOUT_FIELDS = re.compile(r"/scheduling/\w+/(all|single|basic)/")  # the API's own switches: objects without fields
WINDOW = Window(1_700_000_000_000_000_000, 1_700_000_120_000_000_000)
SETTINGS = CollectorSettings(data=Data(enable_orphaned_pod=True, enable_batch_resources=True))


@pytest.fixture(scope="module")
def positions(crowd: Crowd) -> dict[str, list[Position]]:
    """Every string position of every kind."""
    schemas = Schemas(crowd.plane.client, GROUPS)
    return {kind.name: list(schemas.positions(schemas.of_kind(kind.name, API_VERSIONS[kind.name]))) for kind in KINDS}


def form(position: Position, number: int) -> str:
    """One of the credentials, another one for the next number."""
    forms = KEY_FORMS if position.key else FORMS
    return forms[number % len(forms)](number)


def test_schemas_give_the_positions_that_matter(positions: dict[str, list[Position]]) -> None:
    """The walk over the schemas finds what it must, and nothing is left out by a reference that it does not follow."""
    texts = {"/".join(map(str, position.path)) for position in positions["CronJob"]}
    inside = "spec/jobTemplate/spec/template/spec"
    for path in (
        "containers/0/env/0/value",
        "initContainers/0/args/0",
        "ephemeralContainers/0/image",
        "volumes/0/name",
    ):
        assert f"{inside}/{path}" in texts
    assert len(positions["Pod"]) > 700
    assert all(len(found) > 20 for found in positions.values())
    assert "status/podIPs/0/ip" in {"/".join(map(str, position.path)) for position in positions["Pod"]}


@pytest.mark.parametrize("mode", ["structure", "patterns"])
def test_every_credential_in_every_position_is_taken_out(positions: dict[str, list[Position]], mode: Mode) -> None:
    """Each form of credential, in each string position and each map key of each kind, in turn."""
    left: list[str] = []
    for kind, found in positions.items():
        redaction = Redaction(mode)
        for position in found:
            for make in KEY_FORMS if position.key else FORMS:
                content = redaction.json(kind, [sparse(position, make(1), 1)])
                if MARK.encode() in content:
                    left.append(f"{kind} {position} {content.decode()}")
    assert left == []


def test_any_word_stays_in_the_cluster_where_people_write_what_they_like(positions: dict[str, list[Position]]) -> None:
    """Every position of free text that the server's schemas have hides even what looks like nothing."""
    tried = 0
    for kind, found in positions.items():
        free = [one for one in found if not one.key and FREE_TEXT.search("/".join(map(str, one.path)))]
        copies = [
            Position((*one.path[:-1], copy))
            for one in found
            if one.path[-2:-1] == ("annotations",) and not one.key
            for copy in COPIES
        ]
        for position in (*free, *copies):
            tried += 1
            content = Redaction().json(kind, [sparse(position, WORD, 1)])
            assert WORD.encode() not in content, position
    assert tried > 400


def test_nothing_else_that_the_server_knows_is_lost(positions: dict[str, list[Position]]) -> None:
    """A word in every other position of the schemas leaves as it is: the table has each field of this API server."""
    lost, tried = [], 0
    for kind, found in positions.items():
        for position in found:
            path = "/".join(map(str, position.path))
            if FREE_TEXT.search(path) or "managedFields" in path or WITHOUT_FIELDS.search(path):
                continue
            tried += 1
            obj = sparse(position, WORD, 1)
            if orjson.loads(Redaction().json(kind, [orjson.loads(orjson.dumps(obj))])) != obj:
                lost.append(f"{kind} {path}")
    assert lost == []
    assert tried > 3000


class Everything:
    """Serves, for each kind, an object with a credential everywhere and one object a position; checks no rights."""

    def __init__(self, positions: dict[str, list[Position]]) -> None:
        self.lists = {kind.path(None): self.objects(kind, positions[kind.name]) for kind in KINDS}

    def objects(self, kind: Kind, found: list[Position]) -> list[dict[str, Any]]:
        """The objects of a kind."""
        everywhere = dense(found, lambda number: form(found[number], number))
        return [everywhere, *(sparse(one, form(one, place), place) for place, one in enumerate(found))]

    def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """A page of at most `limit` objects."""
        items, begin = self.lists[path], int(query.get("continue", 0))
        end = begin + int(query["limit"])
        metadata = {"resourceVersion": "7", "continue": str(end) if end < len(items) else ""}
        return 200, None, orjson.dumps({"metadata": metadata, "items": items[begin:end]})


@contextmanager
def recorded(upstream: str, wire: list[bytes]) -> Iterator[str]:
    """The URL of a relay to the manager that keeps every byte of headers and bodies, both ways."""

    def relay(posted: ReceivedRequest) -> GivenAnswer:
        wire.extend((str(posted.headers).encode(), posted.body, inflated(posted.body)))
        headers = {name: value for name, value in posted.headers.items() if name.lower() != "host"}
        answer = httpx.post(upstream + posted.path, content=posted.body, headers=headers, trust_env=False, timeout=60)
        wire.append(answer.content)
        return GivenAnswer(answer.status_code, answer.content)

    with answering(relay) as url:
        yield url


def pushed(folder: Path, url: str, positions: dict[str, list[Position]]) -> tuple[Inventory, list[bytes]]:
    """The inventory of everything, and the bytes of its spool files, plain and packed, once the manager has it all."""
    settings = CollectorSettings(data=SETTINGS.data, manager=ManagerEndpoint(url=url, token_file=str(folder / "token")))
    spool = Spool(folder / "spool")
    inventory = inventory_of(Everything(positions), settings, WINDOW, Selection.of(settings))
    for number, payload in enumerate(inventory.bodies(spool.folder)):
        spool.put(batch_of_payload(payload, "inventory", WINDOW, str(number)))
    files = [path.read_bytes() for path in spool.paths()]
    plain = [inflated(content.split(b"\n", 2)[2]) for content in files]
    pusher = Pusher(settings, spool, TokenFile(settings.manager.token_file))
    assert pusher.flush(120)
    pusher.close()
    spool.close()
    return inventory, [*files, *plain]


def test_row_59_canary_is_in_no_spool_wire_store_answer_page_or_log(
    positions: dict[str, list[Position]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """All that is written or sent, from spool to page, is searched: no canary is there, the objects are."""
    request.addfinalizer(structlog.reset_defaults)  # of this test's stderr
    start_logs("debug", "json")
    database = f"sqlite:///{tmp_path}/manager.db"
    token, key = migrated(database)
    (tmp_path / "token").write_text(token)
    wire: list[bytes] = []
    answers: list[bytes] = []
    with ExitStack() as stack:
        url = stack.enter_context(serving(database))
        relay = stack.enter_context(recorded(url, wire))
        inventory, spooled = pushed(tmp_path, relay, positions)
        for name in (*KIND_PATHS, "map", "discoveredservices", "discoveredserviceconnections"):
            path, query = f"{url}/api/v1/agents/lab/{name}", {"all": "true"}
            answer = httpx.get(path, params=query, headers={"X-API-Key": key}, trust_env=False, timeout=60)
            answers.append(answer.raise_for_status().content)
        page = [
            httpx.get(url + path, timeout=30, trust_env=False).content for path in ("/", "/page/page.js", "/metrics")
        ]
    stored = [path.read_bytes() for path in tmp_path.glob("manager.db*")]
    said = capfd.readouterr()
    places = {
        "spool": spooled,
        "wire": wire,
        "store": stored,
        "answers": answers,
        "page": page,
        "logs": [said.out.encode(), said.err.encode()],
    }
    assert all(any(contents) for contents in places.values())
    assert {place for place, contents in places.items() if any(MARK.encode() in one for one in contents)} == set()
    assert all(kind["complete"] for kind in inventory.kinds.values())
    assert any(b'"u100"' in one for one in answers)
    assert sum(inventory.redaction.counts.values()) > sum(map(len, positions.values()))


def secretive(namespace: str) -> dict[str, Any]:
    """A pod that a real API server takes, with the canary in each place where people put secrets."""
    container = {
        "name": "app",
        "image": f"user:{MARK}@registry.example/x",
        "env": [{"name": "DB_PASSWORD", "value": MARK}],
        "args": ["--token", MARK, f"--password={MARK}", "--port=80"],
        "livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "X-Key", "value": MARK}]}},
    }
    copy = orjson.dumps({"spec": {"containers": [container]}}).decode()
    meta = {"name": "secretive", "namespace": namespace, "annotations": {COPIES[0]: copy}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


def test_pod_that_the_server_took_leaves_without_its_canary(crowd: Crowd, tmp_path: Path) -> None:
    """Environment, copy, arguments, probe header and image of a real pod; what is beside them stays."""
    namespace = "team-0001"
    settings = CollectorSettings(
        data=SETTINGS.data, kubernetes=Kubernetes(namespaced=True, namespace=namespace, service_account="collector")
    )
    api = ApiClient.connect(crowd.plane.admin_kubeconfig)
    crowd.plane.apply([secretive(namespace)])
    try:
        inventory = inventory_of(api, settings, WINDOW, Selection.of(settings))
        content = b"".join(inflated(payload) for payload in inventory.bodies(tmp_path))
    finally:
        crowd.plane.delete(secretive(namespace))
    assert MARK.encode() not in content
    (found,) = (pod for pod in orjson.loads(content)["podList"] if pod["metadata"]["name"] == "secretive")
    container = found["spec"]["containers"][0]
    assert container["args"] == ["[redacted:args]"] * 4
    assert container["image"] == "[redacted:image_credentials]@registry.example/x"
    assert container["env"] == [{"name": "DB_PASSWORD", "value": "[redacted:env]"}]
