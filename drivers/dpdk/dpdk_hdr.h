/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_HDR_H
#define DPDK_HDR_H

/*
 * dpdk_hdr: what stands in front of a weir packet, both ways.
 *
 *     | Ethernet 14 | IPv4 20 | UDP 8 | weir packet ... | padding
 *     0             14        34      42
 *
 * Sending: a template per peer is copied in front of the packet, and the
 * fields that depend on the length are patched. Receiving: one look over the
 * frame tells where the packet is, or the named reason why there is none.
 * Pure: bytes in, bytes out. The length of a template is a field, not a
 * constant, so that a VLAN tag or IPv6 needs no change in callers.
 */

#include <stdbool.h>
#include <stdint.h>
#include <rte_ether.h>

#include "dpdk_addr.h"

#define DPDK_HDR_LEN     42 /* Ethernet + IPv4 + UDP */
#define DPDK_HDR_LEN_MAX 66 /* Ethernet + VLAN + IPv6 + UDP */
#define DPDK_HDR_TTL     64

/* ECN field of the IP header (RFC 3168 section 5). */
enum {
	DPDK_ECN_NOT_ECT = 0,
	DPDK_ECN_ECT1 = 1,
	DPDK_ECN_ECT0 = 2,
	DPDK_ECN_CE = 3, /* a router was congested */
};

/* Everything in front of a packet to one peer, but for its length. */
struct dpdk_hdr {
	uint8_t bytes[DPDK_HDR_LEN_MAX];
	uint8_t len;    /* in use: DPDK_HDR_LEN today */
	uint8_t l2_len; /* for tx offloads */
	uint8_t l3_len;
	uint32_t ip_sum;     /* of the IPv4 header without length and id */
	uint32_t pseudo_sum; /* of the UDP pseudo header without length */
};

void weir_dpdk_hdr_init(struct dpdk_hdr *hdr,
			const struct rte_ether_addr *src_mac,
			const struct rte_ether_addr *dst_mac,
			const struct dpdk_addr *src,
			const struct dpdk_addr *dst);

/* The peer's MAC became known, or changed. */
void weir_dpdk_hdr_set_dst_mac(struct dpdk_hdr *hdr,
			       const struct rte_ether_addr *mac);

/* The peer wants its packets at another UDP port than it sent from. */
void weir_dpdk_hdr_set_dst_port(struct dpdk_hdr *hdr, uint16_t udp_port);

/*
 * Write hdr->len bytes in front of packet, where the frame begins.
 *
 * @param ecn this packet's ECN field, DPDK_ECN_*.
 * UDP checksum field is 0 ("none"): fill it in by one of the next two.
 */
void weir_dpdk_hdr_write(const struct dpdk_hdr *hdr, uint8_t *packet,
			 uint16_t packet_len, uint8_t ecn);

/*
 * One's complement sum over bytes, to be carried from piece to piece of a
 * packet. Every piece but the last must have an even length.
 */
uint32_t weir_dpdk_hdr_sum(const void *bytes, uint32_t len, uint32_t sum);

/*
 * Software UDP checksum: sum is that of the packet's pieces, see above.
 * weir_dpdk_hdr_write() was called for packet.
 */
void weir_dpdk_hdr_udp_cksum(const struct dpdk_hdr *hdr, uint8_t *packet,
			     uint32_t packet_sum);

/* Hardware UDP (and IPv4 if ip) checksum: leave what the device expects. */
void weir_dpdk_hdr_offload(const struct dpdk_hdr *hdr, uint8_t *packet,
			   bool ip);

/* What a received frame turned out to be. Each has a name and is counted. */
enum dpdk_hdr_result {
	DPDK_HDR_PACKET,    /* for us: see struct dpdk_hdr_in */
	DPDK_HDR_ARP,       /* hand it to weir_dpdk_arp_input() */
	DPDK_HDR_SHORT,     /* ends inside the headers */
	DPDK_HDR_SEGMENTED, /* in several mbufs, which no device here does */
	DPDK_HDR_FOREIGN_ETHER, /* another EtherType, or not our MAC */
	DPDK_HDR_FOREIGN_IP,    /* another address or protocol */
	DPDK_HDR_FOREIGN_PORT,  /* UDP, but none of our ports */
	DPDK_HDR_BAD_IP,        /* version, header length or total length */
	DPDK_HDR_FRAGMENT,      /* IP fragment: we set DF, so not from weir */
	DPDK_HDR_IP_CKSUM,
	DPDK_HDR_BAD_UDP, /* its length disagrees with IP's */
	DPDK_HDR_UDP_CKSUM,
	DPDK_HDR_RESULTS
};

/* A short name for statistics: "short", "foreign ethertype", ... */
const char *weir_dpdk_hdr_result_name(enum dpdk_hdr_result result);

enum dpdk_hdr_check {
	DPDK_HDR_CHECK,       /* verify in software */
	DPDK_HDR_CHECK_OK,    /* the device found it right */
	DPDK_HDR_CHECK_WRONG, /* the device found it wrong */
	DPDK_HDR_CHECK_SKIP,  /* no wire, no checksum */
};

/* What counts as ours. */
struct dpdk_hdr_policy {
	struct rte_ether_addr
		mac;         /* destination; group addresses are foreign */
	bool any_mac;        /* memif, net_ring: do not look */
	struct dpdk_ip ip;   /* none: any */
	uint16_t port_first; /* UDP destination port, inclusive range; */
	uint16_t port_last;  /* the exact port is out.dst.port */
	enum dpdk_hdr_check ip_check;
	enum dpdk_hdr_check udp_check;
	/*
	 * A UDP checksum of 0 means "the sender made none". On a wire weir
	 * always makes one, so 0 is refused unless this is set.
	 */
	bool udp_zero_ok;
};

struct dpdk_hdr_in {
	uint16_t offset; /* of the weir packet in the frame */
	uint16_t len;    /* of the weir packet, without padding */
	struct rte_ether_addr src_mac;
	struct dpdk_addr src;
	struct dpdk_addr dst;
	uint8_t ecn; /* DPDK_ECN_* */
};

/*
 * Look at one contiguous frame. *in is written for DPDK_HDR_PACKET only.
 * policy->ip_check and udp_check may be set per frame from its ol_flags.
 */
enum dpdk_hdr_result weir_dpdk_hdr_parse(const struct dpdk_hdr_policy *policy,
					 const uint8_t *frame,
					 uint32_t frame_len,
					 struct dpdk_hdr_in *in);

#endif /* DPDK_HDR_H */
