/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_CKSUM_H
#define DPDK_CKSUM_H

/*
 * dpdk_cksum: who makes and who verifies the checksums of a frame, the device
 * or we. Between dpdk_hdr.h, which knows bytes, and the flags of an mbuf.
 *
 *     sending     device offers        UDP              IPv4 header
 *                 -                    software         software
 *                 IP                   software         software (it is cheap)
 *                 UDP                  device           software
 *                 UDP, IP              device           device
 *
 *     receiving   the device says      what we do
 *                 good                 believe it
 *                 bad                  drop
 *                 unknown              verify
 *                 none                 it vouches for the data, the field may
 *                                      be unfinished: that, or verify
 */

#include <stdint.h>
#include <rte_mbuf.h>

#include "dpdk_hdr.h"

/*
 * UDP checksum of the packet of len bytes that weir_dpdk_hdr_write() was
 * called for, in the only segment of m.
 *
 * @param offers RTE_MBUF_F_TX_IP_CKSUM, _UDP_CKSUM that the device has enabled.
 */
static inline void
dpdk_cksum_tx(const struct dpdk_hdr *hdr, uint64_t offers, struct rte_mbuf *m,
	      uint8_t *packet, uint32_t len)
{
	if ((offers & RTE_MBUF_F_TX_UDP_CKSUM) == 0) {
		weir_dpdk_hdr_udp_cksum(hdr, packet,
					weir_dpdk_hdr_sum(packet, len, 0));
		return;
	}
	m->l2_len = hdr->l2_len;
	m->l3_len = hdr->l3_len;
	if (hdr->is_ip4)
		m->ol_flags |= offers | RTE_MBUF_F_TX_IPV4;
	else
		m->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM | RTE_MBUF_F_TX_IPV6;
	weir_dpdk_hdr_offload(hdr, packet, offers & RTE_MBUF_F_TX_IP_CKSUM);
}

static inline enum dpdk_hdr_check
dpdk_cksum_verdict(uint64_t flags, uint64_t bad, uint64_t good)
{
	flags &= bad | good;
	if (flags == good)
		return DPDK_HDR_CHECK_OK;
	if (flags == 0)
		return DPDK_HDR_CHECK;
	return flags == bad ? DPDK_HDR_CHECK_WRONG : DPDK_HDR_CHECK_PARTIAL;
}

/* What the device says of a received frame, for weir_dpdk_hdr_parse(). */
static inline void
dpdk_cksum_rx(const struct rte_mbuf *m, struct dpdk_hdr_policy *policy)
{
	const uint64_t stripped = RTE_MBUF_F_RX_VLAN_STRIPPED |
				  RTE_MBUF_F_RX_QINQ_STRIPPED;
	uint64_t flags = m->ol_flags;

	policy->ip_check = dpdk_cksum_verdict(flags, RTE_MBUF_F_RX_IP_CKSUM_BAD,
					      RTE_MBUF_F_RX_IP_CKSUM_GOOD);
	policy->udp_check = dpdk_cksum_verdict(
		flags, RTE_MBUF_F_RX_L4_CKSUM_BAD, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	policy->stripped = 0;
	if (__builtin_expect((flags & stripped) == 0, 1))
		return;
	policy->stripped = DPDK_HDR_STRIPPED | m->vlan_tci;
	if (flags & RTE_MBUF_F_RX_QINQ_STRIPPED)
		policy->stripped |= DPDK_HDR_STRIPPED_TWO;
}

#endif /* DPDK_CKSUM_H */
