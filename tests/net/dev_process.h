/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DEV_PROCESS_H
#define DEV_PROCESS_H

/*
 * dev_process: two processes, each with an EAL of its own, for one test.
 *
 * EAL can be started once per process and does not survive a fork, so the
 * test program itself never starts it. Everything that the two print comes to
 * the parent; a run that succeeds must have printed nothing, since the
 * library never prints.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* In a process: what is not as expected ends it with a line. */
#define CHECK(condition)                                                \
	do {                                                            \
		if (!(condition)) {                                     \
			dprintf(STDERR_FILENO, "%s:%d: %s\n", __FILE__, \
				__LINE__, #condition);                  \
			_exit(1);                                       \
		}                                                       \
	} while (0)

/* One of the two: its side and a descriptor to meet the other one at. */
typedef void (*side_fn)(int side, int meet_fd);

/*
 * Run fn in two processes, side 0 and side 1.
 *
 * @return NULL when both succeeded in time and printed nothing, else what
 *         there is to say about it (valid until the next call).
 */
const char *run_sides(side_fn fn, int count);

/* Wait for the other side to come here as well. */
void meet(int meet_fd);

/* A deadline from now, and whether it has passed (then the test is lost). */
uint64_t deadline_in(unsigned int seconds);
bool is_over(uint64_t deadline);

#endif /* DEV_PROCESS_H */
