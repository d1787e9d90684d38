// SPDX-License-Identifier: GPL-2.0
/*
 * Counts TCP connect attempts, their outcomes and accepted connections, one table entry per flow.
 *
 * Hook: sock:inet_sock_set_state (stable since 4.16), as a raw tracepoint with BTF types (5.5), where reading a
 * kernel field costs one load, or, with -DPERF_TRACEPOINT, as a perf tracepoint: a helper call per field. It fires in
 * tcp_set_state() (net/ipv4/tcp.c) before the new state is stored.
 *   CLOSE -> SYN_SENT            an attempt; runs in the connecting task, whose cgroup is read
 *   SYN_SENT -> ESTABLISHED      established
 *   SYN_SENT -> CLOSE            failed, with sk_err
 *   SYN_RECV -> ESTABLISHED      accepted, unless the socket itself made an attempt (simultaneous open); runs in
 *                                softirq, so the listener's cgroup is read from the socket
 * Not seen: a connect() that finds no route never leaves CLOSE; sockets of other protocols are ignored.
 *
 * Needs 5.12 (atomics that return a value) and BTF: structure offsets come from /sys/kernel/btf/vmlinux as -DOFF_*,
 * so any installed kernel headers work. Cost: measured in bench/.
 *
 * All maps are arrays that the agent maps into its memory: it reads and clears them without a system call, so it needs
 * no capability and no bpf(2). Entries of a table are allocated in order and found through buckets of references. An
 * entry that loses the race for a reference stays unreferenced and is still drained: the agent sums entries by key.
 *
 * The window is in `control`: the program is attached a little ahead and counts from the window's first nanosecond to
 * its last. In two consecutive windows two programs are attached; an accepted connection is in exactly one (both read
 * the packet's clock), an attempt in at least one: the program attached first runs first, so an attempt too late for it
 * is in time for the other. An attempt between their two clock readings, less than a microsecond apart, is in both.
 *
 * No pod can take what others need: a cgroup may hold as many entries of a table as are free for all others. What is
 * beyond that share is summed, by address family and port range, in an entry without addresses.
 *
 * Two pairs of tables; the agent adds 1 to control.generation and, after an RCU grace period, drains the idle pair: no
 * increment is lost, since no running program uses the idle pair by then.
 *
 * BCC rewrites map accesses in the main text alone, so these are no headers: the loader puts maps.c, sockets.c, cgroups.c,
 * flow_entries.c, kernel_counters.c, pending.c, transitions.c, volume.c and blind.c before this file.
 */

static __always_inline int transition(u64 sk, int old_state, int new_state)
{
	struct waiting *bucket;
	struct control *now;
	u32 zero = 0, slot = 0;
	u64 socket;

#ifdef BLIND
	if (is_blind(sk, old_state, new_state))
		return 0;
#endif
#if VOLUME
	if (new_state == STATE_CLOSE && CONNECTED >> (old_state & 31) & 1) {
		now = control.lookup(&zero);
		return now ? end_of_connection(sk, old_state, now) : 0;
	}
#endif
	if (new_state != STATE_SYN_SENT && old_state != STATE_SYN_SENT && old_state != STATE_SYN_RECV)
		return 0;
	if (new_state == STATE_SYN_SENT || (old_state == STATE_SYN_SENT && new_state == STATE_CLOSE))
		count_connect(sk, new_state);
	now = control.lookup(&zero);
	if (!now)
		return 0;
	if (new_state == STATE_SYN_SENT)
		return attempt(sk, now);
	if (new_state != STATE_ESTABLISHED && new_state != STATE_CLOSE)
		return 0;
	/*
	 * A simultaneous open ends an attempt from SYN_RECV, and has a struct socket. So may a listener's connection by now
	 * (Fast Open, a subflow of MPTCP): it has no attempt. An entry that is open is an older connection's at its address.
	 */
	if (old_state != STATE_SYN_RECV || READ(u64, sk + OFF_SK_SOCKET)) {
		socket = SOCKET_NUMBER(sk, now);
		bucket = find_pending(socket, &slot);
		if (bucket && bucket->attempt[slot].entry & OPEN) {
			count(COUNT_END_UNSEEN);
			free_pending(bucket, slot, socket);
		} else if (bucket) {
			outcome(sk, new_state, &bucket->attempt[slot], now);
			if (!VOLUME || new_state != STATE_ESTABLISHED)
				free_pending(bucket, slot, socket);
			return 0;
		}
	}
	if (old_state == STATE_SYN_RECV) {
		if (new_state != STATE_ESTABLISHED)
			return 0;
		count_accepted(sk);
		return accept_end(sk, now);
	}
	count(COUNT_OUTCOME_UNMATCHED);
	return 0;
}

#ifdef PERF_TRACEPOINT
TRACEPOINT_PROBE(sock, inet_sock_set_state)
{
	return transition((u64)args->skaddr, args->oldstate, args->newstate);
}
#else
int on_state(u64 *arguments) /* const struct sock *, const int oldstate, const int newstate */
{
	return transition(arguments[0], arguments[1], arguments[2]);
}
#endif
