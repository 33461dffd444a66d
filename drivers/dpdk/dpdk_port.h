/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_PORT_H
#define DPDK_PORT_H

/*
 * dpdk_port: one device queue pair, the links that share it, and what their
 * packets are made from. All of it belongs to the owner; set-up calls of
 * other threads are kept apart from its polls by the core's lock.
 *
 *     dev ---- rx burst --> table[token index] --> flow
 *      ^                                            |
 *      +--- tx batch <--- headers + payload <-------+
 */

#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "dpdk_counters.h"
#include "dpdk_dev.h"
#include "dpdk_fault.h"
#include "dpdk_hdr.h"
#include "dpdk_neigh.h"
#include "dpdk_flow.h"
#include "dpdk_run.h"
#include "dpdk_share.h"
#include "dpdk_sleep.h"
#include "dpdk_stranger.h"
#include "weir_driver.h"

#define DPDK_RX_BURST 32
/* Bursts per poll while they are full. One would let whoever fills it make the
 * others' packets wait for polls; without end it would keep us from sending. */
#define DPDK_RX_BURSTS 4
#define DPDK_TX_BATCH  64

/* Fresh mbufs at hand: every packet that is not a slot's first needs one. */
#define DPDK_SPARES 64

/* Mbufs that wait to be put back to their pool together, within one poll. */
#define DPDK_FREED 32

/* Packets of one link per turn, so that others get theirs; as many may leave
 * by flushes between two turns. */
#define DPDK_FLOW_QUOTA 32

/* UDP ports: of a listener without a number, and of all connectors. */
#define DPDK_UDP_LISTEN  7400
#define DPDK_UDP_CONNECT 49152

/* A port on one of several queues connects from any of so many UDP ports, every
 * queues-th from DPDK_UDP_CONNECT + its queue: whichever suits the device. */
#define DPDK_UDP_CONNECTS 64

/* Links that a listener keeps for weir_link_accept(). */

/* An absent memif listener is looked for so often. */
#define DPDK_DEVICE_RETRY_NS UINT64_C(10000000)

/* memif's client does not try again by itself when it met a listener that was
 * not ready yet: after so long without a link its device is made anew. */
#define DPDK_DEVICE_UP_NS UINT64_C(100000000)

#define DPDK_LINKS_MAX 65535u

struct dpdk_listener {
	struct weir_listener listener;
	struct dpdk_listener *next;
	struct dpdk_flow *waiting_first;
	struct dpdk_flow *waiting_last;
	uint32_t waiting_count; /* links in the queue, all established */
	uint32_t half_open;
	uint16_t udp_port;
	uint8_t cookie; /* enum listen_cookie */
	struct dpdk_link_keys keys;
	int fd;
};

struct dpdk_port {
	struct weir_port port;
	struct dpdk_dev *dev;     /* NULL: not yet, memif */
	struct dpdk_fault *fault; /* NULL: never asked for */
	uint64_t now_ns;
	uint64_t cycles_base;
	uint64_t ns_base;
	uint64_t ns_mult; /* nanoseconds per cycle << 32 */

	/* Receive. */
	struct dpdk_hdr_policy policy;
	struct dpdk_flow **table;      /* by the token's index */
	struct dpdk_flow *stream_flow; /* of the last packet, or NULL */
	uint32_t table_size;
	uint32_t table_next;

	/* Every flow, in no order. */
	struct dpdk_flow **flows;
	uint32_t flow_count;
	uint32_t flow_room;
	uint64_t link_bytes; /* sum of their bytes */
	struct dpdk_run run; /* those that a poll looks at */
	struct dpdk_sleep sleep;

	/* Transmit. */
	struct rte_mbuf *batch[DPDK_TX_BATCH];
	uint32_t batch_count;
	bool tx_full; /* since the last poll began: the device took no more */
	bool tx_refused;   /* and somebody's packets found no room here */
	uint8_t rx_bursts; /* in this poll */
	bool rx_otherwise; /* fed, or of several ports on a device */
	bool from_sibling; /* what is received now was handed to us */
	struct rte_mbuf *spares[DPDK_SPARES];
	uint32_t spare_count;
	struct rte_mbuf *freed[DPDK_FREED]; /* all of one pool */
	uint32_t freed_count;
	uint32_t packet_max; /* bytes of a weir packet, header included */
	uint32_t frag_size;  /* payload of one packet */

