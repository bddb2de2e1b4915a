/* Ends `argv[1]` processes of two threads each, both threads in `exit` at the same moment. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int ready;

static void end_together(void)
{
	atomic_fetch_add(&ready, 1);
	while (atomic_load(&ready) < 2)
		;
	syscall(SYS_exit, 0);
}

static void *thread(void *unused)
{
	end_together();
	return unused;
}

int main(int argc, char **argv)
{
	for (int i = 0, rounds = argc > 1 ? atoi(argv[1]) : 1; i < rounds; i++) {
		pid_t child = fork();
		if (child == 0) {
			pthread_t second;
			if (pthread_create(&second, 0, thread, 0))
				_exit(1);
			end_together();
		}
		if (waitpid(child, 0, 0) < 0)
			return 1;
	}
	return 0;
}
