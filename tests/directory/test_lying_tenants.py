"""Tenants that lie and a reader that stalls: never a wrong owner, whatever is asked and when.

`python -m tests.directory.test_lying_tenants 1000000` asks a million questions.
"""

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.directory.lying_tenants import TenantScore, cluster, judge

CLUSTERS, QUESTIONS = 60, 499


def judged(seeds: range, questions: int) -> TenantScore:
    """The sum over some clusters."""
    total = TenantScore()
    for seed in seeds:
        score = judge(cluster(seed), questions)
        total.named += score.named
        total.honest += score.honest
        total.wrong += [f"cluster {seed}: {one}" for one in score.wrong]
    return total


def test_no_question_is_answered_wrongly_among_liars_and_stalls() -> None:
    """Every answer is the true owner of the whole asked time, or none; and a good part is an owner."""
    total = judged(range(CLUSTERS), QUESTIONS)
    assert total.wrong == []
    assert total.named > (total.named + total.honest) / 8


@given(st.integers(min_value=1_000_000))
@settings(deadline=None, max_examples=30)
def test_any_cluster_of_liars_has_no_wrong_answer(seed: int) -> None:
    """The same for clusters that nobody has looked at before."""
    assert judge(cluster(seed), 101).wrong == []


if __name__ == "__main__":
    wanted, start = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5_000
    found, number = TenantScore(), start
    while found.named + found.honest < wanted:
        part = judged(range(number, number + 100), 2003)
        number += 100
        found.named, found.honest = found.named + part.named, found.honest + part.honest
        found.wrong += part.wrong
    asked = found.named + found.honest + len(found.wrong)
    result = f"{found.named} named, {found.honest} open, {len(found.wrong)} wrong"
    sys.stdout.write("\n".join([f"{number - start} clusters, {asked} questions: {result}", *found.wrong[:20], ""]))
