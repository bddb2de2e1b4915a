/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TCP connections, and what every kind of socket says of itself.
 *
 * That a TCP connection is begun is told by the socket itself, when it goes to SYN_SENT in the thread that asked: not by
 * a descriptor, which another thread may close or replace, and whatever the call was (connect, a send that opens, io_uring).
 *
 *     SYN_SENT ──► `dialling` ──ESTABLISHED or CLOSE──► told, with who began it
 *        └─ inside connect: `attempts` ──return of connect──► told there, where the socket did not tell yet
 */
#pragma once

/* Connections that are under way, by socket. */
struct connecting {
	struct membership member;
	u32 pid, tid, uid, euid;
	u16 flags;
	/* It was said to be in progress. */
	u8 announced;
	/* It ended inside the call without an error of the socket's own: the call's result says why. */
	u8 closed;
	u32 unused;
	struct endpoints ends;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct connecting);
} dialling SEC(".maps");

/* Thread that is inside connect → the socket that it began to connect. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, u64);
} attempts SEC(".maps");

#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define IPPROTO_TCP 6

#define FAMILY_UNIX 1
#define FAMILY_INET 2
#define FAMILY_INET6 10
#define FAMILY_NETLINK 16
#define FAMILY_VSOCK 40

#define EINTR 4
#define EALREADY 114
#define EINPROGRESS 115
#define ECONNABORTED 103
#define ERESTARTSYS 512

static __always_inline struct sock *socket_of(struct file *file)
{
	struct inode *inode;
	struct socket *socket;
	struct sock *sk = 0;
	u16 mode = 0;
	if (!file || bpf_core_read(&inode, sizeof(inode), &file->f_inode) || bpf_core_read(&mode, sizeof(mode), &inode->i_mode))
		return 0;
	if ((mode & 0xf000) != 0xc000 || bpf_core_read(&socket, sizeof(socket), &file->private_data))
		return 0;
	bpf_core_read(&sk, sizeof(sk), &socket->sk);
	return sk;
}

static __always_inline void read_endpoints(struct endpoints *e, struct sock *sk)
{
	u16 family = 0, port = 0, type = 0;
	bpf_core_read(&family, sizeof(family), &sk->__sk_common.skc_family);
	e->family = family;
	bpf_core_read(&type, sizeof(type), &sk->sk_type);
	e->type = type;
	e->socket = (u64)sk;
	if (family != FAMILY_INET && family != FAMILY_INET6)
		return;
	bpf_core_read(&e->local_port, sizeof(port), &sk->__sk_common.skc_num);
	bpf_core_read(&port, sizeof(port), &sk->__sk_common.skc_dport);
	e->remote_port = __builtin_bswap16(port);
	if (family == FAMILY_INET6) {
		bpf_core_read(e->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(e->remote, 16, &sk->__sk_common.skc_v6_daddr);
	} else {
		bpf_core_read(e->local, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_core_read(e->remote, 4, &sk->__sk_common.skc_daddr);
	}
}

static __always_inline u16 protocol_of(struct sock *sk)
{
	u16 protocol = 0;
	bpf_core_read(&protocol, sizeof(protocol), &sk->sk_protocol);
	return protocol;
}

static __always_inline int is_inet(const struct endpoints *e)
{
	return e->family == FAMILY_INET || e->family == FAMILY_INET6;
}

/* ---- TCP, as the socket tells it ---- */

/* Runs in interrupts too: no scratch, no current process. */
static __always_inline void tell_connection(const struct connecting *who, u8 op, s64 result)
{
	struct {
		struct record r;
		struct endpoints e;
	} out = {};
	out.r.time = bpf_ktime_get_boot_ns();
	out.r.session = who->member.session;
	out.r.kind = KIND_NET;
	out.r.op = op;
	out.r.flags = who->flags;
	out.r.pid = who->pid;
	out.r.tid = who->tid;
	out.r.uid = who->uid;
	out.r.euid = who->euid;
	out.r.result = result;
	out.r.len[0] = sizeof(out.e);
	out.e = who->ends;
	struct counters *c = counters_of(out.r.session);
	if (c)
		__sync_fetch_and_add(&c->seen, 1);
	if (bpf_ringbuf_output(&ring, &out, sizeof(out), BPF_RB_NO_WAKEUP))
		count_lost(out.r.session, out.r.time);
}

