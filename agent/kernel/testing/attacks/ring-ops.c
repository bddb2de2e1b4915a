/*
 * By io_uring alone: asks a name over UDP in two ways, sets extended attributes, connects without TCP, binds, listens and
 * receives, changes lengths, and sends by a descriptor of the ring's own table. `ring-ops ADDRESS PORT FILE SOCKET`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int ring;
static char *sq, *sqes;
static struct io_uring_params p;
static unsigned tail;

static void submit(struct io_uring_sqe e)
{
	((struct io_uring_sqe *)sqes)[tail % p.sq_entries] = e;
	((unsigned *)(sq + p.sq_off.array))[tail % p.sq_entries] = tail % p.sq_entries;
	tail++;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), tail, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) != 1)
		exit(4);
}

int main(int argc, char **argv)
{
	/* Where the kernel can read it without waiting: on a page that is there. */
	char question[] = "\x12\x34\x01\0\0\1\0\0\0\0\0\0\4ring\4test\0\0\1\0\1";
	if (argc < 5)
		return 2;
	ring = syscall(SYS_io_uring_setup, 8, &p);
	if (ring < 0)
		return 77;
	sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	sqes = mmap(0, p.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
	inet_pton(AF_INET, argv[1], &to.sin_addr);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), file = open(argv[3], O_RDWR);
	struct iovec vec = { (void *)question, sizeof question - 1 };
	struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &vec, .msg_iovlen = 1 };
	submit((struct io_uring_sqe){ .opcode = IORING_OP_SENDMSG, .fd = fd, .addr = (unsigned long)&message, .len = 1 });
	submit((struct io_uring_sqe){ .opcode = IORING_OP_SEND, .fd = fd, .addr = (unsigned long)question, .len = sizeof question - 1, .addr2 = (unsigned long)&to, .addr_len = sizeof to });
	submit((struct io_uring_sqe){ .opcode = IORING_OP_FSETXATTR, .fd = file, .addr = (unsigned long)"user.ring", .addr2 = (unsigned long)"v", .len = 1 });
	submit((struct io_uring_sqe){ .opcode = IORING_OP_SETXATTR, .addr = (unsigned long)"user.path", .addr2 = (unsigned long)"v", .addr3 = (unsigned long)argv[3], .len = 1 });
	submit((struct io_uring_sqe){ .opcode = 55 /* FTRUNCATE */, .fd = file, .off = 5 });
	submit((struct io_uring_sqe){ .opcode = IORING_OP_FALLOCATE, .fd = file, .off = 0, .addr = 4096 });
	submit((struct io_uring_sqe){ .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (unsigned long)argv[3], .open_flags = O_WRONLY | O_APPEND });

	struct sockaddr_un path = { .sun_family = AF_UNIX };
	strncpy(path.sun_path, argv[4], sizeof path.sun_path - 1);
	int local = socket(AF_UNIX, SOCK_STREAM, 0);
	submit((struct io_uring_sqe){ .opcode = IORING_OP_CONNECT, .fd = local, .addr = (unsigned long)&path, .off = sizeof path });

	struct sockaddr_in named = to;
	named.sin_port = htons(4021);
	int bound = socket(AF_INET, SOCK_DGRAM, 0), stream = socket(AF_INET, SOCK_STREAM, 0), connected = socket(AF_INET, SOCK_DGRAM, 0);
	submit((struct io_uring_sqe){ .opcode = 56 /* BIND */, .fd = bound, .addr = (unsigned long)&named, .addr2 = sizeof named });
	submit((struct io_uring_sqe){ .opcode = 56, .fd = stream, .addr = (unsigned long)&named, .addr2 = sizeof named });
	submit((struct io_uring_sqe){ .opcode = 57 /* LISTEN */, .fd = stream, .len = 1 });
	submit((struct io_uring_sqe){ .opcode = IORING_OP_CONNECT, .fd = connected, .addr = (unsigned long)&named, .off = sizeof named });
	submit((struct io_uring_sqe){ .opcode = IORING_OP_WRITE, .fd = connected, .addr = (unsigned long)"written", .len = 7 });
	/* A descriptor that is only in the ring's own table. */
	int table = connected;
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &table, 1))
		return 5;
	submit((struct io_uring_sqe){ .opcode = IORING_OP_SEND, .flags = IOSQE_FIXED_FILE, .fd = 0, .addr = (unsigned long)"tabled!!", .len = 8 });
	char got[16];
	submit((struct io_uring_sqe){ .opcode = IORING_OP_RECV, .fd = bound, .addr = (unsigned long)got, .len = sizeof got });
	submit((struct io_uring_sqe){ .opcode = IORING_OP_SOCKET, .fd = AF_PACKET, .off = SOCK_RAW });
	return 0;
}
