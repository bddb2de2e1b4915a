/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Logins on the node that no recorded session made: the first program that sshd, login, su or cron starts for somebody.
 *
 * Such a program (a door) forks, becomes the account, and executes: so a process whose parent runs a door and which executes
 * something that is no door is a login. Doors also start helpers of their own (unix_chkpwd, the message of the day, the command
 * that finds authorized keys); they do not begin a session of processes (setsid) for those, except for su, which begins none for anybody.
 *
 * Processes of recorded sessions, and of any session of the node service whose kernel events are not recorded, are left out. Attached
 * as long as the node service runs; other executions cost the look at their parent's file.
 */
#pragma once

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} logins SEC(".maps");

/* 0: the process of the node service, whose descendants are sessions. 1: logins that the ring had no room for. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u32);
} keeper SEC(".maps");

#define ANCESTORS 32

union short_name {
	char text[DOOR_MAX];
	u64 words[2];
};

#define IS(name, said) \
	({ \
		union short_name expected = { .text = said }; \
		(name).words[0] == expected.words[0] && (name).words[1] == expected.words[1]; \
	})

SEC("syscall")
int watch_logins(void *unused)
{
	u32 at = 0, tgid = bpf_get_current_pid_tgid() >> 32;
	return bpf_map_update_elem(&keeper, &at, &tgid, BPF_ANY);
}

static __always_inline int name_of(struct file *file, union short_name *name)
{
	struct dentry *dentry = 0;
	const unsigned char *text = 0;
	name->words[0] = name->words[1] = 0;
	if (bpf_core_read(&dentry, sizeof(dentry), &file->f_path.dentry) || bpf_core_read(&text, sizeof(text), &dentry->d_name.name))
		return 0;
	if (bpf_probe_read_kernel_str(name->text, sizeof(name->text), text) < 0)
		return 0;
	/* What stands behind the end of the text is not part of the name. */
	int over = 0;
	for (int i = 0; i < DOOR_MAX; i++) {
		if (over)
			name->text[i] = 0;
		else if (name->text[i] == 0)
			over = 1;
	}
	return 1;
}

static __always_inline int is_sshd(const union short_name *n)
{
	return IS(*n, "sshd") || IS(*n, "sshd-session") || IS(*n, "sshd-auth") || IS(*n, "dropbear");
}

static __always_inline int is_door(const union short_name *n)
{
	return is_sshd(n) || IS(*n, "login") || IS(*n, "sulogin") || IS(*n, "su") || IS(*n, "cron") || IS(*n, "crond");
}

static __always_inline int is_of_a_session(struct task_struct *task)
{
	u32 tgid = task->tgid, at = 0;
	if (bpf_map_lookup_elem(&followed, &tgid))
		return 1;
	u32 *own = bpf_map_lookup_elem(&keeper, &at);
	if (!own)
		return 1;
	struct task_struct *above = task;
	for (int i = 0; i < ANCESTORS; i++) {
		struct task_struct *next = 0;
		int number = 0;
		if (bpf_core_read(&next, sizeof(next), &above->real_parent) || !next || bpf_core_read(&number, sizeof(number), &next->tgid))
			return 0;
		if (number == *own)
			return 1;
		if (number <= 1)
			return 0;
		above = next;
	}
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_login, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct task_struct *parent = task->real_parent;
	struct mm_struct *above = 0;
	struct file *file = 0;
	union short_name door, program;
	if (bpf_core_read(&above, sizeof(above), &parent->mm) || !above || bpf_core_read(&file, sizeof(file), &above->exe_file) || !file)
		return 0;
	if (!name_of(file, &door) || !is_door(&door))
		return 0;
	if (!name_of(bprm->file, &program) || is_sshd(&program) || IS(program, "unix_chkpwd"))
		return 0;
	if (program.words[0] == door.words[0] && program.words[1] == door.words[1])
		return 0;
	if (!IS(door, "su") && task->signal->leader == 0)
		return 0;
	if (is_of_a_session(task))
		return 0;
	/* A shell that replaces itself by the one command that it was given is the same login. */
	struct once key = { .of = task->tgid, .kind = LOGGED_IN, .which = task->group_leader->start_boottime };
	if (!is_first(&key))
		return 0;
	u32 at = 1;
	u32 *lost = bpf_map_lookup_elem(&keeper, &at);
	struct login *l = bpf_ringbuf_reserve(&logins, sizeof(*l), 0);
	if (!l) {
		if (lost)
			__sync_fetch_and_add(lost, 1);
		return 0;
	}
	l->time = bpf_ktime_get_boot_ns();
	l->pid = task->tgid;
	l->door_pid = parent->tgid;
	l->uid = task->cred->uid.val;
	l->lost = lost ? *lost : 0;
	__builtin_memcpy(l->door, door.text, sizeof(l->door));
	const char *asked = 0;
	l->program[0] = 0;
	bpf_core_read(&asked, sizeof(asked), &bprm->filename);
	bpf_probe_read_kernel_str(l->program, sizeof(l->program), asked);
	l->arguments_length = l->environment_length = 0;
	struct mm_struct *mm = task->mm;
	if (mm) {
		u64 bytes = mm->arg_end - mm->arg_start;
		if (bytes > LOGIN_ARGUMENTS)
			bytes = LOGIN_ARGUMENTS;
		if (!bpf_probe_read_user(l->arguments, bytes, (void *)mm->arg_start))
			l->arguments_length = bytes;
		bytes = mm->env_end - mm->env_start;
		if (bytes > LOGIN_ENVIRONMENT)
			bytes = LOGIN_ENVIRONMENT;
		if (!bpf_probe_read_user(l->environment, bytes, (void *)mm->env_start))
			l->environment_length = bytes;
	}
	bpf_ringbuf_submit(l, BPF_RB_NO_WAKEUP);
	return 0;
}
