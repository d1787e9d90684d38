// SPDX-License-Identifier: GPL-2.0
/* A program that misses runs, for tests only (-DBLIND). */

#ifdef BLIND
/*
 * For tests only: a program that misses every BLIND-th run in one network namespace, and keeps how many of each kind; of
 * the ends of connections, which are counted apart, every BLIND-th, too.
 */
BPF_F_TABLE("array", u32, struct network, blinded, 1, MAPPABLE);
BPF_F_TABLE("array", u32, u64, blind_runs, 2, 0);

static __always_inline int is_blind(u64 sk, int old_state, int new_state)
{
	u32 zero = 0, opens = new_state == STATE_SYN_SENT || old_state == STATE_SYN_SENT || old_state == STATE_SYN_RECV;
	u32 ends = !opens && new_state == STATE_CLOSE;
	u64 *runs = blind_runs.lookup(&ends);
	struct network *missed = blinded.lookup(&zero);

	if ((!opens && !ends) || network_number(sk) != BLIND_NETWORK)
		return 0;
	if (!runs || !missed || __sync_fetch_and_add(runs, 1) % BLIND != BLIND - 1)
		return 0;
	if (new_state == STATE_SYN_SENT)
		__sync_fetch_and_add(&missed->opens, 1);
	else if (old_state == STATE_SYN_RECV && new_state == STATE_ESTABLISHED)
		__sync_fetch_and_add(&missed->accepted, 1);
	else if (opens && new_state == STATE_CLOSE && READ(u32, sk + OFF_SK_ERR))
		__sync_fetch_and_add(&missed->failed, 1);
	return 1;
}
#endif
