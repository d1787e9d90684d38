"""Random histories of addresses that change hands, observed late and by other clocks: never another pod's name."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.directory.address_history import HistoryScore, ask, heard, history

HISTORIES, QUESTIONS = 200, 503


@pytest.mark.long
def test_100_600_questions_about_200_histories_have_no_wrong_answer() -> None:
    """Every answer is the pod that had the address for the whole asked time, or none; and a good part is a pod."""
    total = HistoryScore()
    for seed in range(HISTORIES):
        made = history(seed)
        score = ask(made, heard(made), QUESTIONS)
        total.named += score.named
        total.honest += score.honest
        total.owned += score.owned
        total.wrong += [f"history {seed}: {one}" for one in score.wrong]
    assert total.wrong == []
    assert total.named + total.honest == HISTORIES * QUESTIONS
    assert total.named > total.owned / 2


@given(st.integers(min_value=1_000_000))
@example(21264973)  # one gap of the watch within the other
@settings(deadline=None)
def test_any_history_has_no_wrong_answer(seed: int) -> None:
    """The same for histories that nobody has looked at before."""
    made = history(seed)
    assert ask(made, heard(made), 101).wrong == []
