"""open_connections.py: whose side of a connection a socket is, and what is left out, from tables of sockets."""

import pytest

from node_agent.capture.open_connections import ESTABLISHED, LISTEN, Socket, open_connections

CLIENT, SERVER, OTHER = "pod-client", "pod-server", "pod-other"


def listening(port: int, inode: int = 900) -> Socket:
    """A listener on every address."""
    return Socket("::", port, "::", 0, LISTEN, inode)


def established(local: str, port: int, remote: str, remote_port: int, inode: int) -> Socket:
    """One end of a connection."""
    return Socket(local, port, remote, remote_port, ESTABLISHED, inode)


NEAR = established("10.1.0.2", 40001, "10.1.0.3", 8080, 1)
FAR = established("10.1.0.3", 8080, "10.1.0.2", 40001, 2)
BOTH_HIGH = established("10.1.0.2", 40001, "10.1.0.3", 39092, 1)
BOTH_HIGH_FAR = established("10.1.0.3", 39092, "10.1.0.2", 40001, 2)


@pytest.mark.parametrize(
    ("tables", "sources", "left_out"),
    [
        pytest.param({CLIENT: [NEAR], SERVER: [listening(8080), FAR]}, [CLIENT], {}, id="both ends here"),
        pytest.param({CLIENT: [NEAR]}, [CLIENT], {}, id="the server is elsewhere"),
        pytest.param({SERVER: [listening(8080), FAR]}, [], {}, id="the client is elsewhere"),
        pytest.param({SERVER: [FAR]}, [], {}, id="a server that stopped listening"),
        pytest.param(
            {CLIENT: [BOTH_HIGH], SERVER: [listening(39092), BOTH_HIGH_FAR]}, [CLIENT], {}, id="a server's high port"
        ),
        pytest.param({CLIENT: [BOTH_HIGH]}, [], {"direction_unknown": 1}, id="a high port whose listener is not seen"),
        pytest.param({CLIENT: [NEAR], OTHER: [NEAR]}, [], {"shared_namespace": 1}, id="a namespace of two pods"),
    ],
)
def test_client_side_is_decided_by_listeners_else_by_ports_else_left_out(
    tables: dict[str, list[Socket]], sources: list[str], left_out: dict[str, int]
) -> None:
    """A connection open before the window has one source, its client; what cannot be told is counted."""
    opened = open_connections(tables, [], set(), 7)
    assert [flow.pod_uid for flow in opened.flows] == sources
    assert opened.left_out == left_out


def test_connection_seen_being_made_or_on_the_node_itself_is_no_flow() -> None:
    """What the kernel side counted is not counted again, and the node's own sockets are nobody's."""
    recent = {("10.1.0.2", 40001, "10.1.0.3", 8080)}
    assert open_connections({CLIENT: [NEAR]}, [], recent, 7) == ([], {})
    assert open_connections({CLIENT: [NEAR]}, [NEAR], set(), 7) == ([], {"shared_namespace": 1})
