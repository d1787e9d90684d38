/*
 * Reports every TCP socket that a process of the node holds, with what it has carried so far; and every thread, with its
 * network namespace.
 *
 * A BPF iterator over the files of all tasks (task_file, 5.8; bpf_sock_from_file(), 5.11). The loader opens it; who reads
 * the descriptor needs no capability. It shows the tasks of the pid namespace in which it was opened. Tasks that share a
 * table of files come once; a file that several processes hold comes once per process: the reader counts an inode once.
 *
 * Read from the socket without its lock: each field is right, two of them may be a packet apart.
 * Not seen: sockets that no process holds as a file (kernel sockets, connections not accepted yet, orphans).
 * Compiled behind tcp_connect.c, whose tables of cgroup names it fills.
 */
#define FIELD(type, address) (*(type *)(address)) /* typed whatever the other program's READ() is */
/* Later than the kernel headers that BCC of Debian 12 knows: include/uapi/linux/bpf.h. */
#define SOCKET_OF_FILE ((void *(*)(void *))162)
#define SEQ_WRITE ((long (*)(void *, const void *, u32))127)
#define TYPE_STREAM 1 /* SOCK_STREAM */

static __always_inline u64 holder_cgroup(u64 task, u64 *kernfs_node)
{
	u64 set = FIELD(u64, task + OFF_TASK_CGROUPS), cgroup;
#ifdef MEMORY_HIERARCHY
	u64 state = FIELD(u64, set + OFF_CSS_SET_MEMORY);

	*kernfs_node = FIELD(u64, FIELD(u64, state + OFF_CSS_CGROUP) + OFF_CGROUP_KN);
	return FIELD(u64, state + OFF_CSS_SERIAL);
#else
	*kernfs_node = FIELD(u64, FIELD(u64, set + OFF_CSS_SET_DFL) + OFF_CGROUP_KN);
	return FIELD(u64, *kernfs_node + OFF_KERNFS_ID);
#endif
}

/*
 * The same socket with the verifier's type of a TCP connection; 0 for any other socket. The verifier may trust socket->sk
 * no more than to read it: then no helper takes it (seen on 6.18), and a read-only cast (6.2) does what is needed here.
 */
static __always_inline u64 tcp_of(u64 sk)
{
#ifdef RDONLY_CAST
	u16 family = FIELD(u16, sk + OFF_SKC_FAMILY);

	if ((family != FAMILY_INET && family != FAMILY_INET6) || FIELD(PROTOCOL, sk + OFF_SK_PROTOCOL) != PROTOCOL_TCP ||
	    FIELD(u16, sk + OFF_SK_TYPE) != TYPE_STREAM)
		return 0;
	return (u64)((void *(*)(void *, u32))RDONLY_CAST)((void *)sk, TCP_SOCK_TYPE); /* the loader marks it as no helper */
#else
	return (u64)bpf_skc_to_tcp_sock((void *)sk);
#endif
}

int each_file(u64 *context) /* const struct bpf_iter_meta *, struct task_struct *, u32 fd, struct file * */
{
	u64 task = context[1], file = context[3], socket, sk, tcp, kernfs_node = 0;
	struct open_socket row = {};
	struct endpoints key = {};
	struct control *now;
	u32 zero = 0;

	now = control.lookup(&zero);
	if (!task || !file || !now)
		return 0;
	socket = (u64)SOCKET_OF_FILE((void *)file);
	if (!socket)
		return 0;
	sk = FIELD(u64, socket + OFF_SOCKET_SK);
	if (!sk)
		return 0;
	tcp = tcp_of(sk);
	if (!tcp)
		return 0;
	row.state = FIELD(u8, tcp + OFF_SKC_STATE);
	if (row.state == STATE_CLOSE || read_socket(tcp, &key))
		return 0;
	row.inode = FIELD(u64, FIELD(u64, file + OFF_FILE_INODE) + OFF_INODE_NUMBER);
#ifdef PERF_TRACEPOINT
	bpf_probe_read_kernel(&row.socket, sizeof(row.socket), (void *)(socket + OFF_SOCKET_SK));
	row.socket = mixed(row.socket ^ SEED);
#else
	row.socket = SOCKET_NUMBER(sk, now);
#endif
	row.cgroup = holder_cgroup(task, &kernfs_node);
	remember_names(row.cgroup, kernfs_node);
	__builtin_memcpy(row.local, key.local, 16);
	__builtin_memcpy(row.remote, key.remote, 16);
	row.local_port = FIELD(u16, tcp + OFF_SKC_NUM);
	row.remote_port_be = FIELD(u16, tcp + OFF_SKC_DPORT);
	row.namespace = FIELD(u64, FIELD(u64, tcp + OFF_SKC_NET) + OFF_NET_COOKIE);
	row.process = FIELD(u32, task + OFF_TASK_TGID);
	row.backlog = FIELD(u32, tcp + OFF_SK_MAX_ACK_BACKLOG);
	row.bytes_acked = FIELD(u64, tcp + OFF_BYTES_ACKED);
	row.bytes_sent = FIELD(u64, tcp + OFF_BYTES_SENT);
	row.bytes_retransmitted = FIELD(u64, tcp + OFF_BYTES_RETRANS);
	row.bytes_received = FIELD(u64, tcp + OFF_BYTES_RECEIVED) - (FIELD(u64, tcp + OFF_SKC_FLAGS) >> FLAG_SOCK_DONE & 1);
	row.in_flight = FIELD(u32, tcp + OFF_SND_NXT) - FIELD(u32, tcp + OFF_SND_UNA);
	row.srtt_us = FIELD(u32, tcp + OFF_SRTT) >> 3;
	row.retransmitted = FIELD(u32, tcp + OFF_TOTAL_RETRANS);
	SEQ_WRITE((void *)FIELD(u64, context[0]), &row, sizeof(row));
	return 0;
}

int each_task(u64 *context) /* const struct bpf_iter_meta *, struct task_struct * */
{
	u64 task = context[1], spaces, kernfs_node = 0;
	struct task_row row = {};

	if (!task)
		return 0;
	spaces = FIELD(u64, task + OFF_TASK_NSPROXY);
	if (!spaces) /* it has ended */
		return 0;
	row.namespace = FIELD(u64, FIELD(u64, spaces + OFF_NSPROXY_NET) + OFF_NET_COOKIE);
	row.task = FIELD(u32, task + OFF_TASK_PID);
	row.cgroup = holder_cgroup(task, &kernfs_node);
	remember_names(row.cgroup, kernfs_node);
	SEQ_WRITE((void *)FIELD(u64, context[0]), &row, sizeof(row));
	return 0;
}
