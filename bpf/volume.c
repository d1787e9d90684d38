// SPDX-License-Identifier: GPL-2.0
/* What a connection has carried, recorded when it ends (-DVOLUME=1). */

#if VOLUME
/* The states of a connection that is open, one bit each. */
#define CONNECTED (1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11)

static __always_inline u32 rtt_bucket(u32 rtt_us)
{
	u32 bucket = 0, rest = rtt_us >> 5;

	if (rest >= 1 << 8) {
		rest >>= 8;
		bucket += 8;
	}
	if (rest >= 1 << 4) {
		rest >>= 4;
		bucket += 4;
	}
	if (rest >= 1 << 2) {
		rest >>= 2;
		bucket += 2;
	}
	bucket += rest < 2 ? rest : 2;
	return bucket < RTT_BUCKETS ? bucket : RTT_BUCKETS - 1;
}

/* The volume beside the entry of a flow or accepted flow; NULL if there is no room for the entry, or in its share. */
static __always_inline struct volume *volume_of(struct pending *kept, u32 generation, u64 now_ns)
{
	u32 place = kept->entry & ~OPEN, pair = generation & 1, of_server = kept->key.cgroup >> 63;
	struct endpoints key;
	int beyond_share = 0;

	if (kept->generation != generation) {
		key = kept->key;
		if (of_server ? !accepted_entry(&key, pair, now_ns, &place, 0, &beyond_share) :
				!flow_entry(&key, pair, now_ns, &place, 0, 0, &beyond_share))
			return 0;
	}
	return of_server ? accepted_volumes.lookup(&place) : flow_volumes.lookup(&place);
}

static __always_inline void add_volume(struct volume *volume, u64 tcp, u64 open_ns, u32 reset)
{
	u64 received = READ(u64, tcp + OFF_BYTES_RECEIVED) - (READ(u64, tcp + OFF_SKC_FLAGS) >> FLAG_SOCK_DONE & 1);
	u32 rtt_us = READ(u32, tcp + OFF_SRTT) >> 3, retransmitted = READ(u32, tcp + OFF_TOTAL_RETRANS);
	u64 sent = READ(u64, tcp + OFF_BYTES_SENT);

	if (retransmitted) {
		sent -= READ(u64, tcp + OFF_BYTES_RETRANS);
		__sync_fetch_and_add(&volume->retransmitted, retransmitted);
	}
	if (sent)
		__sync_fetch_and_add(&volume->sent, sent);
	if (received)
		__sync_fetch_and_add(&volume->received, received);
	__sync_fetch_and_add(&volume->open_ns, open_ns);
	__sync_fetch_and_add(&volume->rtt_sum_us_and_resets, rtt_us | (u64)reset << RESETS_SHIFT);
	__sync_fetch_and_add(&volume->rtt[rtt_bucket(rtt_us)], 1);
	if (rtt_us > volume->rtt_max_us)
		volume->rtt_max_us = rtt_us;
}

/* For the agent, which knows what the connection had carried before. `kept` is NULL unless it was made in the window. */
static __always_inline void record_end(u64 sk, u64 tcp, u64 socket, struct pending *kept, u64 now_ns, u32 reset, u32 pair)
{
	u32 entry = take_entry(USED_ENDED + pair, ENDED), place = pair * ENDED + entry;
	struct ended *room = entry < ENDED ? ended.lookup(&place) : 0;
	struct endpoints key = {};

	if (!room) {
		count(COUNT_ENDED_FULL);
		return;
	}
	if (read_socket(sk, &key))
		return;
	room->socket = socket;
	room->cgroup = kept ? kept->key.cgroup : 0;
	room->start_ns = kept ? kept->start_ns : 0;
	room->at_ns = now_ns;
	room->sent = READ(u64, tcp + OFF_BYTES_SENT) - READ(u64, tcp + OFF_BYTES_RETRANS);
	room->received = READ(u64, tcp + OFF_BYTES_RECEIVED) - (READ(u64, tcp + OFF_SKC_FLAGS) >> FLAG_SOCK_DONE & 1);
	__builtin_memcpy(room->local, key.local, 16);
	__builtin_memcpy(room->remote, key.remote, 16);
	room->local_port = bpf_ntohs(READ(u16, tcp + OFF_INET_SPORT)); /* skc_num is 0 by now */
	room->remote_port_be = READ(u16, sk + OFF_SKC_DPORT);
	room->namespace = network_number(sk);
	room->rtt_us = READ(u32, tcp + OFF_SRTT) >> 3;
	room->retransmitted = READ(u32, tcp + OFF_TOTAL_RETRANS);
	room->reset = reset;
}

/* The end of a connection: a packet brings it, whose clock will do (a reset sets sk_err), or a program, or a timer. */
static __always_inline int end_of_connection(u64 sk, int old_state, struct control *now)
{
	int abrupt = old_state == STATE_ESTABLISHED || old_state == STATE_CLOSE_WAIT || old_state == STATE_FIN_WAIT1;
	u32 slot = 0, error = READ(u32, sk + OFF_SK_ERR), reset = abrupt || error ? 1 : 0;
	u64 tcp = TCP_SOCKET(sk), now_ns, socket;
	struct pending *kept = 0;
	struct volume *volume = 0;
	struct waiting *bucket;

	if (!tcp || !now->lasting_ns)
		return 0;
	now_ns = abrupt && !error ? bpf_ktime_get_ns() : CLOCK_OF(tcp);
	if (now_ns < now->from_ns)
		return 0;
	socket = SOCKET_NUMBER(sk, now);
	bucket = find_pending(socket, &slot);
	if (bucket) {
		kept = &bucket->attempt[slot];
		if (now_ns - now->from_ns < now->lasting_ns)
			volume = volume_of(kept, now->generation, now_ns);
	}
	if (volume)
		add_volume(volume, tcp, now_ns - kept->start_ns, reset);
	else
		record_end(sk, tcp, socket, kept, now_ns, reset, now->generation & 1);
	if (bucket)
		free_pending(bucket, slot, socket);
	return 0;
}
#endif
