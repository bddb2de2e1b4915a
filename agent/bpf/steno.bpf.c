// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the processes of recorded sessions do, seen by the kernel.
 *
 * A process belongs to the session of the process that made it: the table `followed` says so from before its first
 * instruction (sched_process_fork runs before the child may) until its last thread is gone. Names, groups, terminals,
 * users and cgroups play no part. A process of no session costs one look-up in that table at those system calls that
 * are of interest, and nothing at others but the look at a table of numbers.
 *
 * Records are gathered in `scratch`, one for each processor, and go through one ring. What does not fit is counted
 * under its session, with the time of the first and the last. Paths are those the kernel reached, walked from the open
 * file; where nothing was opened they are what was asked, with the folder it was asked in.
 *
 * Only BTF tracepoints: they exist on kernels without kprobes, and are the same on every architecture.
 * Built by build.sh; how records are laid out is in events.h.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "events.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* By 64 and 32 bits: what to do at the return of which system call. Set by the agent for its architecture. */
const volatile u8 ops[2][SYSCALLS] = {};

#define MAX_ARGV 32768
#define TEXT_MAX 4096
#define OFF_MASK 0xffff
#define SCRATCH (0x10000 + 0x8000 + 0x1000)
#define NAME_MAX 256
#define COMPONENTS 96

struct membership {
	u32 session;
	u32 classes;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 18);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct membership);
} followed SEC(".maps");

/* How many followed processes have an id with these low bits: nought, as nearly always, saves the look-up. */
u32 present[1 << 16] = {};

/* Thread of the agent → the session that its next child begins. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, struct membership);
} beginning SEC(".maps");

/* Sockets that are connecting → whose. */
struct connecting {
	struct membership member;
	u32 pid, tid, uid, euid;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct connecting);
} dialling SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct counters);
} totals SEC(".maps");

struct scratch {
	u32 busy;
	u32 cut;
	struct record record;
	char text[SCRATCH];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} ring SEC(".maps");

#define READ(dst, src) bpf_probe_read_kernel(dst, sizeof(*(dst)), src)

static __always_inline struct counters *counters_of(u32 session)
{
	u32 slot = session & (SLOTS - 1);
	return bpf_map_lookup_elem(&totals, &slot);
}

static __always_inline void count_lost(u32 session, u64 now)
{
	struct counters *c = counters_of(session);
	if (!c)
		return;
	if (__sync_fetch_and_add(&c->lost, 1) == 0)
		c->first_lost = now;
	c->last_lost = now;
}

static __always_inline struct scratch *scratch_of(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&scratches, &cpu);
}

/* Counts the event; null: it cannot be written and was counted as lost. */
static __always_inline struct scratch *begin(const struct membership *m, u8 kind, u8 op, u16 flags, s64 result)
{
	struct counters *c = counters_of(m->session);
	struct scratch *s = scratch_of();
	u64 now = bpf_ktime_get_boot_ns();
	if (c)
		__sync_fetch_and_add(&c->seen, 1);
	if (!s || s->busy) {
		count_lost(m->session, now);
		return 0;
	}
	s->busy = 1;
	s->cut = 0;
	struct record *r = &s->record;
	struct task_struct *task = bpf_get_current_task_btf();
	const struct cred *cred = task->cred;
	r->time = now;
	r->session = m->session;
	r->kind = kind;
	r->op = op;
	r->flags = flags;
	r->pid = task->tgid;
	r->tid = task->pid;
	r->uid = cred->uid.val;
	r->euid = cred->euid.val;
	r->result = result;
	r->a = r->b = 0;
	r->c = r->d = 0;
	r->len[0] = r->len[1] = r->len[2] = r->len[3] = 0;
	return s;
}

static __always_inline void finish(struct scratch *s, u32 length)
{
	struct record *r = &s->record;
	r->flags |= s->cut;
	if (length > OFF_MASK + 0x8000)
		length = OFF_MASK + 0x8000;
	/* The agent looks at the ring many times a second: nothing need wake it. */
	if (bpf_ringbuf_output(&ring, r, sizeof(*r) + length, BPF_RB_NO_WAKEUP))
		count_lost(r->session, r->time);
	s->busy = 0;
}

/*
 * The functions below are verified once each, so they take numbers and find the scratch by themselves. Each appends at
 * `off` and returns the offset after it.
 */

