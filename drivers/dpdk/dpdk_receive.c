/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way in: bursts of frames to the connections that they are for. A packet
 * that goes on with the stream of the one before is known by a few bytes; what
 * is anything else is looked at step by step.
 */

#include "dpdk_cksum.h"
#include "dpdk_flow.h"
#include "dpdk_port.h"

#include <rte_mbuf.h>

/* A question or an answer of a neighbour. */
static void
receive_neighbour(struct dpdk_port *port, enum dpdk_hdr_result result,
		  const struct rte_mbuf *m, const struct dpdk_hdr_in *in)
{
	const struct dpdk_neigh_in frame = {
		.body = rte_pktmbuf_mtod_offset(m, const uint8_t *, in->offset),
		.len = in->len,
		.src_mac = rte_pktmbuf_mtod_offset(
			m, const struct rte_ether_addr *, RTE_ETHER_ADDR_LEN),
		.now_ns = port->now_ns,
	};
	uint8_t reply[DPDK_NEIGH_FRAME_MAX];
	uint16_t len =
		result == DPDK_HDR_ARP
			? weir_dpdk_neigh_arp(&port->neigh, &frame, reply)
			: weir_dpdk_neigh_ndp(&port->neigh, &frame, reply);

	if (len != 0 && !port->from_sibling)
		weir_dpdk_send_frame(port, reply, len);
	if (port->neigh_generation != port->neigh.generation)
		port->neigh_next_ns = port->now_ns;
}

/*
 * The packet in a frame from the other end of a pair (memif, net_ring): it is
 * weir's own, and memory does not lie; only what keeps us inside the frame is
 * looked at. @return false: not as usual, have it parsed.
 */
static inline bool
pair_packet(const uint8_t *frame, uint32_t frame_len, uint32_t *len)
{
	uint32_t udp_len;

	if (frame_len < DPDK_HDR_LEN)
		return false;
	udp_len = (uint32_t)frame[38] << 8 | frame[39];
	*len = udp_len - 8;
	return frame[12] == 0x08 && frame[13] == 0x00 && /* IPv4, */
	       frame[14] == 0x45 && frame[23] == 17 &&   /* no options, UDP */
	       udp_len >= 8 && udp_len <= frame_len - 34;
}

/* Where the packet is, in->offset and len; not who sent it. */
static bool
receive_find(struct dpdk_port *port, const struct rte_mbuf *m,
	     struct dpdk_hdr_in *in)
{
	enum dpdk_hdr_result result = DPDK_HDR_SEGMENTED;

	if (!port->dev->no_wire)
		dpdk_cksum_rx(m, &port->policy);
	if (m->nb_segs == 1)
		result = weir_dpdk_hdr_find(&port->policy,
					    rte_pktmbuf_mtod(m, uint8_t *),
					    m->data_len, in);
	if (__builtin_expect(result == DPDK_HDR_PACKET, 1))
		return true;
	port->frames[result]++;
	if (result == DPDK_HDR_ARP || result == DPDK_HDR_NDP)
		receive_neighbour(port, result, m, in);
	return false;
}

/* A second look at all of it: packets of a pair come here unseen, others half
 * seen. @return true if it came from a place that can be answered. */
static bool
receive_again(struct dpdk_port *port, const struct rte_mbuf *m,
	      struct dpdk_hdr_in *in)
{
	enum dpdk_hdr_result result;

	/* receive_find() has summed it up already. */
	if (!port->dev->no_wire)
		port->policy.ip_check = port->policy.udp_check =
			DPDK_HDR_CHECK_OK;
	result = weir_dpdk_hdr_parse(
		&port->policy, rte_pktmbuf_mtod(m, uint8_t *), m->data_len, in);
	if (result == DPDK_HDR_PACKET)
		result = weir_dpdk_hdr_check_source(&port->policy, in);
	if (result != DPDK_HDR_PACKET)
		port->frames[result]++;
	return result == DPDK_HDR_PACKET;
}

static bool
trailer_is_right(const struct rte_mbuf *m, const struct dpdk_hdr_in *in)
{
	const uint8_t *packet =
		rte_pktmbuf_mtod_offset(m, const uint8_t *, in->offset);

	return wire_trailer_is(packet, in->len,
			       dpdk_trailer(dpdk_ip_is_ip4(&in->src.ip), packet,
					    in->len - WIRE_TRAILER_LEN));
}

static void
receive_undecodable(struct dpdk_port *port, const struct dpdk_hdr_in *in,
		    enum wire_drop drop)
{
	if (!weir_dpdk_is_our_port(port, in->dst.port)) {
		port->frames[DPDK_HDR_FOREIGN_PORT]++;
		return;
	}
	port->packets[drop]++;
}

/* Not just a packet of a link. @return true: it is one, with a trailer. */
static bool
receive_special(struct dpdk_port *port, const struct rte_mbuf *m,
		enum wire_drop drop, const struct wire_hdr *hdr)
{
	struct dpdk_hdr_in in;

	if (!receive_again(port, m, &in))
		return false;
	if (drop == WIRE_OK && (hdr->flags & WIRE_F_TRAILER) &&
	    !trailer_is_right(m, &in))
		drop = WIRE_DROP_CRC;
	if (drop == WIRE_OK && hdr->token != 0)
		return true;
	if (drop != WIRE_OK)
		receive_undecodable(port, &in, drop);
	else
		weir_dpdk_on_stray(port, &in, hdr);
	return false;
}

