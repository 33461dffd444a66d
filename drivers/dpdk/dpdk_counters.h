/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From what the parts of the driver count, each by its own enum, to the public
 * counters: every reason has exactly one, of the same name.
 *
 *   enum dpdk_hdr_result    frame_*      \
 *   enum dpdk_neigh_result  neighbour_*   > struct weir_port_stats
 *   enum wire_drop          packet_*     |
 *   enum listen_count      its name     /
 *   enum conn_drop          drop_*       \  struct weir_link_stats
 *   enum dpdk_wait          reserve_*    /  (and struct weir_tx_stats)
 *
 * What the device itself dropped is in its own counters, which whoever owns it
 * may set back: the differences are added up, see struct dpdk_device_drops.
 */
#ifndef DPDK_COUNTERS_H
#define DPDK_COUNTERS_H

#include "conn.h"
#include "dpdk_flow.h"
#include "dpdk_hdr.h"
#include "dpdk_neigh.h"
#include "dpdk_stranger.h"
#include "weir_stats.h"
#include "wire.h"

/* device_* of struct weir_port_stats. */
struct dpdk_device_drops {
	uint64_t seen[4]; /* at the last look, by the device */
	uint64_t sum[4];  /* since the port has it */
};

struct rte_eth_stats;

/* The port has the device from now on: what it counted before is not ours. */
void weir_dpdk_device_begin(struct dpdk_device_drops *drops,
			    const struct rte_eth_stats *now);

/* Add what it has dropped since the last look. A counter below what was seen
 * was set to 0 meanwhile. */
void weir_dpdk_device_add(struct dpdk_device_drops *drops,
			  const struct rte_eth_stats *now);

void weir_dpdk_count_device(const struct dpdk_device_drops *drops,
			    struct weir_port_stats *stats);

/* Where a reason is counted: bytes into the struct, 0 if it drops nothing. */
size_t weir_dpdk_frame_counter(enum dpdk_hdr_result result);
size_t weir_dpdk_neigh_counter(enum dpdk_neigh_result result);
size_t weir_dpdk_packet_counter(enum wire_drop reason);
size_t weir_dpdk_stranger_counter(enum listen_count what);
size_t weir_dpdk_link_counter(enum conn_drop reason);

/* Add to stats: each reason, and the older sums. */
void weir_dpdk_count_drops(const uint64_t frames[DPDK_HDR_RESULTS],
			   const uint64_t neighbours[DPDK_NEIGH_RESULTS],
			   const uint64_t packets[WIRE_DROPS],
			   const uint64_t strangers[LISTEN_COUNTS],
			   struct weir_port_stats *stats);

/* Fill in all but the bytes. waits: read with relaxed loads. */
void weir_dpdk_count_link(const struct conn_stats *conn,
			  const uint64_t waits[DPDK_WAITS],
			  struct weir_link_stats *stats);
void weir_dpdk_count_waits(const uint64_t waits[DPDK_WAITS],
			   struct weir_tx_stats *stats);

#endif /* DPDK_COUNTERS_H */
