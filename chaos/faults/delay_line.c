// SPDX-License-Identifier: GPL-2.0
/*
 * Leads packets of one pod through a TAP, whose reader holds each for a while and writes it back; until a time.
 *
 *   pod → its veth on the node → from_pod → TAP → the reader → TAP → from_tap → the veth again, as if they came now
 *
 * TCX links (kernel 6.6) at the ingress of the veth, and at the TAP; one process holds them and the TAP: with it all is
 * gone. `until_ns` ends it even if that process hangs: packets then pass as before. Only packets whose socket is in the
 * pod's cgroup are led away, whatever interface this was attached to; one without a socket passes at once. Cost: a
 * packet of this veth that is not meant ≈ 0.1 µs; of other interfaces 0.
 */
#include "network_rule.h"

#define TCX_NEXT (-1)
#define TCX_DROP 2
#define ETHERNET_BYTES 14
#define MOST_LEVELS 16          /* of cgroups: a pod's is the third to sixth, in a node that is a container a few deeper */
#define MARK 0x706f6473         /* on this node's own side of the veth a packet has none: it lost it with its namespace */

/* Mirrored by chaos/faults/delay_line.py. */
struct line {
	struct rule rule;
	__u64 cgroup;           /* of the pod: the inode of its version 2 folder */
	__u32 tap;
	__u32 veth;
};

/* The holder inserts the only entry and reads its counters; the programs count. */
BPF_TABLE("array", __u32, struct line, lines, 1);

static __always_inline struct line *line_now(void)
{
	__u32 zero = 0;

	return lines.lookup(&zero);
}

static __always_inline int is_of_cgroup(struct __sk_buff *skb, __u64 cgroup)
{
	for (int level = 1; level <= MOST_LEVELS; level++) {
		__u64 found = bpf_skb_ancestor_cgroup_id(skb, level);

		if (!found)
			return 0;
		if (found == cgroup)
			return 1;
	}
	return 0;
}

/* TCX ingress of the veth, before every other program there. */
int from_pod(struct __sk_buff *skb)
{
	struct line *line = line_now();
	struct ends ends = {};

	if (!line)
		return TCX_NEXT;
	if (skb->mark == MARK) {        /* it comes back */
		skb->mark = 0;
		return TCX_NEXT;
	}
	if (bpf_ktime_get_ns() >= line->rule.until_ns || !read_ends(skb, ETHERNET_BYTES, 1, &ends))
		return TCX_NEXT;
	if (line->rule.protocol && ends.protocol != line->rule.protocol)
		return TCX_NEXT;
	if (!is_meant(&line->rule, ends.remote, ends.remote_port, ends.local_port))
		return TCX_NEXT;
	__sync_fetch_and_add(&line->rule.seen, 1);
	if (!is_of_cgroup(skb, line->cgroup))
		return TCX_NEXT;
	__sync_fetch_and_add(&line->rule.hit, 1);
	skb->mark = MARK;
	return bpf_redirect(line->tap, 0);
}

/* TCX egress of the TAP: what the node itself sends there (IPv6, DHCP of a network manager) is nobody's. */
int to_tap(struct __sk_buff *skb)
{
	return skb->mark == MARK ? TCX_NEXT : TCX_DROP;
}

/* TCX ingress of the TAP: what its reader writes. */
int from_tap(struct __sk_buff *skb)
{
	struct line *line = line_now();

	if (!line)
		return TCX_DROP;
	skb->mark = MARK;
	return bpf_redirect(line->veth, BPF_F_INGRESS);
}
