/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files by their paths and by their descriptors; executions that failed. */
#pragma once

#define FS_IOC_SETFLAGS 0x40086602
#define FS_IOC_SETFLAGS32 0x40046602
#define FS_IOC_FSSETXATTR 0x401c5820
#define TIOCSTI 0x5412

static __always_inline int begins(const char *text, const char *with, u32 length)
{
	u32 differs = 0;
#pragma unroll
	for (u32 i = 0; i < length; i++)
		differs |= text[i] ^ with[i];
	return !differs;
}

/* The descriptor in `/proc/self/fd/N`, `/proc/thread-self/fd/N` or `/dev/fd/N`; -1: the text is none of these. */
__noinline int named_descriptor(u64 text_at)
{
	char text[32] = {};
	u32 at;
	int fd = 0, digits = 0;
	if (bpf_probe_read_user_str(text, sizeof(text), (void *)text_at) < 0)
		return -1;
	if (begins(text, "/proc/self/fd/", 14))
		at = 14;
	else if (begins(text, "/dev/fd/", 8))
		at = 8;
	else if (begins(text, "/proc/thread-self/fd/", 21))
		at = 21;
	else
		return -1;
	for (int i = 0; i < 8; i++) {
		char c = text[(at + i) & 31];
		if (c == 0)
			break;
		if (c < '0' || c > '9')
			return -1;
		fd = fd * 10 + (c - '0');
		digits++;
	}
	return digits ? fd : -1;
}

/* What a link is made of: the open file where the text names one, or is empty (AT_EMPTY_PATH). */
static __always_inline u32 put_linked(struct scratch *s, u32 dirfd, u64 text, u32 flags)
{
	char first = 0;
	int fd = named_descriptor(text);
	if (fd < 0 && (flags & 0x1000) && bpf_probe_read_user(&first, 1, (void *)text) == 0 && first == 0)
		fd = dirfd;
	u64 file = fd >= 0 ? file_of(fd) : 0;
	return file ? put_file(s, file) : put_place(s, 0, dirfd, text, 0);
}

/* Text 2: the name of an extended attribute; text 3: what it is set to. */
static __always_inline u32 put_attribute(struct scratch *s, u64 name, u64 value, u64 size, u32 off)
{
	u32 from = off;
	off = put_user_text(name, off, NAME_MAX);
	s->record.len[2] = (off - from) & OFF_MASK;
	s->record.b = size;
	if (!value)
		return off;
	from = off;
	off = put_user_bytes(value, off, size > 64 ? 64 : size);
	s->record.len[3] = (off - from) & OFF_MASK;
	return off;
}

/* Text 2: the first arguments of an execution that failed, each ended by NUL. */
__noinline u32 put_arguments(u64 argv, u32 compat, u32 off)
{
	struct scratch *s = scratch_of();
	if (!s)
		return off;
	for (int i = 0; i < 16; i++) {
		u64 at = 0;
		if (bpf_probe_read_user(&at, compat ? 4 : 8, (void *)(argv + i * (compat ? 4 : 8))) || !at)
			return off;
		off &= OFF_MASK;
		int n = bpf_probe_read_user_str(s->text + off, NAME_MAX, (void *)at);
		if (n <= 0)
			return off;
		off += n;
	}
	return off;
}

/* Whether this one of many requests says anything about a file. */
static __always_inline int ioctl_counts(u32 request)
{
	return request == FS_IOC_SETFLAGS || request == FS_IOC_SETFLAGS32 || request == FS_IOC_FSSETXATTR || request == TIOCSTI;
}

static __always_inline u32 put_opened(struct scratch *s, const struct call *call)
{
	struct record *r = &s->record;
	u32 at = call->op == OP_OPENAT || call->op == OP_OPENAT2;
	u64 name = at ? call->a1 : call->a0;
	r->a = call->op == OP_CREAT ? 01101 : call->op == OP_OPEN ? call->a1 : call->a2;
	if (call->op == OP_OPENAT2) {
		u64 flags = 0;
		bpf_probe_read_user(&flags, sizeof(flags), (void *)call->a2);
		r->a = flags;
	}
	struct file *file = call->ret >= 0 ? (struct file *)file_of(call->ret) : 0;
	if (file) {
		bpf_core_read(&r->c, sizeof(r->c), &file->f_mode);
		return put_file(s, (u64)file);
	}
	return call->op == OP_OPEN_HANDLE ? 0 : put_place(s, 0, at ? (u32)call->a0 : AT_FDCWD, name, 0);
}

static __always_inline u32 put_times(struct scratch *s, const struct call *call, u64 times)
{
	struct timespec64 both[2] = {};
	struct record *r = &s->record;
	/* 1: they are set to now; 2: to `a` (access) and `b` (change), in seconds; 3: to what is not known. */
	r->c = !times ? 1 : call->compat || bpf_probe_read_user(both, sizeof(both), (void *)times) ? 3 : 2;
	r->a = both[0].tv_sec;
	r->b = both[1].tv_sec;
	return 0;
}

#define PROT_EXEC 4
#define MAP_ANONYMOUS 0x20

/* Memory of no file is told once for each image of a process: a compiler of its own code asks for it again and again. */
static __always_inline int mapping_counts(const struct call *call)
{
	struct task_struct *task = bpf_get_current_task_btf();
	/* Of an error as of an address: the last page of all is none. */
	if (!(call->a2 & PROT_EXEC) || (u64)call->ret >= -4095ULL)
		return 0;
	if (call->op == OP_MMAP && !(call->a3 & MAP_ANONYMOUS))
		return 1;
	struct once key = { .of = (u64)task->mm, .kind = FIRST_EXECUTABLE, .which = task->group_leader->start_boottime + call->op };
	return is_first(&key);
}

