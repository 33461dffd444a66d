/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_NEIGH_H
#define DPDK_NEIGH_H

/*
 * dpdk_neigh: who has which address on our Ethernet, as far as links need it:
 * ARP for IPv4 (RFC 826), neighbour discovery for IPv6 (RFC 4861). One table
 * for both. Pure: frames and the time come in, frames go out.
 *
 *     lookup --unknown--> asking --3 x 100 ms without answer--> failed
 *                           | answer                              |
 *                           v           <------ answer --- 1 s, then asked
 *         static          known                            again on lookup
 *                           |    ^
 *           looked up after 1 s  | answer
 *                           v    |
 *                         asked again, in use meanwhile --3 x--> failed
 *
 * Trust: an answer is taken only for an address that we asked for or already
 * know; a static entry is never overwritten; who says to have our address, or
 * says so through another station's frame, teaches us nothing. Questions for
 * our own address are answered, but no more than 64 per 10 ms.
 */

#include <stdbool.h>
#include <stdint.h>
#include <rte_ether.h>

#include "dpdk_addr.h"
#include "dpdk_hdr.h"

#define DPDK_NEIGH_ENTRIES     64
#define DPDK_NEIGH_TRIES       3
#define DPDK_NEIGH_INTERVAL_NS UINT64_C(100000000)
#define DPDK_NEIGH_FAILED_NS   UINT64_C(1000000000)
#define DPDK_NEIGH_FRESH_NS    UINT64_C(1000000000)

/* Answers to strangers' questions, per window. */
#define DPDK_NEIGH_ANSWERS   64
#define DPDK_NEIGH_WINDOW_NS UINT64_C(10000000)

/* Ethernet + tag + IPv6 + neighbour solicitation with its option. */
#define DPDK_NEIGH_FRAME_MAX 90

enum dpdk_neigh_state {
	DPDK_NEIGH_FREE,
	DPDK_NEIGH_ASKING,
	DPDK_NEIGH_KNOWN,
	DPDK_NEIGH_AGAIN, /* known, and asked whether it is still so */
	DPDK_NEIGH_STATIC,
	DPDK_NEIGH_FAILED,
};

struct dpdk_neigh_entry {
	struct dpdk_ip ip;
	uint8_t state;
	uint8_t tries;
	struct rte_ether_addr mac;
	uint64_t next_ns; /* ASKING, AGAIN: next question; FAILED: when to
			     forget; KNOWN: when to ask again */
	uint64_t used_ns; /* last lookup; the oldest known entry makes room */
};

/* What became of a received frame. Each has a name and is counted. */
enum dpdk_neigh_result {
	DPDK_NEIGH_ANSWER,    /* we were asked: a reply is to be sent */
	DPDK_NEIGH_LEARNED,   /* a MAC became known, or changed */
	DPDK_NEIGH_CONFIRMED, /* what we knew */
	DPDK_NEIGH_NOT_US,    /* a question for somebody else */
	DPDK_NEIGH_UNASKED,   /* an answer that nobody asked for */
	DPDK_NEIGH_PINNED,    /* for a static entry: not taken */
	DPDK_NEIGH_CONFLICT,  /* somebody says to have our address */
	DPDK_NEIGH_LIMITED,   /* too many questions */
	DPDK_NEIGH_SHORT,
	DPDK_NEIGH_BAD_FIELD,  /* a field has no value it may have */
	DPDK_NEIGH_BAD_SENDER, /* its MACs disagree, or are a group's */
	DPDK_NEIGH_HOPS,       /* hop limit is not 255: was forwarded */
	DPDK_NEIGH_CKSUM,
	DPDK_NEIGH_OPTION, /* length 0, or beyond the end */
	DPDK_NEIGH_RESULTS
};

struct dpdk_neigh {
	struct dpdk_hdr_wire wire;
	struct rte_ether_addr mac; /* ours */
	struct dpdk_ip ip;
	uint32_t generation; /* grows when any MAC becomes known or changes */
	uint32_t answers;    /* in this window */
	uint64_t window_ns;
	uint64_t counts[DPDK_NEIGH_RESULTS];
	struct dpdk_neigh_entry entries[DPDK_NEIGH_ENTRIES];
};

/* A short name for statistics: "answer", "learned", ... */
const char *weir_dpdk_neigh_result_name(enum dpdk_neigh_result result);

void weir_dpdk_neigh_init(struct dpdk_neigh *neigh,
			  const struct dpdk_hdr_wire *wire,
			  const struct dpdk_ip *ip,
			  const struct rte_ether_addr *mac);

/* The group that must reach us to be asked, for the device's filter. IPv6. */
void weir_dpdk_neigh_group(const struct dpdk_ip *ip,
			   struct rte_ether_addr *mac);

/* @return 0, or -ENOSPC. */
int weir_dpdk_neigh_add_static(struct dpdk_neigh *neigh,
			       const struct dpdk_ip *ip,
			       const struct rte_ether_addr *mac);

/*
 * Start asking if need be; weir_dpdk_neigh_poll() makes the question frames.
 *
 * @return 1 and *mac; 0 not known yet; -EHOSTUNREACH nobody answered;
 *         -ENOSPC all entries are being asked for or static.
 */
int weir_dpdk_neigh_lookup(struct dpdk_neigh *neigh, const struct dpdk_ip *ip,
			   uint64_t now_ns, struct rte_ether_addr *mac);

/* @return true and *mac if it is known; asks nobody. */
bool weir_dpdk_neigh_known(const struct dpdk_neigh *neigh,
			   const struct dpdk_ip *ip,
			   struct rte_ether_addr *mac);

/* A received frame behind its Ethernet header, and who sent it. */
struct dpdk_neigh_in {
	const uint8_t *body; /* ARP: the packet; NDP: the IPv6 header */
	uint32_t len;
	const struct rte_ether_addr *src_mac;
	uint64_t now_ns;
};

/*
 * Take in an ARP packet, or a neighbour solicitation or advertisement.
 *
 * @param reply room for DPDK_NEIGH_FRAME_MAX bytes.
 * @return length of the frame to send from reply, or 0 when none is due.
 */
uint16_t weir_dpdk_neigh_arp(struct dpdk_neigh *neigh,
			     const struct dpdk_neigh_in *in, uint8_t *reply);
uint16_t weir_dpdk_neigh_ndp(struct dpdk_neigh *neigh,
			     const struct dpdk_neigh_in *in, uint8_t *reply);

/*
 * Make the next question frame that is due; call until it returns 0.
 *
 * @param frame room for DPDK_NEIGH_FRAME_MAX bytes.
 */
uint16_t weir_dpdk_neigh_poll(struct dpdk_neigh *neigh, uint64_t now_ns,
			      uint8_t *frame);

/* @return when weir_dpdk_neigh_poll() has something to do; UINT64_MAX: never. */
uint64_t weir_dpdk_neigh_deadline_ns(const struct dpdk_neigh *neigh);

#endif /* DPDK_NEIGH_H */
