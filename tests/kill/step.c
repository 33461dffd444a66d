/* SPDX-License-Identifier: BSD-3-Clause */
/* See step.h. */

#include "step.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
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

/* One instruction; a system call counts as one. @return 0; -1 it ended. */
static int
step(pid_t pid, int *status)
{
	return ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0 &&
			       waitpid(pid, status, 0) == pid &&
			       WIFSTOPPED(*status) &&
			       WSTOPSIG(*status) == SIGTRAP
		       ? 0
		       : -1;
}

int64_t
step_and_kill(pid_t pid, const _Atomic uint32_t *mark, uint64_t instructions,
	      int *status)
{
	uint64_t count = 0;
	uint32_t at = STEP_NOT_YET;
	int rc = 0;

	*status = 0;
	while (rc == 0 && at != STEP_DONE && count < instructions) {
		rc = step(pid, status);
		/* The store that begins the stretch is not of it. */
		if (at == STEP_BEGUN)
			count++;
		at = atomic_load(mark);
	}
	if (rc == 0 || WIFSTOPPED(*status)) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, rc == 0 ? status : NULL, 0);
	}
	return rc == 0 ? (int64_t)count : -1;
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
	return step_and_kill(pid, &begun, 8, &status) < 0 ? -EPERM : 0;
}
