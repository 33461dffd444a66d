/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the two ports of a memif pair part. When one end goes, memif's interrupt
 * thread unmaps the rings under the other end's polls: a crash that no lock
 * of ours prevents. So the one who goes says so in band, and leaves only when
 * the other keeps its hands off the rings:
 *
 *     closing port                         other port
 *     RESET(token 0, GOING, seq 0) ------>
 *                          <------ RESET(token 0, GOING, seq 1), then still:
 *     closes the device                    no burst until the link was down
 *                                          and is up again (a new peer)
 *
 * When both go at once, the listener is the other one. And whoever is still
 * closes its own device, if it has to, after the other has left: until then
 * the other may be looking for the answer in rings that would vanish.
 *
 * Of several ports on the pair's device the last one that closes says so, to
 * each queue, since not all may have a port; whoever hears it answers when none
 * of its ports is in the rings, and they follow it (dpdk_share.h).
 *
 * A process that is killed says nothing; docs/drivers/dpdk.md tells what may
 * happen then.
 */

#include "dpdk_port.h"

#include <sched.h>
#include <string.h>

#include <rte_mbuf.h>

/* How long the closing side waits for the other's word, and how often it asks;
 * a peer that does not poll meanwhile is not in the rings either. */
#define PARTING_WAIT_NS  UINT64_C(200000000)
#define PARTING_AGAIN_NS UINT64_C(10000000)

/* Still, but the peer does not leave: then it never will. */
#define STILL_MAX_NS UINT64_C(2000000000)

/* Asking for the link state costs more than a poll should. */
#define STILL_LOOK_NS UINT64_C(1000000)

static void
say(struct dpdk_port *port, const struct dpdk_addr *src,
    const struct dpdk_addr *dst, bool answer)
{
	struct wire_error_info error = { .code = WIRE_E_GOING };
	struct wire_hdr hdr = {
		.vt = WIRE_VERSION_MAX << 4 | WIRE_RESET,
		.seq = answer,
	};
	uint8_t packet[WIRE_CONTROL_MAX];
	uint8_t body[WIRE_CONTROL_MAX];
	struct dpdk_hdr front;
	uint32_t len = weir_wire_put_error(&error, body);

	hdr.hlen = (uint8_t)((WIRE_HDR_LEN + len) / 8);
	wire_encode(&hdr, packet);
	memcpy(packet + WIRE_HDR_LEN, body, len);
	weir_dpdk_port_hdr(port, &front, &port->dev->peer_mac, src, dst);
	weir_dpdk_send_packet(port, &front, packet,
			      (uint16_t)(WIRE_HDR_LEN + len));
	weir_dpdk_batch_send(port);
}

void
weir_dpdk_batch_drop(struct dpdk_port *port)
{
	port->stats.tx_parting_dropped += port->batch_count;
	while (port->batch_count != 0)
		rte_pktmbuf_free(port->batch[--port->batch_count]);
}

/* The peer's port goes: whatever links are left have no other end. Those that
 * ended in good order, by a FIN each way, stay what they are. */
static void
links_end(struct dpdk_port *port)
{
	for (uint32_t i = 0; i < port->flow_count; i++) {
		struct dpdk_flow *flow = port->flows[i];

		if (flow->conn == NULL ||
		    weir_conn_status(flow->conn) == CONN_CLOSED)
			continue;
		weir_conn_abort(flow->conn, WIRE_E_DEAD, port->now_ns);
		dpdk_flow_touch(port, flow);
	}
}

void
weir_dpdk_on_parting(struct dpdk_port *port, const struct dpdk_hdr_in *in,
		     const struct wire_hdr *hdr)
{
	if (!port->dev->peer_crash_unsafe) {
		port->gate.listen.counts[LISTEN_TOKEN_UNKNOWN]++;
		port->stats.rx_unknown_link++;
		return;
	}
	if (hdr->seq != 0) {
		port->parting_heard = true;
		return;
	}
	/* First what came before it in this very burst. */
	port->parting_due = true;
	port->parting_from = in->src;
	port->parting_to = in->dst;
}

static void
be_still(struct dpdk_port *port)
{
	links_end(port);
	weir_dpdk_batch_drop(port);
	port->still = true;
	port->still_down = false;
	port->still_next_ns = port->now_ns;
	port->still_end_ns = port->now_ns + STILL_MAX_NS;
}

void
weir_dpdk_parting_answer(struct dpdk_port *port)
{
	port->parting_due = false;
	if (port->parting && port->spec.role == DPDK_ROLE_CONNECTOR)
		return;
	if (port->dev->share != NULL)
		weir_dpdk_share_part(port->dev);
	say(port, &port->parting_to, &port->parting_from, true);
	be_still(port);
}

void
weir_dpdk_parting_follow(struct dpdk_port *port)
{
	weir_dpdk_share_resume(port->dev);
	be_still(port);
}

static void
move_again(struct dpdk_port *port)
{
	port->still = false;
	if (port->dev != NULL && port->dev->share != NULL)
		weir_dpdk_share_resume(port->dev);
}

void
weir_dpdk_still_step(struct dpdk_port *port)
{
	bool up;

	weir_dpdk_batch_drop(port);
	if (port->now_ns < port->still_next_ns)
		return;
	port->still_next_ns = port->now_ns + STILL_LOOK_NS;
	up = weir_dpdk_dev_link_up(port->dev);
	port->still_down |= !up;
	if (!port->still_down && port->now_ns < port->still_end_ns)
		return;
	if (port->spec.role == DPDK_ROLE_CONNECTOR) {
		/* memif's client does not come back by itself. */
		if (weir_dpdk_port_device_drop(port))
			move_again(port);
	} else if (up) {
		move_again(port);
	}
}

/* To whatever ports the peer has, one on each queue. */
static void
say_goodbye_to_all(struct dpdk_port *port)
{
	struct dpdk_addr mine = { dpdk_ip4(port->dev->pair_ip),
				  dpdk_connect_port(port, 0) };
	struct dpdk_addr theirs = { dpdk_ip4(port->dev->pair_peer_ip),
				    DPDK_UDP_CONNECT };

	for (uint16_t i = 0; i < dpdk_dev_queues(&port->spec); i++) {
		say(port, &mine, &theirs, false);
		theirs.port++;
	}
}

void
weir_dpdk_part(struct dpdk_port *port)
{
	uint64_t end_ns = weir_dpdk_now(port) + PARTING_WAIT_NS;
	uint64_t next_ns = 0;

	/* An application's memif stays; what it does to it is its own care. */
	if (!port->dev->peer_crash_unsafe || !port->dev->paired)
		return;
	if (port->dev->share != NULL &&
	    !weir_dpdk_share_is_last(port->dev, end_ns))
		return;
	port->parting = true;
	while (!port->parting_heard && !port->still && port->dev != NULL &&
	       weir_dpdk_dev_link_up(port->dev) &&
	       weir_dpdk_now(port) < end_ns) {
		if (port->now_ns >= next_ns) {
			say_goodbye_to_all(port);
			next_ns = port->now_ns + PARTING_AGAIN_NS;
		}
		if (weir_dpdk_poll(&port->port) == 0)
			sched_yield();
	}
	while (port->still && port->dev != NULL &&
	       weir_dpdk_dev_link_up(port->dev) && weir_dpdk_now(port) < end_ns)
		sched_yield();
}