/* The names from `dentry` up to the root of all mounts, the last first, each ended by NUL. */
__noinline u32 put_path(u64 dentry_at, u64 vfsmount_at, u32 off)
{
	struct scratch *s = scratch_of();
	struct dentry *dentry = (struct dentry *)dentry_at;
	struct vfsmount *vfsmount = (struct vfsmount *)vfsmount_at;
	u32 from = off;
	if (!s || !dentry)
		return off;
	for (int i = 0; i < COMPONENTS; i++) {
		struct dentry *root, *parent;
		const unsigned char *name;
		if (bpf_core_read(&root, sizeof(root), &vfsmount->mnt_root))
			break;
		if (dentry == root) {
			struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
			struct mount *above;
			if (bpf_core_read(&above, sizeof(above), &mount->mnt_parent) || above == mount)
				return off;
			if (bpf_core_read(&dentry, sizeof(dentry), &mount->mnt_mountpoint))
				break;
			vfsmount = (void *)above + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		if (bpf_core_read(&parent, sizeof(parent), &dentry->d_parent) || bpf_core_read(&name, sizeof(name), &dentry->d_name.name))
			break;
		if (off - from > TEXT_MAX)
			break;
		off &= OFF_MASK;
		int n = bpf_probe_read_kernel_str(s->text + off, NAME_MAX, name);
		if (n <= 0)
			break;
		off += n;
		/* The top of a file system that is mounted nowhere: pipes, sockets, memory. */
		if (parent == dentry)
			return off;
		dentry = parent;
	}
	s->cut = FLAG_CUT;
	return off;
}

/* A text of the process, at most `max` bytes, without its NUL. */
__noinline u32 put_user_text(u64 at, u32 off, u32 max)
{
	struct scratch *s = scratch_of();
	if (!s)
		return off;
	off &= OFF_MASK;
	if (max > TEXT_MAX)
		max = TEXT_MAX;
	int n = bpf_probe_read_user_str(s->text + off, max, (void *)at);
	if (n <= 0) {
		s->cut |= FLAG_UNREADABLE;
		return off;
	}
	if (n == max)
		s->cut |= FLAG_CUT;
	return off + n - 1;
}

__noinline u32 put_kernel_text(u64 at, u32 off, u32 max)
{
	struct scratch *s = scratch_of();
	if (!s)
		return off;
	off &= OFF_MASK;
	if (max > TEXT_MAX)
		max = TEXT_MAX;
	int n = bpf_probe_read_kernel_str(s->text + off, max, (void *)at);
	return n > 0 ? off + n - 1 : off;
}

__noinline u32 put_user_bytes(u64 at, u32 off, u32 length)
{
	struct scratch *s = scratch_of();
	if (!s)
		return off;
	off &= OFF_MASK;
	if (length == 0)
		return off;
	if (length > 0x8000)
		length = 0x8000;
	if (bpf_probe_read_user(s->text + off, length, (void *)at)) {
		s->cut |= FLAG_UNREADABLE;
		return off;
	}
	return off + length;
}

static __always_inline u32 put_path_of(const struct path *path, u32 off)
{
	struct path p;
	if (bpf_core_read(&p.dentry, sizeof(p.dentry), &path->dentry) || bpf_core_read(&p.mnt, sizeof(p.mnt), &path->mnt))
		return off;
	return put_path((u64)p.dentry, (u64)p.mnt, off);
}

/* The open file behind a descriptor of the current process, or null. */
__noinline u64 file_of(u32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct files_struct *files = task->files;
	struct fdtable *fdt;
	struct file **list, *file = 0;
	u32 max = 0;
	if (!files || bpf_core_read(&fdt, sizeof(fdt), &files->fdt) || bpf_core_read(&max, sizeof(max), &fdt->max_fds))
		return 0;
	if (fd >= max || bpf_core_read(&list, sizeof(list), &fdt->fd))
		return 0;
	if (READ(&file, &list[fd]))
		return 0;
	return (u64)file;
}

/* The folder that a path of the process starts in: `/` as the process sees it, a descriptor's, or the current one. */
__noinline u32 put_base(u32 dirfd, u64 text_at, u32 off)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fs_struct *fs = task->fs;
	char first = 0;
	bpf_probe_read_user(&first, 1, (void *)text_at);
	if (!fs)
		return off;
	if (first == '/')
		return put_path_of(&fs->root, off);
	if ((int)dirfd == -100)
		return put_path_of(&fs->pwd, off);
	struct file *file = (struct file *)file_of(dirfd);
	return file ? put_path_of(&file->f_path, off) : off;
}

/* As `put_base`, for a text that is the kernel's. */
__noinline u32 put_kernel_base(u32 dirfd, u64 text_at, u32 off)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fs_struct *fs = task->fs;
	char first = 0;
	READ(&first, (char *)text_at);
	if (!fs)
		return off;
	if (first == '/')
		return put_path_of(&fs->root, off);
	if ((int)dirfd == -100)
		return put_path_of(&fs->pwd, off);
	struct file *file = (struct file *)file_of(dirfd);
	return file ? put_path_of(&file->f_path, off) : off;
}

/* ---- processes ---- */

SEC("syscall")
int begin_session(struct membership *asked)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct membership m = { .session = asked->session, .classes = asked->classes };
	return bpf_map_update_elem(&beginning, &tid, &m, BPF_ANY);
}

