/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_SHARE_H
#define DPDK_SHARE_H

/*
 * dpdk_share: one device, several ports of this process, each on a queue pair
 * and a thread of its own. The first port to open makes the device with all
 * queues, the last to close removes it.
 *
 *      rx queue 0         rx queue 1         rx queue 2, no port yet
 *          |                  |                  | visited by the others
 *     +-- sort --+       +-- sort --+            v
 *     |          |       |          |          sort
 *     v          +------ | ---> inbox of 1
 *   port 0               v
 *   ^               port 1 ...
 *   +-- inbox of 0
 *
 * Each UDP port belongs to one queue: the one where it is listened at, or
 * whose links connect from it. A device that can is told to steer by that
 * (dpdk_steer.h). What comes to another queue all the same, since the device
 * knows better or nothing at all, is handed to the right one as it is. Frames
 * about neighbours go to all ports, each of which has a table of them; who
 * took them from the device answers.
 *
 * A pair of two processes may go, and memif's driver then unmaps rings that a
 * port is in. So each port says when it is in them (enter, leave), and none
 * goes in once the device has been parted from (dpdk_parting.c).
 *
 * Threads: open, close, start and claim on any, under one lock; the rest on
 * the thread that polls the port. Between ports: rings of many producers and
 * one consumer, and one word per queue for who may receive from it.
 */

#include <stdbool.h>
#include <stdint.h>
#include <rte_mbuf.h>

#include "dpdk_dev.h"

#define DPDK_SHARE_QUEUES_MAX 64u

/* Frames that wait for a port; later ones are lost. */
#define DPDK_SHARE_INBOX 1024u

/* What became of sorted frames, for the port's counters. */
struct dpdk_share_counts {
	uint64_t handed; /* to another port */
	uint64_t lost;   /* its inbox was full */
};

/*
 * As weir_dpdk_dev_open(), for spec->queues > 1: the device of that name with
 * spec->queue_id for the caller. All ports give the same keys.
 *
 * @return as weir_dpdk_dev_open(); -EADDRINUSE another port has the queue;
 *         -EINVAL the device is open with other keys, or has fewer queues;
 *         with weir_fail().
 */
int weir_dpdk_share_open(const struct dpdk_dev_spec *spec,
			 struct dpdk_dev **dev);

/* As weir_dpdk_dev_start(): the first caller starts the device. */
int weir_dpdk_share_start(struct dpdk_dev *dev);

/* As weir_dpdk_dev_close(). The queue is visited by the ports that stay. */
void weir_dpdk_share_close(struct dpdk_dev *dev);

/* As weir_dpdk_dev_join(), once for all ports. */
void weir_dpdk_share_join(struct dpdk_dev *dev,
			  const struct rte_ether_addr *group);

/*
 * Frames to this UDP port are the caller's from now on, until it closes. Links
 * may outlive their listener: so does the claim.
 *
 * @return 0; -EADDRINUSE with weir_fail(): another port of the device has it.
 */
int weir_dpdk_share_claim(struct dpdk_dev *dev, uint16_t udp_port);

/* Have the device steer them, if it takes rules: else they are handed over. */
void weir_dpdk_share_steer(struct dpdk_dev *dev, uint16_t udp_port);

/*
 * For a connect: of `count` UDP ports of the caller's, from->port and every
 * queues-th after it, one that the device sends the peer's packets from to our
 * queue. Sets from->port to it.
 *
 * @return false: that is not known beforehand.
 */
bool weir_dpdk_share_choose(const struct dpdk_dev *dev, struct dpdk_addr *from,
			    const struct dpdk_addr *peer, uint32_t count);

/* Is it worth trying another UDP port, as long as answers come elsewhere? */
bool weir_dpdk_share_probes(const struct dpdk_dev *dev);

/*
 * Keep those frames of a burst that are the caller's, or nobody's; hand on the
 * others.
 *
 * @return how many are left, at the front, in order.
 */
uint16_t weir_dpdk_share_sort(struct dpdk_dev *dev, struct rte_mbuf **mbufs,
			      uint16_t count, struct dpdk_share_counts *counts);

/* What others handed to the caller. @return how many, up to count. */
uint16_t weir_dpdk_share_take(struct dpdk_dev *dev, struct rte_mbuf **mbufs,
			      uint16_t count);

/* A burst from one of the queues that have no port, not yet sorted. */
uint16_t weir_dpdk_share_visit(struct dpdk_dev *dev, struct rte_mbuf **mbufs,
			       uint16_t count);

/*
 * The caller is going to use its queues, and has: nests. Costs next to nothing
 * but on pairs of two processes.
 *
 * @return false: the device has been parted from since the caller looked last,
 *         and is not to be touched; do not leave then.
 */
bool weir_dpdk_share_enter(struct dpdk_dev *dev);
void weir_dpdk_share_leave(struct dpdk_dev *dev);

/* No port goes in any more; returns when none is, 0.1 s at most. The caller
 * itself still may. */
void weir_dpdk_share_part(struct dpdk_dev *dev);

/* The caller knows, and may go in again. Frames that others handed to it until
 * now are dropped. */
void weir_dpdk_share_resume(struct dpdk_dev *dev);

/*
 * The caller gives this device up, for a new one of that name: the others are
 * to do so, too. Until they have, opening it is -EAGAIN.
 */
void weir_dpdk_share_retire(struct dpdk_dev *dev);

/*
 * The caller is about to close. Of several that are the last one waits until
 * the others have, up to end_ns.
 *
 * @return true: the device goes with the caller.
 */
bool weir_dpdk_share_is_last(struct dpdk_dev *dev, uint64_t end_ns);

#endif /* DPDK_SHARE_H */
