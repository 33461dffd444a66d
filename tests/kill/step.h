/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KILL_STEP_H
#define KILL_STEP_H

/*
 * Kill a child at a chosen instruction of a chosen stretch of its program.
 *
 *     child                          tracer
 *     step_wait_for_tracer()    -->  step_until_ready()
 *                                    ... prepare ...
 *     mark = STEP_BEGUN              step_and_kill(n): single steps,
 *     the stretch, n instructions    counted from BEGUN
 *     mark = STEP_DONE
 *
 * The mark lies in memory that both share, so that looking costs nothing. A
 * step costs two switches, and on a virtual machine a way to its host and back:
 * whoever has a route (route.h) of an earlier child, forked from the same
 * process, takes it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "route.h"

enum step_mark {
	STEP_NOT_YET,
	STEP_BEGUN,
	STEP_DONE,
};

#define STEP_TO_THE_END UINT64_MAX

/* May we trace our children here? @return 0; negative errno. */
int step_allowed(void);

/* In the child: be traced from now on, and stand still. */
void step_wait_for_tracer(void);

/* @return 0: it stands still; -1 it ended instead. */
int step_until_ready(pid_t pid);

/*
 * Let the child execute `instructions` of its stretch, or all, and kill it.
 * It is a zombie afterwards: its death is complete, and reaped.
 *
 * @param route  NULL; or written if `instructions` are all, else followed: a
 *               child that takes another way dies on it, or at its end.
 * @return how many it executed; -1: it ended by itself (status tells).
 */
int64_t step_and_kill(pid_t pid, const _Atomic uint32_t *mark,
		      uint64_t instructions, struct route *route, int *status);

#endif /* KILL_STEP_H */
