/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_MEM_MULTI_H
#define WEIR_MEM_MULTI_H

/*
 * A lane into which several threads send at once. Each cell is a bit of the
 * bitmap `returned`, set while it is free, see claim.h; whoever releases a
 * message sets its bits, so there is nothing to harvest.
 *
 *      reserve --> permit --alloc--> slot --commit--> mark --recv--> message
 *      claims      holds a token, which is a small cell and          |
 *         ^        stands for the credit, and the cell for           |
 *         |        the bytes, for a small message the same           |
 *         +------- drop, discard, release: both back <---------------+
 *
 * Commit takes its number with one fetch_add and publishes the mark that goes
 * with it. Message N+C cannot be committed before message N was released, C
 * being the number of tokens, so a mark is free by then.
 */

#include <pthread.h>

#include "claim.h"
#include "mem_pair.h"
#include "sleepers.h"

/* Bits of stop: why reserve grants nothing. */
enum mem_stop {
	MEM_STOP_DOWN = 1u << 0,    /* the link is not up yet */
	MEM_STOP_CLOSING = 1u << 1, /* close is looking who holds what */
	MEM_STOP_CLOSED = 1u << 2,
};

struct mem_multi {
	struct mem_tx base; /* of which tx, lane, pair, side and fd are used */

	_Alignas(WEIR_CACHE_LINE) _Atomic uint32_t stop;
	struct weir_sleepers sleepers;

	_Alignas(WEIR_CACHE_LINE) _Atomic uint64_t wait_down;
	_Atomic uint64_t wait_credit;
	_Atomic uint64_t wait_small;
	_Atomic uint64_t wait_large;
	_Atomic uint64_t discarded;
	_Atomic uint64_t doorbells;

	pthread_mutex_t life; /* coming up, arming, close; not the data path */
};

#endif /* WEIR_MEM_MULTI_H */
