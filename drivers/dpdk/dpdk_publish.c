/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copies of the counters of a port and its links for weir stat and telemetry,
 * made by the thread that keeps them: one of them at a time, each some ten
 * times a second while there are few. So no poll takes long. What the device
 * counts itself is asked for once a second.
 */

#include "dpdk_flow.h"
#include "dpdk_port.h"

#define ROUND_NS UINT64_C(100000000)
#define STEP_NS  UINT64_C(100000) /* between two copies, at least */

void
weir_dpdk_publish(struct dpdk_port *port)
{
	uint64_t step_ns = ROUND_NS / (port->flow_count + 1);
	struct dpdk_flow *flow;

	port->publish_next_ns =
		port->now_ns + (step_ns > STEP_NS ? step_ns : STEP_NS);
	if (port->publish_at == 0 || port->publish_at > port->flow_count) {
		port->publish_at = port->flow_count;
		port->publishing = true;
		weir_port_publish(&port->port);
		port->publishing = false;
		return;
	}
	flow = port->flows[--port->publish_at];
	if (flow->link != NULL)
		weir_link_publish(flow->link,
				  atomic_load_explicit(&flow->status,
						       memory_order_relaxed));
}
