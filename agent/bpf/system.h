/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Privilege, other processes, mounts, modules, and the kernel itself. */
#pragma once

/* The process or thread of an id; 0: it is gone. */
static __always_inline u64 task_behind(struct pid *pid)
{
	struct task_struct *task = 0;
	struct hlist_node *first = 0;
	struct hlist_head *lists = (void *)pid + bpf_core_field_offset(pid->tasks);
	if (!pid || READ(&first, &lists[0].first) || !first)
		return 0;
	return (u64)first - bpf_core_field_offset(task->pid_links);
}

/* The process or thread of a number, as the current process counts them; 0: there is none. */
__noinline u64 task_of(u32 nr)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pid *own = task->thread_pid, *pid;
	struct pid_namespace *ns = 0;
	void *entry = 0;
	u32 level = 0;
	if (!own || bpf_core_read(&level, sizeof(level), &own->level) || level > 32)
		return 0;
	struct upid *in = (void *)own + bpf_core_field_offset(own->numbers) + level * bpf_core_type_size(struct upid);
	if (bpf_core_read(&ns, sizeof(ns), &in->ns) || !ns || bpf_core_read(&entry, sizeof(entry), &ns->idr.idr_rt.xa_head))
		return 0;
	/* An inner node of the tree has 2 in its lowest bits (include/linux/xarray.h); each level takes six bits of the number. */
	for (int i = 0; i < 6; i++) {
		if (((u64)entry & 3) != 2)
			break;
		struct xa_node *node = (void *)((u64)entry - 2);
		u8 shift = 0;
		if (bpf_core_read(&shift, sizeof(shift), &node->shift) || shift > 30)
			return 0;
		void **slots = (void *)node + bpf_core_field_offset(node->slots);
		if (READ(&entry, &slots[(nr >> shift) & 63]))
			return 0;
	}
	if (!entry || ((u64)entry & 3))
		return 0;
	pid = entry;
	struct upid *named = (void *)pid + bpf_core_field_offset(pid->numbers) + level * bpf_core_type_size(struct upid);
	int number = 0;
	/* A tree of one level keeps number 0 only: whatever was found must say that it is the one. */
	if (bpf_core_read(&number, sizeof(number), &named->nr) || (u32)number != nr)
		return 0;
	return task_behind(pid);
}

/* 1: of the session of `session`, or was until it ended; 2: not of it. */
static __always_inline u32 whose(u32 tgid, struct task_struct *leader, u32 session)
{
	struct membership *of = bpf_map_lookup_elem(&followed, &tgid);
	if (of)
		return of->session == session ? 1 : 2;
	struct once ended = { .of = tgid | (u64)session << 32, .kind = ENDED };
	bpf_core_read(&ended.which, sizeof(ended.which), &leader->start_boottime);
	return bpf_map_lookup_elem(&told, &ended) ? 1 : 2;
}

/* Text 2: the name of a process; text 3: its executable; `c`: its number; `d`: see `whose`. */
static __always_inline u32 put_task(struct scratch *s, u64 task_at, u32 off)
{
	struct task_struct *task = (struct task_struct *)task_at, *leader = 0;
	struct mm_struct *mm = 0;
	struct file *exe = 0;
	u32 tgid = 0, from = off;
	s->record.c = s->record.d = 0;
	if (!task || bpf_core_read(&tgid, sizeof(tgid), &task->tgid) || bpf_core_read(&leader, sizeof(leader), &task->group_leader))
		return off;
	s->record.c = tgid;
	s->record.d = whose(tgid, leader, s->record.session);
	off = put_kernel_text((u64)leader + bpf_core_field_offset(leader->comm), off, 16);
	s->record.len[2] = (off - from) & OFF_MASK;
	from = off;
	if (bpf_core_read(&mm, sizeof(mm), &task->mm) || !mm || bpf_core_read(&exe, sizeof(exe), &mm->exe_file) || !exe)
		return off;
	off = put_path_of(&exe->f_path, off);
	s->record.len[3] = (off - from) & OFF_MASK;
	return off;
}

/* Of ptrace what takes hold of another process. */
static __always_inline int ptrace_counts(u64 request)
{
	return request == 0 || request == 4 || request == 5 || request == 6 || request == 13 || request == 16 || request == 0x4205 || request == 0x4206;
}

/* Of bpf all but looking: at maps, and for what there is. */
static __always_inline int bpf_counts(u32 command)
{
	return command != 1 && command != 4 && command != 10 && command != 11 && command != 12 && command != 15 && command != 16 && command != 20 && command != 22 && command != 23 && command != 31;
}

/* Of prctl what changes rights, filters, or what is said of the process: dumpable, keepcaps, seccomp, bounding set,
 * securebits, mm, no_new_privs, ambient set, ptracer. */
