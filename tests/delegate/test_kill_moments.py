"""A test that has failed can be run again with its moments."""

import pytest

from tests.delegate.kill_moments import kill_moments


def test_printed_seed_gives_the_same_moments(capsys: pytest.CaptureFixture[str]) -> None:
    """The line is the variable as a shell takes it; without the variable each time has moments of its own."""
    first = kill_moments({})
    name, _, seed = capsys.readouterr().out.strip().partition("=")
    moments = [first.uniform(0.0, 0.7) for _ in range(23)]
    again, other = kill_moments({name: seed}), kill_moments({name: str(int(seed) + 1)})
    assert [again.uniform(0.0, 0.7) for _ in range(23)] == moments
    assert [other.uniform(0.0, 0.7) for _ in range(23)] != moments
