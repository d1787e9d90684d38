// SPDX-License-Identifier: GPL-2.0
/*
 * Counts TCP connect attempts, their outcomes and accepted connections, one table entry per flow.
 *
 * Hook: sock:inet_sock_set_state (stable since 4.16), as a raw tracepoint with BTF types (5.5), where reading a
 * kernel field costs one load, or, with -DPERF_TRACEPOINT, as a perf tracepoint: a helper call per field. It fires in
 * tcp_set_state() (net/ipv4/tcp.c) before the new state is stored.
 *   CLOSE -> SYN_SENT            an attempt; runs in the connecting task, whose cgroup is read
 *   SYN_SENT -> ESTABLISHED      established
 *   SYN_SENT -> CLOSE            failed, with sk_err
 *   SYN_RECV -> ESTABLISHED      accepted, unless the socket itself made an attempt (simultaneous open); runs in
 *                                softirq, so the listener's cgroup is read from the socket
 * Not seen: a connect() that finds no route never leaves CLOSE; sockets of other protocols are ignored.
 *
 * Needs 5.12 (atomics that return a value) and BTF: structure offsets come from /sys/kernel/btf/vmlinux as -DOFF_*,
 * so any installed kernel headers work. Cost: measured in bench/.
 *
 * All maps are arrays that the agent maps into its memory: it reads and clears them without a system call, so it needs
 * no capability and no bpf(2). Entries of a table are allocated in order and found through buckets of references. An
 * entry that loses the race for a reference stays unreferenced and is still drained: the agent sums entries by key.
 *
 * The window is in `control`: the program is attached a little ahead and counts from the window's first nanosecond to
 * its last. In two consecutive windows two programs are attached; an accepted connection is in exactly one (both read
 * the packet's clock), an attempt in at least one: the program attached first runs first, so an attempt too late for it
 * is in time for the other. An attempt between their two clock readings, less than a microsecond apart, is in both.
 *
 * Two pairs of tables; the agent adds 1 to control.generation and, after an RCU grace period, drains the idle pair: no
 * increment is lost, since no running program uses the idle pair by then.
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
#define FLOW_BUCKETS (FLOWS / 4)
#define ACCEPTED_BUCKETS (ACCEPTED / 4)
#define PENDING_BUCKETS (PENDING / BUCKET_OWNERS)
#define NAME_BUCKETS (CGROUPS / 2)
#define MAPPABLE (1 << 10) /* BPF_F_MMAPABLE, 5.5 */
/* The second half of ::ffff:a.b.c.d as a little-endian word, which x86_64 and aarch64 have. */
#define V4_MAPPED(address) ((u64)(address) << 32 | 0xffff0000)
/* Cgroup numbers of connecting tasks and of listening sockets are from different spaces; this bit marks the latter. */
#define OF_SOCKET (1ULL << 63)

/* Written by the agent, read here. */
BPF_F_TABLE("array", u32, struct control, control, 1, MAPPABLE);
/* Filled here in order, drained and cleared by the agent when idle; when full the attempt is in COUNT_FLOWS_FULL. */
BPF_F_TABLE("array", u32, struct flow, flows, 2 * FLOWS, MAPPABLE);
BPF_F_TABLE("array", u32, struct bucket, flow_buckets, 2 * FLOW_BUCKETS, MAPPABLE);
/* Like the flows; when full COUNT_ACCEPTED_FULL. */
BPF_F_TABLE("array", u32, struct accepted, accepted, 2 * ACCEPTED, MAPPABLE);
BPF_F_TABLE("array", u32, struct bucket, accepted_buckets, 2 * ACCEPTED_BUCKETS, MAPPABLE);
/*
 * Inserted at SYN_SENT, removed at the outcome, both here; when a bucket is full COUNT_PENDING_FULL. Not read by the
 * agent, but mappable arrays start at a page, so that no entry is in two cache lines.
 */
