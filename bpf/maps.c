// SPDX-License-Identifier: GPL-2.0
/* Constants and tables of the program, and how an entry of a table is taken. */

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
