/* SPDX-License-Identifier: BSD-3-Clause */
/* See shm_stage.h. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "map_alone.h"
#include "shm_stage.h"
#include "weir.h"

#define LOOK 64u /* descriptors above the lowest free one */

/* --- descriptors -------------------------------------------------------- */

static int
lowest_free(void)
{
	int fd = dup(0);

	FUZZ_CHECK(fd >= 0);
	close(fd);
	return fd;
}

/* How many of the numbers from `first` on are open; one system call. */
static unsigned int
open_from(int first)
{
	struct pollfd fds[LOOK];
	unsigned int count = 0;

	for (unsigned int i = 0; i < LOOK; i++)
		fds[i] = (struct pollfd){ .fd = first + (int)i };
	FUZZ_CHECK(poll(fds, LOOK, 0) >= 0);
	for (unsigned int i = 0; i < LOOK; i++)
		count += (fds[i].revents & POLLNVAL) == 0;
	return count;
}

static struct {
	int first;
	unsigned int open, mapped;
} clean;

void
shm_stage_begin(void)
{
	clean.first = lowest_free();
	clean.open = open_from(clean.first);
	clean.mapped = maps_alone();
}

void
shm_stage_end(void)
{
	FUZZ_CHECK(lowest_free() == clean.first);
	FUZZ_CHECK(open_from(clean.first) == clean.open);
	FUZZ_CHECK(maps_alone() == clean.mapped);
}

static struct rlimit before;

void
shm_stage_few_fds(unsigned int count)
{
	struct rlimit few;

	FUZZ_CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	few = before;
	few.rlim_cur = (rlim_t)lowest_free() + count;
	FUZZ_CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
}

void
shm_stage_many_fds(void)
{
	FUZZ_CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

/* --- the victim ----------------------------------------------------------- */

struct weir_port *
shm_stage_port(void)
{
	static struct weir_port *port;

	if (port == NULL)
		FUZZ_CHECK(weir_port_open("shm:", NULL, &port) == 0);
	return port;
}

void
shm_victim_open(struct shm_victim *v, bool listens, const char *keys,
		const struct weir_link_config *config)
{
	struct weir_port *port = shm_stage_port();
	char endpoint[40];
	int ends[2];

	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			      ends) == 0);
	snprintf(endpoint, sizeof(endpoint), "shm:,fd=%d%s", ends[0], keys);
	*v = (struct shm_victim){ .sock = ends[1] };
	if (listens)
		FUZZ_CHECK(weir_listener_open(port, endpoint, config,
					      &v->listener) == 0);
	else
		FUZZ_CHECK(weir_link_connect(port, endpoint, config,
					     &v->link) == 0);
}

int
shm_victim_step(struct shm_victim *v)
{
	int rc;

	if (v->link == NULL) {
		rc = weir_link_accept(v->listener, &v->link);
		return rc == 1 ? 0 : rc == 0 ? -EINPROGRESS : rc;
	}
	return weir_link_status(v->link);
}

void
shm_victim_leave(struct shm_victim *v)
{
	if (v->sock >= 0)
		close(v->sock);
	v->sock = -1;
}

void
shm_victim_close(struct shm_victim *v)
{
	shm_victim_leave(v);
	weir_link_destroy(v->link);
	if (v->listener != NULL)
		weir_listener_close(v->listener);
}

struct shm_session *
shm_victim_session(const struct shm_victim *v)
{
	/* Else the linker's wrappers are not where they should be. */
	FUZZ_CHECK(maps_alone() > clean.mapped);
	return WEIR_CONTAINER_OF(v->link, struct shm_link, link)->session;
}

struct shm_hello
shm_stage_hello(const struct shm_segment *segment, bool victim_listens)
{
	return (struct shm_hello){
		.magic = SHM_HELLO_MAGIC,
		.version = SHM_VERSION,
		.type = victim_listens ? SHM_HELLO : SHM_OFFER,
		.segment_size = segment->size,
		.epoch = segment->header.epoch,
	};
}
