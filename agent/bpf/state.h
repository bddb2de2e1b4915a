/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who is followed, what is counted, and how a record is begun and finished. */
#pragma once
#define MAX_ARGV 32768
#define TEXT_MAX 4096
#define OFF_MASK 0xffff
#define SCRATCH (0x10000 + 0x8000 + 0x1000)
#define NAME_MAX 256
#define COMPONENTS 160

struct membership {
	u32 session;
	u32 classes;
	/* Filters of system calls that the session began with. */
	u32 filters;
	/* Its session is of somebody who attached to what ran already (attached.h). */
	u32 attached;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 18);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct membership);
} followed SEC(".maps");

/*
 * How many followed processes have an id with these low bits: nought, as nearly always, saves the look-up. A table of the
 * programs' own, and no variable: a variable could be written from outside, and events would stop without a word.
 */
#define PRESENT (1 << 16)
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PRESENT);
	__type(key, u32);
	__type(value, u32);
} present SEC(".maps");

static __always_inline int may_be_followed(u32 tgid)
{
	u32 at = tgid & (PRESENT - 1);
	u32 *count = bpf_map_lookup_elem(&present, &at);
	return count && *count != 0;
}

static __always_inline void count_present(u32 tgid, u32 by)
{
	u32 at = tgid & (PRESENT - 1);
	u32 *count = bpf_map_lookup_elem(&present, &at);
	if (count)
		__sync_fetch_and_add(count, by);
}

/* Of many that are alike the first is told. Old entries make room: at worst something is told twice. */
struct once {
	u64 of;
	u64 kind;
	u8 who[16];
	u64 which;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct once);
	__type(value, u8);
} told SEC(".maps");

#define FIRST_EXECUTABLE 1
#define FIRST_RECEIVED 2
#define ENDED 3
#define LOGGED_IN 4

static __always_inline int is_first(const struct once *key)
{
	u8 one = 1;
	/* Looked up first: an update takes the place of another entry even where this one is there already. */
	if (bpf_map_lookup_elem(&told, key))
		return 0;
	bpf_map_update_elem(&told, key, &one, BPF_ANY);
	return 1;
}

/* Thread of the agent → the session that its next child begins. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u32);
	__type(value, struct membership);
} beginning SEC(".maps");

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

/* The process is followed from here on. False if there is no room for it: what it does is counted as lost. */
static __always_inline int follow(u32 tgid, struct membership *m)
{
	struct counters *c = counters_of(m->session);
	if (bpf_map_update_elem(&followed, &tgid, m, BPF_ANY)) {
		if (c)
			__sync_fetch_and_add(&c->unfollowed, 1);
		count_lost(m->session, bpf_ktime_get_boot_ns());
		return 0;
	}
	if (c)
		__sync_fetch_and_add(&c->processes, 1);
	return 1;
}

static __always_inline struct scratch *scratch_of(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&scratches, &cpu);
}

static __always_inline u16 filtered(const struct membership *m)
{
	struct task_struct *task = bpf_get_current_task_btf();
	return task->seccomp.mode == 2 && (u32)task->seccomp.filter_count.counter > m->filters ? FLAG_FILTERED : 0;
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
	r->flags = flags | filtered(m);
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
