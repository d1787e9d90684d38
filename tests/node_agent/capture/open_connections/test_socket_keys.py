"""The short names of connections that a reading of open sockets keeps."""

from hypothesis import given
from hypothesis import strategies as st

from node_agent.capture.open_connections.open_sockets import short_key, whole_key
from node_agent.privileged.bpf_structs import CONNECTION, MAPPED_PREFIX

ADDRESSES = st.one_of(
    st.binary(min_size=4, max_size=4).map(lambda rest: MAPPED_PREFIX + rest), st.binary(min_size=16, max_size=16)
)
CONNECTIONS = st.builds(
    CONNECTION.pack,
    ADDRESSES,
    ADDRESSES,
    st.integers(0, 65535),
    st.binary(min_size=2, max_size=2),
    st.integers(0, 2**32 - 1),
)


@given(CONNECTIONS)
def test_short_key_is_the_connection(connection: bytes) -> None:
    """Nothing is lost, whichever end is IPv4; two connections never have the same key."""
    assert whole_key(short_key(connection)) == connection


def test_key_of_ipv4_is_short() -> None:
    """16 bytes of 40, where both ends are IPv4 addresses; an IPv6 end keeps the whole name."""
    four, six = MAPPED_PREFIX + bytes((10, 0, 0, 1)), bytes(range(16))
    assert len(short_key(CONNECTION.pack(four, four, 80, b"\1\2", 3))) == 16
    assert len(short_key(CONNECTION.pack(four, six, 80, b"\1\2", 3))) == CONNECTION.size
