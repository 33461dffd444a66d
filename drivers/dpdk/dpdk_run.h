/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_RUN_H
#define DPDK_RUN_H

/*
 * dpdk_run: which of its links a port looks at in a poll. The idle ones cost
 * nothing.
 *
 *        packet, set-up          deadline            commit, release, destroy
 *              |                    |                          |
 *              |               heap of timers           list of the posted
 *              v                    v                          v
 *     run:  [ flow | flow | flow | flow ]  <--- each poll goes through these
 *              |
 *              +--> nothing to do and asleep: out, with its deadline in the heap
 *
 * A half that commits, or a thread that releases, must not pay for telling the
 * port. So flows that were busy of late are *awake*: they stay in the run and
 * the port looks at their rings itself. The others are *asleep*: whoever puts
 * something into their rings sees that and posts the flow to the port.
 *
 *     port                                 half
 *     asleep (for many flows)              into the ring (release store)
 *     barrier (once)                       compiler barrier
 *     look at the rings, leave the run     asleep? -> posted, onto the list
 *
 * That is the doorbell's agreement (doorbell.h), with the list in place of the
 * descriptor and one membarrier(2) for all flows that fall asleep together,
 * at most one per millisecond while few are awake.
 *
 * Releasers look before they put their entry, since the flow may be gone right
 * after; a flow leaves the run only if every ticket that was drawn is collected.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "doorbell.h"
#include "timer_heap.h"

struct dpdk_flow;
struct dpdk_port;

/* Flows that were quiet for so long fall asleep... */
#define DPDK_RUN_SWEEP_NS UINT64_C(1000000)
/* ...or sooner when so many are in the run, busy ones not counted. */
#define DPDK_RUN_MOST 64u
/* Flows that one poll looks at; the others are next. More would keep received
 * packets waiting, until their senders lose patience. */
#define DPDK_RUN_TURNS 128u
/* Deadlines that one poll takes up; later ones wait for the next. */
#define DPDK_RUN_TIMERS 32u

/* Written by the port, but for ASLEEP to POSTED. A flow that leaves the port
 * is AWAKE for ever, so that nobody posts it. */
enum dpdk_attention {
	DPDK_AWAKE,
	DPDK_ASLEEP,
	DPDK_POSTED, /* on the list, or about to be */
};

/* A flow's part in it. */
struct dpdk_run_node {
	struct timer_node timer;
	uint32_t place; /* in the run, plus 1; 0: not in it */
	bool busy;      /* a half did something since the last sweep */
};

struct dpdk_run {
	struct dpdk_flow **flows;
	uint32_t count;
	uint32_t next; /* who goes first in the next poll */
	uint32_t most; /* beyond it, sweep early */
	uint64_t sweep_ns;
	struct timer_heap timers;
	_Alignas(64) _Atomic(struct dpdk_flow *) posted;
};

/* Let all flows fall asleep, that is whoever uses one posts it from now on; the
 * next poll sees what was put before. With the barrier. */
void weir_dpdk_run_calm(struct dpdk_port *port);

/* Room for so many flows. @return 0 or -ENOMEM. */
int weir_dpdk_run_grow(struct dpdk_run *run, uint32_t room);
void weir_dpdk_run_free(struct dpdk_run *run);

/* Have the flow looked at. Port's owner. */
void weir_dpdk_run_add(struct dpdk_run *run, struct dpdk_flow *flow);

/* It has nothing to do until it is posted, found by a packet, or due. */
void weir_dpdk_run_rest(struct dpdk_run *run, struct dpdk_flow *flow);

/* The flow leaves the port. */
void weir_dpdk_run_forget(struct dpdk_run *run, struct dpdk_flow *flow);

/* The beginning of a poll: who was posted, and whose time has come... */
void weir_dpdk_run_collect(struct dpdk_port *port);

/* ...if there is anyone, or the run is to be swept. */
static inline bool
dpdk_run_has_news(const struct dpdk_run *run, uint64_t now_ns)
{
	return atomic_load_explicit(&run->posted, memory_order_relaxed) !=
		       NULL ||
	       timer_heap_next(&run->timers) <= now_ns || run->count > 1;
}

/* Halves, releasers: tell the port. The flow is asleep. */
void weir_dpdk_run_post(struct dpdk_flow *flow);

#endif /* DPDK_RUN_H */
