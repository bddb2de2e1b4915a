/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What io_uring is asked to do: without a system call of its own for each, and here without its result. Names are the
 * kernel's copies already. TCP connections are told by their sockets.
 */
#pragma once

/* The open file that a request is about, or null. Of the ring's own table where the request says so. */
__noinline u64 uring_target(u64 request_at)
{
	struct io_kiocb *request = (void *)request_at;
	struct io_ring_ctx *ctx = 0;
	struct io_rsrc_node **nodes = 0, *node = 0;
	u64 flags = 0;
	u32 nr = 0;
	int fd = -1;
	if (!bpf_core_field_exists(request->cqe))
		return 0;
	bpf_core_read(&flags, bpf_core_field_size(request->flags) == 8 ? 8 : 4, &request->flags);
	bpf_core_read(&fd, sizeof(fd), &request->cqe.fd);
	if (!(flags & 1))
		return file_of(fd);
	if (!bpf_core_field_exists(ctx->file_table.data) || bpf_core_read(&ctx, sizeof(ctx), &request->ctx))
		return 0;
	if (bpf_core_read(&nr, sizeof(nr), &ctx->file_table.data.nr) || (u32)fd >= nr || bpf_core_read(&nodes, sizeof(nodes), &ctx->file_table.data.nodes))
		return 0;
	unsigned long file = 0;
	if (READ(&node, &nodes[(u32)fd]) || !node || bpf_core_read(&file, sizeof(file), &node->file_ptr))
		return 0;
	/* Its lowest bits say what the file can do. */
	return file & ~3UL;
}

/* Files. Every such command begins with the file, then the folder's descriptor. */
__noinline int uring_file(const struct membership *m, u64 request, u32 op)
{
	if (!m)
		return 0;
	struct scratch *s = begin(m, KIND_FILE, op, FLAG_URING, 0);
	if (!s)
		return 0;
	struct io_open *open = (void *)request;
	struct io_rename *two = (void *)request;
	struct io_xattr *attribute = (void *)request;
	struct filename *asked = 0, *other = 0;
	const char *name = 0;
	s32 dirfd = 0, dirfd2 = 0;
	u32 off = 0, from;
	struct record *r = &s->record;
	u32 by_descriptor = op == OP_FSETXATTR || op == OP_FTRUNCATE || op == OP_FALLOCATE;
	if (op == OP_RENAMEAT2 || op == OP_LINKAT || op == OP_SYMLINKAT) {
		int how = 0;
		bpf_core_read(&how, sizeof(how), &two->flags);
		r->a = op == OP_RENAMEAT2 ? (u32)how : 0;
		bpf_core_read(&dirfd, sizeof(dirfd), &two->old_dfd);
		bpf_core_read(&dirfd2, sizeof(dirfd2), &two->new_dfd);
		bpf_core_read(&asked, sizeof(asked), &two->oldpath);
		bpf_core_read(&other, sizeof(other), &two->newpath);
	} else if (op == OP_UNLINKAT || op == OP_MKDIRAT) {
		struct io_unlink *one = (void *)request;
		bpf_core_read(&dirfd, sizeof(dirfd), &one->dfd);
		bpf_core_read(&asked, sizeof(asked), &one->filename);
		int how = 0;
		u16 mode = 0;
		if (op == OP_UNLINKAT)
			bpf_core_read(&how, sizeof(how), &one->flags);
		else
			bpf_core_read(&mode, sizeof(mode), &((struct io_mkdir *)request)->mode);
		r->a = op == OP_UNLINKAT ? (u32)how : mode;
	} else if (op == OP_SETXATTR) {
		dirfd = -100;
		bpf_core_read(&asked, sizeof(asked), &attribute->filename);
	} else if (!by_descriptor) {
		u64 how = 0;
		bpf_core_read(&dirfd, sizeof(dirfd), &open->dfd);
		bpf_core_read(&asked, sizeof(asked), &open->filename);
		bpf_core_read(&how, sizeof(how), &open->how.flags);
		r->a = how;
	}
	if (op == OP_FTRUNCATE && bpf_core_type_exists(struct io_ftrunc)) {
		s64 length = 0;
		bpf_core_read(&length, sizeof(length), &((struct io_ftrunc *)request)->len);
		r->a = length;
	} else if (op == OP_FALLOCATE) {
		int mode = 0;
		s64 length = 0;
		bpf_core_read(&mode, sizeof(mode), &((struct io_sync *)request)->mode);
		bpf_core_read(&length, sizeof(length), &((struct io_sync *)request)->len);
		r->a = (u32)mode;
		r->b = length;
	}
	if (by_descriptor) {
		off = put_file(s, uring_target(request));
	} else {
		bpf_core_read(&name, sizeof(name), &asked->name);
		off = put_kernel_base(dirfd, (u64)name, 0);
		s->record.len[0] = off & OFF_MASK;
		from = off;
		off = put_kernel_text((u64)name, off, TEXT_MAX);
		s->record.len[1] = (off - from) & OFF_MASK;
	}
	if (op == OP_SETXATTR || op == OP_FSETXATTR) {
		struct xattr_name *kname = 0;
		bpf_core_read(&kname, sizeof(kname), &attribute->ctx.kname);
		from = off;
		if (kname)
			off = put_kernel_text((u64)kname, off, NAME_MAX);
		s->record.len[2] = (off - from) & OFF_MASK;
	} else if (other) {
		bpf_core_read(&name, sizeof(name), &other->name);
		from = off;
		off = put_kernel_base(dirfd2, (u64)name, off);
		s->record.len[2] = (off - from) & OFF_MASK;
		from = off;
		off = put_kernel_text((u64)name, off, TEXT_MAX);
		s->record.len[3] = (off - from) & OFF_MASK;
	}
	finish(s, off);
	return 0;
}

