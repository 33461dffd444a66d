/* SPDX-License-Identifier: BSD-3-Clause */
/* Bells that a hostile peer cannot jam. */

#include "shm_bell.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doorbell.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* More than fit into a queue of the size below, so that one drain is usually
 * enough; a peer's own queue can be longer, and has to be come back for. */
#define DRAIN_MAX 16

int
weir_shm_bell_open(struct shm_bell *bell)
{
	int ends[2], least = 0, off = 0, self;

	*bell = SHM_BELL_NONE;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		       ends) != 0)
		return -errno;
	self = weir_doorbell_open();
	if (self < 0) {
		close(ends[0]);
		close(ends[1]);
		return self;
	}
	/* Some six rings; the kernel rounds up. */
	(void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	/* Linux 6.16: no descriptors, not even to be thrown away. */
	(void)setsockopt(ends[0], SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
	bell->rings = ends[0];
	bell->door = ends[1];
	bell->self = self;
	return 0;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void
weir_shm_bell_close(struct shm_bell *bell)
{
	close_fd(&bell->rings);
	close_fd(&bell->self);
	close_fd(&bell->door);
}

void
weir_shm_bell_passed(struct shm_bell *bell)
{
	close_fd(&bell->door);
}

void
weir_shm_bell_wake(struct shm_bell *bell)
{
	weir_doorbell_ring(bell->self);
	/* In this order: a drain in between leaves a ring for the next one. The
	 * other way round nobody would ever read it. */
	atomic_store_explicit(&bell->woken, 1, memory_order_release);
}

void
weir_shm_bell_drain(struct shm_bell *bell)
{
	char byte;
	int saved = errno;

	if (atomic_load_explicit(&bell->woken, memory_order_relaxed) != 0) {
		atomic_store_explicit(&bell->woken, 0, memory_order_seq_cst);
		weir_doorbell_drain(bell->self);
	}
	/* Other errors than EAGAIN are news, told once, of what the peer did to
	 * its end. No room for control data: descriptors are thrown away. */
	for (int i = 0; i < DRAIN_MAX; i++)
		if (recv(bell->rings, &byte, 1, MSG_DONTWAIT) < 0 &&
		    errno == EAGAIN)
			break;
	errno = saved;
}

void
weir_shm_bell_ring(int door)
{
	int saved = errno;

	while (send(door, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	       errno == EINTR)
		;
	errno = saved;
}

static int
option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

bool
weir_shm_bell_ok(int door)
{
	return option(door, SO_DOMAIN) == AF_UNIX &&
	       option(door, SO_TYPE) == SOCK_DGRAM;
}

bool
weir_shm_bell_same(int door, int other)
{
	struct stat a, b;

	return fstat(door, &a) != 0 || fstat(other, &b) != 0 ||
	       (a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}
