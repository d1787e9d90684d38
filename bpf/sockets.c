// SPDX-License-Identifier: GPL-2.0
/* What is read of a socket: how a field of the kernel is loaded, the clock, addresses and ports, and the socket's number. */

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
#define TCP_SOCKET(socket) (READ(PROTOCOL, (socket) + OFF_SK_PROTOCOL) == PROTOCOL_TCP ? (socket) : 0)
#define CLOCK_OF(tcp) bpf_ktime_get_ns()
#define PACKET_CLOCK(socket) bpf_ktime_get_ns()
#else
#define READ(type, address) (*(type *)(address))
#define NUMBER(socket, fixed) ((socket) - (u64)(fixed))
#define TCP_SOCKET(socket) ((u64)bpf_skc_to_tcp_sock((void *)(socket)))
/* When TCP started on the current packet (tcp_mstamp_refresh()): less than half the cost of bpf_ktime_get_ns(). */
#define CLOCK_OF(tcp) READ(u64, (tcp) + OFF_TCP_CLOCK)
#define PACKET_CLOCK(socket) packet_clock(socket)
#endif

#ifndef PERF_TRACEPOINT
static __always_inline u64 packet_clock(u64 sk)
{
	u64 tcp = TCP_SOCKET(sk);

	return tcp ? CLOCK_OF(tcp) : bpf_ktime_get_ns();
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
