/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way out: packets of a link, of those that ask and of neighbours into the
 * batch, and the batch to the device, once a poll.
 *
 * A message that is a packet leaves in the mbuf it was written to, behind its
 * headers; all else goes into a fresh one.
 */

#include "dpdk_cksum.h"
#include "dpdk_flow.h"
#include "dpdk_port.h"

#include <string.h>

#include <rte_mbuf.h>
#include <rte_memcpy.h>

/* Where a packet without payload begins in an mbuf; any headers fit before,
 * and WIRE_CONTROL_MAX bytes behind. */
#define CONTROL_OFFSET 80

_Static_assert(CONTROL_OFFSET >= DPDK_HDR_LEN_MAX, "room for headers");
_Static_assert(DPDK_PAYLOAD_OFFSET >= DPDK_HDR_LEN_MAX + WIRE_DATA_HDR_MAX,
	       "room for headers and extensions");

/* ---- fresh mbufs ----------------------------------------------------------- */

static bool
spares_refill(struct dpdk_port *port)
{
	uint32_t want = DPDK_SPARES - port->spare_count;

	if (rte_pktmbuf_alloc_bulk(port->dev->tx_pool->mp,
				   port->spares + port->spare_count,
				   want) == 0) {
		port->spare_count += want;
		return true;
	}
	port->stats.tx_no_buffer++;
	return port->spare_count != 0;
}

struct rte_mbuf *
weir_dpdk_spare(struct dpdk_port *port)
{
	if (port->spare_count == 0 && !spares_refill(port))
		return NULL;
	return port->spares[--port->spare_count];
}

/* ---- packets --------------------------------------------------------------- */

void
weir_dpdk_batch_send(struct dpdk_port *port)
{
	uint32_t count = port->batch_count;
	uint16_t sent;

	if (count == 0 || __builtin_expect(port->drained, 0))
		return;
	sent = dpdk_dev_tx(port->dev, port->batch, (uint16_t)count);
	port->tx_full = sent != count;
	port->stats.doorbells++;
	port->stats.tx_packets += sent;
	port->batch_count = count - sent;
	if (__builtin_expect(sent == count, 1))
		return;
	/* What the device has no room for stays, in order. */
	port->stats.tx_ring_full++;
	memmove(port->batch, port->batch + sent,
		port->batch_count * sizeof(port->batch[0]));
}

static inline bool
batch_has_room(struct dpdk_port *port)
{
	if (__builtin_expect(port->batch_count == DPDK_TX_BATCH, 0) &&
	    !port->tx_full)
		weir_dpdk_batch_send(port);
	if (__builtin_expect(port->batch_count == DPDK_TX_BATCH, 0))
		port->tx_refused = true;
	return port->batch_count < DPDK_TX_BATCH;
}

/* Complete a frame whose weir packet of len bytes stands at `packet`; flags
 * are the packet's. */
static void
packet_finish(struct dpdk_port *port, const struct dpdk_hdr *hdr,
	      struct rte_mbuf *m, uint8_t *packet, uint32_t len, uint8_t ecn,
	      uint8_t flags)
{
	uint8_t *frame = packet - hdr->len;
	bool sealed = (flags & WIRE_F_TRAILER) != 0;
	uint32_t body = len;

	if (__builtin_expect(sealed, 0))
		len += WIRE_TRAILER_LEN;
	weir_dpdk_hdr_write(hdr, packet, (uint16_t)len, ecn);
	if (__builtin_expect(sealed, 0))
		wire_put_trailer(packet + body,
				 dpdk_trailer(hdr->is_ip4, packet, body));
	m->data_off = (uint16_t)(frame - (uint8_t *)m->buf_addr);
	m->data_len = (uint16_t)(hdr->len + len);
	m->pkt_len = hdr->len + len;
	m->ol_flags = 0;
	if (!port->dev->no_wire)
		dpdk_cksum_tx(hdr, port->dev->tx_cksum_flags, m, packet, len);
	port->batch[port->batch_count++] = m;
}