static __always_inline int prctl_counts(u32 option)
{
	return option == 4 || option == 8 || option == 22 || option == 24 || option == 28 || option == 35 || option == 38 || option == 47 || option == 0x59616d61;
}

static __always_inline int is_own(u64 pid)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct *other = (struct task_struct *)task_of(pid);
	int tgid = 0;
	return other && bpf_core_read(&tgid, sizeof(tgid), &other->tgid) == 0 && tgid == task->tgid;
}

/* The number of the mount namespace that a path is in, which need not be that of the process; 0: of none. */
static __always_inline u32 namespace_of(const struct path *path)
{
	struct vfsmount *vfsmount = 0;
	struct mnt_namespace *ns = 0;
	u32 number = 0;
	if (bpf_core_read(&vfsmount, sizeof(vfsmount), &path->mnt) || !vfsmount)
		return 0;
	struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	if (bpf_core_read(&ns, sizeof(ns), &mount->mnt_ns) || !ns || (u64)ns >= -4095ULL)
		return 0;
	bpf_core_read(&number, sizeof(number), &ns->ns.inum);
	return number;
}

static __always_inline int system_counts(const struct call *call)
{
	switch (call->op) {
	case OP_PTRACE:
		return ptrace_counts(call->a0);
	case OP_BPF:
		return bpf_counts(call->a0);
	case OP_PRCTL:
		return prctl_counts(call->a0);
	case OP_SECCOMP:
		/* Filters and the strict mode; the others ask. */
		return call->a0 <= 1;
	case OP_PERSONALITY:
		return (u32)call->a0 != 0xffffffff;
	case OP_PRLIMIT:
		return call->a2 && call->a0 && !is_own(call->a0);
	case OP_KILL:
		/* 0 asks whether it is there; a process that signals itself is told by its end. */
		return call->a1 && !is_own(call->a0);
	case OP_TKILL:
		return call->a1 && !is_own(call->a0);
	case OP_TGKILL:
		return call->a2 && !is_own(call->a0);
	case OP_PIDFD_SIGNAL:
		return call->a1 != 0;
	case OP_SYSLOG:
		/* Clearing, and switching the console: reading asks. */
		return call->a0 >= 4 && call->a0 <= 8;
	case OP_ADD_KEY:
	case OP_REQUEST_KEY:
		return 1;
	case OP_KEYCTL:
		/* Joining a session keyring, update, revoke, chown, setperm, clear, link, unlink, read, set timeout, assume authority. */
		return call->a0 >= 1 && call->a0 != 6 && call->a0 != 10 && call->a0 <= 24;
	}
	return 1;
}

/* The process behind a descriptor of one. */
static __always_inline u64 pidfd_task(u32 fd)
{
	struct file *file = (struct file *)file_of(fd);
	struct pid *pid = 0;
	if (!file || bpf_core_read(&pid, sizeof(pid), &file->private_data))
		return 0;
	if (!pid) {
		/* Since 6.9 the inode keeps it. */
		struct inode *inode = 0;
		if (bpf_core_read(&inode, sizeof(inode), &file->f_inode) || bpf_core_read(&pid, sizeof(pid), &inode->i_private) || !pid)
			return 0;
	}
	return task_behind(pid);
}

