"""Groups are whole, in order, and never larger than they may be."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from manager.store.batches.bounded_groups import KEYS_AT_ONCE, bounded_groups


@given(st.lists(st.integers(0, 12), max_size=60), st.integers(0, 20))
def test_groups_are_the_items_in_order_and_as_large_as_they_may_be(sizes: list[int], most: int) -> None:
    """Only what is larger than a group is alone in one; two neighbours would not have fitted into one."""
    sized = list(enumerate(sizes))
    groups = list(bounded_groups(sized, most))
    assert [item for group in groups for item in group] == [item for item, _ in sized]
    for group in groups:
        assert group
        assert len(group) == 1 or sum(sizes[item] for item in group) <= most
    for before, after in pairwise(groups):
        assert sum(sizes[item] for item in before) + sizes[after[0]] > most


def test_group_has_at_most_so_many_keys_and_is_given_before_the_next_is_asked_for() -> None:
    """What fits one statement; no more than one item is taken ahead."""
    taken: list[int] = []

    def endless() -> object:
        while True:
            taken.append(len(taken))
            yield taken[-1], 0

    groups = bounded_groups(endless(), 1)  # type: ignore[arg-type,var-annotated]
    assert next(groups) == list(range(KEYS_AT_ONCE))
    assert len(taken) == KEYS_AT_ONCE + 1
