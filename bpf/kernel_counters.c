// SPDX-License-Identifier: GPL-2.0
/* What the kernel counts beside the program, per network namespace: the third witness of a window. */

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
	u64 tcp = TCP_SOCKET(sk);

	return tcp ? READ(u32, tcp + OFF_SEGS_OUT) : 1;
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
