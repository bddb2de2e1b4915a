/*
 * Listens on a free port of 127.0.0.1 with a full queue, so that whoever connects waits; says the port; accepts all when it reads
 * a line, and says the port of each that came.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET }, from;
	socklen_t length = sizeof at;
	int server = socket(AF_INET, SOCK_STREAM, 0);
	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	if (bind(server, (struct sockaddr *)&at, sizeof at) || listen(server, 0) || getsockname(server, (struct sockaddr *)&at, &length))
		return 1;
	/* One fits into a queue of nought; the second waits to fit. */
	for (int i = 0; i < 2; i++) {
		int fill = socket(AF_INET, SOCK_STREAM, 0);
		fcntl(fill, F_SETFL, O_NONBLOCK);
		connect(fill, (struct sockaddr *)&at, sizeof at);
		length = sizeof from;
		getsockname(fill, (struct sockaddr *)&from, &length);
		printf("own %d\n", ntohs(from.sin_port));
	}
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout);
	getchar();
	for (;;) {
		length = sizeof from;
		int fd = accept(server, (struct sockaddr *)&from, &length);
		if (fd < 0)
			return 0;
		printf("accepted %d\n", ntohs(from.sin_port));
		fflush(stdout);
	}
}
