"""Structure offsets of the running kernel, read from its BTF with libbpf; standard library only."""

import ctypes
import ctypes.util
from collections.abc import Iterator

KIND_STRUCT, KIND_UNION, KIND_ENUM, KIND_TYPEDEF, KIND_FUNC = 4, 5, 6, 8, 12


class Kernel:
    """Types of the running kernel; OSError if the kernel has no BTF or the machine no libbpf."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("bpf") or "libbpf.so.1"
        self.libbpf = ctypes.CDLL(name, use_errno=True)
        self.libbpf.btf__load_vmlinux_btf.restype = ctypes.c_void_p
        self.libbpf.btf__type_by_id.restype = ctypes.c_void_p
        self.libbpf.btf__type_by_id.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        self.libbpf.btf__name_by_offset.restype = ctypes.c_char_p
        self.libbpf.btf__name_by_offset.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        self.libbpf.btf__find_by_name_kind.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32]
        self.libbpf.btf__resolve_size.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        self.libbpf.btf__resolve_size.restype = ctypes.c_int64
        pointer = self.libbpf.btf__load_vmlinux_btf()
        if not pointer or pointer > 2**64 - 4096:
            raise OSError(ctypes.get_errno(), "the kernel's BTF cannot be read", "/sys/kernel/btf/vmlinux")
        self.btf = ctypes.c_void_p(pointer)

    def words(self, type_id: int, skip: int, count: int) -> list[int]:
        """Return `count` 32-bit words of a type's record after its first `skip`."""
        address = self.libbpf.btf__type_by_id(self.btf, type_id) + 4 * skip
        return list((ctypes.c_uint32 * count).from_address(address))

    def members(self, type_id: int, base: int = 0) -> Iterator[tuple[str, int, int]]:
        """Yield `(name, bit offset, type id)` of each member, including those of anonymous members."""
        info = self.words(type_id, 1, 1)[0]
        kind, count, bitfields = info >> 24 & 0x1F, info & 0xFFFF, info >> 31
        if kind not in (KIND_STRUCT, KIND_UNION):
            return
        words = self.words(type_id, 3, 3 * count)
        for name_offset, member_type, offset in zip(words[::3], words[1::3], words[2::3], strict=True):
            bits = base + (offset & 0xFFFFFF if bitfields else offset)
            name = (self.libbpf.btf__name_by_offset(self.btf, name_offset) or b"").decode()
            if name:
                yield name, bits, member_type
            else:
                yield from self.members(member_type, bits)

    def member(self, structure: str, *names: str) -> tuple[int, int]:
        """Return `(byte offset, bytes)` of the first of `names` in the structure; LookupError if it has none."""
        members = {name: (bits, member_type) for name, bits, member_type in self.members(self.structure(structure))}
        for name in names:
            if name in members:
                bits, member_type = members[name]
                return bits // 8, self.libbpf.btf__resolve_size(self.btf, member_type)
        raise LookupError(f"the kernel's BTF has no {structure}.{' or '.join(names)}")

    def tracepoint(self, name: str) -> int:
        """Return the type id of a tracepoint's arguments; LookupError if there is no such tracepoint."""
        type_id: int = self.libbpf.btf__find_by_name_kind(self.btf, f"btf_trace_{name}".encode(), KIND_TYPEDEF)
        if type_id < 0:
            raise LookupError(f"the kernel's BTF has no tracepoint {name}")
        return type_id

    def function(self, name: str) -> int:
        """The type id of a kernel function; LookupError where the kernel has no such function."""
        type_id: int = self.libbpf.btf__find_by_name_kind(self.btf, name.encode(), KIND_FUNC)
        if type_id < 0:
            raise LookupError(f"the kernel's BTF has no function {name}")
        return type_id

    def structure(self, name: str) -> int:
        """The type id of a structure; LookupError where the kernel has no such structure."""
        type_id: int = self.libbpf.btf__find_by_name_kind(self.btf, name.encode(), KIND_STRUCT)
        if type_id < 0:
            raise LookupError(f"the kernel's BTF has no struct {name}")
        return type_id

    def enumerator(self, enum: str, name: str) -> int:
        """Return the value of an enumerator; LookupError if there is none."""
        type_id = self.libbpf.btf__find_by_name_kind(self.btf, enum.encode(), KIND_ENUM)
        if type_id < 0:
            raise LookupError(f"the kernel's BTF has no enum {enum}")
        count = self.words(type_id, 1, 1)[0] & 0xFFFF
        words = self.words(type_id, 3, 2 * count)
        for name_offset, value in zip(words[::2], words[1::2], strict=True):
            if self.libbpf.btf__name_by_offset(self.btf, name_offset) == name.encode():
                return value
        raise LookupError(f"the kernel's enum {enum} has no {name}")


