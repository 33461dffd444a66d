/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer in a child process, commanded over a socketpair; and the child. */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer_steps.h"

/* ---- the parent's side ---------------------------------------------------- */

struct child {
	struct peer peer;
	int fd;
};

static void
child_start(struct peer *peer, const struct order *order)
{
	struct child *child = (struct child *)peer;

	if (send(child->fd, order, sizeof(*order), MSG_NOSIGNAL) < 0)
		peer->gone = true;
}

static bool
child_turn(struct peer *peer)
{
	struct child *child = (struct child *)peer;
	struct answer answer;
	ssize_t n;

	if (!peer->busy || peer->gone)
		return false;
	n = recv(child->fd, &answer, sizeof(answer), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == sizeof(answer)) {
		peer->answer = answer;
		peer->busy = false;
	} else {
		peer->gone = true;
	}
	return true;
}

static void
child_destroy(struct peer *peer)
{
	struct child *child = (struct child *)peer;

	if (peer->busy && !peer->gone)
		kill(peer->pid, SIGKILL); /* it is stuck in an order */
	close(child->fd);                 /* it ends when it sees that */
	while (waitpid(peer->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(child);
}

static const struct peer_ops child_ops = {
	.start = child_start,
	.turn = child_turn,
	.destroy = child_destroy,
};

static void
child_exec(int fd, int netns)
{
	char number[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* A child that is made anew must not keep A's sockets alive: not all
	 * that DPDK opens closes by itself on exec. */
	for (int other = 3; other < 1024; other++)
		if (other != fd && other != netns)
			close(other);
	if (netns >= 0 && setns(netns, 0) != 0)
		_exit(99);
	snprintf(number, sizeof(number), "%d", fd);
	execl("/proc/self/exe", "contract-peer", "--peer", number, NULL);
	_exit(98);
}

struct peer *
peer_child(const char *name, int netns)
{
	struct child *child = calloc(1, sizeof(*child));
	int fds[2];

	if (child == NULL ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		abort();
	child->peer.ops = &child_ops;
	child->peer.name = name;
	child->fd = fds[0];
	fflush(NULL);
	child->peer.pid = fork();
	if (child->peer.pid == 0) {
		int fd = dup(fds[1]); /* without CLOEXEC */

		child_exec(fd, netns);
	}
	if (child->peer.pid < 0)
		abort();
	close(fds[1]);
	peer_adopt(&child->peer);
	return &child->peer;
}

/* ---- the child -------------------------------------------------------------- */

/* @return true if an order has come; *over when the parent is gone. */
static bool
take_order(int fd, struct order *order, bool *over)
{
	ssize_t n = recv(fd, order, sizeof(*order), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	*over = n != sizeof(*order);
	return !*over;
}

static bool
polls(const struct steps *steps)
{
	for (int i = 0; i < PEER_CARRIERS; i++)
		if (steps->ports[i] != NULL)
			return true;
	return false;
}

/* Nothing to do: wait for an order, but not for long if ports want polls. */
static void
rest(int fd, const struct steps *steps, bool busy, uint32_t *idle)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (!busy && (!polls(steps) || ++*idle > 20000))
		poll(&pfd, 1, polls(steps) ? 1 : -1);
	else
		sched_yield();
}

int
peer_child_main(int fd)
{
	struct steps *steps = calloc(1, sizeof(*steps));
	bool busy = false, over = false;
	struct answer answer;
	struct order order;
	uint32_t idle = 0;

	if (steps == NULL)
		return 97;
	signal(SIGPIPE, SIG_IGN);
	while (!over) {
		bool moved = steps_poll(steps);
		uint64_t done = steps->done + steps->received;

		if (!busy && take_order(fd, &order, &over)) {
			answer = (struct answer){ 0 };
			busy = true;
		}
		if (busy && steps_run(steps, &order, &answer)) {
			busy = false;
			moved = true;
			send(fd, &answer, sizeof(answer), MSG_NOSIGNAL);
		}
		if (moved || steps->done + steps->received != done)
			idle = 0;
		else
			rest(fd, steps, busy, &idle);
	}
	steps_run(steps, ORDER(.step = STEP_RESET), &answer);
	for (uint64_t k = 0; k < PEER_CARRIERS; k++)
		steps_run(steps, ORDER(.step = STEP_PORT_CLOSE, .k = k),
			  &answer);
	free(steps);
	return 0;
}
