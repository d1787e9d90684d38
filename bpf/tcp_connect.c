// SPDX-License-Identifier: GPL-2.0
/*
 * Counts TCP connect attempts, their outcomes and accepted connections, one hash entry a flow.
 *
 * Hook: sock:inet_sock_set_state (stable since 4.16), as a raw tracepoint (4.17) or, with -DPERF_TRACEPOINT, as a perf
 * tracepoint. It fires in tcp_set_state() (net/ipv4/tcp.c) before the new state is stored.
 *   CLOSE -> SYN_SENT            an attempt; runs in the connecting task, so its cgroup is at hand
 *   SYN_SENT -> ESTABLISHED      established
 *   SYN_SENT -> CLOSE            failed, with sk_err
 *   SYN_RECV -> ESTABLISHED      accepted, unless the socket itself made an attempt (simultaneous open); runs in
 *                                softirq, so the listener's cgroup is read from the socket
 * Not seen: a connect() that finds no route never leaves CLOSE; sockets of other protocols are passed over.
 *
 * Needs 5.8 (CAP_BPF, batch operations 5.6) and BTF: structure offsets come from /sys/kernel/btf/vmlinux as -DOFF_*,
 * so any installed kernel headers will do. Cost: about 0.3 us an attempt with its outcome, 0.2 us an accept.
 *
 * Two map pairs; the agent flips control.active and, after an RCU grace period, drains the idle pair: no increment is
 * lost, since a running program has let go of the idle pair by then.
 */
#include <uapi/linux/ptrace.h>
#include <uapi/linux/bpf.h>
#include "tcp_connect.h"

#define STATE_ESTABLISHED 1
#define STATE_SYN_SENT 2
#define STATE_SYN_RECV 3
#define STATE_CLOSE 7
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define PROTOCOL_TCP 6
#define SOCK_HEAD 96
/* On nodes with cgroup v1, connecting tasks are known by the memory hierarchy and sockets by the v2 one: two number
 * spaces, told apart by this bit. */
#define UNIFIED_HIERARCHY (1ULL << 63)

/* Read and written by the agent, read here. */
BPF_ARRAY(control, struct control, 1);
/* Inserted here, drained and emptied by the agent when idle; when full the attempt is counted in COUNT_FLOWS_FULL. */
BPF_F_TABLE("hash", struct flow_key, struct flow, flows_a, FLOWS, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct flow_key, struct flow, flows_b, FLOWS, BPF_F_NO_PREALLOC);
/* As the flows; when full COUNT_ACCEPTED_FULL. */
BPF_F_TABLE("hash", struct accepted_key, struct accepted, accepted_a, ACCEPTED, BPF_F_NO_PREALLOC);
BPF_F_TABLE("hash", struct accepted_key, struct accepted, accepted_b, ACCEPTED, BPF_F_NO_PREALLOC);
/* Inserted at SYN_SENT, deleted at the outcome, both here; when full COUNT_PENDING_FULL. */
BPF_F_TABLE("hash", u64, struct pending, pending, PENDING, BPF_F_NO_PREALLOC);
/* Inserted here once a cgroup, read by the agent, gone with the window; when full COUNT_NAMES_FULL. */
BPF_F_TABLE("hash", u64, struct cgroup_names, cgroups, CGROUPS, BPF_F_NO_PREALLOC);
/* Inserted here until control.looked is set, read by the agent; when full COUNT_RECENT_FULL. */
BPF_F_TABLE("hash", struct recent_key, u8, recent, RECENT, BPF_F_NO_PREALLOC);
/* Added to here, summed over CPUs by the agent. */
BPF_PERCPU_ARRAY(counters, u64, COUNTERS);
/* Room for one set of names, too large for the stack. */
BPF_PERCPU_ARRAY(scratch, struct cgroup_names, 1);

static __always_inline void count(int which)
{
	u64 *counter = counters.lookup(&which);

	if (counter)
		__sync_fetch_and_add(counter, 1);
}

static __always_inline u64 read_pointer(u64 address)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

static __always_inline void copy_address(u8 *to, const u8 *head, int inet, int inet6, u16 family)
{
	if (family == FAMILY_INET) {
		to[10] = 0xff;
		to[11] = 0xff;
		__builtin_memcpy(to + 12, head + inet, 4);
	} else {
		__builtin_memcpy(to, head + inet6, 16);
	}
}