BPF_F_TABLE("array", u32, struct waiting, pending, PENDING_BUCKETS, MAPPABLE);
/* Filled here once per cgroup, read by the agent, freed with the window; when full COUNT_NAMES_FULL. */
BPF_F_TABLE("array", u32, struct owners, named_cgroups, NAME_BUCKETS, 0);
BPF_F_TABLE("array", u32, struct cgroup_names, cgroups, CGROUPS, MAPPABLE);
/* Filled here until control.scan_done is set, read by the agent; when full COUNT_RECENT_FULL. */
BPF_F_TABLE("array", u32, struct recent, recent, RECENT, MAPPABLE);
/* Incremented here; the agent clears those of the tables with the entries. */
BPF_F_TABLE("array", u32, struct used, used, USED_TABLES, MAPPABLE);
BPF_F_TABLE("array", u32, u64, counters, COUNTERS, MAPPABLE);

static __always_inline void count(u32 which)
{
	u64 *counter = counters.lookup(&which);

	if (counter)
		__sync_fetch_and_add(counter, 1);
}

/* The number, from 0, of the next free entry of a table of `room` entries; `room` when full. */
static __always_inline u32 take_entry(u32 table, u32 room)
{
	struct used *taken = used.lookup(&table);
	u64 number;

	if (!taken || taken->entries >= room)
		return room;
	number = __sync_fetch_and_add(&taken->entries, 1);
	return number < room ? number : room;
}

/*
 * A field of a kernel structure. With BTF types the verifier knows what the address points to and lets the program load
 * it (0 if the page is absent); such an address may not be used as a number, but its distance to another one may.
 */
#ifdef PERF_TRACEPOINT
#define READ(type, address)                                                              \
	({                                                                               \
		type value_ = 0;                                                         \
		bpf_probe_read_kernel(&value_, sizeof(value_), (void *)(address));       \
		value_;                                                                  \
	})
#define NUMBER(socket, fixed) (socket)
#define PACKET_CLOCK(socket) bpf_ktime_get_ns()
#else
#define READ(type, address) (*(type *)(address))
#define NUMBER(socket, fixed) ((socket) - (u64)(fixed))
#define PACKET_CLOCK(socket) packet_clock(socket)
#endif

#ifndef PERF_TRACEPOINT
/* When TCP started on the current packet (tcp_mstamp_refresh()): less than half the cost of bpf_ktime_get_ns(). */
static __always_inline u64 packet_clock(u64 sk)
{
	u64 tcp = (u64)bpf_skc_to_tcp_sock((void *)sk);

	return tcp ? READ(u64, tcp + OFF_TCP_CLOCK) : bpf_ktime_get_ns();
}
#endif

static __always_inline u64 mixed(u64 value)
{
	value *= 0x9e3779b97f4a7c15ULL;
	return value ^ value >> 32;
}

static __always_inline u32 hash_of(struct endpoints *key)
{
	u64 *words = (u64 *)key, hash = SEED;

#pragma unroll
	for (int word = 0; word < sizeof(*key) / 8; word++)
		hash += (words[word] ^ SEED) * (0x9e3779b97f4a7c15ULL + 2 * word * SEED);
	return mixed(hash ^ hash >> 32);
}

static __always_inline int same(struct endpoints *one, struct endpoints *other)
{
	u64 *left = (u64 *)one, *right = (u64 *)other, differ = 0;

#pragma unroll
	for (int word = 0; word < sizeof(*one) / 8; word++)
		differ |= left[word] ^ right[word];
	return !differ;
}

/* Addresses and ports of a socket; 0 when it is TCP over IPv4 or IPv6. Of `key` all but cgroup and port is set. */
static __always_inline int read_socket(u64 sk, struct endpoints *key)
{
	u16 family = READ(u16, sk + OFF_SKC_FAMILY);

	if (READ(PROTOCOL, sk + OFF_SK_PROTOCOL) != PROTOCOL_TCP)
		return -1;
	if (family == FAMILY_INET) {
		key->local[1] = V4_MAPPED(READ(u32, sk + OFF_SKC_RCV_SADDR));
		key->remote[1] = V4_MAPPED(READ(u32, sk + OFF_SKC_DADDR));
	} else if (family == FAMILY_INET6) {
		bpf_probe_read_kernel(key->local, 16, (void *)(sk + OFF_SKC_V6_RCV_SADDR));
		bpf_probe_read_kernel(key->remote, 16, (void *)(sk + OFF_SKC_V6_DADDR));
	} else {
		count(COUNT_UNREADABLE);
		return -1;
	}
	return 0;
}