/* The mbuf of one packet, with its payload in place; *payload is where. */
static struct rte_mbuf *
packet_body(struct dpdk_port *port, struct dpdk_flow *flow,
	    const struct conn_tx_packet *out, uint8_t **payload)
{
	struct dpdk_place *place = out->ref;
	struct rte_mbuf *m;
	uint32_t copied;

	if (out->kind == CONN_TX_DATA && out->whole && place->mbuf != NULL) {
		m = place->mbuf;
		/* Ours until it is acknowledged; nobody else has it yet. */
		rte_mbuf_refcnt_set(m, 2);
		place->lent = true;
		*payload = place->data;
		return m;
	}
	/* Control, a fragment, a batch, or a repeat: the first mbuf may still
	 * be with the device or, on net_ring, with the receiver. */
	m = port->spares[--port->spare_count];
	if (out->kind == CONN_TX_CONTROL) {
		*payload =
			(uint8_t *)m->buf_addr + CONTROL_OFFSET + out->hdr_len;
		return m;
	}
	*payload = (uint8_t *)m->buf_addr + DPDK_PAYLOAD_OFFSET;
	copied = out->payload_len;
	if (out->type == WIRE_BATCH)
		copied = weir_conn_gather(flow->conn, out, *payload);
	else
		rte_memcpy(*payload, out->payload, out->payload_len);
	__atomic_store_n(&flow->tx_copied, flow->tx_copied + copied,
			 __ATOMIC_RELAXED);
	return m;
}

/* An application's mbuf may have less headroom than one of ours. */
static uint32_t
hdr_room(const struct conn_tx_packet *out)
{
	const struct dpdk_place *place = out->ref;

	if (out->kind != CONN_TX_DATA || !out->whole || !place->wrapped)
		return UINT32_MAX;
	return (uint32_t)(place->data - (uint8_t *)place->mbuf->buf_addr) -
	       DPDK_HDR_LEN_MAX;
}

/* A packet full of payload has room for one word of SACK: so long the path was
 * shown to be (docs/wire.md, 4.4). The oldest holes matter most. */
static void
sack_trim(const struct dpdk_flow *flow, struct conn_tx_packet *out)
{
	uint32_t most = WIRE_FULL_HDR_LEN + flow->frag_size;
	uint32_t hdr_most = hdr_room(out);

	if (most < WIRE_INIT_LEN)
		most = WIRE_INIT_LEN;
	while (out->sack_words > 1 && (out->hdr_len + out->payload_len > most ||
				       out->hdr_len > hdr_most)) {
		out->sack_words--;
		out->hdr_len -= 8;
	}
}

/* The mbufs of messages that leave as they were written, and where the headers
 * of their packets go. @return how many of them. */
static uint32_t
burst_bodies(const struct conn_tx_msg *msg, uint32_t count, uint8_t **packets)
{
	for (uint32_t i = 0; i < count; i++) {
		struct dpdk_place *place = msg[i].ref;

		if (__builtin_expect(place->mbuf == NULL, 0))
			return i;
		/* As in packet_body(). */
		rte_mbuf_refcnt_set(place->mbuf, 2);
		place->lent = true;
		packets[i] = place->data - WIRE_HDR_LEN;
	}
	return count;
}

/* What packet_finish() does, for packets of which most are of one length: their
 * frames begin alike. */
static void
burst_finish(struct dpdk_port *port, struct dpdk_flow *flow,
	     const struct conn_tx_msg *msg, uint32_t count,
	     uint8_t *const *packets, uint8_t ecn)
{
	const struct dpdk_hdr *hdr = &flow->hdr;
	uint8_t head[DPDK_HDR_LEN_MAX];
	uint32_t head_of = UINT32_MAX;

	for (uint32_t i = 0; i < count; i++) {
		const struct dpdk_place *place = msg[i].ref;
		uint32_t len = WIRE_HDR_LEN + msg[i].len;
		struct rte_mbuf *m = place->mbuf;

		if (__builtin_expect(len != head_of, 0))
			weir_dpdk_hdr_write(hdr, head + DPDK_HDR_LEN_MAX,
					    (uint16_t)len, ecn);
		head_of = len;
		memcpy(packets[i] - DPDK_HDR_LEN_MAX, head, DPDK_HDR_LEN_MAX);
		m->data_off = (uint16_t)(packets[i] - hdr->len -
					 (uint8_t *)m->buf_addr);
		m->data_len = (uint16_t)(hdr->len + len);
		m->pkt_len = hdr->len + len;
		m->ol_flags = 0;
		if (!port->dev->no_wire)
			dpdk_cksum_tx(hdr, port->dev->tx_cksum_flags, m,
				      packets[i], len);
		port->batch[port->batch_count++] = m;
		flow->tx_wire_bytes += m->pkt_len;
	}
}

