/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Forks, executions and ends. */
#pragma once
struct beginning_order {
	u32 session;
	u32 classes;
};

SEC("syscall")
int begin_session(struct beginning_order *asked)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();
	struct task_struct *task = bpf_get_current_task_btf();
	struct membership m = { .session = asked->session, .classes = asked->classes };
	m.filters = task->seccomp.filter_count.counter;
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
	struct membership *found = membership_of(tgid), m;
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
	if (!follow(of, &m))
		return 0;
	count_present(of, 1);
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
	if (task->signal->live.counter > 0)
		return 0;
	struct membership *found = membership_of(tgid), m;
	if (!found)
		return 0;
	m = *found;
	/* Two threads may end at once and both be here: the process ends once, with whichever takes its entry out. */
	if (bpf_map_delete_elem(&followed, &tgid))
		return 0;
	count_present(tgid, -1);
	/* It may have been named for another session while it was of this one. */
	if (may_be_followed(tgid) && !bpf_map_delete_elem(&attaching, &tgid))
		count_present(tgid, -1);
	/* Others may ask about it until it is gone for good: who was of the session does not become a stranger by ending. */
	struct once ended = { .of = tgid | (u64)m.session << 32, .kind = ENDED, .which = task->group_leader->start_boottime };
	is_first(&ended);
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
	/* Last: who sees no process left finds every record in the ring. */
	if (c)
		__sync_fetch_and_add(&c->processes, -1);
	return 0;
}

#include "containers.h"

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

/* A file system that a program serves, any program: it may give each reader other bytes. */
#define FUSE_MAGIC 0x65735546

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
	struct membership *m = membership_of(tgid);
	if (!m && is_expected(task, bprm))
		m = bpf_map_lookup_elem(&followed, &tgid);
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
	facts.magic = inode->i_sb->s_magic;
	struct address_space *bytes_of = file->f_mapping;
	/* Of a file in an overlay, the bytes are those of another file system. */
	if (bytes_of && bytes_of->host && bytes_of->host->i_sb->s_magic == FUSE_MAGIC)
		facts.magic = FUSE_MAGIC;
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
