/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs and the agent agree on: agent/kernel/record.ts reads these, field by field, in this order.
 * Little endian, as both architectures are.
 */
#pragma once

enum kind {
	KIND_FORK = 1,
	KIND_EXEC = 2,
	KIND_EXIT = 3,
	KIND_FILE = 4,
	KIND_NET = 5,
	KIND_PRIVILEGE = 6,
	KIND_SYSTEM = 7,
};

/* What a role may ask for; bits of a process's mask. */
enum classes {
	CLASS_PROCESS = 1,
	CLASS_FILE = 2,
	CLASS_NETWORK = 4,
	CLASS_SYSTEM = 8,
	CLASS_DNS = 16,
};

/* `op` of a record, and what the table of system calls says to do at the return of each. The class goes by the range. */
enum op {
	OP_NONE = 0,
	/* file */
	OP_OPEN = 1, OP_OPENAT, OP_OPENAT2, OP_CREAT, OP_OPEN_HANDLE,
	OP_RENAME = 8, OP_RENAMEAT, OP_RENAMEAT2,
	OP_UNLINK = 12, OP_UNLINKAT, OP_RMDIR,
	OP_LINK = 16, OP_LINKAT, OP_SYMLINK, OP_SYMLINKAT,
	OP_SETXATTR = 20, OP_FSETXATTR, OP_REMOVEXATTR, OP_FREMOVEXATTR,
	OP_MKDIR = 24, OP_MKDIRAT, OP_MKNOD, OP_MKNODAT,
	OP_SETXATTRAT = 28, OP_REMOVEXATTRAT,
	OP_CHMOD = 32, OP_FCHMOD, OP_FCHMODAT,
	OP_CHOWN = 36, OP_FCHOWN, OP_FCHOWNAT,
	OP_TRUNCATE = 40, OP_FTRUNCATE,
	OP_UTIMENSAT = 44, OP_UTIMES, OP_FUTIMESAT, OP_IOCTL, OP_FALLOCATE, OP_FILE_SETATTR,
	OP_MMAP = 50, OP_MPROTECT,
	/* process */
	OP_EXECVE = 60, OP_EXECVEAT,
	/* network */
	OP_CONNECT = 64, OP_ACCEPT, OP_LISTEN, OP_SENDTO, OP_SENDMSG, OP_SENDMMSG, OP_SOCKETCALL, OP_TCP_STATE,
	OP_BIND, OP_RECVFROM, OP_RECVMSG, OP_RECVMMSG, OP_WRITE, OP_WRITEV, OP_SOCKET, OP_READ,
	/* privilege */
	OP_SETID = 80, OP_CAPSET, OP_SETGROUPS,
	/* system */
	OP_PTRACE = 96, OP_VM_WRITE, OP_MOUNT, OP_UMOUNT, OP_MOVE_MOUNT, OP_PIVOT_ROOT, OP_CHROOT, OP_UNSHARE, OP_SETNS,
	OP_MEMFD, OP_MODULE_LOAD, OP_MODULE_FD, OP_MODULE_DELETE, OP_MODULE, OP_BPF, OP_KEXEC, OP_URING_SETUP,
	OP_VM_READ, OP_PIDFD_GETFD, OP_PRCTL, OP_SECCOMP, OP_KEYCTL, OP_ADD_KEY, OP_REQUEST_KEY, OP_PERSONALITY, OP_PERF,
	OP_CLOCK, OP_HOSTNAME, OP_DOMAINNAME, OP_PRLIMIT, OP_KILL, OP_TKILL, OP_TGKILL, OP_PIDFD_SIGNAL,
	OP_FANOTIFY_INIT, OP_FANOTIFY_MARK, OP_SWAPON, OP_SWAPOFF, OP_ACCT, OP_OPEN_TREE, OP_MOUNT_SETATTR, OP_FSOPEN,
	OP_REBOOT, OP_IOPL, OP_SYSLOG, OP_USERFAULTFD,
	/* A descriptor that came, or went, by a socket of this machine. */
	OP_DESCRIPTOR_RECEIVED = 160, OP_DESCRIPTOR_SENT,
};

