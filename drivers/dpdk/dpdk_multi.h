/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_MULTI_H
#define DPDK_MULTI_H

/*
 * A send half that several threads use at once (WEIR_LINK_MULTI_PRODUCER). The
 * port does not know: its rings stay those of one thread, and threads agree
 * among themselves who puts what where.
 *
 *      back ring --collect, one thread at a time--> map: a bit per free place
 *                                                    |
 *      taken: messages that have, or had, a credit   | reserve claims both
 *                                                    v
 *      stamps[n]: entry n was written <--commit-- slot <--alloc-- permit
 *         |
 *         +-- any thread moves the ring's tail over what is stamped
 *
 * A permit holds a credit and the place for its bytes, so alloc and commit find
 * nothing missing. Commit takes its number with one fetch_add, writes its entry,
 * stamps it, and moves the tail as far as entries are stamped: a thread that
 * was interrupted between number and stamp holds back what comes behind it on
 * the wire, but no other thread. What is open has no number yet.
 *
 * Why no entry stays behind: who stamps looks at the tail afterwards, who moves
 * the tail looks at the next stamp afterwards, all sequentially consistent; so
 * of two neighbours one sees the other.
 */

#include <pthread.h>

#include "claim.h"
#include "dpdk_flow.h"
#include "sleepers.h"

/* Bits of stop: why reserve grants nothing. */
enum dpdk_stop {
	DPDK_STOP_DOWN = 1u << 0,    /* the link is not up yet */
	DPDK_STOP_CLOSING = 1u << 1, /* close is looking who holds what */
	DPDK_STOP_CLOSED = 1u << 2,
};

/* dpdk_place.phase: who has taken a place does what with it. */
enum dpdk_place_phase {
	DPDK_PLACE_IDLE, /* free, or held by a permit */
	DPDK_PLACE_SLOT,
	DPDK_PLACE_OUT, /* until it was collected */
};

/*
 * In the flow's block, behind it. The half's own struct keeps what does not
 * change once the link is up, and the counters: its `messages` is the number
 * of the next commit, `harvested` belongs to the collector.
 */
struct dpdk_multi {
	_Atomic uint32_t stop;
	uint32_t large_first;  /* bit of the first large place */
	_Atomic uint64_t *map; /* of free places */
	_Atomic uint32_t *stamps;
	struct weir_sleepers sleepers;

	_Alignas(64) _Atomic uint32_t taken; /* wraps */
	_Alignas(64) _Atomic uint32_t collecting;

	pthread_mutex_t life; /* coming up, arming, close; not the data path */
};

extern const struct weir_tx_ops weir_dpdk_multi_ops;

/* The half is one of these from now on. */
void weir_dpdk_multi_init(struct dpdk_tx *dt);

/* Learn what the port has settled, if the link is up. @return is it? */
bool weir_dpdk_multi_begin(struct dpdk_tx *dt);

#endif /* DPDK_MULTI_H */
