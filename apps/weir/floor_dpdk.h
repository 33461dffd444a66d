/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_FLOOR_DPDK_H
#define WEIR_FLOOR_DPDK_H

/*
 * The floor of a dpdk link: raw rte_eth_tx_burst and rte_eth_rx_burst on the
 * very queue pair of an open port, with frames of exactly the length that
 * weir sends for this payload (but for a VLAN tag), payload written and read
 * (weir_work_*), and nothing else. A module of its own (it needs DPDK): the
 * tool opens it when a dpdk endpoint is measured with --self, and looks up
 * WEIR_FLOOR_DPDK_SYMBOL.
 *
 * Both processes run floor and link windows in turn, so raw frames must be
 * told from weir's (an EtherType or UDP port of their own), and whichever
 * frame comes at the wrong time is dropped, not answered. A raw frame may be
 * lost on devices that lose: rounds() then sends it again after 1 ms.
 *
 * Order has a price of its own. With gate->order_window, frames of one
 * message each that come behind a missing one are not read until so many more
 * have come: that is when a repair arrives which is sent at once behind a
 * window that is full. What it then takes to read them all, from memory and
 * no longer from the nearest cache, no receiver that keeps order is spared.
 *
 * It says how to tell the peer's frames apart by itself; the two sides need
 * not exchange anything beyond what the link already knows.
 */

#include "load.h"

struct weir_port;
struct weir_link;

#define WEIR_FLOOR_DPDK_SYMBOL "weir_floor_dpdk_open"

struct weir_floor_dpdk_config {
	size_t size;            /* sizeof(struct weir_floor_dpdk_config) */
	struct weir_port *port; /* polled by the calling thread */
	struct weir_link
		*link; /* up; its peer's address tells the IP version */
	struct weir_gate *gate;
	struct weir_work *work;
	uint32_t payload; /* bytes per frame, at most what one packet takes */
	uint32_t burst;
	uint32_t spin_limit;
	uint32_t meter; /* 1: the side that measures */
};

/**
 * @param why static text: cause of a failure, for the user.
 * @return 0 and *load; -EMSGSIZE payload does not fit one frame (larger
 *         messages: frames of the largest fragment, the caller asks for
 *         that); -EOPNOTSUPP; -ENOMEM.
 */
typedef int (*weir_floor_dpdk_open_fn)(
	const struct weir_floor_dpdk_config *config, struct weir_load **load,
	const char **why);

int weir_floor_dpdk_open(const struct weir_floor_dpdk_config *config,
			 struct weir_load **load, const char **why)
	__attribute__((visibility("default")));

#endif /* WEIR_FLOOR_DPDK_H */
