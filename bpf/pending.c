// SPDX-License-Identifier: GPL-2.0
/* Attempts that wait for their outcome and, with VOLUME, connections that wait for their end. */

/* The bucket that has the socket, and its slot; NULL if it is in neither of its two. */
static __always_inline struct waiting *find_pending(u64 socket, u32 *slot)
{
	for (int choice = 0; choice < 2; choice++) {
		u32 where = (choice ? socket >> 32 : socket) % PENDING_BUCKETS;
		struct waiting *bucket = pending.lookup(&where);

		if (!bucket)
			return 0;
		for (u32 at = 0; at < BUCKET_OWNERS; at++)
			if (bucket->socket[at] == socket) {
				*slot = opaque(at, socket);
				return bucket;
			}
	}
	return 0;
}

/*
 * The bucket and slot of a socket that is new, as a rule; NULL if its two buckets are full. It may be present: the kernel
 * skipped the run that would have removed it, and now the slot is taken over; what the connection carried is lost.
 */
static __always_inline struct waiting *take_pending(u64 socket, u32 *slot)
{
	for (int choice = 0; choice < 2; choice++) {
		u32 where = (choice ? socket >> 32 : socket) % PENDING_BUCKETS;
		struct waiting *bucket = pending.lookup(&where);

		if (!bucket)
			return 0;
		for (u32 at = 0; at < BUCKET_OWNERS; at++) {
			u64 owner = bucket->socket[at];

			if (owner && owner != socket)
				continue;
			if (VOLUME && owner)
				count(COUNT_END_UNSEEN);
			if (owner || !__sync_val_compare_and_swap(&bucket->socket[at], 0, socket)) {
				*slot = opaque(at, socket);
				return bucket;
			}
		}
	}
	return 0;
}

/* Frees a slot after all reads of it; an atomic where the processor may do a store before an earlier load. */
static __always_inline void free_pending(struct waiting *bucket, u32 slot, u64 socket)
{
#ifdef __x86_64__
	asm volatile("" ::: "memory");
	bucket->socket[slot] = 0;
#else
	__sync_val_compare_and_swap(&bucket->socket[slot], socket, 0);
#endif
}

/* Stores an attempt until its outcome, or a connection until its end. */
static __always_inline void remember(u64 socket, struct endpoints *key, u64 now_ns, u32 place, u32 generation, u32 full)
{
	u32 slot = 0;
	struct waiting *bucket = take_pending(socket, &slot);
	struct pending *kept;

	if (!bucket) {
		count(full);
		return;
	}
	kept = &bucket->attempt[slot];
	kept->key = *key;
	kept->start_ns = now_ns;
	kept->entry = place;
	kept->generation = generation;
}
