/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SHM_LISTENER_H
#define WEIR_SHM_LISTENER_H

/* Listeners, as the core's table wants them. */

#include "shm_lane.h"

/* Connections whose hello is not here yet. Beyond that one goes: the oldest of
 * the user who has most of them, so that no user pushes out one who has fewer. */
#define PENDING_MAX 16

struct shm_pending {
	int sock;
	uint32_t uid;
	uint64_t until_ns;
};

struct shm_listener {
	struct weir_listener listener;
	struct shm_address address;
	struct shm_policy policy;
	int sock; /* listening; -1: handed over */
	int lost; /* what became of a handed one, and nobody else can come */
	int epoll;
	unsigned int pending_count;
	struct shm_pending pending[PENDING_MAX]; /* oldest first */
	struct shm_fork fork;
};

int weir_shm_listener_open(struct weir_listener *listener,
			   const struct weir_endpoint *ep);
int weir_shm_listener_fd(struct weir_listener *listener);
void weir_shm_listener_close(struct weir_listener *listener);
int weir_shm_link_accept(struct weir_listener *listener,
			 struct weir_link *link);

#endif /* WEIR_SHM_LISTENER_H */
