/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's own structures, as far as the programs read them. Every field is found by its name when the object is
 * loaded (CO-RE): order and offsets here mean nothing, and one object fits all kernels from 5.8 on, x86-64 and arm64.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef s32 __s32;
typedef u64 __u64;
typedef s64 __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1024, BPF_RB_NO_WAKEUP = 1 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct qstr {
	u32 len;
	const unsigned char *name;
};
struct super_block {
	u32 s_dev;
	unsigned long s_magic;
};
struct inode {
	u16 i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	u32 i_nlink;
	void *i_private;
	s64 i_size;
};
struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};
/* Up to 6.5; `__i_ctime` up to 6.10; then two members. */
struct inode___old {
	struct timespec64 i_ctime;
};
struct inode___mid {
	struct timespec64 __i_ctime;
};
struct inode___new {
	s64 i_ctime_sec;
	u32 i_ctime_nsec;
};
struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};
struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};
struct vfsmount {
	struct dentry *mnt_root;
};
struct mnt_namespace;
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
};
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct address_space {
	struct inode *host;
};
struct file {
	struct path f_path;
	struct inode *f_inode;
	struct address_space *f_mapping;
	u32 f_mode;
	void *private_data;
};
struct fdtable {
	u32 max_fds;
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
struct fs_struct {
	struct path root;
	struct path pwd;
};
typedef struct {
	int counter;
} atomic_t;
typedef struct {
	u32 val;
} kuid_t;
typedef struct {
	u32 val;
} kgid_t;
/* A `u64`, or two words of it in order. */
typedef struct {
	u32 cap[2];
} kernel_cap_t;
struct group_info {
	int ngroups;
	kgid_t gid[0];
};
struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t euid;
	kgid_t egid;
	kernel_cap_t cap_inheritable;
	kernel_cap_t cap_permitted;
	kernel_cap_t cap_effective;
	kernel_cap_t cap_bset;
	kernel_cap_t cap_ambient;
	struct group_info *group_info;
};
struct mm_struct {
	struct file *exe_file;
	unsigned long arg_start;
	unsigned long arg_end;
	unsigned long env_start;
	unsigned long env_end;
};
struct signal_struct {
	atomic_t live;
	int group_exit_code;
	/* Of a session of processes (setsid). */
	int leader;
};
struct ns_common {
	u32 inum;
};
struct xarray {
	void *xa_head;
};
struct xa_node {
	u8 shift;
	void *slots[64];
};
struct idr {
	struct xarray idr_rt;
};
struct pid_namespace {
	struct ns_common ns;
	struct idr idr;
};
struct hlist_node {
	struct hlist_node *next;
};
struct hlist_head {
	struct hlist_node *first;
};
struct upid {
	int nr;
	struct pid_namespace *ns;
};
struct pid {
	unsigned int level;
	/* By thread, thread group, process group and session. */
	struct hlist_head tasks[4];
	struct upid numbers[1];
};
struct mnt_namespace {
	struct ns_common ns;
	struct mount *root;
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
};
struct kernfs_node {
	const char *name;
	/* `__parent` since 6.15. */
	struct kernfs_node *parent;
};
struct kernfs_node___new {
	struct kernfs_node *__parent;
};
struct cgroup {
	int level;
	struct kernfs_node *kn;
};
struct cgroup_subsys_state {
	struct cgroup *cgroup;
};
struct css_set {
	struct cgroup_subsys_state *subsys[1];
	struct cgroup *dfl_cgrp;
};
struct thread_info {
	unsigned long flags;
	/* x86 only. */
	u32 status;
};
struct seccomp {
	/* 2: filters. */
	int mode;
	atomic_t filter_count;
};
struct task_struct {
	struct thread_info thread_info;
	int pid;
	int tgid;
	u64 start_boottime;
	int exit_code;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	const struct cred *cred;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
	char comm[16];
	struct seccomp seccomp;
};
struct linux_binprm {
	struct file *file;
	const char *filename;
	/* Another one, where the file names a program that runs it. */
	const char *interp;
	int argc;
};

struct pt_regs {
	int unused;
};
struct pt_regs___x86 {
	unsigned long di, si, dx, r10, r8, bx, cx, orig_ax;
};
struct pt_regs___arm64 {
	u64 regs[31];
	u64 orig_x0;
	s32 syscallno;
};

struct in6_addr {
	u8 bytes[16];
};
struct sock_common {
	u16 skc_family;
	u8 skc_state;
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};
struct socket;
struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	u16 sk_type;
	u16 sk_protocol;
	int sk_err;
	struct pid *sk_peer_pid;
};
struct unix_sock {
	struct sock sk;
	struct path path;
	struct sock *peer;
};
struct socket {
	struct file *file;
	struct sock *sk;
};

struct module {
	char name[56];
};
struct filename {
	const char *name;
};
struct io_cqe {
	int fd;
};
/* The ring's own table of files, as it is since 6.13. */
struct io_rsrc_node {
	unsigned long file_ptr;
};
struct io_rsrc_data {
	u32 nr;
	struct io_rsrc_node **nodes;
};
struct io_file_table {
	struct io_rsrc_data data;
};
struct io_ring_ctx {
	struct io_file_table file_table;
};
struct io_kiocb {
	u8 opcode;
	/* Bit 0: `fd` counts in the ring's own table. */
	u64 flags;
	/* Since 5.19. */
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
	void *async_data;
};
/* io_uring/net.c */
struct io_sr_msg {
	void *buf;
	void *umsg;
	int len;
};
struct msghdr {
	void *msg_name;
};
struct io_async_msghdr {
	struct msghdr msg;
};
struct io_connect {
	void *addr;
	int addr_len;
};
struct io_socket {
	int domain;
	int type;
	int protocol;
};
/* io_uring/rw.c */
struct io_rw {
	u64 addr;
	u32 len;
};
/* io_uring/sync.c, truncate.c */
struct io_sync {
	s64 len;
	int mode;
};
struct io_ftrunc {
	s64 len;
};
/* io_uring/openclose.c: what openat and openat2 keep of their arguments, at the start of the request's command. */
struct open_how {
	u64 flags;
};
struct io_open {
	int dfd;
	struct filename *filename;
	struct open_how how;
};
/* io_uring/fs.c, likewise; io_mkdir is alike, and io_link for links of both kinds. */
struct io_unlink {
	int dfd;
	int flags;
	struct filename *filename;
};
/* io_uring/xattr.c */
struct xattr_name {
	char name[256];
};
struct kernel_xattr_ctx {
	struct xattr_name *kname;
};
struct io_xattr {
	struct kernel_xattr_ctx ctx;
	struct filename *filename;
};
struct io_mkdir {
	u16 mode;
};
struct io_rename {
	int flags;
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
};

#pragma clang attribute pop
