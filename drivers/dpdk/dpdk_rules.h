/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_RULES_H
#define DPDK_RULES_H

/*
 * dpdk_rules: what dpdk_steer.h decides, asked of and done to a real device.
 *
 * Threads: one at a time per device; the device runs.
 */

#include <rte_flow.h>

#include "dpdk_dev.h"
#include "dpdk_steer.h"

/* Try what the device would let us do; *rss is written where it says how it
 * spreads (tried->key and tried->reta are 0). Leaves nothing behind. */
void weir_dpdk_rules_try(const struct dpdk_dev *dev,
			 const struct dpdk_dev_spec *spec,
			 const struct rte_eth_dev_info *info,
			 struct dpdk_steer_tried *tried,
			 struct dpdk_steer_rss *rss);

/* Frames to this UDP port shall come to that queue. @return NULL: refused. */
struct rte_flow *weir_dpdk_rules_add(const struct dpdk_dev *dev,
				     const struct dpdk_dev_spec *spec,
				     uint16_t udp_port, uint16_t queue);

void weir_dpdk_rules_remove(const struct dpdk_dev *dev, struct rte_flow *rule);

#endif /* DPDK_RULES_H */
