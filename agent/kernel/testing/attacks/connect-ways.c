/*
 * Connects to 127.0.0.1:PORT in a way that a recorder of descriptors does not see, sends one byte, and waits for the other
 * side to close. `connect-ways MODE PORT`.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef TCP_FASTOPEN_CONNECT
#define TCP_FASTOPEN_CONNECT 30
#endif

static struct sockaddr_in to = { .sin_family = AF_INET };

static int stream(int protocol)
{
	int fd = socket(AF_INET, SOCK_STREAM, protocol);
	if (fd < 0)
		exit(77);
	return fd;
}

static int wait_closed(int fd)
{
	char byte;
	while (recv(fd, &byte, 1, 0) > 0)
		;
	close(fd);
	return 0;
}

static int ring_connect(int fd)
{
	struct io_uring_params p;
	memset(&p, 0, sizeof p);
	int ring = syscall(SYS_io_uring_setup, 2, &p);
	if (ring < 0)
		exit(77);
	char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	struct io_uring_sqe *e = mmap(0, p.sq_entries * sizeof *e, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	memset(e, 0, sizeof *e);
	e->opcode = IORING_OP_CONNECT;
	e->fd = fd;
	e->addr = (unsigned long)&to;
	e->off = sizeof to;
	((unsigned *)(sq + p.sq_off.array))[0] = 0;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) == 1 ? 0 : -1;
}

/* A blocking connect lasts as long as the queue of PORT is full: its server accepts when it reads a line. */
static int attacked, decoy, replace;

static void *meddle(void *unused)
{
	/* Until the kernel says that the connection is under way. */
	struct tcp_info info;
	socklen_t length = sizeof info;
	do {
		length = sizeof info;
		if (getsockopt(attacked, IPPROTO_TCP, TCP_INFO, &info, &length))
			exit(3);
	} while (info.tcpi_state != 2);
	if (replace)
		dup2(decoy, attacked);
	else
		close(attacked);
	/* The server may accept now. */
	puts("meddled");
	fflush(stdout);
	return unused;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	const char *mode = argv[1];
	int fd, on = 1;
	to.sin_port = htons(atoi(argv[2]));
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	if (!strcmp(mode, "fastopen-sendto") || !strcmp(mode, "fastopen-mptcp")) {
		fd = stream(strcmp(mode, "fastopen-mptcp") ? 0 : IPPROTO_MPTCP);
		if (sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof to) != 1)
			return 4;
		return wait_closed(fd);
	}
	if (!strcmp(mode, "fastopen-sendmsg")) {
		struct iovec vec = { "x", 1 };
		struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &vec, .msg_iovlen = 1 };
		fd = stream(0);
		if (sendmsg(fd, &message, MSG_FASTOPEN) != 1)
			return 4;
		return wait_closed(fd);
	}
	if (!strcmp(mode, "fastopen-write")) {
		fd = stream(0);
		if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on) || connect(fd, (struct sockaddr *)&to, sizeof to) || write(fd, "x", 1) != 1)
			return 4;
		return wait_closed(fd);
	}
	if (!strcmp(mode, "mptcp")) {
		fd = stream(IPPROTO_MPTCP);
		if (connect(fd, (struct sockaddr *)&to, sizeof to) || write(fd, "x", 1) != 1)
			return 4;
		return wait_closed(fd);
	}
	if (!strcmp(mode, "ring")) {
		fd = stream(0);
		if (ring_connect(fd) || write(fd, "x", 1) != 1)
			return 4;
		return wait_closed(fd);
	}
	if (!strcmp(mode, "nonblocking")) {
		fd = stream(0);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
			return 4;
		struct pollfd wait = { fd, POLLOUT, 0 };
		poll(&wait, 1, -1);
		/* As programs ask how it went. */
		connect(fd, (struct sockaddr *)&to, sizeof to);
		fcntl(fd, F_SETFL, 0);
		if (write(fd, "x", 1) != 1)
			return 4;
		return wait_closed(fd);
	}
	replace = !strcmp(mode, "replaced");
	if (!replace && strcmp(mode, "closed"))
		return 2;
	attacked = stream(0);
	decoy = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in other = { .sin_family = AF_INET, .sin_port = htons(9) };
	inet_pton(AF_INET, "127.0.0.9", &other.sin_addr);
	connect(decoy, (struct sockaddr *)&other, sizeof other);
	pthread_t thread;
	pthread_create(&thread, 0, meddle, 0);
	int failed = connect(attacked, (struct sockaddr *)&to, sizeof to);
	pthread_join(thread, 0);
	return failed ? 5 : 0;
}
