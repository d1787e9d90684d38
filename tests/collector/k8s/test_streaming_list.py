"""A list in one answer: its objects are found wherever the pieces are cut, and a list that was cut short is none."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.k8s import streaming_list
from collector.k8s.streaming_list import MalformedAnswerError, stream_groups

TEXT = st.one_of(st.text(max_size=8), st.sampled_from(["},{", '"},{"', "}]}", ']}"', '{"items":[', "\\"]))
OBJECTS = st.lists(
    st.dictionaries(TEXT, st.one_of(TEXT, st.lists(st.dictionaries(TEXT, TEXT, max_size=3), max_size=3)), max_size=4),
    max_size=7,
)


def pieces(body: bytes, size: int) -> Iterator[bytes]:
    """The body in pieces."""
    return (body[at : at + size] for at in range(0, len(body), size))


def body_of(objects: list[dict[str, Any]]) -> bytes:
    """A list, as the API server writes it."""
    return orjson.dumps({"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": objects})


@given(OBJECTS, st.integers(1, 60), st.integers(1, 4))
def test_objects_come_as_they_are_however_the_body_is_cut(objects: list[Any], size: int, group: int) -> None:
    """Text that looks like the border of two objects is none inside a string or inside an object."""
    found = list(stream_groups(pieces(body_of(objects), size), group))
    assert [one for _, items in found for one in items] == objects
    assert all(len(items) <= group and metadata == {"resourceVersion": "7"} for metadata, items in found)


@given(OBJECTS, st.integers(1, 60), st.data())
def test_body_without_its_end_is_malformed(objects: list[Any], size: int, data: st.DataObject) -> None:
    """Not one byte may be missing."""
    body = body_of(objects)
    short = body[: data.draw(st.integers(0, len(body) - 1))]
    with pytest.raises(MalformedAnswerError):
        list(stream_groups(pieces(short, size), 2))


def test_object_that_does_not_end_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object larger than any that etcd takes ends the list."""
    monkeypatch.setattr(streaming_list, "LARGEST_OBJECT_BYTES", 1000)
    body = body_of([{"a": "x" * 2000}, {"b": "y"}])
    with pytest.raises(MalformedAnswerError, match="does not end"):
        list(stream_groups(pieces(body, 100), 2))


def test_object_of_many_parts_is_parsed_a_few_times() -> None:
    """60,000 borders inside one object, each a piece of JSON that is none: as many attempts would take minutes."""
    objects = [{"env": [{"name": str(number)} for number in range(60_000)]}, {"b": "y"}]
    found = list(stream_groups(pieces(body_of(objects), 1 << 16), 4))
    assert [one for _, items in found for one in items] == objects