SEC("syscall")
int begin_nothing(void *unused)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	bpf_map_delete_elem(&beginning, &tid);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 tgid = parent->tgid, of = child->tgid;
	if (tgid == of)
		return 0;
	struct membership *found = bpf_map_lookup_elem(&followed, &tgid), m;
	if (found) {
		m = *found;
	} else {
		u32 tid = parent->pid;
		found = bpf_map_lookup_elem(&beginning, &tid);
		if (!found)
			return 0;
		m = *found;
		/* One child, and no other by accident. */
		bpf_map_delete_elem(&beginning, &tid);
	}
	struct counters *c = counters_of(m.session);
	if (bpf_map_update_elem(&followed, &of, &m, BPF_ANY)) {
		if (c)
			__sync_fetch_and_add(&c->unfollowed, 1);
		count_lost(m.session, bpf_ktime_get_boot_ns());
		return 0;
	}
	if (c)
		__sync_fetch_and_add(&c->processes, 1);
	__sync_fetch_and_add(&present[of & 0xffff], 1);
	if (!(m.classes & CLASS_PROCESS))
		return 0;
	struct scratch *s = begin(&m, KIND_FORK, 0, 0, 0);
	if (!s)
		return 0;
	s->record.a = of;
	s->record.b = child->start_boottime;
	finish(s, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	u32 tgid = task->tgid;
	struct membership *found = bpf_map_lookup_elem(&followed, &tgid), m;
	if (!found || task->signal->live.counter > 0)
		return 0;
	m = *found;
	struct counters *c = counters_of(m.session);
	if (m.classes & CLASS_PROCESS) {
		int code = task->signal->group_exit_code;
		struct scratch *s = begin(&m, KIND_EXIT, 0, 0, 0);
		if (s) {
			s->record.a = code ? code : task->group_leader->exit_code;
			s->record.b = task->group_leader->start_boottime;
			finish(s, 0);
		}
	}
	bpf_map_delete_elem(&followed, &tgid);
	__sync_fetch_and_add(&present[tgid & 0xffff], -1);
	/* Last: who sees no process left finds every record in the ring. */
	if (c)
		__sync_fetch_and_add(&c->processes, -1);
	return 0;
}

/* The names of a control group: a container's own, the pod's above it, and what holds them. Each ended by NUL. */
__noinline u32 put_cgroup(u64 cgroup_at, u32 off)
{
	struct cgroup *cgroup = (struct cgroup *)cgroup_at;
	struct scratch *s = scratch_of();
	struct kernfs_node *kn = 0;
	if (!s || bpf_core_read(&kn, sizeof(kn), &cgroup->kn))
		return off;
	for (int i = 0; i < 3 && kn; i++) {
		const char *name = 0;
		struct kernfs_node___new *newer = (void *)kn;
		bpf_core_read(&name, sizeof(name), &kn->name);
		off = put_kernel_text((u64)name, off, NAME_MAX);
		s->text[off & OFF_MASK] = 0;
		off++;
		if (bpf_core_field_exists(newer->__parent)) {
			if (bpf_core_read(&kn, sizeof(kn), &newer->__parent))
				break;
		} else if (bpf_core_read(&kn, sizeof(kn), &kn->parent)) {
			break;
		}
	}
	return off;
}

/* The group of the second version, or of the first controller that has put the process anywhere. */
__noinline u64 cgroup_of(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct css_set *set = task->cgroups;
	struct cgroup *cgroup = 0;
	struct cgroup_subsys_state **all;
	int level = 0;
	if (bpf_core_read(&cgroup, sizeof(cgroup), &set->dfl_cgrp) || bpf_core_read(&level, sizeof(level), &cgroup->level))
		return 0;
	if (level > 0)
		return (u64)cgroup;
	all = (void *)set + bpf_core_field_offset(set->subsys);
	for (int i = 0; i < 12; i++) {
		struct cgroup_subsys_state *css = 0;
		struct cgroup *other = 0;
		if (READ(&css, &all[i]) || !css)
			continue;
		if (bpf_core_read(&other, sizeof(other), &css->cgroup) || bpf_core_read(&level, sizeof(level), &other->level))
			continue;
		/* Within 0 and 64: past the last controller stands something else. */
		if (level > 0 && level < 64)
			return (u64)other;
	}
	return 0;
}