/* Called once per flow: stores the names of its cgroup the first time that the cgroup is seen. */
static __always_inline void remember_names(u64 cgroup, u64 kernfs_node)
{
	u32 where = mixed(cgroup ^ SEED) % NAME_BUCKETS, entry;
	struct owners *bucket = named_cgroups.lookup(&where);
	struct cgroup_names *room;

	if (!bucket || !cgroup)
		return;
	for (int slot = 0; slot < BUCKET_OWNERS; slot++) {
		if (bucket->owner[slot] == cgroup)
			return;
		if (bucket->owner[slot])
			continue;
		if (__sync_val_compare_and_swap(&bucket->owner[slot], 0, cgroup))
			continue;
		entry = take_entry(USED_NAMES, CGROUPS);
		room = cgroups.lookup(&entry);
		if (!room)
			break;
		room->cgroup = cgroup;
#pragma unroll
		for (int level = 0; level < NAME_LEVELS; level++) {
			if (!kernfs_node)
				continue;
			bpf_probe_read_kernel_str(room->names + level * NAME_BYTES, NAME_BYTES,
						  (void *)READ(u64, kernfs_node + OFF_KERNFS_NAME));
			kernfs_node = READ(u64, kernfs_node + OFF_KERNFS_PARENT);
		}
		return;
	}
	count(COUNT_NAMES_FULL);
}

static __always_inline u64 current_task(void)
{
#ifdef PERF_TRACEPOINT
	return bpf_get_current_task();
#else
	return (u64)bpf_get_current_task_btf();
#endif
}

#ifdef MEMORY_HIERARCHY
/* The serial number of the task's memory cgroup, never reused, and the cgroup's state, for its names. */
static __always_inline u64 task_cgroup(u64 *state)
{
	u64 set = READ(u64, current_task() + OFF_TASK_CGROUPS);

	*state = READ(u64, set + OFF_CSS_SET_MEMORY);
	return READ(u64, *state + OFF_CSS_SERIAL);
}

static __always_inline u64 task_kernfs_node(u64 state)
{
	return READ(u64, READ(u64, state + OFF_CSS_CGROUP) + OFF_CGROUP_KN);
}
#else
static __always_inline u64 task_cgroup(u64 *state)
{
	return bpf_get_current_cgroup_id();
}

static __always_inline u64 task_kernfs_node(u64 state)
{
	u64 set = READ(u64, current_task() + OFF_TASK_CGROUPS);

	return READ(u64, READ(u64, set + OFF_CSS_SET_DFL) + OFF_CGROUP_KN);
}
#endif

/* Finds or adds the flow's entry in the counting pair; NULL when full. `place` is its number. */
static __always_inline struct flow *flow_entry(struct endpoints *key, u32 pair, u64 now_ns, u32 *place, int *is_new)
{
	u32 where = pair * FLOW_BUCKETS + hash_of(key) % FLOW_BUCKETS, entry;
	struct bucket *bucket = flow_buckets.lookup(&where);
	struct flow *flow;

	if (!bucket)
		return 0;
	for (int slot = 0; slot < BUCKET_REFS; slot++) {
		u64 ref = bucket->refs[slot];

		*place = pair * FLOWS + ref - 1;
		if (ref) {
			flow = flows.lookup(place);
			if (!flow || same(&flow->key, key))
				return flow;
			continue;
		}
		entry = take_entry(USED_FLOWS + pair, FLOWS);
		if (entry == FLOWS)
			return 0;
		*place = pair * FLOWS + entry;
		flow = flows.lookup(place);
		if (!flow)
			return 0;
		flow->key = *key;
		flow->first_ns = now_ns;
		*is_new = 1;
		__sync_val_compare_and_swap(&bucket->refs[slot], 0, entry + 1);
		return flow;
	}
	return 0;
}

