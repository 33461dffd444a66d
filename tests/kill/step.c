/* SPDX-License-Identifier: BSD-3-Clause */
/* See step.h. */

#include "step.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

void
step_wait_for_tracer(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(errno == EPERM ? EPERM : EIO);
	/* Not raise(): fewer instructions between here and the mark. */
	kill(getpid(), SIGSTOP);
}

int
step_until_ready(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;
	/* Should we fail, nobody stays behind. */
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		   (void *)(intptr_t)PTRACE_O_EXITKILL) != 0)
		return -1;
	return 0;
}

/* Until it halts again. @return 0; -1 it ended. */
static int
resume(pid_t pid, int how, int *status)
{
	return ptrace(how, pid, NULL, NULL) == 0 &&
			       waitpid(pid, status, 0) == pid &&
			       WIFSTOPPED(*status) &&
			       WSTOPSIG(*status) == SIGTRAP
		       ? 0
		       : -1;
}

/* One instruction; a system call counts as one. @return 0; -1 it ended. */
static int
step(pid_t pid, int *status)
{
	return resume(pid, PTRACE_SINGLESTEP, status);
}

/* Tracer and traced take turns: on one processor a turn is a switch, on two it
 * is a wake-up of the other one, which takes ten times as long. */
static void
share_a_cpu(pid_t pid, cpu_set_t *before)
{
	cpu_set_t one;
	int cpu = sched_getcpu();

	CPU_ZERO(&one);
	CPU_SET(cpu < 0 ? 0 : cpu, &one);
	if (sched_getaffinity(0, sizeof(*before), before) != 0)
		CPU_ZERO(before);
	(void)sched_setaffinity(0, sizeof(one), &one);
	(void)sched_setaffinity(pid, sizeof(one), &one);
}

/* ---- breakpoints, where the machine has them -------------------------------------- */

#if defined(__x86_64__)

static uint64_t
where(pid_t pid)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, pid,
				offsetof(struct user, regs.rip), NULL);
}

static int
set_debug_register(pid_t pid, unsigned int i, uint64_t value)
{
	return ptrace(PTRACE_POKEUSER, pid,
		      offsetof(struct user, u_debugreg) +
			      i * sizeof(((struct user *)0)->u_debugreg[0]),
		      (void *)(uintptr_t)value) == 0
		       ? 0
		       : -1;
}

/* Halt there, and at the end. */
static int
set_breakpoints(pid_t pid, uint64_t at, uint64_t end)
{
	const uint64_t both_on = 1 | 4;

	if (set_debug_register(pid, 0, at) != 0 ||
	    set_debug_register(pid, 1, end) != 0 ||
	    set_debug_register(pid, 7, both_on) != 0)
		return -1;
	return 0;
}

static int
clear_breakpoints(pid_t pid)
{
	return set_debug_register(pid, 7, 0);
}

#else

static uint64_t
where(pid_t pid)
{
	(void)pid;
	return 0; /* everywhere: no way is better than steps */
}

static int
set_breakpoints(pid_t pid, uint64_t at, uint64_t end)
{
	(void)pid;
	(void)at;
	(void)end;
	return -1;
}

static int
clear_breakpoints(pid_t pid)
{
	(void)pid;
	return -1;
}

#endif

/* ---- the way there ------------------------------------------------------------------ */

struct walk {
	pid_t pid;
	const _Atomic uint32_t *mark;
	struct route *route; /* or NULL */
	uint64_t count;      /* instructions executed */
	int *status;
};

static bool
done(const struct walk *w)
{
	return atomic_load(w->mark) == STEP_DONE;
}

/* The store that begins the stretch is not of it. @return 0; -1 it ended. */
static int
walk_to_the_start(struct walk *w)
{
	int rc = 0;

	while (rc == 0 && atomic_load(w->mark) == STEP_NOT_YET)
		rc = step(w->pid, w->status);
	return rc;
}

static int
walk(struct walk *w, uint64_t instructions)
{
	struct route *route = instructions == STEP_TO_THE_END ? w->route : NULL;
	int rc = 0;

	while (rc == 0 && !done(w) && w->count < instructions) {
		if (route != NULL)
			route_add(route, where(w->pid));
		rc = step(w->pid, w->status);
		w->count++;
	}
	if (rc == 0 && route != NULL)
		route_finish(route, where(w->pid));
	return rc;
}

/* As far as the breakpoint of the way. @return 0; -1 it ended. */
static int
ride(struct walk *w, uint64_t instructions)
{
	struct route_way way;
	int rc = 0;

	if (w->route == NULL || instructions == STEP_TO_THE_END ||
	    !route_way(w->route, instructions, &way) ||
	    set_breakpoints(w->pid, way.breakpoint, w->route->end) != 0)
		return 0;
	for (uint32_t i = 0; rc == 0 && i <= way.passes && !done(w); i++)
		rc = resume(w->pid, PTRACE_CONT, w->status);
	w->count = done(w) ? w->route->count : instructions - way.steps;
	return rc == 0 ? clear_breakpoints(w->pid) : rc;
}

int64_t
step_and_kill(pid_t pid, const _Atomic uint32_t *mark, uint64_t instructions,
	      struct route *route, int *status)
{
	struct walk w = {
		.pid = pid, .mark = mark, .route = route, .status = status
	};
	cpu_set_t before;
	int rc;

	*status = 0;
	share_a_cpu(pid, &before);
	rc = walk_to_the_start(&w);
	if (rc == 0)
		rc = ride(&w, instructions);
	if (rc == 0)
		rc = walk(&w, instructions);
	if (rc == 0 || WIFSTOPPED(*status)) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, rc == 0 ? status : NULL, 0);
	}
	(void)sched_setaffinity(0, sizeof(before), &before);
	return rc == 0 ? (int64_t)w.count : -1;
}

int
step_allowed(void)
{
	static const _Atomic uint32_t begun = STEP_BEGUN;
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		step_wait_for_tracer();
		for (;;)
			getppid();
	}
	if (step_until_ready(pid) != 0)
		return -EPERM;
	return step_and_kill(pid, &begun, 8, NULL, &status) < 0 ? -EPERM : 0;
}
