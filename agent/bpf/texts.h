/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is appended to a record: paths, texts and bytes. */
#pragma once
/*
 * The functions below are verified once each, so they take numbers and find the scratch by themselves. Each appends at
 * `off` and returns the offset after it.
 */

/* `mark` is one of PATH_CUT and PATH_DETACHED. */
#define PUT_MARK(s, off, mark) \
	do { \
		(off) &= OFF_MASK; \
		__builtin_memcpy((s)->text + (off), mark, sizeof(mark)); \
		(off) += sizeof(mark); \
	} while (0)

/* Of the mount at the top of a tree: whether the tree is in no namespace any more, or in none yet (open_tree, fsmount). */
static __always_inline int is_detached(struct mount *top)
{
	struct mnt_namespace *ns = 0;
	u32 number = 0;
	if (bpf_core_read(&ns, sizeof(ns), &top->mnt_ns) || !ns)
		return 1;
	/* An error pointer: the kernel's own, as of pipes and memory files. */
	if ((u64)ns >= -4095ULL)
		return 0;
	bpf_core_read(&number, sizeof(number), &ns->ns.inum);
	return number == 0 || number == 0xEFFFFFF7;
}

/* A path on its way up. */
struct walk {
	struct dentry *dentry;
	struct vfsmount *vfsmount;
	u32 from, off;
	u32 detached, cut;
};

/*
 * One step up: a name, or out of a mount. 1: that was all. A function of its own, so that it is verified once, and not
 * once for every way through the steps before it.
 */
__noinline int walk_up(struct walk *w)
{
	struct scratch *s = scratch_of();
	struct dentry *root = 0, *parent = 0;
	const unsigned char *name = 0;
	if (!s || !w)
		return 1;
	struct dentry *dentry = w->dentry;
	struct vfsmount *vfsmount = w->vfsmount;
	w->cut = 1;
	if (!w->detached && bpf_core_read(&root, sizeof(root), &vfsmount->mnt_root))
		return 1;
	if (dentry == root) {
		struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
		struct mount *above;
		if (bpf_core_read(&above, sizeof(above), &mount->mnt_parent))
			return 1;
		if (above != mount) {
			if (bpf_core_read(&w->dentry, sizeof(w->dentry), &mount->mnt_mountpoint))
				return 1;
			w->vfsmount = (void *)above + bpf_core_field_offset(struct mount, mnt);
			return 0;
		}
		if (!is_detached(mount)) {
			w->cut = 0;
			return 1;
		}
		/* On, to the top of the file system: of it the mount may show a part only. */
		w->detached = 1;
		return 0;
	}
	if (bpf_core_read(&parent, sizeof(parent), &dentry->d_parent) || bpf_core_read(&name, sizeof(name), &dentry->d_name.name))
		return 1;
	u32 off = w->off;
	if (w->detached && parent == dentry) {
		PUT_MARK(s, off, PATH_DETACHED);
		w->off = off;
		w->cut = 0;
		return 1;
	}
	if (off - w->from > TEXT_MAX)
		return 1;
	off &= OFF_MASK;
	int n = bpf_probe_read_kernel_str(s->text + off, NAME_MAX, name);
	if (n <= 0)
		return 1;
	w->off = off + n;
	/* The top of a file system that is mounted nowhere: pipes, sockets, memory. */
	if (parent == dentry) {
		w->cut = 0;
		return 1;
	}
	w->dentry = parent;
	return 0;
}

/* The names from `dentry` up to the root of all mounts, the last first, each ended by NUL. */
__noinline u32 put_path(u64 dentry_at, u64 vfsmount_at, u32 off)
{
	struct scratch *s = scratch_of();
	struct walk w = { .dentry = (void *)dentry_at, .vfsmount = (void *)vfsmount_at, .from = off, .off = off };
	if (!s || !dentry_at)
		return off;
	for (int i = 0; i < COMPONENTS; i++)
		if (walk_up(&w))
			break;
	off = w.off;
	if (!w.cut)
		return off;
	s->cut = FLAG_CUT;
	PUT_MARK(s, off, PATH_CUT);
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

#define AT_FDCWD ((u32)-100)

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

/* The path of an open file as text 0. */
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
