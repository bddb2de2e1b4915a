/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is done by a descriptor of a socket: connections that are not TCP, sends, receipts, and what is asked of name servers. */
#pragma once

struct address {
	u16 family;
	u16 port;
	u32 v4;
	u8 v6[16];
};

/* The address that a call names, where it names one. `port`: of vsock. */
static __always_inline void name_remote(struct endpoints *e, const struct address *a, u32 *port)
{
	if (a->family == FAMILY_INET) {
		e->remote_port = __builtin_bswap16(a->port);
		__builtin_memset(e->remote, 0, 16);
		__builtin_memcpy(e->remote, &a->v4, 4);
		e->family = FAMILY_INET;
	} else if (a->family == FAMILY_INET6) {
		e->remote_port = __builtin_bswap16(a->port);
		__builtin_memcpy(e->remote, a->v6, 16);
		e->family = FAMILY_INET6;
	} else if (a->family == FAMILY_VSOCK) {
		*port = a->v4;
		__builtin_memcpy(e->remote, a->v6, 4);
		e->family = FAMILY_VSOCK;
	}
}

static __always_inline void read_address(struct address *a, u64 at)
{
	if (!at || bpf_probe_read_user(a, 8, (void *)at))
		return;
	if (a->family == FAMILY_INET6 && bpf_probe_read_user(a, sizeof(*a), (void *)at))
		a->family = 0;
	else if (a->family == FAMILY_VSOCK && bpf_probe_read_user(a, 16, (void *)at))
		a->family = 0;
}

struct sending {
	u64 sk;
	s64 ret;
	/* Where it is sent to, and what: of the process. */
	u64 to, payload;
	u32 length;
	u16 flags;
	u8 op;
	u8 unused;
	/* Of io_uring: the kernel's own copy of `to`. */
	u64 copied;
};

/* Requests that change something, of those that every program may ask (rtnetlink: three in four kinds do). */
static __always_inline int netlink_changes(u16 type)
{
	return type >= 16 && (type & 3) != 2;
}

/* One send: `c`: length; text 1: the beginning of what is sent to a name server, or the path that is sent to. */
__noinline int net_send(const struct membership *m, const struct sending *what)
{
	struct endpoints e = {};
	struct address a = {};
	u32 port = 0;
	if (!m || !what)
		return 0;
	struct sock *sk = (struct sock *)what->sk;
	read_endpoints(&e, sk);
	u32 stream = (e.type & 0xf) == 1;
	if (e.family == FAMILY_NETLINK) {
		struct {
			u32 length;
			u16 type, flags;
		} head = {};
		if (protocol_of(sk) != 0 || !(m->classes & CLASS_NETWORK) || bpf_probe_read_user(&head, sizeof(head), (void *)what->payload) || !netlink_changes(head.type))
			return 0;
		struct scratch *s = begin(m, KIND_NET, what->op, what->flags, what->ret);
		if (!s)
			return 0;
		s->record.c = what->length;
		s->record.d = head.type;
		__builtin_memcpy(s->text, &e, sizeof(e));
		s->record.len[0] = sizeof(e);
		finish(s, sizeof(e));
		return 0;
	}
	if (what->copied) {
		bpf_probe_read_kernel(&a, sizeof(a), (void *)what->copied);
	} else {
		read_address(&a, what->to);
	}
	/* A path is told by the connection; a datagram may name one of its own. */
	u32 path = e.family == FAMILY_UNIX && !stream && a.family == FAMILY_UNIX && !what->copied;
	if (!path && !is_inet(&e))
		return 0;
	if (!path && !stream)
		name_remote(&e, &a, &port);
	u32 asks = (m->classes & CLASS_DNS) && !path && (e.remote_port == 53 || (!stream && e.remote_port == 5353));
	/* Of a stream the connection was recorded; of a raw socket the sending is all there is. */
	if (!asks && (stream || !(m->classes & CLASS_NETWORK)))
		return 0;
	struct scratch *s = begin(m, KIND_NET, what->op, what->flags, what->ret);
	if (!s)
		return 0;
	s->record.c = what->length;
	__builtin_memcpy(s->text, &e, sizeof(e));
	s->record.len[0] = sizeof(e);
	u32 off = sizeof(e);
	if (asks)
		off = put_user_bytes(what->payload, off, what->length > 512 ? 512 : what->length);
	else if (path)
		off = put_user_text(what->to + 2, off, 108);
	s->record.len[1] = (off - sizeof(e)) & OFF_MASK;
	finish(s, off);
	return 0;
}

