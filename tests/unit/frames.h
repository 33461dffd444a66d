/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FRAMES_H
#define FRAMES_H

/*
 * Frames for tests of headers: the four kinds that weir sends, IPv4 and IPv6,
 * with and without a VLAN tag, always from station a to station b.
 */

#include <stdint.h>
#include <string.h>

#include "dpdk_hdr.h"

#define FRAME_VLAN 7
#define FRAME_PCP  5

struct frame_kind {
	const char *name;
	struct dpdk_hdr_wire wire;
	struct dpdk_addr src, dst;
	uint32_t l2_len, l3_len;
};

#define FRAME_IP4(last)                                     \
	{                                                   \
		{                                           \
			[10] = 0xff, 0xff, 10, 7, 0, (last) \
		}                                           \
	}
/* No byte is zero: a stray write shows. */
#define FRAME_IP6(last)                                                     \
	{                                                                   \
		{                                                           \
			0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 1, \
				(last)                                      \
		}                                                           \
	}
#define FRAME_PLAIN                  \
	{                            \
		.ttl = DPDK_HDR_TTL, \
	}
#define FRAME_TAGGED                                                       \
	{                                                                  \
		.vlan = FRAME_VLAN, .pcp = FRAME_PCP, .ttl = DPDK_HDR_TTL, \
	}

static const struct frame_kind frame_kinds[] = {
	{ "IPv4",
	  FRAME_PLAIN,
	  { FRAME_IP4(1), 49152 },
	  { FRAME_IP4(2), 7400 },
	  14,
	  20 },
	{ "IPv4, VLAN",
	  FRAME_TAGGED,
	  { FRAME_IP4(1), 49152 },
	  { FRAME_IP4(2), 7400 },
	  18,
	  20 },
	{ "IPv6",
	  FRAME_PLAIN,
	  { FRAME_IP6(1), 49152 },
	  { FRAME_IP6(2), 7400 },
	  14,
	  40 },
	{ "IPv6, VLAN",
	  FRAME_TAGGED,
	  { FRAME_IP6(1), 49152 },
	  { FRAME_IP6(2), 7400 },
	  18,
	  40 },
};

#define FRAME_KINDS (sizeof(frame_kinds) / sizeof(frame_kinds[0]))

static const struct rte_ether_addr frame_mac_a = { { 2, 0, 0, 0, 0, 0xa } };
static const struct rte_ether_addr frame_mac_b = { { 2, 0, 0, 0, 0, 0xb } };

static inline uint32_t
frame_hdr_len(const struct frame_kind *kind)
{
	return kind->l2_len + kind->l3_len + 8;
}

static inline struct dpdk_hdr
frame_hdr(const struct frame_kind *kind)
{
	struct dpdk_hdr hdr;

	weir_dpdk_hdr_init(&hdr, &kind->wire, &frame_mac_a, &frame_mac_b,
			   &kind->src, &kind->dst);
	return hdr;
}

/* What b takes. */
static inline struct dpdk_hdr_policy
frame_policy(const struct frame_kind *kind)
{
	return (struct dpdk_hdr_policy){
		.mac = frame_mac_b,
		.ip = kind->dst.ip,
		.ether_type = kind->l3_len == 20 ? RTE_ETHER_TYPE_IPV4
						 : RTE_ETHER_TYPE_IPV6,
		.port_first = kind->dst.port,
		.port_last = kind->dst.port,
		.vlan = kind->wire.vlan,
		.ip_check = DPDK_HDR_CHECK,
		.udp_check = DPDK_HDR_CHECK,
	};
}

/*
 * A frame with some packet in it at buffer + DPDK_HDR_LEN_MAX - headers, so
 * that the packet begins at buffer + DPDK_HDR_LEN_MAX.
 *
 * @return where it begins; its length is frame_hdr_len() + packet_len.
 */
static inline uint8_t *
frame_make(const struct frame_kind *kind, uint8_t *buffer, uint16_t packet_len,
	   bool with_cksum)
{
	struct dpdk_hdr hdr = frame_hdr(kind);
	uint8_t *packet = buffer + DPDK_HDR_LEN_MAX;

	for (uint16_t i = 0; i < packet_len; i++)
		packet[i] = (uint8_t)(i * 7 + 3);
	weir_dpdk_hdr_write(&hdr, packet, packet_len, DPDK_ECN_NOT_ECT);
	if (with_cksum)
		weir_dpdk_hdr_udp_cksum(
			&hdr, packet, weir_dpdk_hdr_sum(packet, packet_len, 0));
	return packet - hdr.len;
}

#endif /* FRAMES_H */