/* The file's change time, ns since 1970; 0: this kernel keeps it otherwise. */
static __always_inline u64 changed_at(struct inode *inode)
{
	struct inode___new *newer = (void *)inode;
	struct inode___mid *middle = (void *)inode;
	struct inode___old *older = (void *)inode;
	struct timespec64 time = {};
	if (bpf_core_field_exists(newer->i_ctime_sec)) {
		s64 seconds = 0;
		u32 ns = 0;
		bpf_core_read(&seconds, sizeof(seconds), &newer->i_ctime_sec);
		bpf_core_read(&ns, sizeof(ns), &newer->i_ctime_nsec);
		/* Its highest bit says that somebody has asked for it. */
		return seconds * 1000000000ULL + (ns & 0x7fffffff);
	}
	if (bpf_core_field_exists(middle->__i_ctime))
		bpf_core_read(&time, sizeof(time), &middle->__i_ctime);
	else if (bpf_core_field_exists(older->i_ctime))
		bpf_core_read(&time, sizeof(time), &older->i_ctime);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	u32 tgid = task->tgid;
	struct membership *m = bpf_map_lookup_elem(&followed, &tgid);
	if (!m || !(m->classes & CLASS_PROCESS))
		return 0;
	struct scratch *s = begin(m, KIND_EXEC, 0, 0, 0);
	if (!s)
		return 0;
	struct record *r = &s->record;
	struct file *file = bprm->file;
	struct inode *inode = file->f_inode;
	struct dentry *dentry = 0;
	struct hlist_bl_node **hashed = 0;
	struct mm_struct *mm = task->mm;
	struct exec_facts facts = {};
	u32 off = 0, from;

	r->a = task->real_parent->tgid;
	r->b = task->group_leader->start_boottime;
	r->c = bprm->argc;
	facts.inode = inode->i_ino;
	facts.size = inode->i_size;
	facts.changed = changed_at(inode);
	facts.device = inode->i_sb->s_dev;
	facts.links = inode->i_nlink;
	facts.mode = inode->i_mode;
	facts.gid = task->cred->gid.val;
	facts.egid = task->cred->egid.val;
	struct nsproxy *ns = task->nsproxy;
	if (ns) {
		facts.mnt_ns = ns->mnt_ns->ns.inum;
		facts.pid_ns = ns->pid_ns_for_children->ns.inum;
	}
	bpf_core_read(&dentry, sizeof(dentry), &file->f_path.dentry);
	bpf_core_read(&hashed, sizeof(hashed), &dentry->d_hash.pprev);
	if (facts.links == 0 || !hashed)
		r->flags |= FLAG_UNLINKED;
	if (task->thread_info.status & 2 && bpf_core_field_exists(task->thread_info.status))
		r->flags |= FLAG_COMPAT;

	off = put_path_of(&file->f_path, 0);
	r->len[0] = off & OFF_MASK;
	from = off;
	if (mm) {
		u64 bytes = mm->arg_end - mm->arg_start;
		facts.argv_bytes = bytes;
		if (bytes > MAX_ARGV) {
			bytes = MAX_ARGV;
			s->cut |= FLAG_CUT;
		}
		off = put_user_bytes(mm->arg_start, off, bytes);
	}
	r->len[1] = (off - from) & OFF_MASK;
	from = off;
	if (task->fs)
		off = put_path_of(&task->fs->pwd, off);
	r->len[2] = (off - from) & OFF_MASK;
	u32 at = off;
	off += sizeof(facts);
	from = off;
	const char *asked = 0;
	bpf_core_read(&asked, sizeof(asked), &bprm->filename);
	off = put_kernel_text((u64)asked, off, TEXT_MAX);
	facts.filename_bytes = off - from;
	from = off;
	u64 cgroup = cgroup_of();
	if (cgroup)
		off = put_cgroup(cgroup, off);
	facts.cgroup_bytes = off - from;
	__builtin_memcpy(s->text + (at & OFF_MASK), &facts, sizeof(facts));
	r->len[3] = (off - at) & OFF_MASK;
	finish(s, off);
	return 0;
}

/* ---- system calls ---- */

static __always_inline u32 class_of(u8 op)
{
	return op < 64 ? CLASS_FILE : op < 80 ? CLASS_NETWORK | CLASS_DNS : CLASS_SYSTEM;
}

static __always_inline int is_socket(struct file *file, struct sock **sk)
{
	struct inode *inode;
	struct socket *socket;
	u16 mode = 0;
	if (!file || bpf_core_read(&inode, sizeof(inode), &file->f_inode) || bpf_core_read(&mode, sizeof(mode), &inode->i_mode))
		return 0;
	if ((mode & 0xf000) != 0xc000 || bpf_core_read(&socket, sizeof(socket), &file->private_data))
		return 0;
	return bpf_core_read(sk, sizeof(*sk), &socket->sk) == 0 && *sk != 0;
}