struct vec {
	u64 base, len;
};
struct message {
	u64 name;
	u32 namelen, pad;
	u64 iov;
	u64 iovlen;
	u64 control, controllen;
	u32 flags, pad2;
};

static __always_inline void read_vec(struct vec *vec, u64 at, u32 compat)
{
	u32 small[2] = {};
	if (!compat) {
		bpf_probe_read_user(vec, sizeof(*vec), (void *)at);
		return;
	}
	bpf_probe_read_user(small, sizeof(small), (void *)at);
	vec->base = small[0];
	vec->len = small[1];
}

static __always_inline int read_message(struct message *msg, struct vec *vec, u64 at, u32 compat)
{
	if (compat) {
		/* name, namelen, iov, iovlen, control, controllen, flags */
		u32 small[7] = {};
		if (bpf_probe_read_user(small, sizeof(small), (void *)at))
			return -1;
		msg->name = small[0];
		msg->namelen = small[1];
		msg->iov = small[2];
		msg->iovlen = small[3];
		msg->control = small[4];
		msg->controllen = small[5];
	} else if (bpf_probe_read_user(msg, sizeof(*msg), (void *)at)) {
		return -1;
	}
	if (msg->iovlen > 0)
		read_vec(vec, msg->iov, compat);
	return 0;
}

/* What a descriptor is, which came or went by a socket of this machine. Text 0: its socket's ends; texts 2: its path. */
__noinline int tell_descriptor(const struct membership *m, u32 fd, u32 op)
{
	struct endpoints e = {};
	if (!m)
		return 0;
	struct file *file = (struct file *)file_of(fd);
	if (!file)
		return 0;
	struct scratch *s = begin(m, KIND_SYSTEM, op, FLAG_REACHED, fd);
	if (!s)
		return 0;
	u32 off = 0;
	struct sock *sk = socket_of(file);
	if (sk) {
		read_endpoints(&e, sk);
		__builtin_memcpy(s->text, &e, sizeof(e));
		off = sizeof(e);
		s->record.len[0] = off;
	}
	u32 from = off;
	off = put_path_of(&file->f_path, off);
	s->record.len[2] = (off - from) & OFF_MASK;
	finish(s, off);
	return 0;
}

/* SCM_RIGHTS in the first control message: as many descriptors as the kernel takes in one are looked at, up to 32. */
static __always_inline void net_descriptors(const struct membership *m, const struct message *msg, u8 op, u32 compat)
{
	struct {
		u64 length;
		u32 level, type;
	} head = {};
	u32 size = compat ? 12 : 16;
	if (!msg->control || msg->controllen < size || !(m->classes & CLASS_NETWORK))
		return;
	if (compat) {
		u32 small[3] = {};
		bpf_probe_read_user(small, sizeof(small), (void *)msg->control);
		head.length = small[0];
		head.level = small[1];
		head.type = small[2];
	} else if (bpf_probe_read_user(&head, sizeof(head), (void *)msg->control)) {
		return;
	}
	if (head.level != 1 || head.type != 1 || head.length > msg->controllen)
		return;
	for (int i = 0; i < 32; i++) {
		u32 fd = 0;
		if (size + 4 * (i + 1) > head.length || bpf_probe_read_user(&fd, sizeof(fd), (void *)(msg->control + size + 4 * i)))
			break;
		tell_descriptor(m, fd, op);
	}
}

static __always_inline u32 bounded(u64 length)
{
	return length > 0xffff ? 0xffff : length;
}