enum uring_way { URING_SEND, URING_MESSAGE, URING_WRITE, URING_WRITE_VECTOR };

/* Sends, by the socket behind the descriptor. */
__noinline int uring_send(const struct membership *m, u64 request_at, u32 way)
{
	struct io_kiocb *request = (void *)request_at;
	struct io_sr_msg *send = (void *)request_at;
	struct io_async_msghdr *copy = 0;
	int length = 0;
	if (!m)
		return 0;
	struct sock *sk = socket_of((struct file *)uring_target(request_at));
	if (!sk)
		return 0;
	struct sending what = { .sk = (u64)sk, .flags = FLAG_URING, .op = OP_SENDMSG };
	if (way == URING_SEND || way == URING_MESSAGE) {
		bpf_core_read(&copy, sizeof(copy), &request->async_data);
		if (copy && bpf_core_type_exists(struct io_async_msghdr))
			bpf_core_read(&what.copied, sizeof(what.copied), &copy->msg.msg_name);
	}
	if (way == URING_MESSAGE) {
		struct message msg = {};
		struct vec vec = {};
		u64 at = 0;
		bpf_core_read(&at, sizeof(at), &send->umsg);
		if (read_message(&msg, &vec, at, 0) == 0) {
			what.payload = vec.base;
			what.length = bounded(vec.len);
			what.to = msg.namelen ? msg.name : 0;
		}
	} else if (way == URING_SEND) {
		bpf_core_read(&what.payload, sizeof(what.payload), &send->buf);
		bpf_core_read(&length, sizeof(length), &send->len);
		what.length = bounded((u32)length);
	} else {
		struct io_rw *rw = (void *)request_at;
		struct vec vec = {};
		bpf_core_read(&vec.base, sizeof(vec.base), &rw->addr);
		bpf_core_read(&length, sizeof(length), &rw->len);
		vec.len = (u32)length;
		if (way == URING_WRITE_VECTOR)
			read_vec(&vec, vec.base, 0);
		what.payload = vec.base;
		what.length = bounded(vec.len);
	}
	return net_send(m, &what);
}