/* In the thread that asked, before anything was sent. The local port is not chosen yet. */
static __always_inline void connection_begins(struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 tgid = task->tgid, tid = task->pid;
	if (!may_be_followed(tgid))
		return;
	struct membership *m = membership_of(tgid);
	if (!m || !(m->classes & CLASS_NETWORK))
		return;
	struct connecting who = {};
	u64 key = (u64)sk;
	who.member = *m;
	who.pid = tgid;
	who.tid = tid;
	who.uid = task->cred->uid.val;
	who.euid = task->cred->euid.val;
	read_endpoints(&who.ends, sk);
	struct pt_regs___x86 *x86 = (void *)bpf_task_pt_regs(task);
	struct pt_regs___arm64 *arm64 = (void *)x86;
	u64 nr = SYSCALLS;
	u32 compat;
	if (bpf_core_field_exists(x86->orig_ax)) {
		bpf_core_read(&nr, sizeof(nr), &x86->orig_ax);
		compat = (task->thread_info.status & 2) != 0;
	} else {
		s32 number = 0;
		bpf_core_read(&number, sizeof(number), &arm64->syscallno);
		nr = (u32)number;
		compat = (task->thread_info.flags & (1 << 22)) != 0;
	}
	who.flags = compat ? FLAG_COMPAT : 0;
	u8 op = nr < SYSCALLS ? ops[compat & 1][nr & (SYSCALLS - 1)] : OP_NONE;
	int inside = (op == OP_CONNECT || op == OP_SOCKETCALL) && bpf_map_update_elem(&attempts, &tid, &key, BPF_ANY) == 0;
	/* Nothing else will be told before it has come about, or not. */
	who.announced = !inside;
	if (bpf_map_update_elem(&dialling, &key, &who, BPF_ANY))
		who.announced = 1;
	if (who.announced)
		tell_connection(&who, OP_CONNECT, -EINPROGRESS);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_tcp_state, const struct sock *sk, int old, int new)
{
	if (new == TCP_SYN_SENT) {
		if (protocol_of((struct sock *)sk) == IPPROTO_TCP)
			connection_begins((struct sock *)sk);
		return 0;
	}
	if ((old != TCP_SYN_SENT && old != TCP_SYN_RECV) || (new != TCP_ESTABLISHED && new != TCP_CLOSE))
		return 0;
	u64 key = (u64)sk;
	struct connecting *found = bpf_map_lookup_elem(&dialling, &key);
	if (!found)
		return 0;
	int error = 0;
	if (new == TCP_CLOSE) {
		bpf_core_read(&error, sizeof(error), &sk->sk_err);
		u32 tid = found->tid;
		u64 *attempt = bpf_map_lookup_elem(&attempts, &tid);
		if (!error && attempt && *attempt == key) {
			found->closed = 1;
			return 0;
		}
		if (error <= 0)
			error = ECONNABORTED;
	}
	struct connecting who = *found;
	if (bpf_map_delete_elem(&dialling, &key))
		return 0;
	read_endpoints(&who.ends, (struct sock *)sk);
	tell_connection(&who, who.announced ? OP_TCP_STATE : OP_CONNECT, -error);
	return 0;
}

/* At the return of connect. 1: it began a TCP connection, and all is told of it. */
static __always_inline int attempt_ends(s64 ret)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	u64 *attempt = bpf_map_lookup_elem(&attempts, &tid);
	if (!attempt)
		return 0;
	u64 key = *attempt;
	bpf_map_delete_elem(&attempts, &tid);
	struct connecting *found = bpf_map_lookup_elem(&dialling, &key);
	if (!found || found->tid != tid)
		return 1;
	struct connecting who = *found;
	int goes_on = ret == -EINPROGRESS || ret == -EALREADY || ret == -EINTR || (ret <= -ERESTARTSYS && ret > -ERESTARTSYS - 5);
	/* Opened with the first data that is sent (TCP_FASTOPEN_CONNECT): nothing has come about. */
	u8 state = 0;
	bpf_core_read(&state, sizeof(state), &((struct sock *)key)->__sk_common.skc_state);
	if (ret == 0 && state == TCP_SYN_SENT)
		goes_on = 1;
	if (goes_on && !who.closed) {
		found->announced = 1;
		read_endpoints(&who.ends, (struct sock *)key);
		tell_connection(&who, OP_CONNECT, -EINPROGRESS);
		return 1;
	}
	if (bpf_map_delete_elem(&dialling, &key))
		return 1;
	tell_connection(&who, who.announced ? OP_TCP_STATE : OP_CONNECT, ret);
	return 1;
}