/* One message of sendmsg or sendmmsg. */
__noinline int net_message(const struct membership *m, u64 sk, u64 at, u32 compat, s64 ret)
{
	struct message msg = {};
	struct vec vec = {};
	if (!m || read_message(&msg, &vec, at, compat))
		return 0;
	u16 family = 0;
	bpf_core_read(&family, sizeof(family), &((struct sock *)sk)->__sk_common.skc_family);
	if (family == FAMILY_UNIX && ret >= 0)
		net_descriptors(m, &msg, OP_DESCRIPTOR_SENT, compat);
	struct sending what = {
		.sk = sk, .ret = ret, .to = msg.namelen ? msg.name : 0, .payload = vec.base, .length = bounded(vec.len),
		.flags = compat ? FLAG_COMPAT : 0, .op = OP_SENDMSG,
	};
	return net_send(m, &what);
}

#define HOW_COMPAT 1
#define HOW_READ 2

/* Whether nothing came to this socket from there before. A socket's number is never given again, its address soon. */
static __always_inline int is_first_received(struct sock *sk, const struct endpoints *e)
{
	struct once key = { .kind = FIRST_RECEIVED, .which = e->remote_port };
	struct socket *socket = 0;
	struct file *file = 0;
	struct inode *inode = 0;
	if (bpf_core_read(&socket, sizeof(socket), &sk->sk_socket) == 0 && bpf_core_read(&file, sizeof(file), &socket->file) == 0 && bpf_core_read(&inode, sizeof(inode), &file->f_inode) == 0)
		bpf_core_read(&key.of, sizeof(unsigned long), &inode->i_ino);
	__builtin_memcpy(key.who, e->remote, 16);
	return is_first(&key);
}

/*
 * A datagram: from whom. Each that comes to a socket which is connected to nobody; to others, and by a read that does not
 * ask from whom, the first from each.
 */
__noinline int net_received(const struct membership *m, u64 sk_at, u64 from, u32 how, s64 ret)
{
	struct endpoints e = {};
	struct address a = {};
	u32 port = 0;
	if (!m || ret < 0 || !(m->classes & CLASS_NETWORK))
		return 0;
	read_endpoints(&e, (struct sock *)sk_at);
	if (!is_inet(&e) || (e.type & 0xf) == 1)
		return 0;
	/* The answer of a name server follows its question. */
	u32 connected = e.remote_port != 0;
	if (e.remote_port == 53)
		return 0;
	u32 first = connected || (how & HOW_READ);
	if (first && !is_first_received((struct sock *)sk_at, &e))
		return 0;
	if (!connected) {
		read_address(&a, from);
		name_remote(&e, &a, &port);
	}
	struct scratch *s = begin(m, KIND_NET, OP_RECVFROM, how & HOW_COMPAT ? FLAG_COMPAT : 0, ret);
	if (!s)
		return 0;
	s->record.d = first;
	s->record.c = ret > 0xffff ? 0xffff : ret;
	__builtin_memcpy(s->text, &e, sizeof(e));
	s->record.len[0] = sizeof(e);
	finish(s, sizeof(e));
	return 0;
}

__noinline int net_received_message(const struct membership *m, u64 sk, u64 at, u32 compat, s64 ret)
{
	struct message msg = {};
	struct vec vec = {};
	u16 family = 0;
	if (!m || ret < 0 || read_message(&msg, &vec, at, compat))
		return 0;
	bpf_core_read(&family, sizeof(family), &((struct sock *)sk)->__sk_common.skc_family);
	if (family == FAMILY_UNIX) {
		net_descriptors(m, &msg, OP_DESCRIPTOR_RECEIVED, compat);
		return 0;
	}
	return net_received(m, sk, msg.namelen ? msg.name : 0, compat ? HOW_COMPAT : 0, ret);
}

