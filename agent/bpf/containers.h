/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The first process of a command that a container runtime starts inside a container that runs already.
 *
 * The runtime, in the machine's own mount namespace, makes a process that enters the container's and then executes the command. So a
 * process in the container's mount namespace whose parent is in another one was put there; what the container starts by itself has
 * parents inside. Which of several such commands it is says its argument list, of which the agent expects a hash.
 *
 * One window, one command: the first process that fits is followed, and all that fit are counted, so that the agent sees when two
 * did. Of a script the kernel has put the interpreter before the arguments: there the script's name and what follows it count.
 */
#pragma once

#define ARGUMENTS_MAX 4096
#define HASH_SEED 0xcbf29ce484222325ULL
#define HASH_PRIME 0x100000001b3ULL
#define FORM_PLAIN 1
#define FORM_SCRIPT 2

struct expected {
	u32 mnt_ns;
	u32 form;
	u64 hash;   /* of at most ARGUMENTS_MAX bytes */
	u64 length; /* of all */
};

struct expectation {
	struct membership first;
	u32 matches;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, struct expected);
	__type(value, struct expectation);
} expectations SEC(".maps");

/* How many there are: at nought, as nearly always, an execution costs this look-up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} expecting SEC(".maps");

struct expect_order {
	struct expected what;
	u32 session;
	u32 classes;
};

static __always_inline void count_expecting(u32 by)
{
	u32 zero = 0, *open = bpf_map_lookup_elem(&expecting, &zero);
	if (open)
		__sync_fetch_and_add(open, by);
}

SEC("syscall")
int expect_exec(struct expect_order *asked)
{
	struct expected key = asked->what;
	struct expectation e = {};
	e.first.session = asked->session;
	e.first.classes = asked->classes;
	/* BPF_NOEXIST: two would share a count. */
	int failed = bpf_map_update_elem(&expectations, &key, &e, 1);
	if (!failed)
		count_expecting(1);
	return failed;
}

/* How many processes have fitted; -1: nothing is expected. */
SEC("syscall")
int expected_matches(struct expect_order *asked)
{
	struct expected key = asked->what;
	struct expectation *e = bpf_map_lookup_elem(&expectations, &key);
	return e ? (int)e->matches : -1;
}

SEC("syscall")
int expect_no_more(struct expect_order *asked)
{
	struct expected key = asked->what;
	int failed = bpf_map_delete_elem(&expectations, &key);
	if (!failed)
		count_expecting(-1);
	return failed;
}

/* Beside the arguments in the scratch: the file's own name, and a copy of whichever text is measured. */
#define FILENAME_AT 0x8000
#define COPY_AT 0xc000

__noinline u64 hash_text(u32 from, u32 to, u64 seed)
{
	struct scratch *s = scratch_of();
	u64 hash = seed;
	if (!s)
		return 0;
	for (u32 i = 0; i < ARGUMENTS_MAX; i++) {
		u32 at = from + i;
		if (at >= to)
			break;
		hash = (hash ^ (u8)s->text[at & OFF_MASK]) * HASH_PRIME;
	}
	return hash;
}

/* Where the text that begins at `from` ends: at its NUL, or at `to`. */
__noinline u32 end_of_text(u32 from, u32 to)
{
	struct scratch *s = scratch_of();
	if (!s)
		return to;
	/* Copied for the length alone, which costs no loop. */
	int n = bpf_probe_read_kernel_str(s->text + COPY_AT, TEXT_MAX, s->text + (from & OFF_MASK));
	u32 end = n > 0 ? from + n - 1 : to;
	return end < to ? end : to;
}

/* Where the last name of a path begins. Loops are short for the verifier, which counts their branches: who has a longer path is not recognized. */
__noinline u32 last_name_of(u32 from, u32 to)
{
	struct scratch *s = scratch_of();
	u32 found = from;
	if (!s)
		return from;
	for (u32 i = 0; i < ARGUMENTS_MAX / 2; i++) {
		u32 at = from + i;
		if (at >= to)
			break;
		if (s->text[at & OFF_MASK] == '/')
			found = at + 1;
	}
	return found;
}

/* Of a script: name and hash of what follows it. `bytes` of arguments are in the scratch; 0: it is run in a way that is not known. */
static __always_inline int expect_script(struct expected *key, u64 filename, u32 bytes, u64 length)
{
	u32 end = put_kernel_text(filename, FILENAME_AT, TEXT_MAX);
	u64 name = hash_text(FILENAME_AT, end, HASH_SEED);
	/* The interpreter, perhaps one argument of its own, then the script. */
	u32 first = end_of_text(0, bytes) + 1;
	u32 second = end_of_text(first, bytes) + 1;
	u32 from = second;
	if (hash_text(first, second - 1, HASH_SEED) != name) {
		from = end_of_text(second, bytes) + 1;
		if (hash_text(second, from - 1, HASH_SEED) != name)
			return 0;
	}
	if (from > bytes)
		return 0;
	key->form = FORM_SCRIPT;
	key->length = length - from;
	key->hash = hash_text(from, bytes, hash_text(last_name_of(FILENAME_AT, end), end, HASH_SEED));
	return 1;
}

static __always_inline int expect_key(struct expected *key, struct task_struct *task, struct linux_binprm *bprm)
{
	struct mm_struct *mm = task->mm;
	const char *filename = 0, *interp = 0;
	if (!mm)
		return 0;
	u64 start = mm->arg_start, length = mm->arg_end - start;
	u32 bytes = length < ARGUMENTS_MAX ? length : ARGUMENTS_MAX;
	if (bytes == 0 || put_user_bytes(start, 0, bytes) != bytes)
		return 0;
	bpf_core_read(&filename, sizeof(filename), &bprm->filename);
	bpf_core_read(&interp, sizeof(interp), &bprm->interp);
	if (filename != interp)
		return expect_script(key, (u64)filename, bytes, length);
	key->form = FORM_PLAIN;
	key->length = length;
	key->hash = hash_text(0, bytes, HASH_SEED);
	return 1;
}

/* Whether this execution was waited for: the process is followed from here on. */
static __always_inline int is_expected(struct task_struct *task, struct linux_binprm *bprm)
{
	u32 zero = 0, tgid = task->tgid, *open = bpf_map_lookup_elem(&expecting, &zero);
	if (!open || *open == 0)
		return 0;
	struct nsproxy *own = task->nsproxy, *outer = task->real_parent->nsproxy;
	if (!own)
		return 0;
	struct expected key = { .mnt_ns = own->mnt_ns->ns.inum };
	if (outer && outer->mnt_ns->ns.inum == key.mnt_ns)
		return 0;
	struct scratch *s = scratch_of();
	if (!s || s->busy)
		return 0;
	s->busy = 1;
	int known = expect_key(&key, task, bprm);
	s->busy = 0;
	if (!known)
		return 0;
	struct expectation *e = bpf_map_lookup_elem(&expectations, &key);
	if (!e || __sync_fetch_and_add(&e->matches, 1) != 0)
		return 0;
	struct membership m = e->first;
	/* Those that the runtime has put on it are not the session's. */
	m.filters = task->seccomp.filter_count.counter;
	if (!follow(tgid, &m))
		return 0;
	count_present(tgid, 1);
	if (!(m.classes & CLASS_PROCESS))
		return 1;
	s = begin(&m, KIND_FORK, 0, 0, 0);
	if (!s)
		return 1;
	s->record.pid = s->record.tid = task->real_parent->tgid;
	s->record.a = tgid;
	s->record.b = task->group_leader->start_boottime;
	finish(s, 0);
	return 1;
}