static __always_inline void read_endpoints(struct endpoints *e, struct sock *sk)
{
	u16 family = 0, port = 0, type = 0;
	bpf_core_read(&family, sizeof(family), &sk->__sk_common.skc_family);
	e->family = family;
	bpf_core_read(&type, sizeof(type), &sk->sk_type);
	e->type = type;
	bpf_core_read(&e->local_port, sizeof(port), &sk->__sk_common.skc_num);
	bpf_core_read(&port, sizeof(port), &sk->__sk_common.skc_dport);
	e->remote_port = __builtin_bswap16(port);
	e->socket = (u64)sk;
	if (family == 10) {
		bpf_core_read(e->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(e->remote, 16, &sk->__sk_common.skc_v6_daddr);
	} else {
		bpf_core_read(e->local, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_core_read(e->remote, 4, &sk->__sk_common.skc_daddr);
	}
}

struct address {
	u16 family;
	u16 port;
	u32 v4;
	u8 v6[16];
};

/* The address that a call names, where it names one. */
static __always_inline void name_remote(struct endpoints *e, u64 at)
{
	struct address a = {};
	if (!at || bpf_probe_read_user(&a, 8, (void *)at))
		return;
	if (a.family == 2) {
		e->remote_port = __builtin_bswap16(a.port);
		__builtin_memset(e->remote, 0, 16);
		__builtin_memcpy(e->remote, &a.v4, 4);
		e->family = 2;
	} else if (a.family == 10 && bpf_probe_read_user(&a, sizeof(a), (void *)at) == 0) {
		e->remote_port = __builtin_bswap16(a.port);
		__builtin_memcpy(e->remote, a.v6, 16);
		e->family = 10;
	}
}

struct call {
	u64 a0, a1, a2, a3, a4;
	s64 ret;
	u8 op;
	u8 compat;
	u16 unused;
	u32 unused2;
};

/* One send to an address: `c`: length; text 1: the beginning of what is sent to a name server. */
static __always_inline void net_send(const struct membership *m, struct sock *sk, u8 op, u16 flags, s64 ret, u64 to, u64 payload, u32 length)
{
	struct endpoints e = {};
	read_endpoints(&e, sk);
	/* Of a stream the connection was recorded; of a raw socket the sending is all there is. */
	if ((e.type & 0xf) == 1 || (e.family != 2 && e.family != 10))
		return;
	name_remote(&e, to);
	int asks = (m->classes & CLASS_DNS) && (e.remote_port == 53 || e.remote_port == 5353);
	if (!asks && !(m->classes & CLASS_NETWORK))
		return;
	struct scratch *s = begin(m, KIND_NET, op, flags, ret);
	if (!s)
		return;
	s->record.c = length;
	__builtin_memcpy(s->text, &e, sizeof(e));
	s->record.len[0] = sizeof(e);
	u32 off = sizeof(e);
	if (asks) {
		off = put_user_bytes(payload, off, length > 512 ? 512 : length);
		s->record.len[1] = (off - sizeof(e)) & OFF_MASK;
	}
	finish(s, off);
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

static __always_inline void net_message(const struct membership *m, struct sock *sk, const struct call *call, u64 at, s64 ret)
{
	struct message msg = {};
	struct vec vec = {};
	/* A 32-bit program's message is laid out otherwise: its socket tells the address of connected ones. */
	if (!call->compat) {
		if (bpf_probe_read_user(&msg, sizeof(msg), (void *)at))
			return;
		if (msg.iovlen > 0)
			bpf_probe_read_user(&vec, sizeof(vec), (void *)msg.iov);
	}
	net_send(m, sk, OP_SENDMSG, call->compat ? FLAG_COMPAT : 0, ret, msg.namelen ? msg.name : 0, vec.base, vec.len > 0xffff ? 0xffff : vec.len);
}

static __always_inline void net_call(const struct membership *m, struct call *call)
{
	u64 pid = bpf_get_current_pid_tgid();
	u16 flags = call->compat ? FLAG_COMPAT : 0;
	if (call->op == OP_SOCKETCALL) {
		u32 args[6] = {};
		if (bpf_probe_read_user(args, sizeof(args), (void *)call->a1))
			return;
		switch ((u32)call->a0) {
		case 3: call->op = OP_CONNECT; break;
		case 4: call->op = OP_LISTEN; break;
		case 5: case 18: call->op = OP_ACCEPT; break;
		case 9: call->op = OP_SENDTO; args[4] = 0; break;
		case 11: call->op = OP_SENDTO; break;
		case 16: call->op = OP_SENDMSG; break;
		default: return;
		}
		call->a0 = args[0];
		call->a1 = args[1];
		call->a2 = args[2];
		call->a4 = args[4];
	}
	struct sock *sk = 0;
	if (call->op == OP_ACCEPT && call->ret < 0)
		return;
	if (!is_socket((struct file *)file_of(call->op == OP_ACCEPT ? (u32)call->ret : (u32)call->a0), &sk))
		return;
	if (call->op == OP_SENDTO)
		return net_send(m, sk, OP_SENDTO, flags, call->ret, call->a4, call->a1, call->a2 > 0xffff ? 0xffff : call->a2);
	if (call->op == OP_SENDMSG)
		return net_message(m, sk, call, call->a1, call->ret);
	if (call->op == OP_SENDMMSG) {
		for (int i = 0; i < 8; i++) {
			if (i >= call->ret || call->compat)
				break;
			net_message(m, sk, call, call->a1 + i * 64, 1);
		}
		if (call->ret < 0 || call->compat)
			net_message(m, sk, call, call->a1, call->ret);
		/* More than are read are counted: none is passed over. */
		for (int i = 8; i < 64; i++)
			if (i < call->ret) {
				struct counters *c = counters_of(m->session);
				if (c)
					__sync_fetch_and_add(&c->seen, 1);
				count_lost(m->session, bpf_ktime_get_boot_ns());
			}
		return;
	}
	if (!(m->classes & CLASS_NETWORK))
		return;
	struct endpoints e = {};
	read_endpoints(&e, sk);
	u64 unix_path = 0;
	if (call->op == OP_CONNECT) {
		if (e.family == 1)
			unix_path = call->a1 + 2;
		else if (call->ret < 0 && call->ret != -115)
			name_remote(&e, call->a1);
	}
	if (e.family != 2 && e.family != 10 && !unix_path)
		return;
	if (call->op == OP_CONNECT && call->ret == -115 && (e.type & 0xf) == 1 && !unix_path) {
		struct task_struct *task = bpf_get_current_task_btf();
		struct connecting who = {};
		u64 key = (u64)sk;
		who.member = *m;
		who.pid = pid >> 32;
		who.tid = (u32)pid;
		who.uid = task->cred->uid.val;
		who.euid = task->cred->euid.val;
		bpf_map_update_elem(&dialling, &key, &who, BPF_ANY);
		/* On the same machine it may have come about before the call returned: whoever takes the entry out tells. */
		u8 state = 0;
		bpf_core_read(&state, sizeof(state), &sk->__sk_common.skc_state);
		if ((state == 1 || state == 7) && bpf_map_delete_elem(&dialling, &key) == 0)
			call->ret = state == 1 ? 0 : -111;
	}
	struct scratch *s = begin(m, KIND_NET, call->op, flags, call->ret);
	if (!s)
		return;
	__builtin_memcpy(s->text, &e, sizeof(e));
	s->record.len[0] = sizeof(e);
	u32 off = sizeof(e);
	if (unix_path && call->a2 > 2) {
		u32 length = call->a2 - 2;
		off = put_user_bytes(unix_path, off, length > 108 ? 108 : length);
		s->record.len[1] = (off - sizeof(e)) & OFF_MASK;
	}
	finish(s, off);
}

/* Two places in text 0/1 and 2/3: the folder that the path starts in, and the path as asked. */
static __always_inline u32 put_place(struct scratch *s, u32 i, u32 dirfd, u64 text, u32 off)
{
	u32 from = off;
	off = put_base(dirfd, text, off);
	s->record.len[i] = (off - from) & OFF_MASK;
	from = off;
	off = put_user_text(text, off, TEXT_MAX);
	s->record.len[i + 1] = (off - from) & OFF_MASK;
	return off;
}

static __always_inline u32 put_file(struct scratch *s, u64 file_at)
{
	struct file *file = (struct file *)file_at;
	if (!file)
		return 0;
	u32 off = put_path_of(&file->f_path, 0);
	s->record.len[0] = off & OFF_MASK;
	s->record.flags |= FLAG_REACHED;
	return off;
}

#define AT_FDCWD ((u32)-100)

static __always_inline void file_call(const struct membership *m, const struct call *call)
{
	struct scratch *s = begin(m, KIND_FILE, call->op, call->compat ? FLAG_COMPAT : 0, call->ret);
	if (!s)
		return;
	struct record *r = &s->record;
	u32 off = 0;
	switch (call->op) {
	case OP_OPEN:
	case OP_CREAT:
	case OP_OPENAT:
	case OP_OPENAT2:
	case OP_OPEN_HANDLE: {
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
			off = put_file(s, (u64)file);
		} else if (call->op != OP_OPEN_HANDLE) {
			off = put_place(s, 0, at ? (u32)call->a0 : AT_FDCWD, name, 0);
		}
		break;
	}
	case OP_RENAME:
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		off = put_place(s, 2, AT_FDCWD, call->a1, off);
		break;
	case OP_RENAMEAT:
	case OP_LINKAT:
		off = put_place(s, 0, call->a0, call->a1, 0);
		off = put_place(s, 2, call->a2, call->a3, off);
		break;
	case OP_LINK:
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		off = put_place(s, 2, AT_FDCWD, call->a1, off);
		break;
	case OP_SYMLINK:
		off = put_place(s, 0, AT_FDCWD, call->a1, 0);
		r->len[3] = put_user_text(call->a0, off, TEXT_MAX) - off;
		off += r->len[3] & OFF_MASK;
		break;
	case OP_SYMLINKAT:
		off = put_place(s, 0, call->a1, call->a2, 0);
		r->len[3] = put_user_text(call->a0, off, TEXT_MAX) - off;
		off += r->len[3] & OFF_MASK;
		break;
	case OP_FCHMOD:
	case OP_FCHOWN:
	case OP_FTRUNCATE:
		r->a = call->a1;
		r->b = call->a2;
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
	default:
		r->a = call->a1;
		r->b = call->a2;
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		break;
	}
	finish(s, off);
}

static __always_inline void system_call(const struct membership *m, const struct call *call)
{
	u8 op = call->op;
	/* Of ptrace what takes hold of another process; of bpf what loads a program or attaches one. */
	if (op == OP_PTRACE && call->a0 != 0 && call->a0 != 4 && call->a0 != 5 && call->a0 != 16 && call->a0 != 0x4206)
		return;
	if (op == OP_BPF && call->a0 != 5 && call->a0 != 8 && call->a0 != 9 && call->a0 != 17 && call->a0 != 28)
		return;
	struct scratch *s = begin(m, op < OP_PTRACE ? KIND_PRIVILEGE : KIND_SYSTEM, op, call->compat ? FLAG_COMPAT : 0, call->ret);
	if (!s)
		return;
	struct record *r = &s->record;
	u32 off = 0;
	r->a = call->a0;
	r->b = call->a1;
	r->c = call->a2;
	r->d = call->a3;
	switch (op) {
	case OP_SETID:
	case OP_CAPSET: {
		/* What they are now, whatever was asked. */
		struct task_struct *task = bpf_get_current_task_btf();
		r->a = task->cred->uid.val;
		r->b = task->cred->euid.val;
		r->c = task->cred->gid.val;
		r->d = task->cred->egid.val;
		break;
	}
	case OP_MOUNT: {
		off = put_place(s, 0, AT_FDCWD, call->a1, 0);
		u32 from = off;
		if (call->a0)
			off = put_user_text(call->a0, off, TEXT_MAX);
		r->len[2] = (off - from) & OFF_MASK;
		from = off;
		if (call->a2)
			off = put_user_text(call->a2, off, 64);
		r->len[3] = (off - from) & OFF_MASK;
		r->a = call->a3;
		break;
	}
	case OP_UMOUNT:
	case OP_CHROOT:
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		break;
	case OP_PIVOT_ROOT:
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		off = put_place(s, 2, AT_FDCWD, call->a1, off);
		break;
	case OP_MOVE_MOUNT:
		off = put_place(s, 0, call->a0, call->a1, 0);
		off = put_place(s, 2, call->a2, call->a3, off);
		break;
	case OP_SETNS:
	case OP_MODULE_FD:
		off = put_file(s, file_of(call->a0));
		break;
	case OP_MEMFD:
	case OP_MODULE_DELETE:
		off = put_user_text(call->a0, 0, 256);
		r->len[1] = off & OFF_MASK;
		break;
	}
	finish(s, off);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_syscall, struct pt_regs *regs, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs___x86 *x86 = (void *)regs;
	struct pt_regs___arm64 *arm64 = (void *)regs;
	u32 nr, compat;
	if (bpf_core_field_exists(x86->orig_ax)) {
		nr = x86->orig_ax;
		compat = (task->thread_info.status & 2) != 0;
	} else {
		nr = arm64->syscallno;
		/* TIF_32BIT */
		compat = (task->thread_info.flags & (1 << 22)) != 0;
	}
	if (nr >= SYSCALLS || ops[compat & 1][nr] == OP_NONE)
		return 0;
	u32 tgid = task->tgid;
	if (present[tgid & 0xffff] == 0)
		return 0;
	struct call call = { .ret = ret, .op = ops[compat & 1][nr], .compat = compat };
	struct membership *m = bpf_map_lookup_elem(&followed, &tgid);
	if (!m || !(m->classes & class_of(call.op)))
		return 0;
	if (bpf_core_field_exists(x86->orig_ax)) {
		if (call.compat) {
			call.ret = (s32)ret;
			call.a0 = (u32)x86->bx;
			call.a1 = (u32)x86->cx;
			call.a2 = (u32)x86->dx;
			call.a3 = (u32)x86->si;
			call.a4 = (u32)x86->di;
		} else {
			call.a0 = x86->di;
			call.a1 = x86->si;
			call.a2 = x86->dx;
			call.a3 = x86->r10;
			call.a4 = x86->r8;
		}
	} else {
		call.a0 = arm64->orig_x0;
		call.a1 = arm64->regs[1];
		call.a2 = arm64->regs[2];
		call.a3 = arm64->regs[3];
		call.a4 = arm64->regs[4];
	}
	if (call.op < OP_CONNECT)
		file_call(m, &call);
	else if (call.op < OP_SETID)
		net_call(m, &call);
	else
		system_call(m, &call);
	return 0;
}

/* What a connection that was under way has come to. Runs in interrupts: no scratch, no current process. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_tcp_state, const struct sock *sk, int old, int new)
{
	/* SYN_SENT to ESTABLISHED or CLOSE */
	if (old != 2 || (new != 1 && new != 7))
		return 0;
	u64 key = (u64)sk;
	struct connecting *found = bpf_map_lookup_elem(&dialling, &key);
	if (!found)
		return 0;
	struct {
		struct record r;
		struct endpoints e;
	} out = {};
	struct connecting who = *found;
	if (bpf_map_delete_elem(&dialling, &key))
		return 0;
	out.r.time = bpf_ktime_get_boot_ns();
	out.r.session = who.member.session;
	out.r.kind = KIND_NET;
	out.r.op = OP_TCP_STATE;
	out.r.pid = who.pid;
	out.r.tid = who.tid;
	out.r.uid = who.uid;
	out.r.euid = who.euid;
	out.r.result = new == 1 ? 0 : -111;
	out.r.len[0] = sizeof(out.e);
	read_endpoints(&out.e, (struct sock *)sk);
	struct counters *c = counters_of(out.r.session);
	if (c)
		__sync_fetch_and_add(&c->seen, 1);
	if (bpf_ringbuf_output(&ring, &out, sizeof(out), BPF_RB_NO_WAKEUP))
		count_lost(out.r.session, out.r.time);
	return 0;
}

SEC("?tp_btf/module_load")
int BPF_PROG(on_module, struct module *module)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct membership *m = bpf_map_lookup_elem(&followed, &tgid);
	if (!m || !(m->classes & CLASS_SYSTEM))
		return 0;
	struct scratch *s = begin(m, KIND_SYSTEM, OP_MODULE, 0, 0);
	if (!s)
		return 0;
	int n = bpf_probe_read_kernel_str(s->text, sizeof(module->name), &module->name);
	u32 off = n > 0 ? n - 1 : 0;
	s->record.len[1] = off & OFF_MASK;
	finish(s, off);
	return 0;
}

