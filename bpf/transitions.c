// SPDX-License-Identifier: GPL-2.0
/* What a transition records: an attempt, its outcome, an accepted connection. */

static __always_inline int attempt(u64 sk, struct control *now)
{
	u64 now_ns = bpf_ktime_get_ns(), state = 0;
	u32 generation = now->generation, place = 0;
	struct endpoints key = {};
	int beyond_share = 0;
	struct flow *flow;

	if (now_ns - now->from_ns >= now->lasting_ns || read_socket(sk, &key))
		return 0;
	key.port_be = READ(u16, sk + OFF_SKC_DPORT);
	key.cgroup = task_cgroup(&state);
	flow = flow_entry(&key, generation & 1, now_ns, &place, state, 1, &beyond_share);
	if (beyond_share) {
		sum_up(&key);
		flow = flow_entry(&key, generation & 1, now_ns, &place, state, 1, &beyond_share);
	}
	if (!flow) {
		count(COUNT_FLOWS_FULL);
		return 0;
	}
	__sync_fetch_and_add(&flow->attempts, 1);
	flow->last_ns = now_ns;
	remember(SOCKET_NUMBER(sk, now), &key, now_ns, place, generation, COUNT_PENDING_FULL);
	return 0;
}

static __always_inline void remember_recent(u64 sk, struct endpoints *key, u16 remote_port_be)
{
	u32 entry = take_entry(USED_RECENT, RECENT);
	struct recent *room = recent.lookup(&entry);

	if (!room) {
		count(COUNT_RECENT_FULL);
		return;
	}
	__builtin_memcpy(room->local, key->local, 16);
	__builtin_memcpy(room->remote, key->remote, 16);
	room->remote_port_be = remote_port_be;
	room->local_port = READ(u16, sk + OFF_SKC_NUM);
	room->namespace = network_number(sk);
}

static __always_inline int outcome(u64 sk, int new_state, struct pending *kept, struct control *now)
{
	u32 generation = now->generation, place = kept->entry;
	u64 now_ns = new_state == STATE_ESTABLISHED ? PACKET_CLOCK(sk) : bpf_ktime_get_ns();
	u64 took_ns = now_ns - kept->start_ns;
	struct endpoints key = {};
	int beyond_share = 0;
	struct flow *flow;
	u32 error;

	if (kept->generation == generation) {
		flow = flows.lookup(&place);
	} else {
		key = kept->key;
		flow = flow_entry(&key, generation & 1, now_ns, &place, 0, 0, &beyond_share);
		if (beyond_share) {
			sum_up(&key);
			flow = flow_entry(&key, generation & 1, now_ns, &place, 0, 0, &beyond_share);
		}
	}
	if (!flow) {
		count(COUNT_OUTCOME_FULL);
		return 0;
	}
	flow->last_ns = now_ns;
	if (new_state == STATE_ESTABLISHED) {
		__sync_fetch_and_add(&flow->established, 1);
		__sync_fetch_and_add(&flow->handshake_sum_ns, took_ns);
		if (took_ns > flow->handshake_max_ns)
			flow->handshake_max_ns = took_ns;
		if (!now->scan_done && !read_socket(sk, &key))
			remember_recent(sk, &key, READ(u16, sk + OFF_SKC_DPORT));
#if VOLUME
		kept->start_ns = now_ns;
		kept->entry = place | OPEN;
		kept->generation = generation;
#endif
	} else {
		__sync_fetch_and_add(&flow->failed, 1);
		error = READ(u32, sk + OFF_SK_ERR);
		if (error)
			flow->last_errno = error;
	}
	return 0;
}

static __always_inline int accept_end(u64 sk, struct control *now)
{
	u64 now_ns = PACKET_CLOCK(sk), cgroup;
	u32 generation = now->generation, place = 0;
	struct endpoints key = {};
	struct accepted *entry;
	int beyond_share = 0;

	if (now_ns - now->from_ns >= now->lasting_ns || read_socket(sk, &key))
		return 0;
	key.port_be = bpf_htons(READ(u16, sk + OFF_SKC_NUM));
	cgroup = READ(u64, sk + OFF_SK_CGROUP);
	key.cgroup = READ(u64, cgroup + OFF_CGROUP_SERIAL) | OF_SOCKET;
	entry = accepted_entry(&key, generation & 1, now_ns, &place, cgroup, &beyond_share);
	if (beyond_share) {
		sum_up(&key);
		entry = accepted_entry(&key, generation & 1, now_ns, &place, cgroup, &beyond_share);
	}
	if (!entry) {
		count(COUNT_ACCEPTED_FULL);
		return 0;
	}
	__sync_fetch_and_add(&entry->accepted, 1);
	entry->last_ns = now_ns;
#if VOLUME
	remember(SOCKET_NUMBER(sk, now), &key, now_ns, place | OPEN, generation, COUNT_KEPT_FULL);
#endif
	if (!now->scan_done && !read_socket(sk, &key))
		remember_recent(sk, &key, READ(u16, sk + OFF_SKC_DPORT));
	return 0;
}
