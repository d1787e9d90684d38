"""A page gives the objects that a parser of the whole body finds, a few at a time; what is no list gives an error."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.k8s import list_page
from collector.k8s.kinds import KINDS
from collector.k8s.list_page import parse_page
from collector.k8s.streaming_list import MalformedAnswerError

POD = KINDS[-1]
NESTED: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(["", '},{"metadata":{', "]}", "\\", '"', "ü", "no"]),
    lambda inner: st.one_of(
        st.lists(st.builds(lambda held: {"metadata": {"of": held}}, inner), max_size=3),
        st.dictionaries(st.sampled_from(["metadata", "items", "spec"]), inner, max_size=3),
    ),
    max_leaves=6,
)
OBJECTS = st.lists(st.builds(lambda name, spec: {"metadata": {"name": name}, "spec": spec}, NESTED, NESTED), max_size=6)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of an object or two, so that borders are looked for everywhere."""
    monkeypatch.setattr(list_page, "GROUP_BYTES", 8)


def body_of(objects: object) -> bytes:
    """A page, as the API server writes it."""
    return orjson.dumps({"kind": "PodList", "metadata": {"continue": 'a"b', "resourceVersion": "7"}, "items": objects})


@given(OBJECTS, st.sampled_from([b"", b"\n"]))
def test_objects_come_as_they_are_in_groups(objects: list[Any], end: bytes) -> None:
    """Text that looks like the border of two objects is none inside a string or inside an object."""
    metadata, groups = parse_page(body_of(objects) + end, POD)
    assert metadata == {"continue": 'a"b', "resourceVersion": "7"}
    assert [one for items in groups for one in items] == objects


def test_pods_come_one_group_after_the_other() -> None:
    """What is parsed at a time is a group, not the page."""
    objects = [{"metadata": {"name": str(number)}} for number in range(5)]
    assert len(list(parse_page(body_of(objects), POD)[1])) == 5


@given(OBJECTS, st.data())
def test_body_without_its_end_is_malformed(objects: list[Any], data: st.DataObject) -> None:
    """Not one byte may be missing at the end."""
    body = body_of(objects)
    with pytest.raises(MalformedAnswerError):
        list(parse_page(body[: data.draw(st.integers(0, len(body) - 1))], POD)[1])


@given(OBJECTS, st.data())
def test_body_with_a_hole_gives_nothing_that_is_not_in_it(objects: list[Any], data: st.DataObject) -> None:
    """Where a byte is missing, the objects are those of a parser of the whole body, or an error."""
    body = body_of(objects)
    at = data.draw(st.integers(0, len(body) - 1))
    broken = body[:at] + body[at + 1 :]
    try:
        found = [one for items in parse_page(broken, POD)[1] for one in items]
    except MalformedAnswerError:
        return
    assert found == orjson.loads(broken)["items"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"items":[{"metadata":{}}],"metadata":{"continue":"late"}}',
        b'{"metadata":{"continue":"late"}' + b" " * 70_000 + b',"items":[{"metadata":{}}]}',
        b'{"metadata":{"continue":"late"},"items":[{"metadata":{}}],"more":{"items":[]}}',
        b'{"metadata":{"x":{"items":[]},"continue":"late"},"items":[{"metadata":{}}]}',
    ],
)
def test_list_in_another_order_is_parsed_whole(body: bytes) -> None:
    """How a server orders the members of a list is its habit, not a promise."""
    metadata, groups = parse_page(body, POD)
    assert metadata["continue"] == "late"
    assert list(groups) == [[{"metadata": {}}]]


def test_list_of_null_is_an_empty_one() -> None:
    """A server may write no list where it has nothing to list."""
    assert list(parse_page(body_of(None), POD)[1]) == [[]]


@pytest.mark.parametrize(
    "body",
    [
        b'{"kind":"NodeList","metadata":{},"items":[]}',
        b'{"metadata":[],"items":[]}',
        b'{"metadata":{}}',
        b'{"items":[]}',
        b"[]",
    ],
)
def test_document_that_is_no_list_of_the_kind_is_malformed(body: bytes) -> None:
    """Another kind's list, or none, is never an empty one of this kind."""
    with pytest.raises(MalformedAnswerError, match="no list"):
        parse_page(body, POD)
