/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Records that node_agent/privileged/bpf_structs.py mirrors. Fixed widths, explicit padding,
 * IPv4 and IPv6 in one struct: an IPv4 address is stored as ::ffff:a.b.c.d, so that an IPv4-mapped IPv6 socket and an
 * IPv4 socket of the same endpoints are one flow. `_be` fields are in network byte order.
 */
#ifndef PODSONAR_TCP_CONNECT_H
#define PODSONAR_TCP_CONNECT_H

#define NAME_LEVELS 8
#define NAME_BYTES 96
#define BUCKET_REFS 16
#define BUCKET_OWNERS 8 /* one cache line */

/*
 * Key of a flow. For an attempt: the connecting task's cgroup, source and destination address, destination port. For an
 * accepted connection: the listener's cgroup, local and remote address, local port. All are whole words: a word written
 * in parts and read as one makes the processor wait for all stores before it.
 */
struct endpoints {
	u64 cgroup;
	u64 local[2];	/* in network byte order, as all of its 16 bytes */
	u64 remote[2];
	u64 port_be;	/* in its first two bytes */
};

/* All attempts of one cgroup from one address to one address and port. */
struct flow {
	struct endpoints key;
	u64 attempts;
	u64 last_ns; /* ends the cache line that an attempt touches */
	u64 established;
	u64 failed;
	u64 handshake_sum_ns;
	u64 handshake_max_ns;
	u64 first_ns;
	u32 last_errno;
	u32 pad0;
	u64 pad1[2];
};

/* All connections that one listener's cgroup accepted at one address and port from one remote address. */
struct accepted {
	struct endpoints key;
	u64 accepted;
	u64 last_ns; /* ends the cache line that a connection touches */
	u64 first_ns;
	u64 pad[7]; /* avoids cache lines shared by two entries */
};

/* Numbers (from 1) of entries whose keys share a hash; 0 ends the list. */
struct bucket {
	u64 refs[BUCKET_REFS];
};

/* Cgroups with the same hash; 0 is free. */
struct owners {
	u64 owner[BUCKET_OWNERS];
};

/* An attempt between SYN_SENT and its outcome. */
struct pending {
	struct endpoints key;
	u64 start_ns;
	u32 entry;	/* of its flow, while `generation` is current */
	u32 generation;
};

/* Attempts of sockets with the same hash; a slot with socket 0 is free. */
struct waiting {
	u64 socket[BUCKET_OWNERS];
	struct pending attempt[BUCKET_OWNERS];
};

/* A connection established while the agent scanned those already open. */
struct recent {
	u8 local[16];
	u8 remote[16];
	u16 local_port;
	u16 remote_port_be;
	u32 namespace;	/* inode of the network namespace: two of them may have the same addresses */
};

/* Names of a cgroup and its ancestors, leaf first; an empty name ends the list. */
struct cgroup_names {
	u64 cgroup;
	char names[NAME_LEVELS * NAME_BYTES];
};

/* A TCP socket that a process holds: what an iterator reports of it. A server's end keeps its listener's backlog. */
struct open_socket {
	u64 inode;	/* of the socket on its node: one socket, however many files and processes hold it */
	u64 cgroup;	/* of the process, numbered as an attempt's */
	u8 local[16];
	u8 remote[16];
	u64 bytes_acked; /* SYN and FIN count as one byte each */
	u64 bytes_sent;	/* payload, with what was sent again */
	u64 bytes_retransmitted;
	u64 bytes_received; /* FIN counts as one byte */
	u32 namespace;	/* inode of the network namespace */
	u32 process;
	u32 backlog;	/* of the listener; 0 at a client's end */
	u32 in_flight;	/* bytes sent and not acknowledged */
	u32 srtt_us;
	u32 retransmitted; /* segments */
	u16 local_port;
	u16 remote_port_be;
	u32 state;
};

struct control {
	u64 from_ns;	/* attempts and accepted connections count in [from_ns, from_ns + lasting_ns) */
	u64 lasting_ns;
	u32 generation; /* counts swaps; the lowest bit says which pair of tables counts now */
	u32 scan_done;	/* 0 until the agent has scanned the connections that were already open */
};

/* Number of entries allocated in a table; may exceed its size after it was full. One cache line each. */
struct used {
	u64 entries;
	u64 pad[7];
};

enum {
	USED_FLOWS,	/* of the first pair; + 1: of the second */
	USED_ACCEPTED = 2,
	USED_RECENT = 4,
	USED_NAMES,
	USED_TABLES
};

/* Indices of the counters. */
enum {
	COUNT_FLOWS_FULL,	/* attempts not counted: no room for their flow */
	COUNT_PENDING_FULL,	/* attempts whose outcome will not be known */
	COUNT_OUTCOME_UNMATCHED, /* outcomes of attempts made before the program was attached */
	COUNT_OUTCOME_FULL,	/* outcomes not counted: no room for their flow */
	COUNT_ACCEPTED_FULL,	/* accepted connections not counted */
	COUNT_NAMES_FULL,	/* cgroups whose names found no room */
	COUNT_RECENT_FULL,	/* connections that cannot be distinguished from those already open */
	COUNT_UNREADABLE,	/* sockets that could not be read */
	COUNTERS
};

#endif
