/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SHM_PAIR_H
#define SHM_PAIR_H

/* Both ends of an shm link in one process, and what they have inside. */

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "shm.h"
#include "shm_lane.h"
#include "weir.h"
#include "weir_stats.h"

struct pair {
	struct weir_port *port;
	struct weir_link *a_link, *b_link; /* a connects, b listens */
	struct weir_tx *a_tx, *b_tx;
	struct weir_rx *a_rx, *b_rx;
};

static inline struct shm_tx *
tx_inside(struct weir_tx *tx)
{
	return WEIR_CONTAINER_OF(tx, struct shm_tx, tx);
}

static inline struct shm_rx *
rx_inside(struct weir_rx *rx)
{
	return WEIR_CONTAINER_OF(rx, struct shm_rx, rx);
}

static inline uint64_t
in_seconds(unsigned int s)
{
	return weir_now_ns() + s * UINT64_C(1000000000);
}

/* A group's set-up: no name that is used here is that of another run. */
static inline int
own_names(void **state)
{
	char dir[64];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/weir-unit-%d", getpid());
	return setenv("WEIR_RUNTIME_DIR", dir, 1);
}

/* @param keys of both ends' endpoints, "" or with a comma first. */
static inline void
pair_open_with(struct pair *p, const char *keys,
	       const struct weir_link_config *config)
{
	struct weir_listener *listener;
	char endpoint[64];

	memset(p, 0, sizeof(*p));
	snprintf(endpoint, sizeof(endpoint), "shm:unit-%d%s", getpid(), keys);
	assert_int_equal(weir_port_open(endpoint, NULL, &p->port), 0);
	assert_int_equal(
		weir_listener_open(p->port, endpoint, config, &listener), 0);
	assert_int_equal(
		weir_link_connect(p->port, endpoint, config, &p->a_link), 0);
	assert_int_equal(
		weir_link_accept_wait(listener, in_seconds(5), &p->b_link), 1);
	assert_int_equal(weir_link_wait(p->a_link, in_seconds(5)), 1);
	weir_listener_close(listener);
	assert_int_equal(weir_link_split(p->a_link, &p->a_tx, &p->a_rx), 0);
	assert_int_equal(weir_link_split(p->b_link, &p->b_tx, &p->b_rx), 0);
}

static inline void
pair_open(struct pair *p, const struct weir_link_config *config)
{
	pair_open_with(p, "", config);
}

static inline void
pair_close(struct pair *p)
{
	weir_tx_destroy(p->a_tx);
	weir_rx_destroy(p->a_rx);
	weir_tx_destroy(p->b_tx);
	weir_rx_destroy(p->b_rx);
	weir_link_destroy(p->a_link);
	weir_link_destroy(p->b_link);
	assert_int_equal(weir_port_close(p->port), 0);
}

/* The identities of weir_stats.h. */
static inline void
audit(struct weir_tx *tx)
{
	struct weir_tx_stats t;
	uint32_t pledged = 0, allocated = 0, outstanding = 0;

	weir_tx_stats(tx, &t, sizeof(t));
	assert_int_equal(t.free + t.permitted + t.allocated + t.outstanding,
			 t.capacity);
	for (uint32_t i = 0; i < t.class_count; i++) {
		const struct weir_class_stats *c = &t.classes[i];

		assert_int_equal(c->free + c->pledged + c->allocated +
					 c->outstanding,
				 c->total);
		assert_true(c->outstanding <= c->total);
		pledged += c->pledged;
		allocated += c->allocated;
		outstanding += c->outstanding;
	}
	assert_int_equal(pledged, t.permitted);
	assert_int_equal(allocated, t.allocated);
	assert_int_equal(outstanding, t.outstanding);
}

/* Open descriptors of this process. */
static inline int
fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

/* Mapped segments of this process. */
static inline int
segment_count(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	int count = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps) != NULL)
		count += strstr(line, "/memfd:weir") != NULL;
	fclose(maps);
	return count;
}

#endif /* SHM_PAIR_H */
