/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lab_guard: runs the processes of a lab and sees to it that none survives.
 * See lab.h.
 *
 * The guardian is a "child subreaper": whatever its descendants leave behind,
 * daemons too, becomes its own child and is ended with the lab. It takes
 * signals from a descriptor, so there is one place where it waits.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exit.h"
#include "lab.h"
#include "tool.h"

/* A listener that ends by itself has so long after main. */
#define LISTENER_GRACE_MS 10000

/* After SIGTERM; then SIGKILL. */
#define STOP_GRACE_MS 3000

struct guard {
	const struct lab_run *run;
	pid_t main_pid, listener_pid;
	int main_status, listener_status;
	int signal_fd;
	int lifeline;
	int64_t deadline_ms; /* 0: none */
	bool main_ended, stopping;
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

/* ---- starting jobs ------------------------------------------------------------ */

static void
point_to_null(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0)
		dup2(null, fd);
}

/* To the n-th CPU that we may use, if there are that many. */
static void
pin(int n)
{
	cpu_set_t allowed, one;

	if (n < 0 || sched_getaffinity(0, sizeof(allowed), &allowed) != 0 ||
	    CPU_COUNT(&allowed) <= n)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || n-- != 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

static void
become(const struct guard *guard, const struct lab_job *job)
{
	sigset_t none;
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	rc = weir_lab_net_enter(&guard->run->net, job->end);
	if (rc != 0) {
		weir_tool_error("lab: cannot enter end %c: %s; run as root",
				'a' + job->end, strerror(-rc));
		_exit(WEIR_EXIT_NOT_READY);
	}
	if (job->quiet_stdin)
		point_to_null(STDIN_FILENO);
	if (job->quiet_stdout)
		point_to_null(STDOUT_FILENO);
	pin(job->cpu);
	if (job->is_weir)
		execv("/proc/self/exe", job->argv);
	else
		execvp(job->argv[0], job->argv);
	weir_tool_error("%s: cannot be run: %s; check the name",
			job->is_weir ? "weir" : job->argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static pid_t
start(const struct guard *guard, const struct lab_job *job)
{
	pid_t pid;

	if (job->argv == NULL || job->argv[0] == NULL)
		return 0;
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(guard, job);
	return pid;
}

/* ---- ending them -------------------------------------------------------------- */

/* Signal every child: those that we started, and what they left behind. */
static void
signal_children(int number)
{
	char path[64];
	FILE *file;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
		 (int)getpid());
	file = fopen(path, "re");
	if (file == NULL)
		return;
	while (fscanf(file, "%d", &pid) == 1)
		kill(pid, number);
	fclose(file);
}

/* Killing one can bring forth others, its children: until there is none. */
static void
end_all(void)
{
	struct timespec pause = { .tv_nsec = 2000000 };

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid > 0)
			continue;
		if (pid < 0)
			break;
		signal_children(SIGKILL);
		nanosleep(&pause, NULL);
	}
}

static void
stop_listener(struct guard *guard)
{
	guard->deadline_ms = now_ms() + STOP_GRACE_MS;
	signal_children(SIGTERM);
}

/* Main first: a peer that went would look like a failure to it. */
static void
stop(struct guard *guard)
{
	if (guard->stopping)
		return;
	guard->stopping = true;
	if (guard->main_ended) {
		stop_listener(guard);
		return;
	}
	guard->deadline_ms = now_ms() + STOP_GRACE_MS;
	kill(guard->main_pid, SIGTERM);
}

static void
main_has_ended(struct guard *guard)
{
	guard->main_ended = true;
	if (guard->listener_pid == 0)
		return;
	if (guard->run->stop_listener || guard->stopping)
		stop_listener(guard);
	else
		guard->deadline_ms = now_ms() + LISTENER_GRACE_MS;
}

static void
reap(struct guard *guard)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == guard->main_pid) {
			guard->main_status = status;
			main_has_ended(guard);
		} else if (pid == guard->listener_pid) {
			guard->listener_status = status;
			guard->listener_pid = 0;
		}
	}
}

/* ---- waiting ------------------------------------------------------------------ */

/*
 * A signal of the terminal (SI_KERNEL) has reached the whole group already;
 * one that somebody sent to the starter comes by it, and is for all.
 */
static void
take_signal(struct guard *guard)
{
	struct signalfd_siginfo info;

	if (read(guard->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		reap(guard);
	else if (info.ssi_signo == SIGINT && info.ssi_code != SI_KERNEL)
		kill(guard->main_pid, SIGINT);
	else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP)
		stop(guard);
}

static int
time_left(const struct guard *guard)
{
	int64_t left;

	if (guard->deadline_ms == 0)
		return -1;
	left = guard->deadline_ms - now_ms();
	return left > 0 ? (int)left : 0;
}

static void
wait_for_the_end(struct guard *guard)
{
	struct pollfd fds[2] = {
		{ .fd = guard->signal_fd, .events = POLLIN },
		{ .fd = guard->lifeline, .events = POLLIN },
	};

	while (!guard->main_ended || guard->listener_pid != 0) {
		int count = poll(fds, 2, time_left(guard));

		if (count == 0)
			return;
		if (fds[0].revents != 0)
			take_signal(guard);
		if (fds[1].revents != 0)
			return; /* the starter was killed */
	}
}

static int
exit_code(int status)
{
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

static int
catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int
weir_lab_guard(const struct lab_run *run, int lifeline)
{
	struct guard guard = {
		.run = run,
		.lifeline = lifeline,
		.signal_fd = catch_signals(),
	};

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	guard.listener_pid = start(&guard, &run->listener);
	guard.main_pid = start(&guard, &run->main);
	if (guard.main_pid > 0 && guard.listener_pid >= 0)
		wait_for_the_end(&guard);
	end_all();
	if (!guard.main_ended) {
		weir_tool_error("lab: stopped before the command had ended");
		return WEIR_EXIT_INTERRUPT;
	}
	if (exit_code(guard.main_status) != 0 || run->stop_listener)
		return exit_code(guard.main_status);
	return exit_code(guard.listener_status);
}

/* Whoever connects wants to know who we are, which its kernel tells it. */
static void
turn_away(int listen_fd)
{
	int fd = accept(listen_fd, NULL, NULL);

	if (fd >= 0)
		close(fd);
}

void
weir_lab_hold(int listen_fd)
{
	struct signalfd_siginfo info = { 0 };
	struct pollfd fds[2] = {
		{ .fd = catch_signals(), .events = POLLIN },
		{ .fd = listen_fd, .events = POLLIN },
	};

	while (info.ssi_signo != SIGTERM) {
		if (poll(fds, 2, -1) < 0)
			return;
		if (fds[1].revents != 0)
			turn_away(listen_fd);
		if (fds[0].revents != 0 &&
		    read(fds[0].fd, &info, sizeof(info)) != sizeof(info))
			return;
	}
}
