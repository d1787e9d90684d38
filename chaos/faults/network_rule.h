/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which packets a network fault is about: the rule, and how a packet is read. For network_fault.c and delay_line.c.
 *
 * Addresses are IPv6; an IPv4 address is its mapped one (::ffff:a.b.c.d). A packet is meant if its remote address is in
 * one of the networks (or there are none), and its ports are in the lists that are not empty.
 */
#ifndef PODSONAR_NETWORK_RULE_H
#define PODSONAR_NETWORK_RULE_H

#include <uapi/linux/bpf.h>
#include <uapi/linux/in.h>

#define MAX_NETWORKS 16
#define MAX_PORTS 16
#define MAX_NAMES 8
#define NAME_BYTES 128
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD

struct network {
	__be32 address[4];
	__be32 mask[4];
};

/* A name as it is asked (RFC 1035, 3.1), each byte with bit 0x20 set: so letters of both cases are the same. */
struct name {
	__u32 length;           /* with the zero at its end */
	__u32 reserved;
	__u64 text[NAME_BYTES / 8];
};

/* Mirrored by chaos/faults/network_rule.py. */
struct rule {
	__u64 until_ns;
	__u64 seen;
	__u64 hit;
	__u32 per_10000;
	__u32 error;            /* errno of a refused connect */
	__u32 egress;
	__u32 protocol;         /* IPPROTO_*; 0 for any */
	__u32 networks;         /* how many places of each list are used */
	__u32 remote_ports;
	__u32 local_ports;
	__u32 names;
	struct network network[MAX_NETWORKS];
	struct network exempt[MAX_NETWORKS];
	__u16 remote_port[MAX_PORTS];
	__u16 local_port[MAX_PORTS];
	__u16 exempt_port[MAX_PORTS];
	struct name name[MAX_NAMES];
};

/* Unused places hold `::` with a whole mask, which is no peer's address: the loop's bound is a constant. */
static __always_inline int in_networks(const struct network *list, const __be32 *address)
{
	for (int i = 0; i < MAX_NETWORKS; i++) {
		const struct network *one = &list[i];

		if ((address[0] & one->mask[0]) == one->address[0] && (address[1] & one->mask[1]) == one->address[1] &&
		    (address[2] & one->mask[2]) == one->address[2] && (address[3] & one->mask[3]) == one->address[3])
			return 1;
	}
	return 0;
}

/* Unused places hold 0, and so has what has no ports. */
static __always_inline int in_ports(const __u16 *list, __u16 port)
{
	for (int i = 0; i < MAX_PORTS; i++) {
		if (port && list[i] == port)
			return 1;
	}
	return 0;
}

static __always_inline int is_meant(const struct rule *rule, const __be32 *remote, __u16 remote_port, __u16 local_port)
{
	if (in_ports(rule->exempt_port, remote_port) ||
	    in_ports(rule->exempt_port, local_port) ||
	    in_networks(rule->exempt, remote))
		return 0;
	if (rule->networks && !in_networks(rule->network, remote))
		return 0;
	if (rule->remote_ports && !in_ports(rule->remote_port, remote_port))
		return 0;
	return !rule->local_ports || in_ports(rule->local_port, local_port);
}

/* The two ends of a packet as its rule sees them: the pod's is the local one. */
struct ends {
	__be32 remote[4];
	__u16 remote_port;
	__u16 local_port;
	__u32 protocol;
	__u32 payload;          /* where the header of TCP or UDP begins */
};

/* Whether a packet is IP and could be read; `base` is where its IP header begins. */
static __always_inline int read_ends(struct __sk_buff *skb, __u32 base, int egress, struct ends *ends)
{
	__u8 protocol, first;
	__be16 ports[2] = {0, 0};       /* of the packet: source, destination */

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, base, &first, 1) < 0 || bpf_skb_load_bytes(skb, base + 9, &protocol, 1) < 0)
			return 0;
		ends->remote[2] = bpf_htonl(0xffff);
		if (bpf_skb_load_bytes(skb, base + (egress ? 16 : 12), &ends->remote[3], 4) < 0)
			return 0;
		ends->payload = base + (first & 15) * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, base + 6, &protocol, 1) < 0)
			return 0;
		if (bpf_skb_load_bytes(skb, base + (egress ? 24 : 8), ends->remote, 16) < 0)
			return 0;
		ends->payload = base + 40;      /* extension headers: the ports then match no list */
	} else {
		return 0;
	}
	ends->protocol = protocol;
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
		if (bpf_skb_load_bytes(skb, ends->payload, ports, 4) < 0)
			return 0;
	}
	ends->remote_port = bpf_ntohs(egress ? ports[1] : ports[0]);
	ends->local_port = bpf_ntohs(egress ? ports[0] : ports[1]);
	return 1;
}

#endif
