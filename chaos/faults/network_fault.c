// SPDX-License-Identifier: GPL-2.0
/*
 * Drops a share of a cgroup's packets, or refuses its connects, until a time. Attached by a link that one process
 * holds: with the process the fault is gone. `until_ns` ends it even if that process hangs.
 *
 * Addresses are IPv6; an IPv4 address is its mapped one (::ffff:a.b.c.d). A packet is hit if its remote address is in
 * one of the networks (or there are none), and its ports are in the lists that are not empty. If there are names, only
 * answers of DNS over UDP are hit whose first question is one of them: the name as it was asked, in any case.
 */
#include <uapi/linux/bpf.h>
#include <uapi/linux/in.h>

#define MAX_NETWORKS 16
#define MAX_PORTS 16
#define MAX_NAMES 8
#define NAME_BYTES 128
#define QUESTION_AT 20          /* from the beginning of UDP: its header and that of DNS (RFC 1035, 4.1.1) */
#define ANY_CASE 0x2020202020202020ULL
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

BPF_TABLE("array", __u32, struct rule, rules, 1);

static int (*set_retval)(int) = (void *)187;    /* bpf_set_retval, 5.18 */

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

/* Whether the question at an offset is that name; the zero at its end is compared as it is. */
static __always_inline int is_name(const struct name *name, struct __sk_buff *skb, __u32 at)
{
	__u64 asked[NAME_BYTES / 8] = {};
	__u32 zero_at = (name->length - 1) & (NAME_BYTES - 1);
	__u8 last;

	if (!name->length)
		return 0;
	asm volatile("" : "+r"(zero_at));       /* what the verifier knows of its bounds is kept */
	if (bpf_skb_load_bytes(skb, at + zero_at, &last, 1) < 0 || last)
		return 0;
	if (bpf_skb_load_bytes(skb, at, asked, zero_at + 1) < 0)
		return 0;
#pragma unroll
	for (int i = 0; i < NAME_BYTES / 8; i++) {
		if ((asked[i] | ANY_CASE) != name->text[i])
			return 0;
	}
	return 1;
}

static __always_inline int asks_for_name(const struct rule *rule, struct __sk_buff *skb, __u32 at)
{
#pragma unroll
	for (int i = 0; i < MAX_NAMES; i++) {
		if (is_name(&rule->name[i], skb, at))
			return 1;
	}
	return 0;
}

static __always_inline struct rule *rule_now(void)
{
	__u32 zero = 0;
	struct rule *rule = rules.lookup(&zero);

	return rule && bpf_ktime_get_ns() < rule->until_ns ? rule : 0;
}

/* cgroup_skb: 1 lets the packet pass, 0 drops it. */
int packet(struct __sk_buff *skb)
{
	struct rule *rule = rule_now();
	__be32 remote[4] = {0, 0, bpf_htonl(0xffff), 0};
	__u32 offset, at;
	__u8 protocol, first;
	__be16 ports[2] = {0, 0};       /* of the packet: source, destination */

	if (!rule)
		return 1;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 0, &first, 1) < 0 || bpf_skb_load_bytes(skb, 9, &protocol, 1) < 0)
			return 1;
		at = rule->egress ? 16 : 12;
		if (bpf_skb_load_bytes(skb, at, &remote[3], 4) < 0)
			return 1;
		offset = (first & 15) * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, 6, &protocol, 1) < 0)
			return 1;
		at = rule->egress ? 24 : 8;
		if (bpf_skb_load_bytes(skb, at, remote, 16) < 0)
			return 1;
		offset = 40;    /* extension headers: the ports then match no list */
	} else {
		return 1;
	}
	if (rule->protocol && protocol != rule->protocol)
		return 1;
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
		if (bpf_skb_load_bytes(skb, offset, ports, 4) < 0)
			return 1;
	}
	if (!is_meant(rule, remote, bpf_ntohs(rule->egress ? ports[1] : ports[0]),
		      bpf_ntohs(rule->egress ? ports[0] : ports[1])))
		return 1;
	if (rule->names && !(protocol == IPPROTO_UDP && asks_for_name(rule, skb, offset + QUESTION_AT)))
		return 1;
	__sync_fetch_and_add(&rule->seen, 1);
	if (bpf_get_prandom_u32() % 10000 >= rule->per_10000)
		return 1;
	__sync_fetch_and_add(&rule->hit, 1);
	return 0;
}

static __always_inline int refuse(struct rule *rule, const __be32 *remote, __u16 port)
{
	if (!is_meant(rule, remote, port, 0))
		return 1;
	__sync_fetch_and_add(&rule->seen, 1);
	__sync_fetch_and_add(&rule->hit, 1);
	set_retval(-(int)rule->error);
	return 0;
}

int connect4(struct bpf_sock_addr *context)
{
	struct rule *rule = rule_now();
	__be32 remote[4] = {0, 0, bpf_htonl(0xffff), 0};

	if (!rule)
		return 1;
	remote[3] = context->user_ip4;
	return refuse(rule, remote, bpf_ntohs(context->user_port));
}

int connect6(struct bpf_sock_addr *context)
{
	struct rule *rule = rule_now();
	__be32 remote[4];

	if (!rule)
		return 1;
	remote[0] = context->user_ip6[0];
	remote[1] = context->user_ip6[1];
	remote[2] = context->user_ip6[2];
	remote[3] = context->user_ip6[3];
	return refuse(rule, remote, bpf_ntohs(context->user_port));
}