__noinline int file_call(const struct membership *m, const struct call *call)
{
	if (!m || !call)
		return 0;
	u8 op = call->op;
	if (op == OP_IOCTL && !ioctl_counts(call->a1))
		return 0;
	if ((op == OP_MMAP || op == OP_MPROTECT) && !mapping_counts(call))
		return 0;
	if ((op == OP_EXECVE || op == OP_EXECVEAT) && call->ret >= 0)
		return 0;
	struct scratch *s = begin(m, KIND_FILE, op, call->compat ? FLAG_COMPAT : 0, call->ret);
	if (!s)
		return 0;
	struct record *r = &s->record;
	u32 off = 0, from;
	switch (op) {
	case OP_OPEN:
	case OP_CREAT:
	case OP_OPENAT:
	case OP_OPENAT2:
	case OP_OPEN_HANDLE:
		off = put_opened(s, call);
		break;
	case OP_RENAME:
	case OP_LINK:
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		off = put_place(s, 2, AT_FDCWD, call->a1, off);
		break;
	case OP_RENAMEAT2:
	case OP_RENAMEAT:
		r->a = op == OP_RENAMEAT2 ? call->a4 : 0;
		off = put_place(s, 0, call->a0, call->a1, 0);
		off = put_place(s, 2, call->a2, call->a3, off);
		break;
	case OP_LINKAT:
		off = put_linked(s, call->a0, call->a1, call->a4);
		off = put_place(s, 2, call->a2, call->a3, off);
		break;
	case OP_SYMLINK:
	case OP_SYMLINKAT:
		off = op == OP_SYMLINK ? put_place(s, 0, AT_FDCWD, call->a1, 0) : put_place(s, 0, call->a1, call->a2, 0);
		from = off;
		off = put_user_text(call->a0, off, TEXT_MAX);
		r->len[3] = (off - from) & OFF_MASK;
		break;
	case OP_FCHMOD:
	case OP_FCHOWN:
	case OP_FTRUNCATE:
		r->a = call->a1;
		r->b = call->a2;
		off = put_file(s, file_of(call->a0));
		break;
	case OP_MMAP:
	case OP_MPROTECT:
		/* An address is no result that anybody should see, and may look like an errno of 32 bits. */
		r->result = 0;
		r->a = call->a2;
		r->b = call->a1;
		if (op == OP_MMAP && !(call->a3 & MAP_ANONYMOUS))
			off = put_file(s, file_of(call->a4));
		break;
	case OP_FALLOCATE:
		r->a = call->a1;
		r->b = call->compat ? 0 : call->a3;
		off = put_file(s, file_of(call->a0));
		break;
	case OP_UNLINKAT:
	case OP_MKDIRAT:
	case OP_MKNODAT:
	case OP_FCHMODAT:
	case OP_FCHOWNAT:
		r->a = call->a2;
		r->b = call->a3;
		off = put_place(s, 0, call->a0, call->a1, 0);
		break;
	case OP_SETXATTR:
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		off = put_attribute(s, call->a1, call->a2, call->a3, off);
		break;
	case OP_FSETXATTR:
		off = put_file(s, file_of(call->a0));
		off = put_attribute(s, call->a1, call->a2, call->a3, off);
		break;
	case OP_REMOVEXATTR:
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		off = put_attribute(s, call->a1, 0, 0, off);
		break;
	case OP_FREMOVEXATTR:
		off = put_file(s, file_of(call->a0));
		off = put_attribute(s, call->a1, 0, 0, off);
		break;
	case OP_SETXATTRAT: {
		/* struct xattr_args */
		struct {
			u64 value;
			u32 size, flags;
		} args = {};
		bpf_probe_read_user(&args, sizeof(args), (void *)call->a4);
		off = put_linked(s, call->a0, call->a1, call->a2);
		off = put_attribute(s, call->a3, args.value, args.size, off);
		break;
	}
	case OP_REMOVEXATTRAT:
		off = put_linked(s, call->a0, call->a1, call->a2);
		off = put_attribute(s, call->a3, 0, 0, off);
		break;
	case OP_UTIMENSAT:
		put_times(s, call, call->a2);
		/* Without a path: of the descriptor itself (futimens). */
		off = call->a1 ? put_place(s, 0, call->a0, call->a1, 0) : put_file(s, file_of(call->a0));
		break;
	case OP_FUTIMESAT:
		r->c = call->a2 ? 3 : 1;
		off = call->a1 ? put_place(s, 0, call->a0, call->a1, 0) : put_file(s, file_of(call->a0));
		break;
	case OP_UTIMES:
		r->c = call->a1 ? 3 : 1;
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		break;
	case OP_IOCTL: {
		u32 flags = 0;
		r->a = call->a1;
		bpf_probe_read_user(&flags, call->a1 == TIOCSTI ? 1 : 4, (void *)call->a2);
		r->b = flags;
		off = put_file(s, file_of(call->a0));
		break;
	}
	case OP_FILE_SETATTR: {
		u64 flags = 0;
		bpf_probe_read_user(&flags, sizeof(flags), (void *)call->a2);
		r->b = flags;
		off = put_linked(s, call->a0, call->a1, call->a4);
		break;
	}
	case OP_EXECVE:
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		from = off;
		off = put_arguments(call->a1, call->compat, off);
		r->len[2] = (off - from) & OFF_MASK;
		break;
	case OP_EXECVEAT:
		off = put_linked(s, call->a0, call->a1, call->a4);
		from = off;
		off = put_arguments(call->a2, call->compat, off);
		r->len[2] = (off - from) & OFF_MASK;
		break;
	default:
		r->a = call->a1;
		r->b = call->a2;
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		break;
	}
	finish(s, off);
	return 0;
}
