/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Run seeds.
 *
 *   test_sim                          old failures and a short campaign
 *   test_sim --suite COUNT            old failures, seeds 1 to COUNT, and all
 *                                     that must happen sometimes
 *   test_sim --seeds FROM COUNT       a campaign of any length
 *   test_sim --jobs N ...             on so many processors
 *   test_sim --seed N [--trace]       replay one
 *   test_sim --tail                   round trips at 0.1 % loss, in bounds?
 *   test_sim --times [print]          times to complete, as in times.inc?
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "sim.h"

#define SUITE_SEEDS  4000
#define JOBS_MAX     64
#define FAILURES_MAX 5
#define REPORT_S     60

/* Seeds that have found a defect once: they run first, for ever. */
static const uint64_t regressions[] = { 35,       473,      605,      3268,
					4777,     11166,    225232,   3042935,
					10904908, 13081201, 3537,     48187,
					20981681, 21199906, 21233411, 21416177,
					21479587, 48258,    31969142, 32514856,
					50214880, 53391743 };

#define REGRESSIONS (sizeof(regressions) / sizeof(regressions[0]))

/* One process of a campaign; in memory that all share. */
struct job {
	struct sim_count count;
	volatile uint64_t seeds;
	volatile uint64_t failed;
};

static double
seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void
print_counts(const struct sim_count *c)
{
#define SHOW(name) printf("  %-16s %llu\n", #name, (unsigned long long)c->name);
	SIM_TOTALS(SHOW)
	SIM_SOMETIMES(SHOW)
#undef SHOW
}

static int
check_sometimes(const struct sim_count *c)
{
	int missing = 0;

#define SOMETIMES(name)                                \
	if (c->name == 0) {                            \
		fprintf(stderr, "never: %s\n", #name); \
		missing++;                             \
	}
	SIM_SOMETIMES(SOMETIMES)
#undef SOMETIMES
	return missing;
}

/* Every jobs-th seed. */
static void
work(struct job *job, uint64_t from, uint64_t end, uint64_t step)
{
	for (uint64_t seed = from; seed < end; seed += step) {
		if (sim_run(seed, false, &job->count) != 0)
			job->failed++;
		job->seeds++;
		if (job->failed >= FAILURES_MAX)
			break;
	}
}

static void
report(const struct job *jobs, int n, double seconds)
{
	uint64_t seeds = 0, failed = 0;

	for (int i = 0; i < n; i++) {
		seeds += jobs[i].seeds;
		failed += jobs[i].failed;
	}
	printf("%llu seeds in %.1f s, %.0f/s on each of %d processors, "
	       "%llu failed\n",
	       (unsigned long long)seeds, seconds, (double)seeds / seconds / n,
	       n, (unsigned long long)failed);
	fflush(stdout);
}

/* Sleep until a process ends, at most REPORT_S. @return false: none did. */
static bool
child_ended(const sigset_t *chld)
{
	const struct timespec most = { .tv_sec = REPORT_S };

	return sigtimedwait(chld, NULL, &most) == SIGCHLD;
}

/* @return how many failed; a process that dies counts. */
static uint64_t
wait_for(struct job *jobs, int n, const sigset_t *chld, double start)
{
	uint64_t failed = 0;
	int left = n, status;

	while (left > 0) {
		/* One signal may stand for several that have ended. */
		while (waitpid(-1, &status, WNOHANG) > 0) {
			failed += !WIFEXITED(status) || WEXITSTATUS(status);
			left--;
		}
		if (left > 0 && !child_ended(chld))
			report(jobs, n, seconds_now() - start);
	}
	for (int i = 0; i < n; i++)
		failed += jobs[i].failed;
	return failed;
}

static void
add(struct sim_count *sum, const struct sim_count *more)
{
#define ADD(name) sum->name += more->name;
	SIM_TOTALS(ADD)
	SIM_SOMETIMES(ADD)
#undef ADD
}

/* @return how many seeds failed; each process stops after a few. */
static uint64_t
campaign(uint64_t from, uint64_t seeds, int n, struct sim_count *sum)
{
	struct job *jobs = mmap(NULL, (size_t)n * sizeof(*jobs),
				PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double start = seconds_now();
	uint64_t failed;
	sigset_t chld;

	if (jobs == MAP_FAILED)
		return 1;
	fflush(stdout);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	for (int i = 0; i < n; i++)
		if (fork() == 0) {
			work(&jobs[i], from + (uint64_t)i, from + seeds,
			     (uint64_t)n);
			exit(0);
		}
	failed = wait_for(jobs, n, &chld, start);
	report(jobs, n, seconds_now() - start);
	for (int i = 0; i < n; i++)
		add(sum, &jobs[i].count);
	munmap(jobs, (size_t)n * sizeof(*jobs));
	return failed;
}

static int
suite(uint64_t seeds, int jobs)
{
	struct sim_count count = { 0 };
	uint64_t failed = 0;

	for (size_t i = 0; i < REGRESSIONS; i++)
		failed += sim_run(regressions[i], false, &count) != 0;
	failed += campaign(1, seeds, jobs, &count);
	print_counts(&count);
	if (failed == 0)
		failed = (uint64_t)check_sometimes(&count);
	return failed != 0;
}

static int
usage(void)
{
	fprintf(stderr, "usage: test_sim [--jobs N] [--suite COUNT | "
			"--seeds FROM COUNT | --seed N [--trace] | "
			"--tail | --times [print]]\n");
	return 2;
}

int
main(int argc, char **argv)
{
	struct sim_count count = { 0 };
	int jobs = 1;

	if (argc >= 3 && strcmp(argv[1], "--jobs") == 0) {
		jobs = atoi(argv[2]);
		argc -= 2;
		argv += 2;
	}
	if (jobs < 1 || jobs > JOBS_MAX)
		return usage();
	if (argc == 2 && strcmp(argv[1], "--tail") == 0)
		return sim_tails() != 0;
	if (argc >= 2 && strcmp(argv[1], "--times") == 0)
		return sim_times(argc > 2) != 0;
	if (argc == 1)
		return suite(SUITE_SEEDS, jobs);
	if (argc == 3 && strcmp(argv[1], "--suite") == 0)
		return suite(strtoull(argv[2], NULL, 0), jobs);
	if (argc >= 3 && strcmp(argv[1], "--seed") == 0) {
		int rc = sim_run(strtoull(argv[2], NULL, 0), argc > 3, &count);

		printf("%s\n", rc == 0 ? "ok" : "failed");
		return rc != 0;
	}
	if (argc == 4 && strcmp(argv[1], "--seeds") == 0) {
		uint64_t failed = campaign(strtoull(argv[2], NULL, 0),
					   strtoull(argv[3], NULL, 0), jobs,
					   &count);

		print_counts(&count);
		return failed != 0;
	}
	return usage();
}