static __always_inline void remember_names(u64 id, u64 kernfs_node)
{
	struct cgroup_names *room;
	int zero = 0;

	if (cgroups.lookup(&id))
		return;
	room = scratch.lookup(&zero);
	if (!room)
		return;
#pragma unroll
	for (int level = 0; level < NAME_LEVELS; level++) {
		char *name = room->names + level * NAME_BYTES;

		name[0] = 0;
		if (!kernfs_node)
			continue;
		bpf_probe_read_kernel_str(name, NAME_BYTES, (void *)read_pointer(kernfs_node + OFF_KERNFS_NAME));
		kernfs_node = read_pointer(kernfs_node + OFF_KERNFS_PARENT);
	}
	if (cgroups.update(&id, room))
		count(COUNT_NAMES_FULL);
}

/* The kernfs node of the current task's cgroup, in the hierarchy that carries the memory controller. */
static __always_inline u64 task_kernfs_node(void)
{
	u64 set = read_pointer(bpf_get_current_task() + OFF_TASK_CGROUPS);
	u64 cgroup;

#ifdef MEMORY_HIERARCHY
	cgroup = read_pointer(read_pointer(set + OFF_CSS_SET_MEMORY) + OFF_CSS_CGROUP);
#else
	cgroup = read_pointer(set + OFF_CSS_SET_DFL);
#endif
	return read_pointer(cgroup + OFF_CGROUP_KN);
}

static __always_inline struct flow *find_flow(struct flow_key *key, u32 active)
{
	return active ? flows_b.lookup(key) : flows_a.lookup(key);
}

/* The flow's entry in the counting pair, made if it is new; NULL when full. */
static __always_inline struct flow *flow_of(struct flow_key *key, u32 active, u64 now_ns, int *is_new)
{
	struct flow *flow = find_flow(key, active);
	struct flow fresh = {};

	if (flow)
		return flow;
	*is_new = 1;
	fresh.first_ns = now_ns;
	if (active)
		flows_b.insert(key, &fresh);
	else
		flows_a.insert(key, &fresh);
	return find_flow(key, active);
}

static __always_inline int attempt(u64 sk, struct control *control)
{
	struct pending waiting = {};
	struct flow_key *key = &waiting.key;
	u8 head[SOCK_HEAD];
	u16 protocol = 0, family;
	u64 node = 0;
	struct flow *flow;
	int is_new = 0;

	bpf_probe_read_kernel(&protocol, SK_PROTOCOL_BYTES, (void *)(sk + OFF_SK_PROTOCOL));
	if (protocol != PROTOCOL_TCP)
		return 0;
	if (bpf_probe_read_kernel(head, SOCK_HEAD, (void *)sk)) {
		count(COUNT_UNREADABLE);
		return 0;
	}
	family = *(u16 *)(head + OFF_SKC_FAMILY);
	if (family != FAMILY_INET && family != FAMILY_INET6) {
		count(COUNT_UNREADABLE);
		return 0;
	}
	copy_address(key->saddr, head, OFF_SKC_RCV_SADDR, OFF_SKC_V6_RCV_SADDR, family);
	copy_address(key->daddr, head, OFF_SKC_DADDR, OFF_SKC_V6_DADDR, family);
	key->dport_be = *(u16 *)(head + OFF_SKC_DPORT);
#ifdef MEMORY_HIERARCHY
	node = task_kernfs_node();
	key->cgroup = read_pointer(node + OFF_KERNFS_ID);
#else
	key->cgroup = bpf_get_current_cgroup_id();
#endif
	waiting.start_ns = bpf_ktime_get_ns();
	flow = flow_of(key, control->active, waiting.start_ns, &is_new);
	if (is_new)
		remember_names(key->cgroup, node ? node : task_kernfs_node());
	if (flow) {
		__sync_fetch_and_add(&flow->attempts, 1);
		flow->last_ns = waiting.start_ns;
	} else {
		count(COUNT_FLOWS_FULL);
		return 0;
	}
	if (pending.update(&sk, &waiting))
		count(COUNT_PENDING_FULL);
	return 0;
}

static __always_inline void remember_recent(u64 sk, struct flow_key *key)
{
	struct recent_key recently = {};
	u8 there = 1;

	__builtin_memcpy(recently.saddr, key->saddr, 16);
	__builtin_memcpy(recently.daddr, key->daddr, 16);
	recently.dport_be = key->dport_be;
	bpf_probe_read_kernel(&recently.sport, sizeof(recently.sport), (void *)(sk + OFF_SKC_NUM));
	if (recent.update(&recently, &there))
		count(COUNT_RECENT_FULL);
}