/* Like flow_entry(), for the accepting end. */
static __always_inline struct accepted *accepted_entry(struct endpoints *key, u32 pair, u64 now_ns, int *is_new)
{
	u32 where = pair * ACCEPTED_BUCKETS + hash_of(key) % ACCEPTED_BUCKETS, entry, place;
	struct bucket *bucket = accepted_buckets.lookup(&where);
	struct accepted *found;

	if (!bucket)
		return 0;
	for (int slot = 0; slot < BUCKET_REFS; slot++) {
		u64 ref = bucket->refs[slot];

		place = pair * ACCEPTED + ref - 1;
		if (ref) {
			found = accepted.lookup(&place);
			if (!found || same(&found->key, key))
				return found;
			continue;
		}
		entry = take_entry(USED_ACCEPTED + pair, ACCEPTED);
		if (entry == ACCEPTED)
			return 0;
		place = pair * ACCEPTED + entry;
		found = accepted.lookup(&place);
		if (!found)
			return 0;
		found->key = *key;
		found->first_ns = now_ns;
		*is_new = 1;
		__sync_val_compare_and_swap(&bucket->refs[slot], 0, entry + 1);
		return found;
	}
	return 0;
}

/* The slot of a socket's attempt in its bucket, or BUCKET_OWNERS if there is none. */
static __always_inline u32 pending_slot(struct waiting *bucket, u64 socket)
{
	u32 slot;

	for (slot = 0; slot < BUCKET_OWNERS; slot++)
		if (bucket->socket[slot] == socket)
			break;
	return slot;
}

/* Stores an attempt until its outcome. The socket may be present: an attempt whose outcome the kernel skipped. */
static __always_inline void remember_attempt(u64 socket, struct endpoints *key, u64 now_ns, u32 place, u32 generation)
{
	u32 where = mixed(socket) % PENDING_BUCKETS, slot;
	struct waiting *bucket = pending.lookup(&where);
	struct pending *kept;

	if (!bucket)
		return;
	slot = pending_slot(bucket, socket);
	if (slot == BUCKET_OWNERS)
		for (slot = 0; slot < BUCKET_OWNERS; slot++)
			if (!bucket->socket[slot] && !__sync_val_compare_and_swap(&bucket->socket[slot], 0, socket))
				break;
	if (slot == BUCKET_OWNERS) {
		count(COUNT_PENDING_FULL);
		return;
	}
	kept = &bucket->attempt[slot];
	kept->key = *key;
	kept->start_ns = now_ns;
	kept->entry = place;
	kept->generation = generation;
}

static __always_inline int attempt(u64 sk, struct control *now)
{
	u64 now_ns = bpf_ktime_get_ns(), state = 0;
	u32 generation = now->generation, place = 0;
	struct endpoints key = {};
	struct flow *flow;
	int is_new = 0;

	if (now_ns - now->from_ns >= now->lasting_ns || read_socket(sk, &key))
		return 0;
	key.port_be = READ(u16, sk + OFF_SKC_DPORT);
	key.cgroup = task_cgroup(&state);
	flow = flow_entry(&key, generation & 1, now_ns, &place, &is_new);
	if (!flow) {
		count(COUNT_FLOWS_FULL);
		return 0;
	}
	if (is_new)
		remember_names(key.cgroup, task_kernfs_node(state));
	__sync_fetch_and_add(&flow->attempts, 1);
	flow->last_ns = now_ns;
	remember_attempt(NUMBER(sk, now), &key, now_ns, place, generation);
	return 0;
}

static __always_inline void remember_recent(u64 sk, struct endpoints *key, u16 remote_port_be)
{
	u32 entry = take_entry(USED_RECENT, RECENT);
	struct recent *room = recent.lookup(&entry);

	if (!room) {
		count(COUNT_RECENT_FULL);
		return;
	}
	__builtin_memcpy(room->local, key->local, 16);
	__builtin_memcpy(room->remote, key->remote, 16);
	room->remote_port_be = remote_port_be;
	room->local_port = READ(u16, sk + OFF_SKC_NUM);
	room->namespace = READ(u32, READ(u64, sk + OFF_SKC_NET) + OFF_NET_INODE);
}

