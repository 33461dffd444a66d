/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_MEM_LANE_H
#define WEIR_MEM_LANE_H

/*
 * Lane: one direction of a mem link, and its two ends.
 *
 *      free[] --reserve/alloc--> slot --commit--> ring --recv--> message
 *         ^                        |                                |
 *         |<------- discard -------+      returned bitmap <-- release
 *         +--------------- harvest ---------------+
 *
 * Cells and descriptors are separate, because messages must arrive in commit
 * order and may be released in any order, and neither is alloc order.
 *
 * Cells come in two classes, small and large, numbered through: small ones
 * first. A message takes one credit and one cell. There are as many small
 * cells as credits, so a credit is all that a small message needs.
 */

#include <stdatomic.h>

#include "mem.h"

#define MEM_SMALL_SIZE_MAX 2048u

/* Who holds a lane: the send half, the receive half with its handles, the
 * pair. */
#define MEM_LANE_REFS 3

enum mem_class {
	MEM_SMALL,
	MEM_LARGE,
	MEM_CLASSES,
};

/* Where a peer can be found to be gone. */
enum mem_end {
	MEM_END_OPEN,
	MEM_END_CLOSED,  /* gracefully, after the last message */
	MEM_END_ABORTED, /* destroyed without close */
};

struct mem_desc {
	uint32_t cell;
	uint32_t len;
};

/* As a descriptor, of a lane into which several threads send. */
struct mem_mark {
	_Atomic uint64_t word; /* (number + 1) << 32 | len, when it is there */
	uint32_t cell;
	uint32_t token;
};

struct mem_lane {
	struct weir_store store;
	uint32_t credits; /* a power of two: ring size, number of small cells */
	uint32_t small_size;
	uint32_t large_size;
	uint32_t large_count;
	uint32_t refs; /* MEM_LANE_REFS at the start */
	int tx_fd;     /* eventfds of the two ends, ours */
	int rx_fd;
	bool fence; /* see doorbell.h */
	bool multi; /* several threads send, see mem_multi.c */

	/* Written by the sender. */
	_Alignas(WEIR_CACHE_LINE) _Atomic uint32_t tail;
	_Atomic uint32_t tx_end; /* enum mem_end; nothing follows the tail */
	_Atomic uint32_t tx_sleeping;
	_Atomic uint64_t seq; /* multi: instead of tail */
	_Atomic uint64_t payload_bytes;

	/* Written by the receiver. */
	_Alignas(WEIR_CACHE_LINE) _Atomic uint32_t rx_end; /* enum mem_end */
	_Atomic uint32_t rx_sleeping;

	/* Written by whoever releases: releases so far, less what decides
	 * who frees the lane, see mem_release(). */
	_Alignas(WEIR_CACHE_LINE) _Atomic int64_t balance;
	_Atomic uint64_t releaser_bells;

	_Atomic uint64_t *returned; /* one bit per cell; multi: free */
	struct mem_desc *ring;
	struct mem_mark *marks;  /* multi: instead */
	_Atomic uint64_t *state; /* multi: one per cell */
	uint32_t *numbers; /* room for the sender's stacks of free cells */
	uint8_t *cells[MEM_CLASSES];
};

struct mem_pair;

struct mem_tx {
	struct weir_tx tx;
	struct mem_lane *lane; /* NULL until the link is up */
	struct mem_pair *pair;
	uint32_t side;
	int fd; /* eventfd; the lane's, until the link is up the pair's */
	uint32_t tail;
	uint32_t free_credits;
	uint32_t permits;
	uint32_t slots;
	uint32_t free_count[MEM_CLASSES]; /* cells on the stack */
	uint32_t pledged[MEM_CLASSES];    /* of those, promised to permits */
	uint32_t used[MEM_CLASSES];       /* under open slots */
	uint32_t *free[MEM_CLASSES];      /* stacks of cell numbers */
	bool armed;
	struct weir_tx_stats counters;
};

struct mem_rx {
	struct weir_rx rx;
	struct mem_lane *lane;
	struct mem_pair *pair;
	uint32_t side;
	int fd;
	uint32_t head;
	bool armed;
	struct weir_rx_stats counters;
};

/* How many numbers cells have, and the first large one's. */
uint32_t weir_mem_cell_limit(const struct mem_lane *lane);
uint32_t weir_mem_large_first(const struct mem_lane *lane);

/* Takes the descriptors over; -1: the lane makes its own. @return NULL if
 * there is no memory or no descriptor, and nothing was taken. */
struct mem_lane *weir_mem_lane_create(const struct weir_link_config *config,
				      int tx_fd, int rx_fd);
/* Set-up failed: these descriptors stay with whoever gave them. */
void weir_mem_lane_disown(struct mem_lane *lane, int tx_fd, int rx_fd);

/* The data path's part of a new lane. */
void weir_mem_lane_init(struct mem_lane *lane);
void weir_mem_lane_unref(struct mem_lane *lane);

/* Give a half its end of the lane. */
void weir_mem_tx_attach(struct mem_tx *mt, struct mem_lane *lane);
void weir_mem_rx_attach(struct mem_rx *mr, struct mem_lane *lane);

/* Parts that the lanes of several threads share with the others. */
int weir_mem_rx_fd(struct weir_rx *rx);
void weir_mem_rx_wake(struct weir_rx *rx);
void weir_mem_rx_stats(struct weir_rx *rx, struct weir_rx_stats *stats);
void weir_mem_rx_destroy(struct weir_rx *rx);

/* Say how an end went, and wake a peer that sleeps. */
void weir_mem_end(_Atomic uint32_t *end, enum mem_end how,
		  struct mem_lane *lane, _Atomic uint32_t *sleeping, int fd);

/* One message is released: from here on another may free the lane. */
void weir_mem_released(struct mem_lane *lane);

/* The send half of several threads, mem_multi.c. */
void weir_mem_multi_init(struct mem_tx *mt);
void weir_mem_multi_attach(struct mem_tx *mt, struct mem_lane *lane);
void weir_mem_multi_lane_init(struct mem_lane *lane);
extern const struct weir_rx_ops weir_mem_multi_rx_ops;

extern const struct weir_tx_ops weir_mem_tx_ops;
extern const struct weir_rx_ops weir_mem_rx_ops;

#endif /* WEIR_MEM_LANE_H */
