"""Who would hear of an order: held requests, and agents between two of them."""

from collector.orders import listeners
from collector.orders.listeners import AGAIN_SECONDS, Listeners

NODE, OTHER = "10.0.0.1", "10.0.0.2"


class Clock:
    """Seconds that a test moves."""

    seconds = 100.0

    def __call__(self) -> float:
        """The time now."""
        return self.seconds


def turn(found: Listeners, address: str) -> None:
    """One request, from its begin to its answer."""
    found.came(address)
    found.park(address)
    found.release(address)
    found.answered(address)


def test_agent_is_one_whether_its_request_is_held_or_about_to_come() -> None:
    """However often it asks; two agents behind one address are two."""
    found = Listeners(Clock())
    for _ in range(3):
        turn(found, NODE)
        assert found.count() == 1
    turn(found, OTHER)
    found.came(NODE)
    found.park(NODE)
    assert (found.count(), found.parked.total()) == (2, 1)
    turn(found, NODE)
    assert found.count() == 3


def test_agent_that_does_not_come_back_is_forgotten() -> None:
    """After its pause and as much again; nothing of it is kept."""
    clock = Clock()
    found = Listeners(clock)
    turn(found, NODE)
    clock.seconds += AGAIN_SECONDS
    turn(found, OTHER)
    assert found.count() == 2
    clock.seconds += 0.1
    assert (found.count(), list(found.away)) == (1, [OTHER])
    clock.seconds += AGAIN_SECONDS
    assert (found.count(), found.away) == (0, {})


def test_addresses_and_answers_that_are_kept_are_bounded() -> None:
    """Whoever has the token may ask as often as it likes."""
    found = Listeners(Clock())
    for _ in range(3 * listeners.MOST_PARKED_OF_ADDRESS):
        found.answered(NODE)
    assert found.count() == listeners.MOST_PARKED_OF_ADDRESS
    for number in range(2 * listeners.MOST_PARKED):
        found.answered(f"address-{number}")
    assert len(found.away) == listeners.MOST_PARKED