static __always_inline int outcome(u64 sk, int new_state, struct pending *found, struct control *control)
{
	struct pending waiting = *found;
	u64 now_ns = bpf_ktime_get_ns();
	u64 took_ns = now_ns - waiting.start_ns;
	struct flow *flow;
	int is_new = 0;
	u32 error = 0;

	pending.delete(&sk);
	flow = flow_of(&waiting.key, control->active, now_ns, &is_new);
	if (!flow) {
		count(COUNT_OUTCOME_FULL);
		return 0;
	}
	flow->last_ns = now_ns;
	if (new_state == STATE_ESTABLISHED) {
		__sync_fetch_and_add(&flow->established, 1);
		__sync_fetch_and_add(&flow->handshake_sum_ns, took_ns);
		if (took_ns > flow->handshake_max_ns)
			flow->handshake_max_ns = took_ns;
		if (!control->looked)
			remember_recent(sk, &waiting.key);
	} else {
		__sync_fetch_and_add(&flow->failed, 1);
		bpf_probe_read_kernel(&error, sizeof(error), (void *)(sk + OFF_SK_ERR));
		if (error)
			flow->last_errno = error;
	}
	return 0;
}

static __always_inline int accept_end(u64 sk, struct control *control)
{
	struct accepted_key key = {};
	struct accepted fresh = {}, *entry;
	u8 head[SOCK_HEAD];
	u16 protocol = 0, family;
	u64 node, now_ns;

	bpf_probe_read_kernel(&protocol, SK_PROTOCOL_BYTES, (void *)(sk + OFF_SK_PROTOCOL));
	if (protocol != PROTOCOL_TCP)
		return 0;
	if (bpf_probe_read_kernel(head, SOCK_HEAD, (void *)sk)) {
		count(COUNT_UNREADABLE);
		return 0;
	}
	family = *(u16 *)(head + OFF_SKC_FAMILY);
	copy_address(key.local, head, OFF_SKC_RCV_SADDR, OFF_SKC_V6_RCV_SADDR, family);
	copy_address(key.remote, head, OFF_SKC_DADDR, OFF_SKC_V6_DADDR, family);
	key.port = *(u16 *)(head + OFF_SKC_NUM);
	node = read_pointer(read_pointer(sk + OFF_SK_CGROUP) + OFF_CGROUP_KN);
	key.cgroup = read_pointer(node + OFF_KERNFS_ID);
#ifdef MEMORY_HIERARCHY
	key.cgroup |= UNIFIED_HIERARCHY;
#endif
	now_ns = bpf_ktime_get_ns();
	entry = control->active ? accepted_b.lookup(&key) : accepted_a.lookup(&key);
	if (!entry) {
		fresh.first_ns = now_ns;
		if (control->active)
			accepted_b.insert(&key, &fresh);
		else
			accepted_a.insert(&key, &fresh);
		entry = control->active ? accepted_b.lookup(&key) : accepted_a.lookup(&key);
		remember_names(key.cgroup, node);
	}
	if (!entry) {
		count(COUNT_ACCEPTED_FULL);
		return 0;
	}
	__sync_fetch_and_add(&entry->accepted, 1);
	entry->last_ns = now_ns;
	return 0;
}

static __always_inline int transition(u64 sk, int old_state, int new_state)
{
	struct control *control_now;
	struct pending *found;
	int zero = 0;

	if (new_state != STATE_SYN_SENT && old_state != STATE_SYN_SENT && old_state != STATE_SYN_RECV)
		return 0;
	control_now = control.lookup(&zero);
	if (!control_now)
		return 0;
	if (new_state == STATE_SYN_SENT)
		return attempt(sk, control_now);
	if (new_state != STATE_ESTABLISHED && new_state != STATE_CLOSE)
		return 0;
	found = pending.lookup(&sk);
	if (found)
		return outcome(sk, new_state, found, control_now);
	if (old_state == STATE_SYN_RECV)
		return new_state == STATE_ESTABLISHED ? accept_end(sk, control_now) : 0;
	count(COUNT_OUTCOME_UNMATCHED);
	return 0;
}

#ifdef PERF_TRACEPOINT
TRACEPOINT_PROBE(sock, inet_sock_set_state)
{
	return transition((u64)args->skaddr, args->oldstate, args->newstate);
}
#else
int on_state(struct bpf_raw_tracepoint_args *ctx)
{
	return transition(ctx->args[0], ctx->args[1], ctx->args[2]);
}
#endif
