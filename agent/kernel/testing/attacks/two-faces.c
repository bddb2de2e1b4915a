/*
 * A file system with one executable, `program`, that gives the kernel other bytes than it gives whoever looks later: the first time
 * it is opened the bytes of argv[2], afterwards those of argv[3]. `two-faces FOLDER FIRST LATER COMMAND…` runs the command there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[1 << 20], *faces[2];
static size_t sizes[2];
static int opened;

static void load(int i, const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		exit(3);
	sizes[i] = st.st_size;
	faces[i] = malloc(st.st_size);
	if (read(fd, faces[i], st.st_size) != st.st_size)
		exit(3);
	close(fd);
}

static void answer(int fuse, const struct fuse_in_header *in, int error, const void *data, size_t length)
{
	struct fuse_out_header out = { .len = sizeof out + length, .error = -error, .unique = in->unique };
	struct iovec parts[2] = { { &out, sizeof out }, { (void *)data, length } };
	if (writev(fuse, parts, 2) < 0 && errno != ENOENT)
		exit(4);
}

static struct fuse_attr attributes(unsigned long node)
{
	size_t most = sizes[0] > sizes[1] ? sizes[0] : sizes[1];
	struct fuse_attr attr = { .ino = node, .mode = node == 1 ? S_IFDIR | 0755 : S_IFREG | 0755, .nlink = 1, .size = node == 1 ? 0 : most, .blksize = 4096 };
	return attr;
}

static void serve(int fuse)
{
	for (;;) {
		ssize_t n = read(fuse, buffer, sizeof buffer);
		if (n < 0 && errno == ENODEV)
			exit(0);
		if (n < (ssize_t)sizeof(struct fuse_in_header))
			continue;
		struct fuse_in_header *in = (void *)buffer;
		void *body = in + 1;
		switch (in->opcode) {
		case FUSE_INIT: {
			struct fuse_init_out out = { .major = 7, .minor = 31, .max_readahead = 65536, .max_write = 65536 };
			answer(fuse, in, 0, &out, sizeof out);
			break;
		}
		case FUSE_LOOKUP: {
			struct fuse_entry_out out = { .nodeid = 2, .attr = attributes(2) };
			if (strcmp(body, "program"))
				answer(fuse, in, ENOENT, 0, 0);
			else
				answer(fuse, in, 0, &out, sizeof out);
			break;
		}
		case FUSE_GETATTR: {
			struct fuse_attr_out out = { .attr = attributes(in->nodeid) };
			answer(fuse, in, 0, &out, sizeof out);
			break;
		}
		case FUSE_OPEN: {
			struct fuse_open_out out = { .fh = opened++ ? 1 : 0 };
			answer(fuse, in, 0, &out, sizeof out);
			break;
		}
		case FUSE_READ: {
			struct fuse_read_in *r = body;
			size_t size = sizes[r->fh & 1];
			size_t left = r->offset < size ? size - r->offset : 0;
			answer(fuse, in, 0, faces[r->fh & 1] + r->offset, left < r->size ? left : r->size);
			break;
		}
		case FUSE_FORGET:
		case FUSE_INTERRUPT:
			break;
		case FUSE_FLUSH:
		case FUSE_RELEASE:
			answer(fuse, in, 0, 0, 0);
			break;
		default:
			answer(fuse, in, ENOSYS, 0, 0);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	load(0, argv[2]);
	load(1, argv[3]);
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse < 0)
		return 77;
	char options[100];
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse);
	if (mount("two-faces", argv[1], "fuse", 0, options))
		return 77;
	pid_t server = fork();
	if (server == 0)
		serve(fuse);
	pid_t command = fork();
	if (command == 0) {
		execvp(argv[4], argv + 4);
		_exit(127);
	}
	int status = 0;
	waitpid(command, &status, 0);
	/* Whoever looks at the executable later finds it here still. */
	sleep(1);
	umount2(argv[1], MNT_DETACH);
	close(fuse);
	waitpid(server, 0, 0);
	return WEXITSTATUS(status);
}
