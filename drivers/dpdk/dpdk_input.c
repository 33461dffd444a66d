/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port that the application feeds: frames come from its own rx burst, and
 * those that are not weir's go back to it; packets to be sent leave by its tx
 * burst, if it wants that too.
 *
 *     rx burst --> input --+--> links        poll: the rest of the work
 *     (theirs)             |
 *                          +--> comes back: routed, answered, ... by them
 *
 *     batch --> output --> tx burst (theirs)
 */

#include "dpdk_cksum.h"
#include "dpdk_flow.h"
#include "dpdk_port.h"
#include "weir_dpdk.h"

#include <string.h>

#include <rte_mbuf.h>

enum whose {
	THEIRS,
	BOTH, /* about neighbours: we read it, they may need it too */
	OURS,
};

/* A packet to a link that stands: it may have outlived its listener. */
static bool
is_of_link(const struct dpdk_port *port, const uint8_t *packet, uint32_t len)
{
	struct wire_hdr hdr;
	const struct dpdk_flow *flow;
	uint32_t index;

	if (weir_wire_decode(packet, len, &hdr) != WIRE_OK || hdr.token == 0)
		return false;
	index = wire_token_index(hdr.token);
	flow = index < port->table_size ? port->table[index] : NULL;
	return flow != NULL && flow->token == hdr.token;
}

/* Whose frame is it? Not whether it is in order: who owns it finds out. */
static enum whose
whose_is(struct dpdk_port *port, const struct rte_mbuf *m)
{
	struct dpdk_hdr_policy policy = port->policy;
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	struct dpdk_hdr_in in;

	if (m->nb_segs != 1)
		return THEIRS;
	dpdk_cksum_rx(m, &policy);
	policy.ip_check = policy.udp_check = DPDK_HDR_CHECK_SKIP;
	switch (weir_dpdk_hdr_parse(&policy, frame, m->data_len, &in)) {
	case DPDK_HDR_ARP:
	case DPDK_HDR_NDP:
		return BOTH;
	case DPDK_HDR_PACKET:
		return weir_dpdk_is_our_port(port, in.dst.port) ||
				       is_of_link(port, frame + in.offset,
						  in.len)
			       ? OURS
			       : THEIRS;
	default:
		return THEIRS;
	}
}

uint16_t
weir_dpdk_port_input(struct weir_port *p, struct rte_mbuf **mbufs,
		     uint16_t count)
{
	struct dpdk_port *port = dpdk_port_of(p);
	uint16_t back = 0;

	if (p->driver != &weir_driver_dpdk || !port->fed)
		return count;
	weir_dpdk_now(port);
	for (uint16_t i = 0; i < count; i++) {
		enum whose whose = whose_is(port, mbufs[i]);

		if (whose == BOTH)
			rte_mbuf_refcnt_update(mbufs[i], 1);
		if (whose != THEIRS) {
			weir_dpdk_receive(port, mbufs[i]);
			port->stats.rx_packets++;
		}
		if (whose != OURS)
			mbufs[back++] = mbufs[i];
	}
	weir_dpdk_freed_flush(port);
	return back;
}

uint16_t
weir_dpdk_port_output(struct weir_port *p, struct rte_mbuf **mbufs,
		      uint16_t count)
{
	struct dpdk_port *port = dpdk_port_of(p);

	if (p->driver != &weir_driver_dpdk || !port->drained)
		return 0;
	if (count > port->batch_count)
		count = (uint16_t)port->batch_count;
	if (count == 0)
		return 0;
	memcpy(mbufs, port->batch, count * sizeof(mbufs[0]));
	port->batch_count -= count;
	memmove(port->batch, port->batch + count,
		port->batch_count * sizeof(port->batch[0]));
	port->stats.doorbells++;
	port->stats.tx_packets += count;
	return count;
}
