"""What entries of the BPF maps hold: pure functions of their bytes, and sums of several entries of one flow."""

from mmap import mmap
from typing import NamedTuple

from node_agent.privileged import bpf_structs


def merge_flow(sums: list[int], more: list[int]) -> None:
    """Add an entry to the sums of its flow; the errno of the latest drain wins."""
    sums[0] += more[0]
    sums[1] += more[1]
    sums[2] += more[2]
    sums[3] = min(sums[3], more[3])
    sums[4] = max(sums[4], more[4])
    sums[5] += more[5]
    sums[6] = max(sums[6], more[6])
    sums[7] = more[7] or sums[7]


def merge_accepted(sums: list[int], more: list[int]) -> None:
    """Add an entry to the sums of its accepted flow."""
    sums[0] += more[0]
    sums[1] = min(sums[1], more[1])
    sums[2] = max(sums[2], more[2])


class Kept(NamedTuple):
    """An attempt, or a connection that is `open`: the key of its flow, when it was made, its place in a reading."""

    key: bytes
    start_ns: int
    open: bool
    place: int | None = None


def kept_connections(table: mmap | bytes, set_bytes: int) -> tuple[dict[int, Kept], int]:
    """Return what `pending` holds by socket, and how many more: older ones of a socket, whose end was unseen."""
    kept: dict[int, Kept] = {}
    entries = 0
    owners = bpf_structs.OWNERS
    for start in range(0, len(table) - set_bytes + 1, set_bytes):
        for slot, socket in enumerate(owners.unpack_from(table, start)):
            if socket:
                at = start + owners.size + slot * bpf_structs.PENDING.size
                key, start_ns, entry, _generation = bpf_structs.PENDING.unpack_from(table, at)
                kept[socket] = Kept(key, start_ns, bool(entry & bpf_structs.OPEN))
                entries += 1
    return kept, entries - len(kept)


def connection_of(key: bytes) -> tuple[str, int, str, int]:
    """Return `(local address, local port, remote address, remote port)` of a `CONNECTION`."""
    local, remote, port, remote_port, _namespace = bpf_structs.CONNECTION.unpack(key)
    return (
        bpf_structs.address_text(local),
        port,
        bpf_structs.address_text(remote),
        int.from_bytes(remote_port, "big"),
    )


def network_sums(table: mmap | bytes, networks: int, place: int) -> tuple[int, int, int]:
    """Return the connects with a SYN, accepted connections and failed connects at a place of `networks`."""
    opens = accepted = failed = 0
    size = bpf_structs.NETWORK.size
    for shard in range(bpf_structs.NETWORK_SHARDS):
        made, unsent, taken, ended = bpf_structs.NETWORK.unpack_from(table, (shard * networks + place) * size)
        opens, accepted, failed = opens + made - unsent, accepted + taken, failed + ended
    return opens, accepted, failed