/* The messages go on with the packet before: within quota and batch they leave.
 * Has a frame of its own, which a lone message does not need. */
static __attribute__((noinline)) void
flow_emit_burst(struct dpdk_port *port, struct dpdk_flow *flow,
		const struct conn_tx_msg *msg, uint32_t count)
{
	uint8_t *packets[CONN_BURST_MAX];
	uint32_t room = DPDK_TX_BATCH - port->batch_count;
	bool ect;

	if (room > flow->quota)
		room = flow->quota;
	if (count > room)
		count = room;
	count = burst_bodies(msg, count, packets);
	if (count == 0)
		return;
	flow->quota -= count;
	ect = weir_conn_burst_take(flow->conn, packets, count);
	burst_finish(port, flow, msg, count, packets,
		     ect ? DPDK_ECN_ECT0 : DPDK_ECN_NOT_ECT);
}

bool
weir_dpdk_emit(struct dpdk_port *port, struct dpdk_flow *flow)
{
	const struct conn_tx_msg *msg;
	struct conn_tx_packet out;
	struct rte_mbuf *m;
	uint8_t *payload;
	uint32_t count;

	while (flow->quota != 0) {
		if (!batch_has_room(port))
			return false;
		if (port->spare_count == 0 && !spares_refill(port))
			return false;
		if (!weir_conn_next(flow->conn, port->now_ns, &out))
			return true;
		flow->quota--;
		if (__builtin_expect(out.sack_words > 1, 0))
			sack_trim(flow, &out);
		m = packet_body(port, flow, &out, &payload);
		weir_conn_encode(flow->conn, &out, payload - out.hdr_len);
		packet_finish(port, &flow->hdr, m, payload - out.hdr_len,
			      out.hdr_len + out.payload_len,
			      out.ect ? DPDK_ECN_ECT0 : DPDK_ECN_NOT_ECT,
			      out.flags);
		flow->tx_wire_bytes += m->pkt_len;
		if (out.more == CONN_TX_LAST)
			return true;
		if (out.more == CONN_TX_ASK)
			continue;
		msg = weir_conn_burst(flow->conn, port->now_ns, &count);
		if (count != 0)
			flow_emit_burst(port, flow, msg, count);
	}
	return !weir_conn_wants_tx(flow->conn);
}

bool
weir_dpdk_send_packet(struct dpdk_port *port, const struct dpdk_hdr *hdr,
		      const uint8_t *packet, uint16_t len)
{
	struct rte_mbuf *m;
	uint8_t *to;

	if (!batch_has_room(port) || (m = weir_dpdk_spare(port)) == NULL) {
		port->stats.tx_answer_dropped++;
		return false;
	}
	to = (uint8_t *)m->buf_addr + CONTROL_OFFSET;
	memcpy(to, packet, len);
	packet_finish(port, hdr, m, to, len, DPDK_ECN_NOT_ECT, packet[1]);
	return true;
}

bool
weir_dpdk_send_frame(struct dpdk_port *port, const uint8_t *bytes, uint16_t len)
{
	struct rte_mbuf *m;

	if (!batch_has_room(port) || (m = weir_dpdk_spare(port)) == NULL) {
		port->stats.tx_neighbour_dropped++;
		return false;
	}
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), bytes, len);
	m->data_len = len;
	m->pkt_len = len;
	port->batch[port->batch_count++] = m;
	return true;
}
