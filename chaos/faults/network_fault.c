// SPDX-License-Identifier: GPL-2.0
/*
 * Drops a share of a cgroup's packets, or refuses its connects, until a time. Attached by a link that one process
 * holds: with the process the fault is gone. `until_ns` ends it even if that process hangs.
 *
 * Which packets are meant is in network_rule.h. If there are names, only answers of DNS over UDP are hit whose first
 * question is one of them: the name as it was asked, in any case.
 */
#include "network_rule.h"

#define QUESTION_AT 20          /* from the beginning of UDP: its header and that of DNS (RFC 1035, 4.1.1) */
#define ANY_CASE 0x2020202020202020ULL

BPF_TABLE("array", __u32, struct rule, rules, 1);

static int (*set_retval)(int) = (void *)187;    /* bpf_set_retval, 5.18 */

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
	struct ends ends = {};

	if (!rule || !read_ends(skb, 0, rule->egress, &ends))
		return 1;
	if (rule->protocol && ends.protocol != rule->protocol)
		return 1;
	if (!is_meant(rule, ends.remote, ends.remote_port, ends.local_port))
		return 1;
	if (rule->names && !(ends.protocol == IPPROTO_UDP && asks_for_name(rule, skb, ends.payload + QUESTION_AT)))
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
