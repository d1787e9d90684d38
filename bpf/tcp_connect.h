/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Records that the kernel side and its Python twin (node_agent/layout.py) share. Fixed widths, explicit padding,
 * IPv4 and IPv6 in one struct: an IPv4 address stands as ::ffff:a.b.c.d, so that an IPv4-mapped IPv6 socket and an
 * IPv4 socket of the same endpoints are one flow. `_be` fields are in network byte order.
 */
#ifndef PODSONAR_TCP_CONNECT_H
#define PODSONAR_TCP_CONNECT_H

#define NAME_LEVELS 8
#define NAME_BYTES 96

/* All attempts of one cgroup from one address to one address and port. */
struct flow_key {
	u64 cgroup;
	u8 saddr[16];
	u8 daddr[16];
	u16 dport_be;
	u16 pad0;
	u32 pad1;
};

struct flow {
	u64 attempts;
	u64 established;
	u64 failed;
	u64 first_ns;
	u64 last_ns;
	u64 handshake_sum_ns;
	u64 handshake_max_ns;
	u32 last_errno;
	u32 pad0;
};

/* All connections that one listener's cgroup accepted at one address and port from one remote address. */
struct accepted_key {
	u64 cgroup;
	u8 local[16];
	u8 remote[16];
	u16 port;
	u16 pad0;
	u32 pad1;
};

struct accepted {
	u64 accepted;
	u64 first_ns;
	u64 last_ns;
};

/* An attempt between SYN_SENT and its outcome. */
struct pending {
	struct flow_key key;
	u64 start_ns;
};

/* A connection that came up while the agent was looking at those already open. */
struct recent_key {
	u8 saddr[16];
	u8 daddr[16];
	u16 sport;
	u16 dport_be;
	u32 pad0;
};

/* Names of a cgroup and its ancestors, leaf first; an empty name ends the list. */
struct cgroup_names {
	char names[NAME_LEVELS * NAME_BYTES];
};

struct control {
	u32 active; /* which of the two map pairs counts now */
	u32 looked; /* 0 until the agent has looked at the connections that were already open */
};

/* Indices of the per-CPU counters. */
enum {
	COUNT_FLOWS_FULL,	/* attempts not counted: no room for their flow */
	COUNT_PENDING_FULL,	/* attempts whose outcome will not be known */
	COUNT_OUTCOME_UNMATCHED, /* outcomes of attempts made before the program was attached */
	COUNT_OUTCOME_FULL,	/* outcomes not counted: no room for their flow */
	COUNT_ACCEPTED_FULL,	/* accepted connections not counted */
	COUNT_NAMES_FULL,	/* cgroups whose names found no room */
	COUNT_RECENT_FULL,	/* connections not told apart from those already open */
	COUNT_UNREADABLE,	/* sockets that could not be read */
	COUNTERS
};

#endif
