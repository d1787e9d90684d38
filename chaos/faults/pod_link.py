"""Finds the node's end of a pod's pair of interfaces, by the pod's address. Standard library only.

Asked of the kernel, in the network namespace of the node: each veth says in which namespace its other end is, and a
namespace that is known here says its addresses (rtnetlink(7); IFA_TARGET_NETNSID, kernel 5.0; CAP_NET_ADMIN). So it
does not matter whether a bridge, a route or a program leads to the pod.
"""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

GET_LINK, GET_ADDRESS, ERROR, DONE = 18, 22, 2, 3  # nlmsg_type
REQUEST, DUMP = 1, 0x300  # nlmsg_flags
SOL_NETLINK, STRICT_CHECK = 270, 12
LINK_OF, LINK_NAMESPACE = 5, 37  # IFLA_LINK, IFLA_LINK_NETNSID
ADDRESS, LOCAL, TARGET_NAMESPACE = 1, 2, 10  # IFA_ADDRESS, IFA_LOCAL, IFA_TARGET_NETNSID
HEADER, LINK_BODY, ADDRESS_BODY = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=BBBBI")
ATTRIBUTE = struct.Struct("=HH")
TYPE_BITS = 0x3FFF  # the upper two are flags

Attributes = dict[int, bytes]


class PairEnd(NamedTuple):
    """An interface of this namespace: the id that its other end's namespace has here, and that end's index there."""

    interface: int
    namespace: int
    other_end: int


def find_pod_link(address: str) -> int:
    """The index of the only interface here whose other end has that address; ValueError for none or several."""
    wanted = ipaddress.ip_address(address)
    family = socket.AF_INET if wanted.version == 4 else socket.AF_INET6
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.setsockopt(SOL_NETLINK, STRICT_CHECK, 1)
        ends = list(pair_ends(kernel))
        there = {one.namespace: set(owners(kernel, one.namespace, family, wanted.packed)) for one in ends}
    found = [one.interface for one in ends if one.other_end in there[one.namespace]]
    if len(found) != 1:
        raise ValueError(
            f"{len(found)} interfaces of this node lead to pod address {address}: expected one pair of interfaces "
            "(veth or netkit) between pod and node"
        )
    return found[0]


def pair_ends(kernel: socket.socket) -> Iterator[PairEnd]:
    """The interfaces here whose other end is in another namespace."""
    for message in dump(kernel, GET_LINK, LINK_BODY.pack(0, 0, 0, 0, 0)):
        interface, attributes = LINK_BODY.unpack_from(message)[2], read_attributes(message[LINK_BODY.size :])
        if LINK_OF in attributes and LINK_NAMESPACE in attributes:
            yield PairEnd(interface, number(attributes[LINK_NAMESPACE]), number(attributes[LINK_OF]))


def owners(kernel: socket.socket, namespace: int, family: int, address: bytes) -> Iterator[int]:
    """The indices of the interfaces of another namespace that have an address; none if it is gone meanwhile."""
    target = ATTRIBUTE.pack(ATTRIBUTE.size + 4, TARGET_NAMESPACE) + struct.pack("=i", namespace)
    try:
        for message in dump(kernel, GET_ADDRESS, ADDRESS_BODY.pack(family, 0, 0, 0, 0) + target):
            attributes = read_attributes(message[ADDRESS_BODY.size :])
            if address == attributes.get(LOCAL, attributes.get(ADDRESS)):
                yield ADDRESS_BODY.unpack_from(message)[4]
    except OSError as error:
        if error.errno != errno.EINVAL:  # which says that there is no such namespace any more
            raise


def dump(kernel: socket.socket, kind: int, body: bytes) -> Iterator[bytes]:
    """The bodies of all messages of an answer; OSError if the kernel refuses."""
    kernel.send(HEADER.pack(HEADER.size + len(body), kind, REQUEST | DUMP, 0, 0) + body)
    while True:
        received = kernel.recv(1 << 16)
        while received:
            length, answer, _flags, _sequence, _port = HEADER.unpack_from(received)
            content, received = received[HEADER.size : length], received[(length + 3) & ~3 :]
            if answer in {DONE, ERROR}:
                error = -number(content)
                if error:
                    raise OSError(error, f"rtnetlink: {os.strerror(error)}")
                return
            yield content


def read_attributes(content: bytes) -> Attributes:
    """The attributes behind a message's body, by type."""
    found: Attributes = {}
    while len(content) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(content)
        found[kind & TYPE_BITS] = content[ATTRIBUTE.size : length]
        content = content[(length + 3) & ~3 :]
    return found


def number(content: bytes) -> int:
    """The signed number at the beginning."""
    found: int = struct.unpack_from("=i", content)[0]
    return found
