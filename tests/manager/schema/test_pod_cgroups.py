"""`podCgroups` of a body: what readers know arrives, everything else is left out alone and counted."""

from typing import Any

import msgspec
import orjson
import pytest

from manager.schema.pod_cgroups import (
    MOST_BYTES,
    MOST_PATHS,
    MOST_PODS,
    PodCgroups,
    merge_pod_cgroups,
    pack_pod_cgroups,
    read_pod_cgroups,
    unpack_pod_cgroups,
)

PATH = "/kubepods/pod1/0123456789ab"


def read(value: Any) -> tuple[dict[str, PodCgroups] | None, int]:
    """What is kept of a member."""
    return read_pod_cgroups(msgspec.Raw(value if isinstance(value, bytes) else orjson.dumps(value)))


def test_what_agents_send_is_kept_and_stored_whole() -> None:
    """Paths and surplus; a later version's further members are skipped."""
    kept, dropped = read({"u": {"paths": [PATH], "more": 3, "later": [{}]}, "v": {"paths": []}})
    assert (kept, dropped) == ({"u": PodCgroups((PATH,), 3), "v": PodCgroups()}, 0)
    packed = pack_pod_cgroups(kept)
    assert packed is not None
    assert unpack_pod_cgroups(packed) == kept


def test_agent_that_sends_none_is_not_one_without_cgroups() -> None:
    """Absent is stored as absent, empty as empty."""
    assert read(b"") == (None, 0)
    assert pack_pod_cgroups(None) is None
    assert read({}) == ({}, 0)
    assert pack_pod_cgroups({}) is not None


@pytest.mark.parametrize(
    "odd",
    [
        *(None, [], "x", 7, {}, {"paths": None}, {"paths": "x"}, {"paths": {}}),
        *({"paths": [], "more": more} for more in (-1, 1.5, "2", None, 2**53)),
    ],
)
def test_odd_pod_is_left_out_alone(odd: object) -> None:
    """The others are kept."""
    assert read({"odd": odd, "u": {"paths": [PATH]}}) == ({"u": PodCgroups((PATH,))}, 1)


@pytest.mark.parametrize("odd", [None, 7, [], {}, "", "x" * 513])
def test_odd_path_is_left_out_alone(odd: object) -> None:
    """Of another type, empty, or longer than any agent sends."""
    assert read({"u": {"paths": [odd, PATH]}}) == ({"u": PodCgroups((PATH,))}, 1)


@pytest.mark.parametrize(
    "whole",
    [
        *(b"null", b"[]", b'"x"', b"7", b'{"u":{"paths":["\xff"]}}', b'{"u":{"paths":["\\ud800"]}}'),
        b"[" * 5000 + b"]" * 5000,
        b'{"u":{"paths":["' + b"x" * MOST_BYTES + b'"]}}',
    ],
)
def test_member_that_is_none_is_left_out(whole: bytes) -> None:
    """Whatever it is, its batch is stored."""
    assert read(whole) == (None, 1)


def test_more_than_the_bounds_is_counted() -> None:
    """Pods, paths of a pod, and a UID that is none."""
    kept, dropped = read({f"u{n}": {"paths": []} for n in range(MOST_PODS + 5)})
    assert kept is not None
    assert (len(kept), dropped) == (MOST_PODS, 5)
    assert read({"u": {"paths": [PATH] * (MOST_PATHS + 2)}}) == ({"u": PodCgroups((PATH,) * MOST_PATHS)}, 2)
    assert read({"": {"paths": []}, "u" * 129: {"paths": []}}) == ({}, 2)


def test_hostile_names_stay_text() -> None:
    """Nothing is changed: whoever shows them escapes them."""
    hostile = "\x1b]0;owned\x07<img src=x onerror=alert(1)>\u202e\n'\""
    kept, dropped = read({hostile: {"paths": [hostile]}})
    assert (kept, dropped) == ({hostile: PodCgroups((hostile,))}, 0)


def test_batches_of_one_node_are_one_answer() -> None:
    """A path once, the larger surplus."""
    merged = merge_pod_cgroups(
        [{"u": PodCgroups(("/b", "/a"), 2)}, {"u": PodCgroups(("/b", "/c"), 1), "v": PodCgroups(("/d",))}]
    )
    assert merged == {"u": PodCgroups(("/a", "/b", "/c"), 2), "v": PodCgroups(("/d",))}
