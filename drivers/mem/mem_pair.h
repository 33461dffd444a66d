/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_MEM_PAIR_H
#define WEIR_MEM_PAIR_H

/*
 * Pair: two ends on their way to becoming a link.
 *
 *     connect: CONNECTING --listener there--> WAITING --accept--> UP
 *                  |  connect_timeout             |  listener closed,
 *                  |  half destroyed              |  half destroyed
 *                  +----------> FAILED <----------+
 *
 * Set-up is rare and short, so one lock guards all pairs and listeners. Once
 * UP nothing of a pair changes but its reference count.
 */

#include "mem_lane.h"

#define MEM_NAME_MAX 108

enum mem_pair_state {
	MEM_PAIR_CONNECTING,
	MEM_PAIR_WAITING,
	MEM_PAIR_UP,
	MEM_PAIR_FAILED,
};

struct mem_listener;

struct mem_pair {
	char name[MEM_NAME_MAX];
	struct weir_link_config config; /* the connector's */
	uint64_t give_up_ns;
	uint32_t refs;            /* links and halves of both sides */
	_Atomic uint32_t state;   /* enum mem_pair_state; release after: */
	int error;                /* why FAILED */
	struct mem_lane *lane[2]; /* by sending side: connector 0, acceptor 1;
				     a reference of each */
	int tx_fd; /* of the connector's halves; the lanes take them over */
	int rx_fd;
	bool closed_early;     /* connector closed before the link was up */
	bool left_early;       /* and destroyed that half */
	struct mem_pair *next; /* in the listener's queue */
};

/* A connector's pair with three references: link, tx, rx. @return or NULL. */
struct mem_pair *weir_mem_pair_create(const char *name,
				      const struct weir_link_config *config);

/* Get on with the set-up. @return enum mem_pair_state. */
uint32_t weir_mem_pair_progress(struct mem_pair *pair);

/* Connector closes its send half. @return 0 noted for later; 1 the link is
 * up, close the lane; negative the pair has failed. */
int weir_mem_pair_close_early(struct mem_pair *pair, uint32_t side);

/* A half that has no lane yet is destroyed. @return its lane, by sending side,
 * if the link came up meanwhile; otherwise NULL: the pair has failed, unless
 * that half was closed in good order. */
struct mem_lane *weir_mem_pair_leave(struct mem_pair *pair, uint32_t sender);

void weir_mem_pair_unref(struct mem_pair *pair);

/* @return 0; -EADDRINUSE; -EMFILE. */
int weir_mem_listen(const char *name, struct mem_listener *listener);

/* Refuses whoever waits. */
void weir_mem_unlisten(struct mem_listener *listener);

/* @return 1 and a pair that is up, with three references for our side; 0;
 * -ENOMEM, the connector waits on. */
int weir_mem_take(struct mem_listener *listener, struct mem_pair **pair);

struct mem_listener {
	struct weir_listener listener;
	char name[MEM_NAME_MAX];
	struct mem_pair *first; /* waiting, oldest first */
	struct mem_pair **last;
	uint32_t waiting;
	int fd; /* readable while somebody waits */
	struct mem_listener *next;
};

#endif /* WEIR_MEM_PAIR_H */
