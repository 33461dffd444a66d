/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_ARP_H
#define DPDK_ARP_H

/*
 * dpdk_arp: who has which IPv4 address on our Ethernet (RFC 826), as far as
 * links need it. Pure: frames and the time come in, frames go out.
 *
 *     lookup --unknown--> asking --3 x 100 ms without answer--> failed
 *                           | reply                               |
 *                           v                                     v
 *                         known <------------ reply ------- 1 s, then asked
 *                                                           again on lookup
 *
 * Trust: an answer is taken only for an address that we asked for or already
 * know; a static entry is never overwritten. Requests for our own address are
 * answered, and teach us nothing new about strangers.
 */

#include <stdbool.h>
#include <stdint.h>
#include <rte_ether.h>

#define DPDK_ARP_ENTRIES     64
#define DPDK_ARP_FRAME_LEN   60 /* padded to Ethernet's minimum */
#define DPDK_ARP_TRIES       3
#define DPDK_ARP_INTERVAL_NS UINT64_C(100000000)
#define DPDK_ARP_FAILED_NS   UINT64_C(1000000000)

enum dpdk_arp_state {
	DPDK_ARP_FREE,
	DPDK_ARP_ASKING,
	DPDK_ARP_KNOWN,
	DPDK_ARP_STATIC,
	DPDK_ARP_FAILED,
};

struct dpdk_arp_entry {
	uint32_t ip; /* host byte order, as everywhere here */
	uint8_t state;
	uint8_t tries;
	struct rte_ether_addr mac;
	uint64_t next_ns; /* ASKING: next request; FAILED: when to forget */
	uint64_t used_ns; /* last lookup; the oldest known entry makes room */
};

struct dpdk_arp {
	struct rte_ether_addr mac; /* ours */
	uint32_t ip;
	uint32_t generation; /* grows when any MAC becomes known or changes */
	struct dpdk_arp_entry entries[DPDK_ARP_ENTRIES];
};

void weir_dpdk_arp_init(struct dpdk_arp *arp, uint32_t ip,
			const struct rte_ether_addr *mac);

/* @return 0, or -ENOSPC. */
int weir_dpdk_arp_add_static(struct dpdk_arp *arp, uint32_t ip,
			     const struct rte_ether_addr *mac);

/*
 * Start asking if need be; weir_dpdk_arp_poll() makes the request frames.
 *
 * @return 1 and *mac; 0 not known yet; -EHOSTUNREACH nobody answered;
 *         -ENOSPC all entries are being asked for or static.
 */
int weir_dpdk_arp_lookup(struct dpdk_arp *arp, uint32_t ip, uint64_t now_ns,
			 struct rte_ether_addr *mac);

/*
 * Take in a received ARP frame.
 *
 * @param reply room for DPDK_ARP_FRAME_LEN bytes.
 * @return length of the frame to send from reply, or 0 when none is due.
 */
uint16_t weir_dpdk_arp_input(struct dpdk_arp *arp, const uint8_t *frame,
			     uint32_t frame_len, uint8_t *reply);

/*
 * Make the next request frame that is due; call until it returns 0.
 *
 * @param frame room for DPDK_ARP_FRAME_LEN bytes.
 */
uint16_t weir_dpdk_arp_poll(struct dpdk_arp *arp, uint64_t now_ns,
			    uint8_t *frame);

/* @return when weir_dpdk_arp_poll() has something to do; UINT64_MAX: never. */
uint64_t weir_dpdk_arp_deadline_ns(const struct dpdk_arp *arp);

#endif /* DPDK_ARP_H */
