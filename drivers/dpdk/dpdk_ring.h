/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_RING_H
#define DPDK_RING_H

/*
 * dpdk_ring: pairs of net_ring devices inside one process, by name.
 *
 *     first opener of NAME: side 0   tx --ring 0--> rx   side 1: the second
 *                                    rx <--ring 1-- tx
 *
 * mbufs travel by pointer: the receiver reads the sender's memory.
 */

#include <stdbool.h>
#include <stdint.h>

struct dpdk_ring_pair;

/*
 * Take a free side of the pair, and make its ethdev.
 *
 * @return 0; -EADDRINUSE both sides are taken; -ENOMEM; with weir_fail().
 */
int weir_dpdk_ring_open(const char *name, struct dpdk_ring_pair **pair,
			int *side, uint16_t *port_id);

/* After the ethdev was stopped; removes it. */
void weir_dpdk_ring_close(struct dpdk_ring_pair *pair, int side);

/* @return true if the other side is open. */
bool weir_dpdk_ring_has_peer(struct dpdk_ring_pair *pair, int side);

#endif /* DPDK_RING_H */
