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
#include "state.h"
#include "attached.h"
#include "texts.h"
#include "processes.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* By 64 and 32 bits: what to do at the return of which system call. Set by the agent for its architecture. */
const volatile u8 ops[2][SYSCALLS] = {};

struct call {
	u64 a0, a1, a2, a3, a4;
	s64 ret;
	u8 op;
	u8 compat;
	u16 unused;
	u32 unused2;
};

#include "files.h"
#include "system.h"
#include "tcp.h"
#include "sockets.h"
#include "uring.h"
#include "logins.h"

static __always_inline u32 class_of(u8 op)
{
	return op < OP_EXECVE ? CLASS_FILE : op < OP_CONNECT ? CLASS_PROCESS : op < OP_SETID ? CLASS_NETWORK | CLASS_DNS : CLASS_SYSTEM;
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
	if (!may_be_followed(tgid))
		return 0;
	struct call call = { .ret = ret, .op = ops[compat & 1][nr], .compat = compat };
	struct membership *m = membership_of(tgid);
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
