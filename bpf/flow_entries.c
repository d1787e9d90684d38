// SPDX-License-Identifier: GPL-2.0
/* The entry of a flow, and of an accepted flow, in the pair of tables that counts. */

/*
 * Finds or adds the flow's entry in the counting pair; NULL when full, or, with `beyond_share`, when the cgroup's share
 * is taken. `place` is its number. Of an attempt `state` is the task's cgroup's, of an outcome 0: its cgroup has a slot.
 */
static __always_inline struct flow *flow_entry(struct endpoints *key, u32 pair, u64 now_ns, u32 *place, u64 state,
					       int is_attempt, int *beyond_share)
{
	u32 where = pair * FLOW_BUCKETS + hash_of(key) % FLOW_BUCKETS, entry, owner;
	struct bucket *bucket = flow_buckets.lookup(&where);
	struct flow *flow;
	int is_first = 0;

	if (!bucket)
		return 0;
	for (int slot = 0; slot < BUCKET_REFS; slot++) {
		u64 ref = bucket->refs[slot];

		*place = pair * FLOWS + ref - 1;
		if (ref) {
			flow = flows.lookup(place);
			if (!flow || same(&flow->key, key))
				return flow;
			continue;
		}
		owner = cgroup_slot(key->cgroup, &is_first);
		if (is_attempt && is_first)
			store_names(key->cgroup, task_kernfs_node(state));
		if (!take_share(key, USED_FLOWS + pair, FLOWS, owner)) {
			*beyond_share = 1;
			return 0;
		}
		entry = take_entry(USED_FLOWS + pair, FLOWS);
		if (entry == FLOWS)
			return 0;
		*place = pair * FLOWS + entry;
		flow = flows.lookup(place);
		if (!flow)
			return 0;
		flow->key = *key;
		flow->first_ns = now_ns;
		__sync_val_compare_and_swap(&bucket->refs[slot], 0, entry + 1);
		return flow;
	}
	return 0;
}

/* Like flow_entry(), for the accepting end; `cgroup` is the listener's, 0 once its names are stored. */
static __always_inline struct accepted *accepted_entry(struct endpoints *key, u32 pair, u64 now_ns, u32 *place,
						       u64 cgroup, int *beyond_share)
{
	u32 where = pair * ACCEPTED_BUCKETS + hash_of(key) % ACCEPTED_BUCKETS, entry, owner;
	struct bucket *bucket = accepted_buckets.lookup(&where);
	struct accepted *found;
	int is_first = 0;

	if (!bucket)
		return 0;
	for (int slot = 0; slot < BUCKET_REFS; slot++) {
		u64 ref = bucket->refs[slot];

		*place = pair * ACCEPTED + ref - 1;
		if (ref) {
			found = accepted.lookup(place);
			if (!found || same(&found->key, key))
				return found;
			continue;
		}
		owner = cgroup_slot(key->cgroup, &is_first);
		if (is_first && cgroup)
			store_names(key->cgroup, READ(u64, cgroup + OFF_CGROUP_KN));
		if (!take_share(key, USED_ACCEPTED + pair, ACCEPTED, owner)) {
			*beyond_share = 1;
			return 0;
		}
		entry = take_entry(USED_ACCEPTED + pair, ACCEPTED);
		if (entry == ACCEPTED)
			return 0;
		*place = pair * ACCEPTED + entry;
		found = accepted.lookup(place);
		if (!found)
			return 0;
		found->key = *key;
		found->first_ns = now_ns;
		__sync_val_compare_and_swap(&bucket->refs[slot], 0, entry + 1);
		return found;
	}
	return 0;
}