/* The socket at the other end of a connection on this machine: text 2 its path, text 3 the name of its process, `c` its number. */
static __always_inline u32 put_peer(struct scratch *s, struct sock *sk, u32 off)
{
	struct unix_sock *unix = (struct unix_sock *)sk, *peer = 0;
	struct pid *pid = 0;
	struct task_struct *task, *leader = 0;
	u32 from = off, tgid = 0;
	if (bpf_core_read(&peer, sizeof(peer), &unix->peer) || !peer)
		return off;
	off = put_path_of(&peer->path, off);
	s->record.len[2] = (off - from) & OFF_MASK;
	if (off != from)
		s->record.flags |= FLAG_REACHED;
	/* Who listens: kept with the connection when it was made. */
	if (bpf_core_read(&pid, sizeof(pid), &sk->sk_peer_pid) || !pid)
		return off;
	task = (struct task_struct *)task_behind(pid);
	if (!task || bpf_core_read(&tgid, sizeof(tgid), &task->tgid) || bpf_core_read(&leader, sizeof(leader), &task->group_leader))
		return off;
	s->record.c = tgid;
	s->record.d = whose(tgid, leader, s->record.session);
	from = off;
	off = put_kernel_text((u64)leader + bpf_core_field_offset(leader->comm), off, 16);
	s->record.len[3] = (off - from) & OFF_MASK;
	return off;
}

static __always_inline int net_unix_connect(const struct membership *m, struct sock *sk, const struct call *call)
{
	struct endpoints e = {};
	read_endpoints(&e, sk);
	struct scratch *s = begin(m, KIND_NET, OP_CONNECT, call->compat ? FLAG_COMPAT : 0, call->ret);
	if (!s)
		return 0;
	__builtin_memcpy(s->text, &e, sizeof(e));
	s->record.len[0] = sizeof(e);
	u32 off = sizeof(e), from = off, length = call->a2 > 2 ? call->a2 - 2 : 0;
	off = put_user_bytes(call->a1 + 2, off, length > 108 ? 108 : length);
	s->record.len[1] = (off - from) & OFF_MASK;
	from = off;
	if (call->ret == 0) {
		off = put_peer(s, sk, off);
	} else {
		/* Where a path that was asked begins. */
		off = put_base(AT_FDCWD, call->a1 + 2, off);
		s->record.len[2] = (off - from) & OFF_MASK;
	}
	finish(s, off);
	return 0;
}

/* socket(): of families beyond the usual, and raw sockets. */
static __always_inline int net_socket(const struct membership *m, const struct call *call, u16 flags)
{
	u32 family = call->a0, type = call->a1 & 0xf;
	if (family == FAMILY_UNIX || ((family == FAMILY_INET || family == FAMILY_INET6) && type != 3))
		return 0;
	/* Routing: what it changes is told when it is sent. */
	if ((family == FAMILY_NETLINK && call->a2 == 0) || !(m->classes & CLASS_NETWORK))
		return 0;
	struct scratch *s = begin(m, KIND_SYSTEM, OP_SOCKET, flags, call->ret);
	if (!s)
		return 0;
	s->record.a = family;
	s->record.b = type;
	s->record.c = call->a2;
	finish(s, 0);
	return 0;
}

/* socketcall(2) of 32-bit programs: which call, and its arguments. 0: of no interest. */
static __always_inline int unpack_socketcall(struct call *call)
{
	u32 args[6] = {};
	u32 which = call->a0;
	if (which == 0 || which > 20 || bpf_probe_read_user(args, sizeof(args), (void *)call->a1))
		return 0;
	switch (which) {
	case 1: call->op = OP_SOCKET; break;
	case 2: call->op = OP_BIND; break;
	case 3: call->op = OP_CONNECT; break;
	case 4: call->op = OP_LISTEN; break;
	case 5: case 18: call->op = OP_ACCEPT; break;
	case 9: call->op = OP_SENDTO; args[4] = 0; break;
	case 10: call->op = OP_RECVFROM; args[4] = 0; break;
	case 11: call->op = OP_SENDTO; break;
	case 12: call->op = OP_RECVFROM; break;
	case 16: call->op = OP_SENDMSG; break;
	case 17: call->op = OP_RECVMSG; break;
	case 19: call->op = OP_RECVMMSG; break;
	case 20: call->op = OP_SENDMMSG; break;
	default: return 0;
	}
	call->a0 = args[0];
	call->a1 = args[1];
	call->a2 = args[2];
	call->a3 = args[3];
	call->a4 = args[4];
	return 1;
}

