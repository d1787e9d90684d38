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
#define RTT_BUCKETS 16
#define RESETS_SHIFT 40
#define NETWORK_SHARDS 2 /* entries per network namespace: CPUs share less */

/* First ports of the ranges by which what is beyond a share is summed (RFC 6335, 6). */
#define SYSTEM_PORTS 0
#define USER_PORTS 1024
#define DYNAMIC_PORTS 49152

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

/*
 * An attempt between SYN_SENT and its outcome; with VOLUME also a connection of either end until it ends, which OPEN in
 * `entry` marks. The key of an accepted one has OF_SOCKET.
 */
struct pending {
	struct endpoints key;
	u64 start_ns;	/* of the attempt; of an open connection when it was established */
	u32 entry;	/* of its flow, while `generation` is current */
	u32 generation;
};

/* What the connections of one flow or accepted flow carried that ended in the window; parallel to its table. */
struct volume {
	u64 sent;	/* payload bytes, each once however often it was sent */
	u64 received;
	u64 retransmitted; /* segments */
	u64 open_ns;	/* how long they were open, all together */
	/*
	 * One atomic for two sums: of the last smoothed round-trip time of each, and, from RESETS_SHIFT on, of those that
	 * ended otherwise than by a FIN of either side.
	 */
	u64 rtt_sum_us_and_resets;
	u32 rtt_max_us;
	u32 pad0;
	u64 pad1[2];
	u32 rtt[RTT_BUCKETS]; /* connections by round-trip time: below 32 us, then doubling, the last without an end */
};

/* The end of a connection that cannot be added to a flow here: open before the window, or after the window's end. */
struct ended {
	u64 socket;
	u64 cgroup;	/* of its flow; 0 if it was not seen being made in the window */
	u64 start_ns;	/* 0 likewise */
	u64 at_ns;
	u64 sent;
	u64 received;
	u8 local[16];	/* this and the next four: as in struct open_socket and struct recent */
	u8 remote[16];
	u16 local_port;
	u16 remote_port_be;
	u32 namespace;
	u32 rtt_us;
	u32 retransmitted;
	u32 reset;
	u32 pad;
};

/* Attempts of sockets with the same hash, by a number that stands for the socket's address; 0 is a free slot. */
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
	u32 namespace;	/* number of the network namespace: two of them may have the same addresses */
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
	u64 socket;	/* as in struct waiting and struct ended of the same program */
	u64 bytes_acked; /* SYN and FIN count as one byte each */
	u64 bytes_sent;	/* payload, with what was sent again */
	u64 bytes_retransmitted;
	u64 bytes_received; /* payload */
	u8 local[16];	/* this and the next four name the connection on the node */
	u8 remote[16];
	u16 local_port;
	u16 remote_port_be;
	u32 namespace;	/* number of the network namespace */
	u32 process;
	u32 backlog;	/* of the listener; 0 at a client's end */
	u32 in_flight;	/* bytes sent and not acknowledged */
	u32 srtt_us;
	u32 retransmitted; /* segments */
	u32 state;
};

/* A thread of the node, where it is and whose it is: what an iterator reports of it. */
struct task_row {
	u64 cgroup;	/* numbered as an attempt's */
	u32 task;
	u32 namespace;	/* number of its network namespace */
};

/*
 * What was counted in one network namespace since the program was attached, whatever the window, as the kernel counts it
 * in its own statistics (RFC 4022): connects that sent a SYN, connections that a listener took, connects that failed.
 */
struct network {
	u64 opens;
	u64 unsent;	/* of the opens: ended before their SYN was sent */
	u64 accepted;
	u64 failed;
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
	USED_ENDED,	/* of the first pair; + 1: of the second */
	USED_TABLES = USED_ENDED + 2
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
	COUNT_KEPT_FULL,	/* accepted connections whose end will not be matched */
	COUNT_ENDED_FULL,	/* ends of connections that found no room */
	COUNT_NETWORKS_FULL,	/* runs in network namespaces that found no room */
	COUNT_END_UNSEEN,	/* connections whose socket was another one's before their outcome or end was seen */
	COUNTERS
};

#endif