__noinline int system_call(const struct membership *m, const struct call *call)
{
	if (!m || !call || !system_counts(call))
		return 0;
	u8 op = call->op;
	struct scratch *s = begin(m, op < OP_PTRACE ? KIND_PRIVILEGE : KIND_SYSTEM, op, call->compat ? FLAG_COMPAT : 0, call->ret);
	if (!s)
		return 0;
	struct record *r = &s->record;
	struct task_struct *task = bpf_get_current_task_btf();
	u32 off = 0, from;
	r->a = call->a0;
	r->b = call->a1;
	r->c = call->a2;
	r->d = call->a3;
	switch (op) {
	case OP_SETID:
	case OP_SETGROUPS:
	case OP_CAPSET:
		/* What they are now, whatever was asked. */
		r->a = task->cred->uid.val;
		r->b = task->cred->euid.val;
		r->c = task->cred->gid.val;
		r->d = task->cred->egid.val;
		if (op == OP_CAPSET) {
			struct capabilities sets = {};
			const struct cred *cred = task->cred;
			bpf_core_read(&sets.inheritable, 8, &cred->cap_inheritable);
			bpf_core_read(&sets.permitted, 8, &cred->cap_permitted);
			bpf_core_read(&sets.effective, 8, &cred->cap_effective);
			bpf_core_read(&sets.bounding, 8, &cred->cap_bset);
			bpf_core_read(&sets.ambient, 8, &cred->cap_ambient);
			__builtin_memcpy(s->text, &sets, sizeof(sets));
			off = sizeof(sets);
			r->len[0] = off;
		} else if (op == OP_SETGROUPS) {
			struct group_info *groups = task->cred->group_info;
			int n = 0;
			bpf_core_read(&n, sizeof(n), &groups->ngroups);
			if (n > 64) {
				n = 64;
				s->cut |= FLAG_CUT;
			}
			if (n > 0 && bpf_probe_read_kernel(s->text, (n & 127) * 4, (void *)groups + bpf_core_field_offset(groups->gid)) == 0)
				off = (n & 127) * 4;
			r->len[0] = off;
		}
		break;
	case OP_PTRACE:
		off = put_task(s, task_of(call->a1), 0);
		break;
	case OP_VM_READ:
	case OP_VM_WRITE:
	case OP_KILL:
	case OP_TKILL:
		off = put_task(s, task_of(call->a0), 0);
		break;
	case OP_PRLIMIT: {
		u64 limits[2] = {};
		off = put_task(s, task_of(call->a0), 0);
		bpf_probe_read_user(limits, sizeof(limits), (void *)call->a2);
		/* Which, and its soft limit. */
		r->a = call->a1;
		r->b = limits[0];
		break;
	}
	case OP_TGKILL:
		r->b = call->a2;
		off = put_task(s, task_of(call->a0), 0);
		break;
	case OP_PIDFD_SIGNAL:
		off = put_task(s, pidfd_task(call->a0), 0);
		break;
	case OP_PIDFD_GETFD: {
		/* Text 0: what was got. */
		struct file *got = call->ret >= 0 ? (struct file *)file_of(call->ret) : 0;
		if (got)
			off = put_path_of(&got->f_path, 0);
		r->len[0] = off & OFF_MASK;
		off = put_task(s, pidfd_task(call->a0), off);
		break;
	}
	case OP_MOUNT: {
		off = put_place(s, 0, AT_FDCWD, call->a1, 0);
		from = off;
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
	case OP_CHROOT:
		/* Where it succeeded the new root is what was reached. */
		if (call->ret == 0 && task->fs) {
			r->c = namespace_of(&task->fs->root);
			off = put_path_of(&task->fs->root, 0);
			r->len[0] = off & OFF_MASK;
			r->flags |= FLAG_REACHED;
			break;
		}
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		break;
	case OP_UMOUNT:
	case OP_SWAPON:
	case OP_SWAPOFF:
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		break;
	case OP_ACCT:
		/* Without a path it is switched off. */
		if (call->a0)
			off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		break;
	case OP_OPEN_TREE:
	case OP_MOUNT_SETATTR:
		r->a = call->a2;
		off = put_place(s, 0, call->a0, call->a1, 0);
		break;
	case OP_FANOTIFY_MARK:
		r->a = call->a1;
		r->b = call->a2;
		off = call->a4 ? put_place(s, 0, call->a3, call->a4, 0) : put_file(s, file_of(call->a3));
		break;
	case OP_PIVOT_ROOT:
		if (call->ret == 0) {
			/* The folders that it began in are others now: both as they were asked. */
			off = put_user_text(call->a0, 0, TEXT_MAX);
			r->len[1] = off & OFF_MASK;
			from = off;
			off = put_user_text(call->a1, off, TEXT_MAX);
			r->len[3] = (off - from) & OFF_MASK;
			break;
		}
		off = put_place(s, 0, AT_FDCWD, call->a0, 0);
		off = put_place(s, 2, AT_FDCWD, call->a1, off);
		break;
	case OP_MOVE_MOUNT:
		off = put_place(s, 0, call->a0, call->a1, 0);
		off = put_place(s, 2, call->a2, call->a3, off);
		break;
	case OP_SETNS:
		/* Where it is now, however the namespace was named: by a file of any name, or by a process. */
		if (task->nsproxy)
			r->c = task->nsproxy->mnt_ns->ns.inum;
		off = put_file(s, file_of(call->a0));
		break;
	case OP_MODULE_FD:
		off = put_file(s, file_of(call->a0));
		break;
	case OP_HOSTNAME:
	case OP_DOMAINNAME:
		/* A length, and no NUL. */
		off = put_user_bytes(call->a0, 0, call->a1 > 64 ? 64 : call->a1);
		r->len[1] = off & OFF_MASK;
		break;
	case OP_MEMFD:
	case OP_MODULE_DELETE:
	case OP_FSOPEN:
	case OP_ADD_KEY:
	case OP_REQUEST_KEY:
		off = put_user_text(call->a0, 0, 256);
		r->len[1] = off & OFF_MASK;
		if (op != OP_ADD_KEY && op != OP_REQUEST_KEY)
			break;
		from = off;
		off = put_user_text(call->a1, off, 256);
		r->len[3] = (off - from) & OFF_MASK;
		break;
	}
	finish(s, off);
	return 0;
}

SEC("?tp_btf/module_load")
int BPF_PROG(on_module, struct module *module)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct membership *m = membership_of(tgid);
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