	struct dpdk_neigh neigh;
	uint32_t neigh_generation;
	uint64_t neigh_next_ns;
	uint64_t publish_next_ns; /* never: nobody asked, dpdk_publish.c */
	uint32_t publish_at;
	struct dpdk_hdr_wire wire;
	struct dpdk_ip local_ip; /* none: a pair */
	unsigned int net_bits;
	uint8_t ttl_min;
	bool mac_given; /* peer-mac= */
	struct rte_ether_addr peer_mac;

	struct dpdk_listener *listeners;
	struct dpdk_gate gate;
	uint64_t features_off; /* WIRE_FEATURE_* that are not offered */

	/* Opening; memif knows its role only at listen or connect. */
	struct dpdk_dev_spec spec;
	uint64_t device_next_ns;
	bool fence; /* membarrier is missing */
	bool thread_refused;
	bool fed;     /* the application receives, see dpdk_input.c */
	bool drained; /* it sends, too */

	/* Parting, see dpdk_parting.c. */
	bool still; /* hands off the rings */
	bool still_down;
	bool parting; /* we are the one who goes */
	bool parting_due;
	bool parting_heard;
	struct dpdk_addr parting_from;
	struct dpdk_addr parting_to;
	uint64_t still_next_ns;
	uint64_t still_end_ns;

	struct dpdk_port *next_open; /* of this process */
	struct weir_port_stats stats;

	struct dpdk_share_counts share_counts;
	struct dpdk_device_drops device_drops;
	uint64_t device_next_look_ns; /* for who reads copies */
	bool publishing;

	/* Frames by what they were; see also neigh.counts. Packets that reach
	 * a link on the fast path are not counted here. */
	uint64_t frames[DPDK_HDR_RESULTS];
	/* Packets that could not be decoded, by the reason. */
	uint64_t packets[WIRE_DROPS];
};

static inline struct dpdk_port *
dpdk_port_of(struct weir_port *port)
{
	return WEIR_CONTAINER_OF(port, struct dpdk_port, port);
}

/* How many UDP ports it connects from; and the i-th of them. */
static inline uint32_t
dpdk_connect_ports(const struct dpdk_port *port)
{
	return port->spec.queues > 1 ? DPDK_UDP_CONNECTS : 1;
}

static inline uint16_t
dpdk_connect_port(const struct dpdk_port *port, uint32_t i)
{
	return (uint16_t)(DPDK_UDP_CONNECT + port->spec.queue_id +
			  i * dpdk_dev_queues(&port->spec));
}

/* The flow may have something to do: the next poll will see. */
static inline void
dpdk_flow_touch(struct dpdk_port *port, struct dpdk_flow *flow)
{
	flow->touched = true;
	if (__builtin_expect(flow->run.place == 0, 0))
		weir_dpdk_run_add(&port->run, flow);
}

/* One clock per poll: the cycle counter, scaled. Never goes back. */
uint64_t weir_dpdk_now(struct dpdk_port *port);

/* ---- dpdk.c ---- */

/* Make the port's device for this role. @return as weir_dpdk_dev_open(). */
int weir_dpdk_port_device(struct dpdk_port *port, enum dpdk_dev_role role);

/* Give it back, to make another later. @return false: links still use it. */
bool weir_dpdk_port_device_drop(struct dpdk_port *port);

/* Give the calling thread mempool caches. @return false: it cannot have any. */
bool weir_dpdk_thread_join(void);

/* ---- dpdk_datapath.c: messages ---- */

int weir_dpdk_poll(struct weir_port *port);

/* Transmit what a flow has, now. */
void weir_dpdk_flush(struct dpdk_port *port, struct dpdk_flow *flow);

/* As rte_pktmbuf_free(), many at a time. */
void weir_dpdk_free(struct dpdk_port *port, struct rte_mbuf *m);
void weir_dpdk_freed_flush(struct dpdk_port *port);

/* A message lets go of what it holds. @return packets that the window gets
 * back. */
static inline uint32_t
dpdk_held_put(struct dpdk_flow *flow, uint32_t index)
{
	struct dpdk_held *held = &flow->held[index];

	if (held->left > 1) {
		held->left--;
		return 0;
	}
	/* Of those with a reference each, any may be the last. */
	if (held->left != 0)
		flow->held_free[flow->held_free_count++] = index;
	if (held->mbuf != NULL) {
		weir_dpdk_free(flow->port, held->mbuf);
		return 1;
	}
	if (held->large == DPDK_HELD_TAKEN)
		return 1;
	dpdk_large_give(&flow->rx_large, held->large);
	return 0;
}

