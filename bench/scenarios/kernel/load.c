/*
 * Load of the kernel benchmark: opens and closes a file, starts a program, or opens at a rate, and prints the cost.
 *   load open COUNT FILE        ns of the cheapest of many rounds of 200, which excludes preemption
 *   load exec COUNT             µs of the median start of /bin/true with 20 arguments, from vfork to its end
 *   load storm COUNT            starts /bin/true COUNT times, each with a mark of its own, and prints the marks
 *   load rate PER_SECOND S FILES [MARKS]
 *                               opens at a rate for S seconds; prints the total and the rate. FILES: one file that is
 *                               opened repeatedly, or a folder for 64 files that take turns, so that consecutive opens
 *                               differ. MARKS: ten times a second a file in it is named by the time, ns since 1970
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(int clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double d = *(double *)a - *(double *)b;
	return d < 0 ? -1 : d > 0;
}

int main(int argc, char **argv)
{
	if (argc < 3 || (!strcmp(argv[1], "rate") && argc < 5))
		return 64;
	long count = atol(argv[2]);
	if (!strcmp(argv[1], "open")) {
		double best = 1e18;
		for (long round = 0; round < count / 200; round++) {
			double start = now(CLOCK_MONOTONIC);
			for (int i = 0; i < 200; i++)
				close(open(argv[3], O_RDONLY));
			double each = (now(CLOCK_MONOTONIC) - start) / 200;
			if (each < best)
				best = each;
		}
		printf("%.1f\n", best);
	} else if (!strcmp(argv[1], "exec")) {
		char *args[22] = { "/bin/true" };
		double *times = malloc(count * sizeof(double));
		for (int i = 1; i < 21; i++)
			args[i] = "an argument of some length, as they are";
		for (long i = 0; i < count; i++) {
			pid_t pid;
			double start = now(CLOCK_MONOTONIC);
			if (posix_spawn(&pid, args[0], 0, 0, args, environ))
				return 1;
			waitpid(pid, 0, 0);
			times[i] = (now(CLOCK_MONOTONIC) - start) / 1e3;
		}
		qsort(times, count, sizeof(double), by_value);
		printf("%.1f\n", times[count / 2]);
	} else if (!strcmp(argv[1], "storm")) {
		for (long i = 0; i < count; i++) {
			char mark[32];
			char *args[3] = { "/bin/true", mark };
			pid_t pid;
			snprintf(mark, sizeof mark, "storm-%ld", i);
			if (posix_spawn(&pid, args[0], 0, 0, args, environ))
				return 1;
			waitpid(pid, 0, 0);
			puts(mark);
		}
	} else {
		static char files[64][4200];
		struct stat facts;
		int kinds = !stat(argv[4], &facts) && S_ISDIR(facts.st_mode) ? 64 : 1;
		for (int i = 0; i < kinds; i++) {
			snprintf(files[i], sizeof files[i], kinds > 1 ? "%s/%d" : "%s", argv[4], i);
			close(open(files[i], O_RDONLY | (kinds > 1 ? O_CREAT : 0), 0600));
		}
		double start = now(CLOCK_MONOTONIC), end = start + atof(argv[3]) * 1e9, mark = start;
		long done = 0;
		while (now(CLOCK_MONOTONIC) < end) {
			double due = (now(CLOCK_MONOTONIC) - start) / 1e9 * count;
			for (; done < due; done++) {
				close(open(files[done % kinds], O_RDONLY));
				if ((done & 1023) == 0 && now(CLOCK_MONOTONIC) >= end)
					break;
			}
			if (argc > 5 && now(CLOCK_MONOTONIC) >= mark) {
				char name[4200];
				mark += 1e8;
				snprintf(name, sizeof name, "%s/%.0f", argv[5], now(CLOCK_REALTIME));
				close(open(name, O_WRONLY | O_CREAT, 0600));
				unlink(name);
			}
			usleep(200);
		}
		printf("%ld %.0f\n", done, done / ((now(CLOCK_MONOTONIC) - start) / 1e9));
	}
	return 0;
}
