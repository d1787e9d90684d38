"""How far ahead of a window its program is loaded."""

from node_agent.runtime.tracer_lifecycle import FIRST_LEAD_SECONDS, lead_after


def test_lead_follows_a_slow_load_at_once_and_is_given_up_by_halves() -> None:
    """A load of 8 s under a busy spell: the next ones have time for another; on an idle machine it is 2 s."""
    lead = FIRST_LEAD_SECONDS
    found = []
    for took in (0.5, 0.5, 8.0, 0.5, 0.5, 0.5, 0.5):
        lead = lead_after(took, lead)
        found.append(lead)
    assert found == [5.0, 2.5, 17.0, 8.5, 4.25, 2.125, 2.0]
