/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a half sleeps on: one epoll descriptor that holds its doorbell, the
 * control socket and the peer's pidfd, so that a peer's death wakes it like a
 * message does. While the link is being set up the socket is also watched for
 * the answer, and a timer stands in for a listener that is not there yet.
 *
 * Made at the first use: who only spins needs no descriptors.
 */

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "shm_lane.h"

#define RETRY_NS 1000000

static int
watch_fd(int epoll, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ||
	    (errno == EEXIST &&
	     epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) == 0))
		return 0;
	return -errno;
}

static int
open_epoll(struct shm_sleep *sleep, const struct shm_bell *bell)
{
	int rc, fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return -errno;
	rc = watch_fd(fd, bell->rings, EPOLLIN);
	if (rc == 0)
		rc = watch_fd(fd, bell->self, EPOLLIN);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	sleep->epoll = fd;
	return 0;
}

static int
start_timer(struct shm_sleep *sleep)
{
	struct itimerspec every = {
		.it_interval = { .tv_nsec = RETRY_NS },
		.it_value = { .tv_nsec = RETRY_NS },
	};
	uint64_t count;

	if (sleep->timer >= 0) {
		(void)!read(sleep->timer, &count, sizeof(count));
		return 0;
	}
	sleep->timer =
		timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (sleep->timer < 0)
		return -errno;
	(void)timerfd_settime(sleep->timer, 0, &every, NULL);
	return watch_fd(sleep->epoll, sleep->timer, EPOLLIN);
}

static void
stop_timer(struct shm_sleep *sleep)
{
	if (sleep->timer >= 0)
		close(sleep->timer);
	sleep->timer = -1;
}

/* Under the session's lock. */
static int
follow(struct shm_sleep *sleep, struct shm_session *session)
{
	int rc;

	if (session->state == SHM_UP) {
		rc = watch_fd(sleep->epoll, session->sock, EPOLLRDHUP);
		if (rc == 0 && session->pidfd >= 0)
			rc = watch_fd(sleep->epoll, session->pidfd, EPOLLIN);
		stop_timer(sleep);
		sleep->ready = rc == 0;
		return rc;
	}
	if (session->state == SHM_WAITING) {
		rc = watch_fd(sleep->epoll, session->sock,
			      EPOLLIN | EPOLLRDHUP);
		if (rc != 0)
			return rc;
	}
	/* WAITING too: there is a time limit to look at. */
	return start_timer(sleep);
}

int
weir_shm_sleep_fd(struct shm_sleep *sleep, struct shm_session *session,
		  const struct shm_bell *bell)
{
	int rc = 0;

	if (sleep->ready)
		return sleep->epoll;
	if (sleep->epoll < 0)
		rc = open_epoll(sleep, bell);
	if (rc != 0)
		return rc;
	pthread_mutex_lock(&session->lock);
	rc = follow(sleep, session);
	pthread_mutex_unlock(&session->lock);
	return rc != 0 ? rc : sleep->epoll;
}

void
weir_shm_sleep_close(struct shm_sleep *sleep)
{
	stop_timer(sleep);
	if (sleep->epoll >= 0)
		close(sleep->epoll);
	sleep->epoll = -1;
}
