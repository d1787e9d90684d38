// SPDX-License-Identifier: GPL-2.0
/* Whose a connection is: the cgroup of a task, its names, and its share of each table. */

/* Stores the names of a cgroup, leaf first. */
static __always_inline void store_names(u64 cgroup, u64 kernfs_node)
{
	u32 entry = take_entry(USED_NAMES, CGROUPS);
	struct cgroup_names *room = cgroups.lookup(&entry);

	if (!room) {
		count(COUNT_NAMES_FULL);
		return;
	}
	room->cgroup = cgroup;
#pragma unroll
	for (int level = 0; level < NAME_LEVELS; level++) {
		if (!kernfs_node)
			continue;
		bpf_probe_read_kernel_str(room->names + level * NAME_BYTES, NAME_BYTES,
					  (void *)READ(u64, kernfs_node + OFF_KERNFS_NAME));
		kernfs_node = READ(u64, kernfs_node + OFF_KERNFS_PARENT);
	}
}

/* Called once per flow: the cgroup's slot, CGROUP_SLOTS if it has none. `*is_first` if it had none until now. */
static __always_inline u32 cgroup_slot(u64 cgroup, int *is_first)
{
	u32 where = mixed(cgroup ^ SEED) % NAME_BUCKETS;
	struct owners *bucket = named_cgroups.lookup(&where);

	if (!bucket || !cgroup)
		return CGROUP_SLOTS;
	for (int slot = 0; slot < BUCKET_OWNERS; slot++) {
		if (bucket->owner[slot] == cgroup)
			return where * BUCKET_OWNERS + slot;
		if (bucket->owner[slot])
			continue;
		if (__sync_val_compare_and_swap(&bucket->owner[slot], 0, cgroup))
			continue;
		*is_first = 1;
		return where * BUCKET_OWNERS + slot;
	}
	count(COUNT_NAMES_FULL);
	return CGROUP_SLOTS;
}

/* Stores the names of a cgroup the first time that it is seen. */
static __always_inline void remember_names(u64 cgroup, u64 kernfs_node)
{
	int is_first = 0;

	cgroup_slot(cgroup, &is_first);
	if (is_first)
		store_names(cgroup, kernfs_node);
}

/* Whether an entry is the sum of what was beyond a cgroup's share: no connection has such a remote address. */
static __always_inline int is_sum(struct endpoints *key)
{
	return !key->remote[0] && (!key->remote[1] || key->remote[1] == V4_ANY);
}

/* Makes the key that of the sum: by cgroup, address family and first port of the range (RFC 6335, 6). */
static __always_inline void sum_up(struct endpoints *key)
{
	u64 any = !key->remote[0] && (u32)key->remote[1] == (u32)V4_ANY ? V4_ANY : 0;
	u16 port = bpf_ntohs(key->port_be);

	key->local[0] = key->remote[0] = 0;
	key->local[1] = key->remote[1] = any;
	key->port_be = bpf_htons(port < USER_PORTS ? SYSTEM_PORTS : port < DYNAMIC_PORTS ? USER_PORTS : DYNAMIC_PORTS);
}

/* Takes one more entry of a table for a cgroup; 0 if it holds as many as are free for all others. */
static __always_inline int take_share(struct endpoints *key, u32 table, u32 room, u32 slot)
{
	u32 row = table * (CGROUP_SLOTS + 1) + slot;
	struct used *taken = used.lookup(&table);
	u64 *held = shares.lookup(&row);

	if (is_sum(key) || !taken || !held)
		return 1;
	if (*held + taken->entries >= room)
		return 0;
	__sync_fetch_and_add(held, 1);
	return 1;
}

static __always_inline u64 current_task(void)
{
#ifdef PERF_TRACEPOINT
	return bpf_get_current_task();
#else
	return (u64)bpf_get_current_task_btf();
#endif
}

#ifdef MEMORY_HIERARCHY
/* The serial number of the task's memory cgroup, never reused, and the cgroup's state, for its names. */
static __always_inline u64 task_cgroup(u64 *state)
{
	u64 set = READ(u64, current_task() + OFF_TASK_CGROUPS);

	*state = READ(u64, set + OFF_CSS_SET_MEMORY);
	return READ(u64, *state + OFF_CSS_SERIAL);
}

static __always_inline u64 task_kernfs_node(u64 state)
{
	return READ(u64, READ(u64, state + OFF_CSS_CGROUP) + OFF_CGROUP_KN);
}
#else
static __always_inline u64 task_cgroup(u64 *state)
{
	return bpf_get_current_cgroup_id();
}

static __always_inline u64 task_kernfs_node(u64 state)
{
	u64 set = READ(u64, current_task() + OFF_TASK_CGROUPS);

	return READ(u64, READ(u64, set + OFF_CSS_SET_DFL) + OFF_CGROUP_KN);
}
#endif