/* ---- dpdk_receive.c: frames in ---- */

/* Frames from the device, or from the application, each to where it belongs;
 * takes them. */
void weir_dpdk_receive(struct dpdk_port *port, struct rte_mbuf *m);
void weir_dpdk_receive_all(struct dpdk_port *port,
			   struct rte_mbuf *const *mbufs, uint16_t count);

/* ---- dpdk_transmit.c: frames out ---- */

/* A fresh mbuf for a packet of our own, or NULL. */
struct rte_mbuf *weir_dpdk_spare(struct dpdk_port *port);

/* Pull packets out of the flow's connection into the batch, within its quota.
 * @return false: more are waiting. */
bool weir_dpdk_emit(struct dpdk_port *port, struct dpdk_flow *flow);

/* Hand the batch to the device; what it does not take stays. */
void weir_dpdk_batch_send(struct dpdk_port *port);

/* Put a frame without payload in the batch: ARP and NDP, as it is; a stateless
 * answer, a goodbye. @return false: no room, it is counted as dropped. */
bool weir_dpdk_send_frame(struct dpdk_port *port, const uint8_t *bytes,
			  uint16_t len);
bool weir_dpdk_send_packet(struct dpdk_port *port, const struct dpdk_hdr *hdr,
			   const uint8_t *packet, uint16_t len);

/* ---- dpdk_setup.c ---- */

/* Read IP:PORT, *:PORT or a name. @return 0; -EINVAL with weir_fail(). */
int weir_dpdk_address(const struct dpdk_port *port, const char *text,
		      struct dpdk_addr *addr);

/* Headers from this port to somebody; the device is there. */
void weir_dpdk_port_hdr(const struct dpdk_port *port, struct dpdk_hdr *hdr,
			const struct rte_ether_addr *dst_mac,
			const struct dpdk_addr *src,
			const struct dpdk_addr *dst);

/* Move a connecting flow on: device, MAC, handshake. */
void weir_dpdk_connect_step(struct dpdk_port *port, struct dpdk_flow *flow);

/* The peer has answered a connector, whose device does not tell which queue it
 * uses. If it was another port's, @return true: begin again, from another UDP
 * port. */
bool weir_dpdk_connect_elsewhere(struct dpdk_port *port,
				 struct dpdk_flow *flow);

/* The handshake has succeeded, or has failed. */
void weir_dpdk_established(struct dpdk_port *port, struct dpdk_flow *flow);
void weir_dpdk_half_open_failed(struct dpdk_flow *flow);

void weir_dpdk_neigh_step(struct dpdk_port *port);

int weir_dpdk_listener_open(struct weir_listener *listener,
			    const struct weir_endpoint *ep);
int weir_dpdk_listener_fd(struct weir_listener *listener);
void weir_dpdk_listener_close(struct weir_listener *listener);
int weir_dpdk_link_accept(struct weir_listener *listener,
			  struct weir_link *link);
int weir_dpdk_link_connect(struct weir_link *link,
			   const struct weir_endpoint *ep);

/* ---- dpdk_publish.c: what weir stat and telemetry see ---- */

void weir_dpdk_publish(struct dpdk_port *port);

/* ---- dpdk_telemetry.c ---- */

/* EAL runs. Once per process, later calls do nothing. */
void weir_dpdk_telemetry_start(void);

/* ---- dpdk_parting.c: memif only ---- */

void weir_dpdk_on_parting(struct dpdk_port *port, const struct dpdk_hdr_in *in,
			  const struct wire_hdr *hdr);
void weir_dpdk_parting_answer(struct dpdk_port *port);

/* A poll while the peer leaves. */
void weir_dpdk_still_step(struct dpdk_port *port);

/* Another port of the device has answered, or gives the device up. */
void weir_dpdk_parting_follow(struct dpdk_port *port);

/* Before our device goes: wait until the peer keeps off the rings. */
void weir_dpdk_part(struct dpdk_port *port);

void weir_dpdk_batch_drop(struct dpdk_port *port);

#endif /* DPDK_PORT_H */
