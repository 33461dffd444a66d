/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_STRANGER_H
#define DPDK_STRANGER_H

/*
 * dpdk_stranger: packets that belong to no link, and what is said to them.
 * lib/listen.h decides; here links are looked up, made and ended for it.
 *
 *     INIT, no cookie    -> RETRY    nothing is kept
 *     INIT, welcome      -> a flow, which sends ACCEPT
 *     INIT, not welcome  -> REJECT   nothing is kept, so many per second
 *     an unknown token   -> GONE     nothing is kept, so many per second
 *     GONE               -> the link whose peer it speaks of, if it proves it
 *
 * All of it belongs to the port's owner.
 */

#include <stdbool.h>
#include <stdint.h>

#include "dpdk_hdr.h"
#include "listen.h"
#include "weir_driver.h"

struct dpdk_flow;
struct dpdk_port;

enum dpdk_crc {
	DPDK_CRC_OFF,
	DPDK_CRC_ON,      /* offered, used if the peer wants it too */
	DPDK_CRC_REQUIRE, /* no link without */
};

/* Keys of an endpoint that are about the links made through it. */
struct dpdk_link_keys {
	uint8_t crc; /* enum dpdk_crc */
	uint8_t cc;  /* enum cc_kind, or CC_KINDS: as suits the device */
	uint64_t cc_target_ns; /* of swift; 0: as usual */
};

/* @return 0; -EINVAL with weir_fail(). */
int weir_dpdk_link_keys_read(const struct weir_endpoint *ep,
			     struct dpdk_link_keys *keys);

/* cookie=; without it, asked for only where strangers can come by. */
int weir_dpdk_cookie_read(const struct weir_endpoint *ep, bool no_wire,
			  uint8_t *cookie);

/* A hash table of flows: chains through a node in each of them. */
struct dpdk_node {
	struct dpdk_node *next;
	uint64_t hash;
	bool entered;
};

struct dpdk_table {
	struct dpdk_node **chains;
	uint32_t size; /* power of two, or 0 */
	uint32_t count;
};

struct dpdk_gate {
	struct listen listen;
	uint64_t keys_next_ns;
	struct siphash_key names; /* of instances */
	struct siphash_key hash;  /* of the tables */
	uint64_t epoch;
	struct bucket logs;

	struct dpdk_table peers; /* links by their peer's token */
	struct dpdk_table lives; /* accepted ones by who came from where */
};

/* Secrets and names of a port; reset-key=. @return 0; -EINVAL, -EACCES, ... */
int weir_dpdk_gate_open(struct dpdk_gate *gate, const struct weir_endpoint *ep);
void weir_dpdk_gate_close(struct dpdk_gate *gate);

/* Who we are at an address, the same over restarts. */
uint64_t weir_dpdk_gate_instance(const struct dpdk_gate *gate,
				 const struct dpdk_addr *local);

/* The peer's token of this flow became known; the connection goes. */
void weir_dpdk_peer_enter(struct dpdk_flow *flow);
void weir_dpdk_peer_leave(struct dpdk_flow *flow);

/* The first and the next link whose peer has this token; NULL: no more. */
struct dpdk_flow *weir_dpdk_peer_find(const struct dpdk_gate *gate,
				      uint64_t token);
struct dpdk_flow *weir_dpdk_peer_next(const struct dpdk_flow *flow);

/* Those that this instance, of whatever epoch, opened from there. */
struct dpdk_flow *weir_dpdk_life_find(const struct dpdk_gate *gate,
				      const struct dpdk_addr *from,
				      uint64_t instance);
struct dpdk_flow *weir_dpdk_life_next(const struct dpdk_flow *flow);

/* Not among these any more. */
void weir_dpdk_life_leave(struct dpdk_flow *flow);

/* A log line that strangers can cause: @return false when there were enough. */
bool weir_dpdk_may_log(struct dpdk_port *port);

/* A packet without a token arrived: INIT, or memif's goodbye. */
void weir_dpdk_on_stray(struct dpdk_port *port, const struct dpdk_hdr_in *in,
			const struct wire_hdr *hdr);

/* A packet of len bytes with a token that no link here has. */
void weir_dpdk_on_unknown(struct dpdk_port *port, const struct dpdk_hdr_in *in,
			  const struct wire_hdr *hdr, uint32_t len);

/* Does anyone here use that UDP port? For the counters. */
bool weir_dpdk_is_our_port(struct dpdk_port *port, uint16_t udp_port);

#endif /* DPDK_STRANGER_H */