/* A token that no link here has. */
static void
receive_unknown(struct dpdk_port *port, const struct rte_mbuf *m,
		const struct wire_hdr *hdr)
{
	struct dpdk_hdr_in in;

	if (receive_again(port, m, &in))
		weir_dpdk_on_unknown(port, &in, hdr, in.len);
}

/* A packet that goes on with the stream of the one before, found without a look
 * at anything else. @return true: the connection keeps the mbuf. */
static inline bool
receive_stream(struct dpdk_port *port, struct rte_mbuf *m,
	       const uint8_t *packet, uint32_t len)
{
	struct dpdk_flow *flow = port->stream_flow;
	struct conn_stream_packet stream;

	if (flow == NULL || !conn_stream_packet(&stream, packet, len, m) ||
	    weir_conn_on_stream(flow->conn, &stream, 1, port->now_ns) == 0)
		return false;
	flow->rx_wire_bytes += m->pkt_len;
	return true;
}

/* Packets of a device of two ends, as far as they look like streams do.
 * @return how many. */
static inline uint16_t
pair_packets(struct rte_mbuf *const *mbufs, uint16_t count,
	     struct conn_stream_packet *packets)
{
	for (uint16_t i = 0; i < count; i++) {
		const uint8_t *frame =
			rte_pktmbuf_mtod(mbufs[i], const uint8_t *);
		uint32_t len;

		if (mbufs[i]->nb_segs != 1 ||
		    !pair_packet(frame, mbufs[i]->data_len, &len) ||
		    !conn_stream_packet(&packets[i], frame + DPDK_HDR_LEN, len,
					mbufs[i]))
			return i;
	}
	return count;
}

/* @return true if the connection keeps the mbuf. */
static __attribute__((noinline)) bool
receive_one(struct dpdk_port *port, struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t index, len = 0, offset = DPDK_HDR_LEN;
	enum wire_drop drop;
	struct dpdk_flow *flow;
	struct dpdk_hdr_in in;
	struct wire_hdr hdr;
	uint8_t ecn = DPDK_ECN_NOT_ECT;

	if (!port->dev->paired || m->nb_segs != 1 ||
	    !pair_packet(frame, m->data_len, &len)) {
		if (!receive_find(port, m, &in))
			return false;
		offset = in.offset;
		len = in.len;
		ecn = in.ecn;
		if (ecn != DPDK_ECN_CE &&
		    receive_stream(port, m, frame + offset, len))
			return true;
	}
	drop = weir_wire_decode(frame + offset, len, &hdr);
	if (__builtin_expect(drop != WIRE_OK || hdr.token == 0 ||
				     (hdr.flags & WIRE_F_TRAILER),
			     0) &&
	    !receive_special(port, m, drop, &hdr))
		return false;
	index = wire_token_index(hdr.token);
	flow = index < port->table_size ? port->table[index] : NULL;
	if (__builtin_expect(flow == NULL || flow->token != hdr.token, 0)) {
		receive_unknown(port, m, &hdr);
		return false;
	}
	hdr.marked = ecn == DPDK_ECN_CE;
	flow->by_sibling = port->from_sibling;
	dpdk_flow_touch(port, flow);
	flow->rx_wire_bytes += m->pkt_len;
	if (!weir_conn_on_packet(flow->conn, &hdr, m, port->now_ns))
		return false;
	/* Batches are a packet for many messages: no streams of them. */
	port->stream_flow = wire_hdr_type(&hdr) == WIRE_DATA ? flow : NULL;
	return true;
}

void
weir_dpdk_receive(struct dpdk_port *port, struct rte_mbuf *m)
{
	if (!receive_one(port, m))
		weir_dpdk_free(port, m);
}

/* Packets that all look alike: streams of them are taken in one step. */
static __attribute__((noinline)) void
receive_pair(struct dpdk_port *port, struct rte_mbuf *const *mbufs,
	     uint16_t count)
{
	struct conn_stream_packet packets[DPDK_RX_BURST];
	uint32_t i = 0, taken, usual = UINT32_MAX;

	while (i < count) {
		struct dpdk_flow *flow = port->stream_flow;

		if (flow == NULL) {
			weir_dpdk_receive(port, mbufs[i++]);
			continue;
		}
		if (usual == UINT32_MAX)
			usual = i +
				pair_packets(mbufs + i, count - i, packets + i);
		taken = i < usual ? weir_conn_on_stream(flow->conn, &packets[i],
							usual - i, port->now_ns)
				  : 0;
		if (taken == 0)
			weir_dpdk_receive(port, mbufs[i++]);
		for (; taken != 0; taken--)
			flow->rx_wire_bytes += mbufs[i++]->pkt_len;
	}
}

void
weir_dpdk_receive_all(struct dpdk_port *port, struct rte_mbuf *const *mbufs,
		      uint16_t count)
{
	if (port->dev->paired) {
		receive_pair(port, mbufs, count);
		return;
	}
	for (uint16_t i = 0; i < count; i++)
		weir_dpdk_receive(port, mbufs[i]);
}
