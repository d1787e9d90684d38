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
 * No pod can take what others need: a cgroup may hold as many entries of a table as are free for all others. What is
 * beyond that share is summed, by address family and port range, in an entry without addresses.
 *
 * Two pairs of tables; the agent adds 1 to control.generation and, after an RCU grace period, drains the idle pair: no
 * increment is lost, since no running program uses the idle pair by then.
 */
#include <uapi/linux/ptrace.h>
#include <uapi/linux/bpf.h>
#include "tcp_connect.h"

#define STATE_ESTABLISHED 1
#define STATE_FIN_WAIT1 4
#define STATE_CLOSE_WAIT 8
#define STATE_SYN_SENT 2
#define STATE_SYN_RECV 3
#define STATE_CLOSE 7
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define PROTOCOL_TCP 6
#define FLOW_BUCKETS (FLOWS / 4)
#define ACCEPTED_BUCKETS (ACCEPTED / 4)
#define PENDING_BUCKETS (PENDING / BUCKET_OWNERS)
#define NETWORK_BUCKETS (NETWORKS / BUCKET_OWNERS)
#define OPEN (1U << 31) /* in struct pending's entry */
#define NAME_BUCKETS (CGROUPS / 2)
#define CGROUP_SLOTS (NAME_BUCKETS * BUCKET_OWNERS)
#define MAPPABLE (1 << 10) /* BPF_F_MMAPABLE, 5.5 */
/* The second half of ::ffff:a.b.c.d as a little-endian word, which x86_64 and aarch64 have. */
#define V4_MAPPED(address) ((u64)(address) << 32 | 0xffff0000)
#define V4_ANY V4_MAPPED(0)
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
 * Inserted at SYN_SENT, removed at the outcome, both here; with VOLUME connections stay until they end, and accepted ones
 * are inserted too. Each socket may be in two buckets; when both are full COUNT_PENDING_FULL (COUNT_KEPT_FULL). The agent
 * reads at the window's end what is still open. Mappable arrays start at a page: no entry is in two cache lines.
 */
BPF_F_TABLE("array", u32, struct waiting, pending, PENDING_BUCKETS, MAPPABLE);
/* Filled here once per cgroup, read by the agent, freed with the window; when full COUNT_NAMES_FULL. */
BPF_F_TABLE("array", u32, struct owners, named_cgroups, NAME_BUCKETS, 0);
BPF_F_TABLE("array", u32, struct cgroup_names, cgroups, CGROUPS, MAPPABLE);
/*
 * Entries of each pair of each table by the slot of their cgroup in named_cgroups, in the order of `used`; the last slot
 * is shared by cgroups that found none. Incremented here; the agent clears those of the tables with the entries.
 */
BPF_F_TABLE("array", u32, u64, shares, USED_RECENT * (CGROUP_SLOTS + 1), MAPPABLE);
/* Filled here until control.scan_done is set, read by the agent; when full COUNT_RECENT_FULL. */
BPF_F_TABLE("array", u32, struct recent, recent, RECENT, MAPPABLE);
/* Incremented here; the agent clears those of the tables with the entries. */
BPF_F_TABLE("array", u32, struct used, used, USED_TABLES, MAPPABLE);
BPF_F_TABLE("array", u32, u64, counters, COUNTERS, MAPPABLE);
/* Filled and incremented here, read by the agent; when full COUNT_NETWORKS_FULL. The counts are shard by shard. */
BPF_F_TABLE("array", u32, struct owners, named_networks, NETWORK_BUCKETS, MAPPABLE);
BPF_F_TABLE("array", u32, struct network, networks, NETWORK_SHARDS * NETWORKS, MAPPABLE);
#if VOLUME
/* Entry by entry beside the flows and the accepted flows, drained and cleared with them. */
BPF_F_TABLE("array", u32, struct volume, flow_volumes, 2 * FLOWS, MAPPABLE);
BPF_F_TABLE("array", u32, struct volume, accepted_volumes, 2 * ACCEPTED, MAPPABLE);
/* Filled here in order, drained by the agent like the flows; when full COUNT_ENDED_FULL. */
BPF_F_TABLE("array", u32, struct ended, ended, 2 * ENDED, MAPPABLE);
#endif

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

