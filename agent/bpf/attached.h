/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Processes that ran before their session began: those of a container that somebody attaches to. The agent names them; each is followed
 * from the next thing that it does, and its children as those of others. When nobody is attached any more the session is detached:
 * whoever is of it leaves at the next thing that it does, and is counted no more.
 *
 * Programs that the agent runs may sleep, and on older kernels may not touch `followed`: hence the table of those to come.
 */
#pragma once

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct membership);
} attaching SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u8);
} detached SEC(".maps");

struct attach_order {
	u32 session;
	u32 classes;
	u32 tgid;
	u32 unused;
};

SEC("syscall")
int attach_process(struct attach_order *asked)
{
	u32 tgid = asked->tgid;
	struct membership m = { .session = asked->session, .classes = asked->classes, .attached = 1 };
	/* BPF_NOEXIST */
	int failed = bpf_map_update_elem(&attaching, &tgid, &m, 1);
	if (!failed)
		count_present(tgid, 1);
	return failed;
}

SEC("syscall")
int attach_no_more(struct attach_order *asked)
{
	u32 tgid = asked->tgid;
	int failed = bpf_map_delete_elem(&attaching, &tgid);
	if (!failed)
		count_present(tgid, -1);
	return failed;
}

SEC("syscall")
int detach_session(struct attach_order *asked)
{
	u32 session = asked->session;
	u8 one = 1;
	return bpf_map_update_elem(&detached, &session, &one, BPF_ANY);
}

/* Of the current process, which was named or is of a session that somebody attached by: whether it is followed from here on. */
__noinline int settle_attached(u32 tgid)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct membership *found = bpf_map_lookup_elem(&followed, &tgid);
	u32 session;
	if (found) {
		session = found->session;
		if (!bpf_map_lookup_elem(&detached, &session))
			return 1;
		if (!bpf_map_delete_elem(&followed, &tgid))
			count_present(tgid, -1);
		/* Somebody else may have attached since. */
	}
	found = bpf_map_lookup_elem(&attaching, &tgid);
	if (!found)
		return 0;
	struct membership m = *found;
	session = m.session;
	/* Another thread of it was quicker. */
	if (bpf_map_delete_elem(&attaching, &tgid))
		return 1;
	if (bpf_map_lookup_elem(&detached, &session)) {
		count_present(tgid, -1);
		return 0;
	}
	m.filters = task->seccomp.filter_count.counter;
	if (!follow(tgid, &m)) {
		count_present(tgid, -1);
		return 0;
	}
	if (!(m.classes & CLASS_PROCESS))
		return 1;
	struct scratch *s = begin(&m, KIND_FORK, 0, 0, 0);
	if (!s)
		return 1;
	s->record.pid = s->record.tid = task->real_parent->tgid;
	s->record.a = tgid;
	s->record.b = task->group_leader->start_boottime;
	finish(s, 0);
	return 1;
}

/* Of the current process; null: it is of no session. */
static __always_inline struct membership *membership_of(u32 tgid)
{
	struct membership *m = bpf_map_lookup_elem(&followed, &tgid);
	if (m && !m->attached)
		return m;
	if (!m && !may_be_followed(tgid))
		return 0;
	return settle_attached(tgid) ? bpf_map_lookup_elem(&followed, &tgid) : 0;
}
