/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Does the simulator find every planted defect? One process per mutant runs
 * seeds from 1 on until one fails; the table says which, and why.
 *
 *   mutants [--jobs N] [--seeds MOST] [NUMBER]
 *
 * Exit status 0 if all died. A mutant may well crash, or run for ever: its
 * process is then ended by a signal, which counts, and says so.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mutant.h"
#include "sim.h"

#define SEEDS_MOST 20000
#define JOBS_MAX   64
/* So long may 64 seeds take; usually it is 30 ms. */
#define PATIENCE_S 60

int weir_mutant;

static const struct {
	const char *file;
	int line; /* 0: not planted, its place is not there any more */
	const char *what;
} table[] = {
#include "mutants_table.h"
};

#define MUTANTS ((int)(sizeof(table) / sizeof(table[0])))

/* In memory that all processes share. */
struct result {
	volatile uint64_t seed; /* the one that runs, or has failed */
	pid_t pid;
	int pipe;
	int status;
	char why[120];
};

static struct result *results;

static void
hunt(int number, uint64_t seeds)
{
	struct result *result = &results[number - 1];
	struct sim_count count = { 0 };

	weir_mutant = number;
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		if (seed % 64 == 1)
			alarm(PATIENCE_S);
		result->seed = seed;
		if (sim_run(seed, false, &count) != 0)
			_exit(1);
	}
	_exit(0);
}

static int
start(int number, uint64_t seeds)
{
	struct result *result = &results[number - 1];
	int ends[2];
	pid_t pid;

	if (pipe(ends) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		dup2(ends[1], STDERR_FILENO);
		hunt(number, seeds);
	}
	close(ends[1]);
	result->pipe = ends[0];
	result->pid = pid;
	return pid < 0 ? -1 : 0;
}

/* What the simulator said, without seed and time. */
static void
read_reason(struct result *result)
{
	char text[4096];
	ssize_t got = read(result->pipe, text, sizeof(text) - 1);
	char *why = text;

	close(result->pipe);
	if (WIFSIGNALED(result->status)) {
		snprintf(result->why, sizeof(result->why), "%s",
			 WTERMSIG(result->status) == SIGALRM ? "runs for ever"
							     : "crashes");
		return;
	}
	if (got <= 0)
		return;
	text[got] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(text, "seed ", 5) == 0 && strstr(text, "us: ") != NULL)
		why = strstr(text, "us: ") + 4;
	snprintf(result->why, sizeof(result->why), "%s", why);
}

/* @return 1 if it lives. */
static int
show(int number)
{
	const struct result *result = &results[number - 1];
	bool lives = WIFEXITED(result->status) &&
		     WEXITSTATUS(result->status) == 0;
	char place[40], seed[24];

	snprintf(place, sizeof(place), "%s:%d", table[number - 1].file,
		 table[number - 1].line);
	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)result->seed);
	if (lives)
		snprintf(seed, sizeof(seed), "-");
	printf("| %d | %s | %s | %s | %s |\n", number, place,
	       table[number - 1].what, seed, lives ? "LIVES" : result->why);
	return lives;
}

static void
wait_for_one(int first, int next)
{
	int status;
	pid_t pid = wait(&status);

	for (int number = first; number < next; number++) {
		struct result *result = &results[number - 1];

		if (result->pid == pid) {
			result->status = status;
			read_reason(result);
		}
	}
}

/* @return how many of first .. last live. */
static int
run(int first, int last, int jobs, uint64_t seeds)
{
	int running = 0, next = first, lives = 0;

	while (next <= last || running > 0) {
		if (next <= last && running < jobs) {
			if (start(next, seeds) != 0)
				return MUTANTS;
			running++;
			next++;
			continue;
		}
		wait_for_one(first, next);
		running--;
	}
	printf("| no. | place | defect | seed | what was seen |\n"
	       "| ---: | --- | --- | ---: | --- |\n");
	for (int number = first; number <= last; number++) {
		lives += table[number - 1].line == 0;
		lives += show(number);
	}
	printf("%d of %d killed within %llu seeds\n", last - first + 1 - lives,
	       last - first + 1, (unsigned long long)seeds);
	return lives;
}

int
main(int argc, char **argv)
{
	uint64_t seeds = SEEDS_MOST;
	int jobs = 1, number = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc)
			jobs = atoi(argv[++i]);
		else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
			seeds = strtoull(argv[++i], NULL, 0);
		else
			number = atoi(argv[i]);
	}
	if (jobs < 1 || jobs > JOBS_MAX || number < 0 || number > MUTANTS) {
		fprintf(stderr, "usage: mutants [--jobs N] [--seeds MOST] "
				"[NUMBER]\n");
		return 2;
	}
	results = mmap(NULL, MUTANTS * sizeof(*results), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		return 1;
	fflush(stdout);
	return run(number == 0 ? 1 : number, number == 0 ? MUTANTS : number,
		   jobs, seeds) != 0;
}
