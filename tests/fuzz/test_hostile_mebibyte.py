"""A mebibyte of anything at each place where programs read what others have written: time linear to it, memory bounded.

Redaction, whose rules read more, is in tests/collector/inventory/test_redaction_time.py; whole bodies of pushes are in
tests/manager/ingest/test_bombs.py.
"""

import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import msgspec
import orjson
import pytest

from collector.directory.progress_proof import version_number
from collector.directory.watch_events import event_of
from collector.k8s.kinds import WATCHED
from delivery.proxies import is_bypassed
from delivery.push_response import retry_after_seconds
from directory.lookup import Directory
from manager.schema.document import quantity_format
from manager.schema.object_fields import clean_object
from manager.schema.observation import clean_observation
from manager.schema.pod_cgroups import read_pod_cgroups
from manager.store.tokens.token_format import parse as parse_token
from node_agent.attribution.body.pod_cgroups import container_path
from node_agent.attribution.directory_answers import parse_answers
from node_agent.attribution.flow_log import read_log
from node_agent.capture.pod_cgroup import owner_of
from node_agent.capture.process_table import cgroup_paths
from podsonar.clean_text import clean_json, clean_text
from podsonar.directory_answer import Query
from podsonar.errors import PodsonarError
from podsonar.logs_and_probes import escape
from podsonar.owner_chain import api_group
from podsonar.timestamp import parse_rfc3339
from tests.collector.directory.test_odd_objects import WHOLE, places, replaced

pytestmark = pytest.mark.long

MIB = 1 << 20
MOST_SECONDS = 1.0  # of CPU for one reading; the square of a mebibyte would take minutes
MOST_BYTES = 128 << 20  # a mebibyte of NUL is six in JSON, and 18 with every escape of a log

PIECES = {
    "letter": "a",
    "zeros": "0",
    "dots": "1.",
    "padded": "001.",
    "colons": "ffff:",
    "mapped": "::ffff:010.",
    "slashes": "/pod",
    "uid": "pod01234567-89ab-cdef-0123-456789abcdef-",
    "brackets": "[",
    "braces": '{"a":',
    "quotes": '"\\"',
    "escapes": "\\u0000",
    "nul": "\0",
    "colour": "\x1b[",
    "colours": "\x1b[0;1",
    "moment": "2026-11-24T10:00:00Z ",
    "stream": "<30>1 a ",
    "bars": "a | ",
    "spaces": " ",
    "connection": "connection 10.1.1.2 -> 1:",
    "ports": ":80 from pod {",
    "skipped": "skiping connection {",
    "wide": "\U0001f980",
    "accents": "é",
}


def log_line(text: str) -> None:
    """The line by itself, in a connection, in JSON, and as many lines."""
    line = text.replace("\n", " ")
    for written in (
        line,
        f"connection 10.1.1.2 -> {line}:80 from pod {{{line}}} to svc {{}} or pod {{}} added to the list",
        orjson.dumps({"log": line}).decode(),
        f"2026-11-24T10:00:00.1Z stderr F {line}",
    ):
        read_log(written)


def objects(text: str) -> None:
    """An object with the text in each place, read by the directory."""
    directory = Directory()
    for place in TEXT_PLACES:
        obj = replaced(WHOLE, place, text)
        for kind in ("Pod", "Service", "Node"):
            try:
                directory.apply(kind, obj, 1)
            except PodsonarError:
                continue
    directory.answer(Query("10.244.0.9", 80, 1, 2))


TEXT_PLACES = [place for place in places(WHOLE) if place and isinstance(place[-1], str | int)][::5]
READERS: dict[str, Callable[[str], object]] = {
    "a log's line": log_line,
    "objects of the directory": objects,
    "an address that is asked for": lambda text: Directory().answer(Query(text, 80, 1, 2)),
    "a time": parse_rfc3339,
    "a version of a watch": version_number,
    "a line of a watch": lambda text: event_of(text.encode(), WATCHED[0]),
    "an event of a watch": lambda text: event_of(
        orjson.dumps({"type": "ADDED", "object": {"metadata": {"name": text}}}), WATCHED[0]
    ),
    "an answer of the directory": lambda text: parse_answers(
        orjson.dumps({"answers": [{"kind": "Pod", "uid": text, "reason": text}]}), 1
    ),
    "an answer that is no JSON": lambda text: parse_answers(text.encode(), 1),
    "a cgroup": lambda text: cgroup_paths(f"0::/{text}\n".encode()),
    "a name of a cgroup": lambda text: owner_of((text, text)),
    "a path of a pod's cgroup": lambda text: container_path((text, text, f"pod{'0' * 32}", text), "0" * 32),
    "cgroups of a batch": lambda text: read_pod_cgroups(
        msgspec.Raw(orjson.dumps({text[:100]: {"paths": [text[: MIB // 8]] * 2}}))
    ),
    "an API version": lambda text: api_group(text, "Pod"),
    "a Retry-After": lambda text: retry_after_seconds(text, 0.0),
    "a word of noProxy": lambda text: is_bypassed(text, "https://manager.example:8080"),
    "a token": parse_token,
    "a quantity": quantity_format,
    "an observation": lambda text: clean_observation({"incomplete": {text: 1}, "tracer": text, "gap": text}),
    "an object of the manager": lambda text: clean_object(
        "Pod", {"metadata": {"labels": {text: text}, "name": text}, "status": {"podIP": text, "startTime": text}}
    ),
    "a string": clean_text,
    "a string in JSON": lambda text: clean_json(orjson.dumps({text: text})),
    "a value in a log": escape,
}


def cpu_seconds(reader: Callable[[str], object], text: str) -> float:
    """The CPU time of this thread that a reading takes; an error of ours is an answer."""
    began = time.thread_time()
    with suppress(PodsonarError):
        reader(text)
    return time.thread_time() - began


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("piece", PIECES)
def test_hostile_mebibyte_is_read_in_its_time(name: str, piece: str) -> None:
    """Whatever is repeated, wherever it stands: an answer, or an error of ours, in a second of CPU."""
    unit = PIECES[piece]
    text = unit * (MIB // len(unit.encode()))
    assert cpu_seconds(READERS[name], text) <= MOST_SECONDS


@pytest.mark.parametrize("name", READERS)
def test_hostile_mebibyte_takes_bounded_memory(name: str) -> None:
    """Whatever a reading makes of it: with the program below 256 MiB."""
    texts = [unit * (MIB // len(unit.encode())) for unit in PIECES.values()]
    tracemalloc.start()
    try:
        for text in texts:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            cpu_seconds(READERS[name], text)
            assert tracemalloc.get_traced_memory()[1] - before <= MOST_BYTES
    finally:
        tracemalloc.stop()