#define MESSAGES 1024

__noinline int net_call(const struct membership *m, struct call *call)
{
	if (!m || !call)
		return 0;
	u16 flags = call->compat ? FLAG_COMPAT : 0;
	u32 compat = call->compat;
	u32 packed = call->op == OP_SOCKETCALL;
	if (packed && !unpack_socketcall(call))
		return 0;
	if ((call->op == OP_CONNECT || packed) && attempt_ends(call->ret) && call->op == OP_CONNECT)
		return 0;
	if (call->op == OP_SOCKET)
		return net_socket(m, call, flags);
	if (call->op == OP_ACCEPT && call->ret < 0)
		return 0;
	struct sock *sk = socket_of((struct file *)file_of(call->op == OP_ACCEPT ? (u32)call->ret : (u32)call->a0));
	if (!sk)
		return 0;
	switch (call->op) {
	case OP_SENDTO:
	case OP_WRITE: {
		struct sending what = {
			.sk = (u64)sk, .ret = call->ret, .to = call->op == OP_SENDTO ? call->a4 : 0, .payload = call->a1, .length = bounded(call->a2), .flags = flags, .op = OP_SENDTO,
		};
		return net_send(m, &what);
	}
	case OP_WRITEV: {
		struct vec vec = {};
		read_vec(&vec, call->a1, compat);
		struct sending what = { .sk = (u64)sk, .ret = call->ret, .payload = vec.base, .length = bounded(vec.len), .flags = flags, .op = OP_SENDTO };
		return net_send(m, &what);
	}
	case OP_SENDMSG:
		return net_message(m, (u64)sk, call->a1, compat, call->ret);
	case OP_SENDMMSG:
	case OP_RECVMMSG: {
		/* struct mmsghdr: a message, and the length that was sent. */
		u32 each = compat ? 32 : 64;
		for (int i = 0; i < MESSAGES; i++) {
			if (i >= call->ret && (i > 0 || call->ret == 0))
				break;
			if (call->op == OP_SENDMMSG)
				net_message(m, (u64)sk, call->a1 + i * each, compat, call->ret < 0 ? call->ret : 1);
			else
				net_received_message(m, (u64)sk, call->a1 + i * each, compat, call->ret < 0 ? call->ret : 1);
		}
		return 0;
	}
	case OP_RECVFROM:
		return net_received(m, (u64)sk, call->a4, compat ? HOW_COMPAT : 0, call->ret);
	case OP_READ:
		return net_received(m, (u64)sk, 0, HOW_READ | (compat ? HOW_COMPAT : 0), call->ret);
	case OP_RECVMSG:
		return net_received_message(m, (u64)sk, call->a1, compat, call->ret);
	}
	if (!(m->classes & CLASS_NETWORK))
		return 0;
	struct endpoints e = {};
	u32 port = 0;
	read_endpoints(&e, sk);
	if (call->op == OP_CONNECT && e.family == FAMILY_UNIX)
		return net_unix_connect(m, sk, call);
	u32 tcp = is_inet(&e) && (e.type & 0xf) == 1;
	/* A second call for a connection that has been told, as programs make to ask how it went. */
	if (call->op == OP_CONNECT && tcp && call->ret == 0)
		return 0;
	/* Of TCP listen says it. */
	if (call->op == OP_BIND && tcp)
		return 0;
	if (call->op == OP_BIND || (call->op == OP_CONNECT && (call->ret < 0 || e.family == FAMILY_VSOCK))) {
		struct address a = {};
		read_address(&a, call->a1);
		if (call->op == OP_CONNECT || a.family == FAMILY_VSOCK)
			name_remote(&e, &a, &port);
	}
	if (!is_inet(&e) && e.family != FAMILY_VSOCK)
		return 0;
	struct scratch *s = begin(m, KIND_NET, call->op, flags, call->ret);
	if (!s)
		return 0;
	s->record.c = port;
	__builtin_memcpy(s->text, &e, sizeof(e));
	s->record.len[0] = sizeof(e);
	finish(s, sizeof(e));
	return 0;
}