/* A number for a socket's address that shows nothing of it: mixed() is one to one. */
#define SOCKET_NUMBER(sk, fixed) mixed(NUMBER(sk, fixed) ^ SEED)

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

/* The socket's network namespace, by a number that no later one gets: an inode's is free when its namespace has ended. */
static __always_inline u32 network_number(u64 sk)
{
	return READ(u64, READ(u64, sk + OFF_SKC_NET) + OFF_NET_COOKIE);
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

/* Stores the names of a cgroup, leaf first. */
static __always_inline void store_names(u64 cgroup, u64 kernfs_node)
{
	u32 entry = take_entry(USED_NAMES, CGROUPS);
	struct cgroup_names *room = cgroups.lookup(&entry);

	if (!room) {
		count(COUNT_NAMES_FULL);
		return;
	}
	room->cgroup = cgroup;
#pragma unroll
	for (int level = 0; level < NAME_LEVELS; level++) {
		if (!kernfs_node)
			continue;
		bpf_probe_read_kernel_str(room->names + level * NAME_BYTES, NAME_BYTES,
					  (void *)READ(u64, kernfs_node + OFF_KERNFS_NAME));
		kernfs_node = READ(u64, kernfs_node + OFF_KERNFS_PARENT);
	}
}

/* Called once per flow: the cgroup's slot, CGROUP_SLOTS if it has none. `*is_first` if it had none until now. */
static __always_inline u32 cgroup_slot(u64 cgroup, int *is_first)
{
	u32 where = mixed(cgroup ^ SEED) % NAME_BUCKETS;
	struct owners *bucket = named_cgroups.lookup(&where);

	if (!bucket || !cgroup)
		return CGROUP_SLOTS;
	for (int slot = 0; slot < BUCKET_OWNERS; slot++) {
		if (bucket->owner[slot] == cgroup)
			return where * BUCKET_OWNERS + slot;
		if (bucket->owner[slot])
			continue;
		if (__sync_val_compare_and_swap(&bucket->owner[slot], 0, cgroup))
			continue;
		*is_first = 1;
		return where * BUCKET_OWNERS + slot;
	}
	count(COUNT_NAMES_FULL);
	return CGROUP_SLOTS;
}

/* Stores the names of a cgroup the first time that it is seen. */
static __always_inline void remember_names(u64 cgroup, u64 kernfs_node)
{
	int is_first = 0;

	cgroup_slot(cgroup, &is_first);
	if (is_first)
		store_names(cgroup, kernfs_node);
}

/* Whether an entry is the sum of what was beyond a cgroup's share: no connection has such a remote address. */
static __always_inline int is_sum(struct endpoints *key)
{
	return !key->remote[0] && (!key->remote[1] || key->remote[1] == V4_ANY);
}

/* Makes the key that of the sum: by cgroup, address family and first port of the range (RFC 6335, 6). */
static __always_inline void sum_up(struct endpoints *key)
{
	u64 any = !key->remote[0] && (u32)key->remote[1] == (u32)V4_ANY ? V4_ANY : 0;
	u16 port = bpf_ntohs(key->port_be);

	key->local[0] = key->remote[0] = 0;
	key->local[1] = key->remote[1] = any;
	key->port_be = bpf_htons(port < USER_PORTS ? SYSTEM_PORTS : port < DYNAMIC_PORTS ? USER_PORTS : DYNAMIC_PORTS);
}

/* Takes one more entry of a table for a cgroup; 0 if it holds as many as are free for all others. */
static __always_inline int take_share(struct endpoints *key, u32 table, u32 room, u32 slot)
{
	u32 row = table * (CGROUP_SLOTS + 1) + slot;
	struct used *taken = used.lookup(&table);
	u64 *held = shares.lookup(&row);

	if (is_sum(key) || !taken || !held)
		return 1;
	if (*held + taken->entries >= room)
		return 0;
	__sync_fetch_and_add(held, 1);
	return 1;
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

/*
 * Finds or adds the flow's entry in the counting pair; NULL when full, or, with `beyond_share`, when the cgroup's share
 * is taken. `place` is its number. Of an attempt `state` is the task's cgroup's, of an outcome 0: its cgroup has a slot.
 */
static __always_inline struct flow *flow_entry(struct endpoints *key, u32 pair, u64 now_ns, u32 *place, u64 state,
					       int is_attempt, int *beyond_share)
{
	u32 where = pair * FLOW_BUCKETS + hash_of(key) % FLOW_BUCKETS, entry, owner;
	struct bucket *bucket = flow_buckets.lookup(&where);
	struct flow *flow;
	int is_first = 0;

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
		owner = cgroup_slot(key->cgroup, &is_first);
		if (is_attempt && is_first)
			store_names(key->cgroup, task_kernfs_node(state));
		if (!take_share(key, USED_FLOWS + pair, FLOWS, owner)) {
			*beyond_share = 1;
			return 0;
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
		__sync_val_compare_and_swap(&bucket->refs[slot], 0, entry + 1);
		return flow;
	}
	return 0;
}

/* Like flow_entry(), for the accepting end; `cgroup` is the listener's, 0 once its names are stored. */
static __always_inline struct accepted *accepted_entry(struct endpoints *key, u32 pair, u64 now_ns, u32 *place,
						       u64 cgroup, int *beyond_share)
{
	u32 where = pair * ACCEPTED_BUCKETS + hash_of(key) % ACCEPTED_BUCKETS, entry, owner;
	struct bucket *bucket = accepted_buckets.lookup(&where);
	struct accepted *found;
	int is_first = 0;

	if (!bucket)
		return 0;
	for (int slot = 0; slot < BUCKET_REFS; slot++) {
		u64 ref = bucket->refs[slot];

		*place = pair * ACCEPTED + ref - 1;
		if (ref) {
			found = accepted.lookup(place);
			if (!found || same(&found->key, key))
				return found;
			continue;
		}
		owner = cgroup_slot(key->cgroup, &is_first);
		if (is_first && cgroup)
			store_names(key->cgroup, READ(u64, cgroup + OFF_CGROUP_KN));
		if (!take_share(key, USED_ACCEPTED + pair, ACCEPTED, owner)) {
			*beyond_share = 1;
			return 0;
		}
		entry = take_entry(USED_ACCEPTED + pair, ACCEPTED);
		if (entry == ACCEPTED)
			return 0;
		*place = pair * ACCEPTED + entry;
		found = accepted.lookup(place);
		if (!found)
			return 0;
		found->key = *key;
		found->first_ns = now_ns;
		__sync_val_compare_and_swap(&bucket->refs[slot], 0, entry + 1);
		return found;
	}
	return 0;
}

/*
 * The same number, of which the verifier knows nothing but that it is below 8: after a loop it then looks at one case
 * instead of one for each turn.
 */
static __always_inline u32 opaque(u32 slot, u64 socket)
{
	u64 value = slot ^ socket;

	asm volatile("" : "+r"(value));
	return (value ^ socket) & (BUCKET_OWNERS - 1);
}

/* Segments that a TCP socket has sent. */
static __always_inline u32 segments_out(u64 sk)
{
#ifdef PERF_TRACEPOINT
	return READ(u32, sk + OFF_SEGS_OUT);
#else
	u64 tcp = (u64)bpf_skc_to_tcp_sock((void *)sk);

	return tcp ? READ(u32, tcp + OFF_SEGS_OUT) : 1;
#endif
}

/* The counts of the socket's network namespace on about this CPU; NULL if it is no TCP, or there is no room. */
static __always_inline struct network *network_of(u64 sk)
{
	u64 namespace = network_number(sk);
	u32 where = mixed(namespace ^ SEED) % NETWORK_BUCKETS, at, place;
	struct owners *bucket = named_networks.lookup(&where);

	if (!bucket || READ(PROTOCOL, sk + OFF_SK_PROTOCOL) != PROTOCOL_TCP)
		return 0;
	for (at = 0; at < BUCKET_OWNERS; at++) {
		if (bucket->owner[at] == namespace)
			break;
		if (bucket->owner[at])
			continue;
		if (!__sync_val_compare_and_swap(&bucket->owner[at], 0, namespace))
			break;
		if (bucket->owner[at] == namespace)
			break;
	}
	if (at == BUCKET_OWNERS) {
		count(COUNT_NETWORKS_FULL);
		return 0;
	}
	place = (bpf_get_smp_processor_id() % NETWORK_SHARDS) * NETWORKS + where * BUCKET_OWNERS +
		opaque(at, namespace);
	return networks.lookup(&place);
}

/*
 * What the kernel counts beside: see struct network. Of a connect, ActiveOpens and AttemptFails: `sk_err` is set before it
 * fails by a packet or timer.
 */
static __always_inline void count_connect(u64 sk, int new_state)
{
	struct network *network = network_of(sk);
	u64 *counter;

	if (!network)
		return;
	if (new_state == STATE_SYN_SENT)
		counter = &network->opens;
	else if (READ(u32, sk + OFF_SK_ERR))
		counter = &network->failed;
	else if (!segments_out(sk))
		counter = &network->unsent;
	else
		return;
	__sync_fetch_and_add(counter, 1);
}

/* PassiveOpens: counted where the accepted connection is recorded, so that both tell the same sockets apart. */
static __always_inline void count_accepted(u64 sk)
{
	struct network *network = network_of(sk);

	if (network)
		__sync_fetch_and_add(&network->accepted, 1);
}

/* The bucket that has the socket, and its slot; NULL if it is in neither of its two. */
static __always_inline struct waiting *find_pending(u64 socket, u32 *slot)
{
	for (int choice = 0; choice < 2; choice++) {
		u32 where = (choice ? socket >> 32 : socket) % PENDING_BUCKETS;
		struct waiting *bucket = pending.lookup(&where);

		if (!bucket)
			return 0;
		for (u32 at = 0; at < BUCKET_OWNERS; at++)
			if (bucket->socket[at] == socket) {
				*slot = opaque(at, socket);
				return bucket;
			}
	}
	return 0;
}

/*
 * The bucket and slot of a socket that is new, as a rule; NULL if its two buckets are full. It may be present: the kernel
 * skipped the run that would have removed it, and now the slot is taken over; what an open connection carried is lost.
 */
static __always_inline struct waiting *take_pending(u64 socket, u32 *slot)
{
	for (int choice = 0; choice < 2; choice++) {
		u32 where = (choice ? socket >> 32 : socket) % PENDING_BUCKETS;
		struct waiting *bucket = pending.lookup(&where);

		if (!bucket)
			return 0;
		for (u32 at = 0; at < BUCKET_OWNERS; at++) {
			u64 owner = bucket->socket[at];

			if (owner && owner != socket)
				continue;
			if (VOLUME && owner && bucket->attempt[at].entry & OPEN)
				count(COUNT_END_UNSEEN);
			if (owner || !__sync_val_compare_and_swap(&bucket->socket[at], 0, socket)) {
				*slot = opaque(at, socket);
				return bucket;
			}
		}
	}
	return 0;
}

/* Stores an attempt until its outcome, or a connection until its end. */
static __always_inline void remember(u64 socket, struct endpoints *key, u64 now_ns, u32 place, u32 generation, u32 full)
{
	u32 slot = 0;
	struct waiting *bucket = take_pending(socket, &slot);
	struct pending *kept;

	if (!bucket) {
		count(full);
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
	int beyond_share = 0;
	struct flow *flow;

	if (now_ns - now->from_ns >= now->lasting_ns || read_socket(sk, &key))
		return 0;
	key.port_be = READ(u16, sk + OFF_SKC_DPORT);
	key.cgroup = task_cgroup(&state);
	flow = flow_entry(&key, generation & 1, now_ns, &place, state, 1, &beyond_share);
	if (beyond_share) {
		sum_up(&key);
		flow = flow_entry(&key, generation & 1, now_ns, &place, state, 1, &beyond_share);
	}
	if (!flow) {
		count(COUNT_FLOWS_FULL);
		return 0;
	}
	__sync_fetch_and_add(&flow->attempts, 1);
	flow->last_ns = now_ns;
	remember(SOCKET_NUMBER(sk, now), &key, now_ns, place, generation, COUNT_PENDING_FULL);
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
	room->namespace = network_number(sk);
}

static __always_inline int outcome(u64 sk, int new_state, struct pending *kept, struct control *now)
{
	u32 generation = now->generation, place = kept->entry;
	u64 now_ns = new_state == STATE_ESTABLISHED ? PACKET_CLOCK(sk) : bpf_ktime_get_ns();
	u64 took_ns = now_ns - kept->start_ns;
	struct endpoints key = {};
	int beyond_share = 0;
	struct flow *flow;
	u32 error;

	if (kept->generation == generation) {
		flow = flows.lookup(&place);
	} else {
		key = kept->key;
		flow = flow_entry(&key, generation & 1, now_ns, &place, 0, 0, &beyond_share);
		if (beyond_share) {
			sum_up(&key);
			flow = flow_entry(&key, generation & 1, now_ns, &place, 0, 0, &beyond_share);
		}
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
		if (!now->scan_done && !read_socket(sk, &key))
			remember_recent(sk, &key, READ(u16, sk + OFF_SKC_DPORT));
#if VOLUME
		kept->start_ns = now_ns;
		kept->entry = place | OPEN;
		kept->generation = generation;
#endif
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
	u32 generation = now->generation, place = 0;
	struct endpoints key = {};
	struct accepted *entry;
	int beyond_share = 0;

	if (now_ns - now->from_ns >= now->lasting_ns || read_socket(sk, &key))
		return 0;
	key.port_be = bpf_htons(READ(u16, sk + OFF_SKC_NUM));
	cgroup = READ(u64, sk + OFF_SK_CGROUP);
	key.cgroup = READ(u64, cgroup + OFF_CGROUP_SERIAL) | OF_SOCKET;
	entry = accepted_entry(&key, generation & 1, now_ns, &place, cgroup, &beyond_share);
	if (beyond_share) {
		sum_up(&key);
		entry = accepted_entry(&key, generation & 1, now_ns, &place, cgroup, &beyond_share);
	}
	if (!entry) {
		count(COUNT_ACCEPTED_FULL);
		return 0;
	}
	__sync_fetch_and_add(&entry->accepted, 1);
	entry->last_ns = now_ns;
#if VOLUME
	remember(SOCKET_NUMBER(sk, now), &key, now_ns, place | OPEN, generation, COUNT_KEPT_FULL);
#endif
	if (!now->scan_done && !read_socket(sk, &key))
		remember_recent(sk, &key, READ(u16, sk + OFF_SKC_DPORT));
	return 0;
}

#if VOLUME
/* The states of a connection that is open, one bit each. */
#define CONNECTED (1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11)

static __always_inline u32 rtt_bucket(u32 rtt_us)
{
	u32 bucket = 0, rest = rtt_us >> 5;

	if (rest >= 1 << 8) {
		rest >>= 8;
		bucket += 8;
	}
	if (rest >= 1 << 4) {
		rest >>= 4;
		bucket += 4;
	}
	if (rest >= 1 << 2) {
		rest >>= 2;
		bucket += 2;
	}
	bucket += rest < 2 ? rest : 2;
	return bucket < RTT_BUCKETS ? bucket : RTT_BUCKETS - 1;
}

/* The volume beside the entry of a flow or accepted flow; NULL if there is no room for the entry, or in its share. */
static __always_inline struct volume *volume_of(struct pending *kept, u32 generation, u64 now_ns)
{
	u32 place = kept->entry & ~OPEN, pair = generation & 1, of_server = kept->key.cgroup >> 63;
	struct endpoints key;
	int beyond_share = 0;

	if (kept->generation != generation) {
		key = kept->key;
		if (of_server ? !accepted_entry(&key, pair, now_ns, &place, 0, &beyond_share) :
				!flow_entry(&key, pair, now_ns, &place, 0, 0, &beyond_share))
			return 0;
	}
	return of_server ? accepted_volumes.lookup(&place) : flow_volumes.lookup(&place);
}

static __always_inline void add_volume(struct volume *volume, u64 tcp, u64 open_ns, u32 reset)
{
	u64 received = READ(u64, tcp + OFF_BYTES_RECEIVED) - (READ(u64, tcp + OFF_SKC_FLAGS) >> FLAG_SOCK_DONE & 1);
	u32 rtt_us = READ(u32, tcp + OFF_SRTT) >> 3, retransmitted = READ(u32, tcp + OFF_TOTAL_RETRANS);
	u64 sent = READ(u64, tcp + OFF_BYTES_SENT);

	if (retransmitted) {
		sent -= READ(u64, tcp + OFF_BYTES_RETRANS);
		__sync_fetch_and_add(&volume->retransmitted, retransmitted);
	}
	if (sent)
		__sync_fetch_and_add(&volume->sent, sent);
	if (received)
		__sync_fetch_and_add(&volume->received, received);
	__sync_fetch_and_add(&volume->open_ns, open_ns);
	__sync_fetch_and_add(&volume->rtt_sum_us_and_resets, rtt_us | (u64)reset << RESETS_SHIFT);
	__sync_fetch_and_add(&volume->rtt[rtt_bucket(rtt_us)], 1);
	if (rtt_us > volume->rtt_max_us)
		volume->rtt_max_us = rtt_us;
}

/* For the agent, which knows what the connection had carried before. `kept` is NULL unless it was made in the window. */
static __always_inline void record_end(u64 sk, u64 tcp, u64 socket, struct pending *kept, u64 now_ns, u32 reset, u32 pair)
{
	u32 entry = take_entry(USED_ENDED + pair, ENDED), place = pair * ENDED + entry;
	struct ended *room = entry < ENDED ? ended.lookup(&place) : 0;
	struct endpoints key = {};

	if (!room) {
		count(COUNT_ENDED_FULL);
		return;
	}
	if (read_socket(sk, &key))
		return;
	room->socket = socket;
	room->cgroup = kept ? kept->key.cgroup : 0;
	room->start_ns = kept ? kept->start_ns : 0;
	room->at_ns = now_ns;
	room->sent = READ(u64, tcp + OFF_BYTES_SENT) - READ(u64, tcp + OFF_BYTES_RETRANS);
	room->received = READ(u64, tcp + OFF_BYTES_RECEIVED) - (READ(u64, tcp + OFF_SKC_FLAGS) >> FLAG_SOCK_DONE & 1);
	__builtin_memcpy(room->local, key.local, 16);
	__builtin_memcpy(room->remote, key.remote, 16);
	room->local_port = bpf_ntohs(READ(u16, tcp + OFF_INET_SPORT)); /* skc_num is 0 by now */
	room->remote_port_be = READ(u16, sk + OFF_SKC_DPORT);
	room->namespace = network_number(sk);
	room->rtt_us = READ(u32, tcp + OFF_SRTT) >> 3;
	room->retransmitted = READ(u32, tcp + OFF_TOTAL_RETRANS);
	room->reset = reset;
}

/* The end of a connection: a packet brings it, whose clock will do (a reset sets sk_err), or a program, or a timer. */
static __always_inline int end_of_connection(u64 sk, int old_state, struct control *now)
{
	int abrupt = old_state == STATE_ESTABLISHED || old_state == STATE_CLOSE_WAIT || old_state == STATE_FIN_WAIT1;
	u32 slot = 0, error = READ(u32, sk + OFF_SK_ERR), reset = abrupt || error ? 1 : 0;
	u64 now_ns = abrupt && !error ? bpf_ktime_get_ns() : PACKET_CLOCK(sk), tcp, socket;
	struct waiting *bucket;
	struct volume *volume;
	struct pending *kept;

	if (!now->lasting_ns || now_ns < now->from_ns)
		return 0;
#ifdef PERF_TRACEPOINT
	tcp = READ(PROTOCOL, sk + OFF_SK_PROTOCOL) == PROTOCOL_TCP ? sk : 0;
#else
	tcp = (u64)bpf_skc_to_tcp_sock((void *)sk);
#endif
	if (!tcp)
		return 0;
	socket = SOCKET_NUMBER(sk, now);
	bucket = find_pending(socket, &slot);
	if (!bucket) {
		record_end(sk, tcp, socket, 0, now_ns, reset, now->generation & 1);
		return 0;
	}
	kept = &bucket->attempt[slot];
	volume = now_ns - now->from_ns < now->lasting_ns ? volume_of(kept, now->generation, now_ns) : 0;
	if (volume)
		add_volume(volume, tcp, now_ns - kept->start_ns, reset);
	else
		record_end(sk, tcp, socket, kept, now_ns, reset, now->generation & 1);
	__sync_val_compare_and_swap(&bucket->socket[slot], socket, 0);
	return 0;
}
#endif

#ifdef BLIND
/*
 * For tests only: a program that misses every BLIND-th run in one network namespace, and keeps how many of each kind; of
 * the ends of connections, which are counted apart, every BLIND-th, too.
 */
BPF_F_TABLE("array", u32, struct network, blinded, 1, MAPPABLE);
BPF_F_TABLE("array", u32, u64, blind_runs, 2, 0);

static __always_inline int is_blind(u64 sk, int old_state, int new_state)
{
	u32 zero = 0, opens = new_state == STATE_SYN_SENT || old_state == STATE_SYN_SENT || old_state == STATE_SYN_RECV;
	u32 ends = !opens && new_state == STATE_CLOSE;
	u64 *runs = blind_runs.lookup(&ends);
	struct network *missed = blinded.lookup(&zero);

	if ((!opens && !ends) || network_number(sk) != BLIND_NETWORK)
		return 0;
	if (!runs || !missed || __sync_fetch_and_add(runs, 1) % BLIND != BLIND - 1)
		return 0;
	if (new_state == STATE_SYN_SENT)
		__sync_fetch_and_add(&missed->opens, 1);
	else if (old_state == STATE_SYN_RECV && new_state == STATE_ESTABLISHED)
		__sync_fetch_and_add(&missed->accepted, 1);
	else if (opens && new_state == STATE_CLOSE && READ(u32, sk + OFF_SK_ERR))
		__sync_fetch_and_add(&missed->failed, 1);
	return 1;
}
#endif

static __always_inline int transition(u64 sk, int old_state, int new_state)
{
	struct waiting *bucket;
	struct control *now;
	u32 zero = 0, slot = 0;
	u64 socket;

#ifdef BLIND
	if (is_blind(sk, old_state, new_state))
		return 0;
#endif
#if VOLUME
	if (new_state == STATE_CLOSE && CONNECTED >> (old_state & 31) & 1) {
		now = control.lookup(&zero);
		return now ? end_of_connection(sk, old_state, now) : 0;
	}
#endif
	if (new_state != STATE_SYN_SENT && old_state != STATE_SYN_SENT && old_state != STATE_SYN_RECV)
		return 0;
	if (new_state == STATE_SYN_SENT || (old_state == STATE_SYN_SENT && new_state == STATE_CLOSE))
		count_connect(sk, new_state);
	now = control.lookup(&zero);
	if (!now)
		return 0;
	if (new_state == STATE_SYN_SENT)
		return attempt(sk, now);
	if (new_state != STATE_ESTABLISHED && new_state != STATE_CLOSE)
		return 0;
	/*
	 * A simultaneous open ends an attempt from SYN_RECV, and has a struct socket. So may a listener's connection by now
	 * (Fast Open, a subflow of MPTCP): it has no attempt, but perhaps an entry of an older connection at its address.
	 */
	if (old_state != STATE_SYN_RECV || READ(u64, sk + OFF_SK_SOCKET)) {
		socket = SOCKET_NUMBER(sk, now);
		bucket = find_pending(socket, &slot);
		if (bucket && !(old_state == STATE_SYN_RECV && bucket->attempt[slot].entry & OPEN)) {
			outcome(sk, new_state, &bucket->attempt[slot], now);
			if (!VOLUME || new_state != STATE_ESTABLISHED)
				__sync_val_compare_and_swap(&bucket->socket[slot], socket, 0);
			return 0;
		}
	}
	if (old_state == STATE_SYN_RECV) {
		if (new_state != STATE_ESTABLISHED)
			return 0;
		count_accepted(sk);
		return accept_end(sk, now);
	}
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