static __always_inline int outcome(u64 sk, int new_state, struct pending *kept, struct control *now)
{
	u32 generation = now->generation, place = kept->entry;
	u64 now_ns = new_state == STATE_ESTABLISHED ? PACKET_CLOCK(sk) : bpf_ktime_get_ns();
	u64 took_ns = now_ns - kept->start_ns;
	struct endpoints key;
	struct flow *flow;
	int is_new = 0;
	u32 error;

	if (kept->generation == generation) {
		flow = flows.lookup(&place);
	} else {
		key = kept->key;
		flow = flow_entry(&key, generation & 1, now_ns, &place, &is_new);
	}
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
		if (!now->scan_done)
			remember_recent(sk, &kept->key, kept->key.port_be);
	} else {
		__sync_fetch_and_add(&flow->failed, 1);
		error = READ(u32, sk + OFF_SK_ERR);
		if (error)
			flow->last_errno = error;
	}
	return 0;
}

static __always_inline int accept_end(u64 sk, struct control *now)
{
	u64 now_ns = PACKET_CLOCK(sk), cgroup;
	struct endpoints key = {};
	struct accepted *entry;
	int is_new = 0;

	if (now_ns - now->from_ns >= now->lasting_ns || read_socket(sk, &key))
		return 0;
	key.port_be = bpf_htons(READ(u16, sk + OFF_SKC_NUM));
	cgroup = READ(u64, sk + OFF_SK_CGROUP);
	key.cgroup = READ(u64, cgroup + OFF_CGROUP_SERIAL) | OF_SOCKET;
	entry = accepted_entry(&key, now->generation & 1, now_ns, &is_new);
	if (!entry) {
		count(COUNT_ACCEPTED_FULL);
		return 0;
	}
	if (is_new)
		remember_names(key.cgroup, READ(u64, cgroup + OFF_CGROUP_KN));
	__sync_fetch_and_add(&entry->accepted, 1);
	entry->last_ns = now_ns;
	if (!now->scan_done)
		remember_recent(sk, &key, READ(u16, sk + OFF_SKC_DPORT));
	return 0;
}

static __always_inline int transition(u64 sk, int old_state, int new_state)
{
	struct waiting *bucket;
	struct control *now;
	u32 zero = 0, where, slot;
	u64 socket;

	if (new_state != STATE_SYN_SENT && old_state != STATE_SYN_SENT && old_state != STATE_SYN_RECV)
		return 0;
	now = control.lookup(&zero);
	if (!now)
		return 0;
	if (new_state == STATE_SYN_SENT)
		return attempt(sk, now);
	if (new_state != STATE_ESTABLISHED && new_state != STATE_CLOSE)
		return 0;
	/* A listener's connection has no struct socket before it is accepted; a socket that connects has one. */
	if (old_state != STATE_SYN_RECV || READ(u64, sk + OFF_SK_SOCKET)) {
		socket = NUMBER(sk, now);
		where = mixed(socket) % PENDING_BUCKETS;
		bucket = pending.lookup(&where);
		if (!bucket)
			return 0;
		slot = pending_slot(bucket, socket);
		if (slot < BUCKET_OWNERS) {
			outcome(sk, new_state, &bucket->attempt[slot], now);
			__sync_val_compare_and_swap(&bucket->socket[slot], socket, 0);
			return 0;
		}
	}
	if (old_state == STATE_SYN_RECV)
		return new_state == STATE_ESTABLISHED ? accept_end(sk, now) : 0;
	count(COUNT_OUTCOME_UNMATCHED);
	return 0;
}

#ifdef PERF_TRACEPOINT
TRACEPOINT_PROBE(sock, inet_sock_set_state)
{
	return transition((u64)args->skaddr, args->oldstate, args->newstate);
}
#else
int on_state(u64 *arguments) /* const struct sock *, const int oldstate, const int newstate */
{
	return transition(arguments[0], arguments[1], arguments[2]);
}
#endif