/* Connections that are not TCP, names of sockets, listening, accepting and receiving: what was asked for. */
__noinline int uring_socket(const struct membership *m, u64 request_at, u32 op)
{
	struct endpoints e = {};
	struct address a = {};
	u32 port = 0, first = 0;
	u64 at = 0;
	int length = 0;
	if (!m || !(m->classes & CLASS_NETWORK))
		return 0;
	struct sock *sk = socket_of((struct file *)uring_target(request_at));
	if (!sk)
		return 0;
	read_endpoints(&e, sk);
	u32 stream = (e.type & 0xf) == 1, unix = e.family == FAMILY_UNIX;
	/* Of TCP the socket's state tells it, and listening what it is bound to. */
	if ((op == OP_CONNECT || op == OP_BIND) && is_inet(&e) && stream)
		return 0;
	if (op == OP_RECVFROM) {
		if (!is_inet(&e) || stream || e.remote_port == 53)
			return 0;
		first = e.remote_port != 0;
		if (first && !is_first_received(sk, &e))
			return 0;
	} else if (!(is_inet(&e) || (unix && op == OP_CONNECT))) {
		return 0;
	}
	if (op == OP_CONNECT) {
		/* The kernel has no copy of it yet. */
		bpf_core_read(&length, sizeof(length), &((struct io_connect *)request_at)->addr_len);
		bpf_core_read(&at, sizeof(at), &((struct io_connect *)request_at)->addr);
		read_address(&a, at);
		if (!unix)
			name_remote(&e, &a, &port);
	}
	struct scratch *s = begin(m, KIND_NET, op, FLAG_URING, 0);
	if (!s)
		return 0;
	s->record.d = first;
	__builtin_memcpy(s->text, &e, sizeof(e));
	s->record.len[0] = sizeof(e);
	u32 off = sizeof(e), from = off, bytes = length > 2 && length < 111 ? length - 2 : 0;
	if (unix && bytes) {
		off = put_user_bytes(at + 2, off, bytes);
		s->record.len[1] = (off - from) & OFF_MASK;
		from = off;
		off = put_base(AT_FDCWD, at + 2, off);
		s->record.len[2] = (off - from) & OFF_MASK;
	}
	finish(s, off);
	return 0;
}

static __always_inline int uring_new_socket(const struct membership *m, u64 request_at)
{
	struct io_socket *asked = (void *)request_at;
	struct call call = { .op = OP_SOCKET };
	int domain = 0, type = 0, protocol = 0;
	bpf_core_read(&domain, sizeof(domain), &asked->domain);
	bpf_core_read(&type, sizeof(type), &asked->type);
	bpf_core_read(&protocol, sizeof(protocol), &asked->protocol);
	call.a0 = (u32)domain;
	call.a1 = (u32)type;
	call.a2 = (u32)protocol;
	return net_socket(m, &call, FLAG_URING);
}

SEC("?tp_btf/io_uring_submit_req")
int BPF_PROG(on_uring, struct io_kiocb *request)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct membership *m = membership_of(tgid);
	if (!m)
		return 0;
	u8 opcode = request->opcode;
	u8 op = OP_NONE;
	/* As a number: the functions are verified by themselves, and take no pointers of the kernel's. */
	u64 held = (u64)request, at = 0;
	READ(&at, &held);
	u32 network = m->classes & (CLASS_NETWORK | CLASS_DNS);
	switch (opcode) {
	case 9: case 48: if (network) uring_send(m, at, URING_MESSAGE); return 0;
	case 26: case 47: if (network) uring_send(m, at, URING_SEND); return 0;
	case 5: case 23: if (network) uring_send(m, at, URING_WRITE); return 0;
	case 2: case 61: if (network) uring_send(m, at, URING_WRITE_VECTOR); return 0;
	case 1: case 4: case 10: case 22: case 27: case 49: case 58: case 60: uring_socket(m, at, OP_RECVFROM); return 0;
	case 13: uring_socket(m, at, OP_ACCEPT); return 0;
	case 16: uring_socket(m, at, OP_CONNECT); return 0;
	case 56: uring_socket(m, at, OP_BIND); return 0;
	case 57: uring_socket(m, at, OP_LISTEN); return 0;
	case 45: uring_new_socket(m, at); return 0;
	case 17: op = OP_FALLOCATE; break;
	case 18: op = OP_OPENAT; break;
	case 28: op = OP_OPENAT2; break;
	case 35: op = OP_RENAMEAT2; break;
	case 36: op = OP_UNLINKAT; break;
	case 37: op = OP_MKDIRAT; break;
	case 38: op = OP_SYMLINKAT; break;
	case 39: op = OP_LINKAT; break;
	case 41: op = OP_FSETXATTR; break;
	case 42: op = OP_SETXATTR; break;
	case 55: op = OP_FTRUNCATE; break;
	default: return 0;
	}
	if (m->classes & CLASS_FILE)
		uring_file(m, at, op);
	return 0;
}
