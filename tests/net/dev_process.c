/* SPDX-License-Identifier: BSD-3-Clause */
/* dev_process: run the two sides of a test. See dev_process.h. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "dev_process.h"

#define RUN_SECONDS 40

static char report[4096];

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
deadline_in(unsigned int seconds)
{
	return now_ns() + seconds * UINT64_C(1000000000);
}

bool
is_over(uint64_t deadline)
{
	return now_ns() >= deadline;
}

void
meet(int meet_fd)
{
	struct pollfd poll_fd = { .fd = meet_fd, .events = POLLIN };
	char byte = 0;

	CHECK(write(meet_fd, &byte, 1) == 1);
	CHECK(poll(&poll_fd, 1, RUN_SECONDS * 1000) == 1);
	CHECK(read(meet_fd, &byte, 1) == 1);
}

static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS };

static pid_t
start_side(side_fn fn, int side, const int *meet_fds, const int *out)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* cmocka catches these, and would run the rest of the tests here. */
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], SIG_DFL);
	dup2(out[1], STDOUT_FILENO);
	dup2(out[1], STDERR_FILENO);
	close(out[0]);
	close(out[1]);
	close(meet_fds[1 - side]);
	fn(side, meet_fds[side]);
	fflush(stdout);
	_exit(0);
}

/* Gather what they print until both are gone, or the time is over. */
static void
gather(int fd)
{
	uint64_t deadline = deadline_in(RUN_SECONDS);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	size_t len = 0;

	while (!is_over(deadline)) {
		ssize_t n;

		if (poll(&poll_fd, 1, 100) <= 0)
			continue;
		n = read(fd, report + len, sizeof(report) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
		if (len == sizeof(report) - 1)
			break;
	}
	report[len] = '\0';
}

static void
append(const char *format, int side, int value)
{
	size_t len = strlen(report);

	snprintf(report + len, sizeof(report) - len, format, side, value);
}

static void
judge(int side, pid_t pid)
{
	int status = 0;

	/* Whoever has closed its output and lives on hangs. */
	for (int i = 0; i < 100; i++) {
		pid_t rc = waitpid(pid, &status, WNOHANG);

		if (rc == pid)
			goto ended;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	append("side %d hung (status %d)\n", side, status);
	return;
ended:
	if (WIFSIGNALED(status))
		append("side %d was killed by signal %d\n", side,
		       WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		append("side %d exited with %d\n", side, WEXITSTATUS(status));
}

const char *
run_sides(side_fn fn, int count)
{
	int meet_fds[2], out[2];
	pid_t pids[2];

	report[0] = '\0';
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, meet_fds) != 0 ||
	    pipe(out) != 0)
		return "no descriptors";
	for (int i = 0; i < count; i++)
		pids[i] = start_side(fn, i, meet_fds, out);
	close(meet_fds[0]);
	close(meet_fds[1]);
	close(out[1]);
	gather(out[0]);
	close(out[0]);
	for (int i = 0; i < count; i++)
		judge(i, pids[i]);
	return report[0] != '\0' ? report : NULL;
}
