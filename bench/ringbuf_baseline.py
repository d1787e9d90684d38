"""The textbook design: one ring-buffer event per connect, received by a Python program. Runs with the system's Python
and BCC.

python3 -u ringbuf_baseline.py        prints `attached`, then counts events until its standard input is closed
"""

import os
import select

from bcc import BPF

TEXT = """
#include <uapi/linux/ptrace.h>
struct event {
    u64 at_ns, cgroup;
    u32 pid, family;
    u16 local_port, remote_port;
    u8 local[16], remote[16];
    char comm[16];
};
BPF_RINGBUF_OUTPUT(events, 256);
BPF_ARRAY(lost, u64, 1);
TRACEPOINT_PROBE(sock, inet_sock_set_state)
{
    u32 zero = 0;
    if (args->protocol != 6 || args->newstate != 2)
        return 0;
    struct event *event = events.ringbuf_reserve(sizeof(struct event));
    if (!event) {
        lost.atomic_increment(zero);
        return 0;
    }
    event->at_ns = bpf_ktime_get_ns();
    event->cgroup = bpf_get_current_cgroup_id();
    event->pid = bpf_get_current_pid_tgid() >> 32;
    event->family = args->family;
    event->local_port = args->sport;
    event->remote_port = args->dport;
    __builtin_memcpy(event->local, args->saddr_v6, 16);
    __builtin_memcpy(event->remote, args->daddr_v6, 16);
    bpf_get_current_comm(event->comm, sizeof(event->comm));
    events.ringbuf_submit(event, 0);
    return 0;
}
"""


def main() -> None:
    """Attach, count events, print the counts."""
    program = BPF(text=TEXT, cflags=["-Wno-macro-redefined"])
    flows: dict[tuple[int, bytes, int], int] = {}

    def took(_context: object, data: object, _size: int) -> None:
        event = program["events"].event(data)
        key = event.cgroup, bytes(event.remote), event.remote_port
        flows[key] = flows.get(key, 0) + 1

    program["events"].open_ring_buffer(took)
    print("attached", flush=True)
    while not select.select([0], [], [], 0)[0]:
        program.ring_buffer_poll(100)
    print(sum(flows.values()), program["lost"][0].value, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