enum flags {
	/* A text did not fit; the record holds its beginning. */
	FLAG_CUT = 1,
	/* A 32-bit program asked. */
	FLAG_COMPAT = 2,
	/* Asked through io_uring: there is no result. */
	FLAG_URING = 4,
	/* Of an exec: the file has no name, or has no name any more. */
	FLAG_UNLINKED = 8,
	/* The first path is of an open file, from the kernel: it is what was reached, not what was asked. */
	FLAG_REACHED = 16,
	/* The texts could not be read. */
	FLAG_UNREADABLE = 32,
	/* 64 is the agent's. */
	/* The session put a filter of system calls on the process, which can say that something was done without doing it. */
	FLAG_FILTERED = 128,
};

/*
 * In place of a path's first component, where what stands above is not known. No name holds a slash.
 * Detached: below its mount, which is not among those of any namespace; the path is that within the file system.
 */
#define PATH_CUT "/cut"
#define PATH_DETACHED "/detached"

/* 80 bytes, then `len[0]` + … + `len[3]` bytes. */
struct record {
	u64 time;      /* CLOCK_BOOTTIME, ns */
	u32 session;   /* the agent's number of it */
	u8 kind;
	u8 op;
	u16 flags;
	u32 pid;       /* of the process, in the first pid namespace */
	u32 tid;
	u32 uid;
	u32 euid;
	s64 result;    /* negative: an errno */
	u64 a, b;
	u32 c, d;
	u32 len[4];
};

/* Follows the texts of an exec. */
struct exec_facts {
	u64 inode;
	u64 size;
	u64 argv_bytes;  /* as the kernel has them, whatever the record holds */
	u64 changed;     /* when the file or what is said of it was last changed, ns since 1970; 0: not known */
	u32 device;
	u32 links;
	u32 gid, egid;
	u32 mnt_ns, pid_ns;
	u32 mode;
	u32 filename_bytes, cgroup_bytes; /* both follow */
	u32 magic;       /* of the file system that its bytes are of; 0: not known */
};

/*
 * What text 0 of a network record is. Port in host order, address in network order; family 2 or 10. Of vsock (40) the
 * address is the machine's number, host order, and the port stands in `c` of the record.
 */
struct endpoints {
	u16 family;
	u16 type;
	u16 local_port;
	u16 remote_port;
	u8 local[16];
	u8 remote[16];
	u64 socket;
};

/* A session's counters; the agent maps them. */
struct counters {
	u64 seen;       /* events that happened */
	u64 lost;       /* of those, not in the ring */
	u64 first_lost; /* CLOCK_BOOTTIME, ns */
	u64 last_lost;
	u64 processes;  /* alive */
	u64 unfollowed; /* processes that the table had no room for */
};

#define SLOTS 4096
#define SYSCALLS 512

/* Text 0 of OP_CAPSET. */
struct capabilities {
	u64 inheritable, permitted, effective, bounding, ambient;
};

/* A record of the ring `logins`. The texts of `door` and `program` end with a zero; `arguments` and `environment` are as long as said. */
#define DOOR_MAX 16
#define PROGRAM_MAX 256
#define LOGIN_ARGUMENTS 1024
#define LOGIN_ENVIRONMENT 2048
struct login {
	u64 time;        /* CLOCK_BOOTTIME, ns */
	u32 pid;         /* of what was executed, in the first pid namespace */
	u32 door_pid;
	u32 uid;
	u32 arguments_length;
	u32 environment_length;
	u32 lost;        /* logins before this one that the ring had no room for */
	char door[DOOR_MAX];
	char program[PROGRAM_MAX];
	char arguments[LOGIN_ARGUMENTS];
	char environment[LOGIN_ENVIRONMENT];
};
