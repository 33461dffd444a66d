/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_xdp: find and close a forgotten socket. See dpdk_xdp.h.
 */

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "dpdk_xdp.h"
#include "weir_driver.h"

/*
 * The kernel frees a socket's queue in a work queue, after a grace period: a
 * new socket finds it busy for some 10 ms.
 */
#define SETTLE_NS UINT64_C(100000000)

static _Atomic uint64_t last_close_ns;

/* The umem is locked memory: the usual limit of 8 MiB is too small. */
int
weir_dpdk_xdp_check_rights(const char *name)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	int error = errno;

	if (fd < 0)
		return weir_fail(-error,
				 "dpdk %s: no AF_XDP sockets (%s): run as "
				 "root, or use net_af_packet",
				 name, strerror(error));
	close(fd);
	/* Without CAP_IPC_LOCK it fails later, with a line of the driver. */
	setrlimit(RLIMIT_MEMLOCK, &limit);
	return 0;
}

static bool
is_xdp_socket(int fd, struct stat *st)
{
	socklen_t len = sizeof(int);
	int domain = 0;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       domain == AF_XDP && fstat(fd, st) == 0;
}

static bool
is_listed(const struct dpdk_xdp_list *list, ino_t ino)
{
	for (int i = 0; i < list->count; i++)
		if (list->inos[i] == ino)
			return true;
	return false;
}

static int
next_fd(DIR *dir)
{
	struct dirent *entry;

	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			return atoi(entry->d_name);
	return -1;
}

void
weir_dpdk_xdp_list(struct dpdk_xdp_list *list)
{
	const int room = sizeof(list->inos) / sizeof(list->inos[0]);
	DIR *dir = opendir("/proc/self/fd");
	struct stat st;
	int fd;

	list->count = 0;
	if (dir == NULL)
		return;
	while ((fd = next_fd(dir)) >= 0)
		if (is_xdp_socket(fd, &st) && list->count < room)
			list->inos[list->count++] = st.st_ino;
	closedir(dir);
}

void
weir_dpdk_xdp_find_new(const struct dpdk_xdp_list *before,
		       struct dpdk_xdp_socket *found)
{
	DIR *dir = opendir("/proc/self/fd");
	struct stat st;
	int fd;

	found->fd = -1;
	if (dir == NULL)
		return;
	while ((fd = next_fd(dir)) >= 0) {
		if (!is_xdp_socket(fd, &st) || is_listed(before, st.st_ino))
			continue;
		*found = (struct dpdk_xdp_socket){
			.fd = fd,
			.dev = st.st_dev,
			.ino = st.st_ino,
		};
		break;
	}
	closedir(dir);
}

void
weir_dpdk_xdp_settle(void)
{
	uint64_t closed_ns = atomic_load(&last_close_ns);
	struct timespec pause = { .tv_nsec = 1000000 };

	while (closed_ns != 0 && weir_clock_ns() - closed_ns < SETTLE_NS)
		nanosleep(&pause, NULL);
}

void
weir_dpdk_xdp_close(struct dpdk_xdp_socket *sock)
{
	struct stat st;

	if (sock->fd < 0)
		return;
	atomic_store(&last_close_ns, weir_clock_ns());

	/* A driver that has learned to close it: the number may be another's. */
	if (is_xdp_socket(sock->fd, &st) && st.st_dev == sock->dev &&
	    st.st_ino == sock->ino)
		close(sock->fd);
	sock->fd = -1;
}