/* io_uring asks without a system call of its own for each; the name is the kernel's copy already. */
SEC("?tp_btf/io_uring_submit_req")
int BPF_PROG(on_uring, struct io_kiocb *request)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct membership *m = bpf_map_lookup_elem(&followed, &tgid);
	if (!m || !(m->classes & CLASS_FILE))
		return 0;
	u8 opcode = request->opcode;
	u8 op;
	switch (opcode) {
	case 18: op = OP_OPENAT; break;
	case 28: op = OP_OPENAT2; break;
	case 35: op = OP_RENAMEAT; break;
	case 36: op = OP_UNLINKAT; break;
	case 37: op = OP_MKDIRAT; break;
	case 38: op = OP_SYMLINKAT; break;
	case 39: op = OP_LINKAT; break;
	default: return 0;
	}
	struct scratch *s = begin(m, KIND_FILE, op, FLAG_URING, 0);
	if (!s)
		return 0;
	/* Every such command begins with the file, then the folder's descriptor. */
	struct io_open *open = (void *)request;
	struct io_rename *two = (void *)request;
	struct filename *asked = 0, *other = 0;
	const char *name = 0;
	s32 dirfd = 0, dirfd2 = 0;
	u32 off = 0, from;
	if (op == OP_RENAMEAT || op == OP_LINKAT || op == OP_SYMLINKAT) {
		bpf_core_read(&dirfd, sizeof(dirfd), &two->old_dfd);
		bpf_core_read(&dirfd2, sizeof(dirfd2), &two->new_dfd);
		bpf_core_read(&asked, sizeof(asked), &two->oldpath);
		bpf_core_read(&other, sizeof(other), &two->newpath);
	} else if (op == OP_UNLINKAT || op == OP_MKDIRAT) {
		struct io_unlink *one = (void *)request;
		bpf_core_read(&dirfd, sizeof(dirfd), &one->dfd);
		bpf_core_read(&asked, sizeof(asked), &one->filename);
	} else {
		bpf_core_read(&dirfd, sizeof(dirfd), &open->dfd);
		bpf_core_read(&asked, sizeof(asked), &open->filename);
	}
	bpf_core_read(&name, sizeof(name), &asked->name);
	off = put_kernel_base(dirfd, (u64)name, 0);
	s->record.len[0] = off & OFF_MASK;
	from = off;
	off = put_kernel_text((u64)name, off, TEXT_MAX);
	s->record.len[1] = (off - from) & OFF_MASK;
	if (other) {
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
