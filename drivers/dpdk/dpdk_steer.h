/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_steer: how a link's packets come to the queue of the port that owns it.
 *
 *     one queue         nothing to decide
 *     flow rule         the device sends each port's UDP port to its queue
 *     computed RSS      known key and table: choose a source port by softrss
 *     probed RSS        it spreads, we cannot compute how: try source ports
 *     software hop      the wrong queue passes the packet on by a ring
 *
 * Pure: no call of a device, so that any device can be played in a test.
 */

#ifndef DPDK_STEER_H
#define DPDK_STEER_H

#include <stdint.h>
#include <rte_ethdev.h>

#include "dpdk_addr.h"

#define DPDK_STEER_TEXT 256

enum dpdk_steer_how {
	DPDK_STEER_SINGLE,
	DPDK_STEER_RULE,
	DPDK_STEER_COMPUTED,
	DPDK_STEER_PROBED,
	DPDK_STEER_HOP,
};

/* What was tried on the device: 0, or the negative errno it answered. */
struct dpdk_steer_tried {
	int rule; /* rte_flow_validate: UDP destination port to queue */
	int key;  /* the RSS key can be read or set */
	int reta; /* the redirection table can be read or set */
};

struct dpdk_steer_plan {
	enum dpdk_steer_how how;
	uint16_t queues;
	uint64_t rss_types;        /* for rss_conf.rss_hf; 0: no RSS */
	char why[DPDK_STEER_TEXT]; /* one sentence: why none of the better */
};

/*
 * Decide for `queues` (from 1) ports on a device of which `info` is told.
 * Returns 0, -EINVAL for no queue, -ENOTSUP if the device has fewer queues
 * (`plan->queues` then says how many it has, `plan->why` the cause).
 */
int weir_dpdk_steer(const struct rte_eth_dev_info *info,
		    const struct dpdk_steer_tried *tried, uint16_t queues,
		    struct dpdk_steer_plan *plan);

/* How a device spreads by RSS: its Toeplitz key and its table of queues. */
#define DPDK_STEER_KEY_MAX  64
#define DPDK_STEER_RETA_MAX 512

struct dpdk_steer_rss {
	uint8_t key[DPDK_STEER_KEY_MAX];
	uint16_t reta_size; /* a power of two */
	uint16_t reta[DPDK_STEER_RETA_MAX];
};

/* The Toeplitz hash over addresses and UDP ports of a packet from src to dst
 * (RSS as Microsoft specified it), and the queue that it comes to. */
uint32_t weir_dpdk_steer_hash(const uint8_t *key, const struct dpdk_addr *src,
			      const struct dpdk_addr *dst);
uint16_t weir_dpdk_steer_queue(const struct dpdk_steer_rss *rss,
			       const struct dpdk_addr *src,
			       const struct dpdk_addr *dst);

/* "flow rule", "computed RSS", ... */
const char *weir_dpdk_steer_name(enum dpdk_steer_how how);

#endif
