"""Managed fields are emptied in the text of objects where it is certain which bytes they are; all else stays."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.k8s.kinds import KINDS
from collector.k8s.list_page import parse_page
from collector.k8s.managed_fields import BEGIN, END, parse_objects, without_managed_fields
from collector.k8s.streaming_list import MalformedAnswerError

POD = KINDS[-1]
KEYS = ("metadata", "managedFields", "spec", "f:spec", 'k:{"name":"a"}', "fieldsV1", "x")
TEXTS = ("", "\\", '"', BEGIN.decode(), END.decode(), '"managedFields":[]', '},{"metadata":{', "]}", "ü")
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from((*TEXTS, 1, None, True)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
        st.builds(lambda one, spec: {"a": 1, "managedFields": [one], "spec": spec}, inner, inner),
        st.builds(lambda one, spec: {"metadata": {"managedFields": [one]}, "spec": spec}, inner, inner),
    ),
    max_leaves=12,
)


def emptied(value: object) -> object:
    """A value, each list of managed fields in it empty."""
    if isinstance(value, list):
        return [emptied(one) for one in value]
    if isinstance(value, dict):
        lists = [key for key, held in value.items() if key == "managedFields" and isinstance(held, list)]
        return {key: [] if key in lists else emptied(held) for key, held in value.items()}
    return value


def listed(managed: object, **meta: object) -> dict[str, Any]:
    """A pod as API servers write it."""
    spec = {"containers": [{"name": "a"}]}
    return {"metadata": {"name": "a", **meta, "managedFields": managed}, "spec": spec, "status": {"phase": "Running"}}


def entry(fields: dict[str, Any]) -> dict[str, Any]:
    """One manager's fields."""
    return {"manager": "kubelet", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields}


@given(st.lists(st.builds(lambda one: {"metadata": {"of": one}, "spec": one}, ANYTHING), max_size=4))
def test_nothing_but_managed_fields_is_left_out(objects: list[Any]) -> None:
    """Whatever stands where: as the parser of the whole text finds it, but for lists of that name."""
    text = orjson.dumps(objects)
    assert emptied(parse_objects(text)) == emptied(objects)


def test_fields_that_an_api_server_writes_are_not_parsed() -> None:
    """Of each object, several managers', with keys that hold quotes and braces."""
    managed = [entry({"f:spec": {'k:{"containerPort":80}': {".": {}}}}), entry({"f:status": {'k:{"ip":"]}"}': {}}})]
    text = orjson.dumps([listed(managed), listed(managed)])
    found = without_managed_fields(text)
    assert found.count(b'"managedFields":[]') == 2
    assert b"fieldsV1" not in found
    assert orjson.loads(found) == [listed([]), listed([])]


@pytest.mark.parametrize(
    "text",
    [
        # A newer API's field behind it: nobody knows what it is.
        orjson.dumps([{"metadata": {"managedFields": [entry({})], "later": ["a"]}, "spec": {}}]),
        orjson.dumps([{"metadata": {"managedFields": [entry({})], "later": 1}, "spec": {"x": [1]}}, {"spec": {}}]),
        orjson.dumps([listed([entry({"f:a": ["a list"]})])]),
        # No spec behind the metadata, or another order.
        orjson.dumps([{"metadata": {"managedFields": [entry({})]}, "data": {"a": "b"}}]),
        orjson.dumps([{"spec": {"x": 1}, "metadata": {"managedFields": [entry({})]}}]),
        b"",
        b"[]",
    ],
)
def test_text_that_is_not_certain_stays(text: bytes) -> None:
    """It is parsed whole."""
    assert without_managed_fields(text) == text


def test_hole_in_what_nobody_reads_joins_no_two_objects() -> None:
    """Wherever a byte of the first object's managed fields is missing: three objects, or a malformed answer."""
    managed = [entry({"f:spec": {".": {}}})]
    body = orjson.dumps({"kind": "PodList", "metadata": {}, "items": [listed(managed)] * 3})
    first = body.index(BEGIN)
    for at in range(first, body.index(b'"spec"', first)):
        try:
            found = [one for group in parse_page(body[:at] + body[at + 1 :], POD)[1] for one in group]
        except MalformedAnswerError:
            continue
        assert len(found) == 3