def socket_definitions(kernel: Kernel) -> dict[str, int | str]:
    """Return what else bpf/open_sockets.c needs of the running kernel: offsets, and the id of a cast (Linux 6.2)."""
    try:
        cast: dict[str, int | str] = {"RDONLY_CAST": kernel.function("bpf_rdonly_cast")}
    except LookupError:
        cast = {}
    return {
        **cast,
        "TCP_SOCK_TYPE": kernel.structure("tcp_sock"),
        "OFF_SK_TYPE": kernel.member("sock", "sk_type")[0],
        "OFF_SOCKET_SK": kernel.member("socket", "sk")[0],
        "OFF_SKC_STATE": kernel.member("sock_common", "skc_state")[0],
        "OFF_FILE_INODE": kernel.member("file", "f_inode")[0],
        "OFF_INODE_NUMBER": kernel.member("inode", "i_ino")[0],
        "OFF_TASK_TGID": kernel.member("task_struct", "tgid")[0],
        "OFF_TASK_PID": kernel.member("task_struct", "pid")[0],
        "OFF_TASK_NSPROXY": kernel.member("task_struct", "nsproxy")[0],
        "OFF_NSPROXY_NET": kernel.member("nsproxy", "net_ns")[0],
        "OFF_KERNFS_ID": kernel.member("kernfs_node", "id")[0],
        "OFF_SK_MAX_ACK_BACKLOG": kernel.member("sock", "sk_max_ack_backlog")[0],
        "OFF_BYTES_ACKED": kernel.member("tcp_sock", "bytes_acked")[0],
        "OFF_SND_NXT": kernel.member("tcp_sock", "snd_nxt")[0],
        "OFF_SND_UNA": kernel.member("tcp_sock", "snd_una")[0],
        **volume_definitions(kernel),
    }


def volume_definitions(kernel: Kernel) -> dict[str, int | str]:
    """Return the offsets of what a TCP socket has carried (Linux 4.19), for the running kernel."""
    return {
        "OFF_INET_SPORT": kernel.member("inet_sock", "inet_sport")[0],
        "OFF_SKC_FLAGS": kernel.member("sock_common", "skc_flags")[0],
        "FLAG_SOCK_DONE": kernel.enumerator("sock_flags", "SOCK_DONE"),
        "OFF_BYTES_SENT": kernel.member("tcp_sock", "bytes_sent")[0],
        "OFF_BYTES_RETRANS": kernel.member("tcp_sock", "bytes_retrans")[0],
        "OFF_BYTES_RECEIVED": kernel.member("tcp_sock", "bytes_received")[0],
        "OFF_SRTT": kernel.member("tcp_sock", "srtt_us")[0],
        "OFF_TOTAL_RETRANS": kernel.member("tcp_sock", "total_retrans")[0],
    }


def definitions(kernel: Kernel) -> dict[str, int | str]:
    """Return every offset that the program of bpf/tcp_connect.c takes by `-D`, for the running kernel."""
    protocol, protocol_bytes = kernel.member("sock", "sk_protocol")
    return {
        "OFF_SKC_DADDR": kernel.member("sock_common", "skc_daddr")[0],
        "OFF_SKC_RCV_SADDR": kernel.member("sock_common", "skc_rcv_saddr")[0],
        "OFF_SKC_DPORT": kernel.member("sock_common", "skc_dport")[0],
        "OFF_SKC_NUM": kernel.member("sock_common", "skc_num")[0],
        "OFF_SKC_FAMILY": kernel.member("sock_common", "skc_family")[0],
        "OFF_SKC_V6_DADDR": kernel.member("sock_common", "skc_v6_daddr")[0],
        "OFF_SKC_V6_RCV_SADDR": kernel.member("sock_common", "skc_v6_rcv_saddr")[0],
        "OFF_SKC_NET": kernel.member("sock_common", "skc_net")[0],
        "OFF_NET_COOKIE": kernel.member("net", "net_cookie")[0],
        "OFF_SK_PROTOCOL": protocol,
        "PROTOCOL": {1: "u8", 2: "u16"}[protocol_bytes],
        "OFF_SK_SOCKET": kernel.member("sock", "sk_socket")[0],
        "OFF_SK_ERR": kernel.member("sock", "sk_err")[0],
        "OFF_SK_CGROUP": kernel.member("sock", "sk_cgrp_data")[0]
        + kernel.member("sock_cgroup_data", "cgroup", "val")[0],
        "OFF_CGROUP_KN": kernel.member("cgroup", "kn")[0],
        "OFF_KERNFS_NAME": kernel.member("kernfs_node", "name")[0],
        "OFF_KERNFS_PARENT": kernel.member("kernfs_node", "__parent", "parent")[0],
        "OFF_TASK_CGROUPS": kernel.member("task_struct", "cgroups")[0],
        "OFF_CSS_SET_DFL": kernel.member("css_set", "dfl_cgrp")[0],
        "OFF_CSS_SET_MEMORY": kernel.member("css_set", "subsys")[0]
        + 8 * kernel.enumerator("cgroup_subsys_id", "memory_cgrp_id"),
        "OFF_CSS_CGROUP": kernel.member("cgroup_subsys_state", "cgroup")[0],
        "OFF_SEGS_OUT": kernel.member("tcp_sock", "segs_out")[0],
        "OFF_TCP_CLOCK": kernel.member("tcp_sock", "tcp_clock_cache")[0],
        "OFF_CSS_SERIAL": kernel.member("cgroup_subsys_state", "serial_nr")[0],
        "OFF_CGROUP_SERIAL": kernel.member("cgroup", "self")[0] + kernel.member("cgroup_subsys_state", "serial_nr")[0],
    }
