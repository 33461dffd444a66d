/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_hdr: headers in front of a weir packet. See dpdk_hdr.h.
 *
 * Checksums are one's complement sums (RFC 1071): the sum of a header is the
 * sum of its parts in any order, so everything that does not change from
 * packet to packet is summed once, in the template.
 */

#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "dpdk_hdr.h"

#define L2_LEN 14
#define L3_LEN 20
#define L4_LEN 8

_Static_assert(sizeof(struct rte_ether_hdr) == L2_LEN, "Ethernet header");
_Static_assert(sizeof(struct rte_ipv4_hdr) == L3_LEN, "IPv4 header");
_Static_assert(sizeof(struct rte_udp_hdr) == L4_LEN, "UDP header");
_Static_assert(L2_LEN + L3_LEN + L4_LEN == DPDK_HDR_LEN, "all of them");

/* Offsets from the beginning of the IPv4 and UDP headers (RFC 791, 768). */
enum {
	IPH_TOS = 1,
	IPH_TOTAL_LEN = 2,
	IPH_ID = 4,
	IPH_FRAGMENT = 6,
	IPH_TTL = 8,
	IPH_PROTO = 9,
	IPH_CKSUM = 10,
	IPH_SRC = 12,
	IPH_DST = 16,
	UDPH_SRC = 0,
	UDPH_DST = 2,
	UDPH_LEN = 4,
	UDPH_CKSUM = 6,
};

#define DONT_FRAGMENT 0x4000
#define FRAGMENT_BITS 0x3fff /* more-fragments and offset */

static uint16_t
get_be16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

static void
put_be16(uint8_t *to, uint16_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

/* Sums are of 16-bit words in the order of the wire's bytes in memory. */
static uint32_t
word_sum(uint16_t value)
{
	return rte_cpu_to_be_16(value);
}

static uint16_t
fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint32_t
fold64(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return fold((uint32_t)sum);
}

uint32_t
weir_dpdk_hdr_sum(const void *bytes, uint32_t len, uint32_t sum)
{
	const uint8_t *at = bytes;
	uint64_t even = sum, odd = 0;
	uint64_t word;
	uint32_t half;
	uint8_t tail[4] = { 0 };

	/*
	 * RFC 1071 section 2 (C): any word size will do. Two sums of 32-bit
	 * halves run side by side, which compilers keep in registers.
	 */
	for (; len >= 8; len -= 8, at += 8) {
		memcpy(&word, at, sizeof(word));
		even += (uint32_t)word;
		odd += word >> 32;
	}
	if (len >= 4) {
		memcpy(&half, at, sizeof(half));
		even += half;
		at += 4;
		len -= 4;
	}
	memcpy(tail, at, len);
	memcpy(&half, tail, sizeof(half));
	return fold64(even + odd + half);
}

/* A computed checksum of 0 is sent as 0xffff: 0 means "none" (RFC 768). */
static uint16_t
udp_cksum_of(uint32_t sum)
{
	uint16_t cksum = (uint16_t)~fold(sum);

	return cksum == 0 ? 0xffff : cksum;
}

void
weir_dpdk_hdr_init(struct dpdk_hdr *hdr, const struct rte_ether_addr *src_mac,
		   const struct rte_ether_addr *dst_mac,
		   const struct dpdk_addr *src, const struct dpdk_addr *dst)
{
	uint8_t *ip = hdr->bytes + L2_LEN;
	uint8_t *udp = ip + L3_LEN;

	memset(hdr, 0, sizeof(*hdr));
	hdr->len = DPDK_HDR_LEN;
	hdr->l2_len = L2_LEN;
	hdr->l3_len = L3_LEN;

	memcpy(hdr->bytes, dst_mac, RTE_ETHER_ADDR_LEN);
	memcpy(hdr->bytes + RTE_ETHER_ADDR_LEN, src_mac, RTE_ETHER_ADDR_LEN);
	put_be16(hdr->bytes + 12, RTE_ETHER_TYPE_IPV4);

	ip[0] = 0x45; /* version 4, five words */
	put_be16(ip + IPH_FRAGMENT, DONT_FRAGMENT);
	ip[IPH_TTL] = DPDK_HDR_TTL;
	ip[IPH_PROTO] = IPPROTO_UDP;
	memcpy(ip + IPH_SRC, src->ip.bytes + 12, 4);
	memcpy(ip + IPH_DST, dst->ip.bytes + 12, 4);
	hdr->ip_sum = weir_dpdk_hdr_sum(ip, L3_LEN, 0);

	put_be16(udp + UDPH_SRC, src->port);
	put_be16(udp + UDPH_DST, dst->port);
	hdr->pseudo_sum =
		weir_dpdk_hdr_sum(ip + IPH_SRC, 8, 0) + word_sum(IPPROTO_UDP);
}

void
weir_dpdk_hdr_set_dst_mac(struct dpdk_hdr *hdr,
			  const struct rte_ether_addr *mac)
{
	memcpy(hdr->bytes, mac, RTE_ETHER_ADDR_LEN);
}

void
weir_dpdk_hdr_set_dst_port(struct dpdk_hdr *hdr, uint16_t udp_port)
{
	/* Neither prepared sum covers the UDP header. */
	put_be16(hdr->bytes + L2_LEN + L3_LEN + UDPH_DST, udp_port);
}

void
weir_dpdk_hdr_write(const struct dpdk_hdr *hdr, uint8_t *packet,
		    uint16_t packet_len, uint8_t ecn)
{
	uint8_t *udp = packet - L4_LEN;
	uint8_t *ip = udp - L3_LEN;
	uint16_t udp_len = (uint16_t)(packet_len + L4_LEN);
	uint16_t ip_len = (uint16_t)(udp_len + L3_LEN);
	uint16_t cksum;

	memcpy(packet - DPDK_HDR_LEN, hdr->bytes, DPDK_HDR_LEN);
	ip[IPH_TOS] = ecn;
	put_be16(ip + IPH_TOTAL_LEN, ip_len);
	/* RFC 6864: with DF the ID means nothing; it stays 0. */
	cksum = (uint16_t)~fold(hdr->ip_sum + word_sum(ip_len) + word_sum(ecn));
	memcpy(ip + IPH_CKSUM, &cksum, sizeof(cksum));
	put_be16(udp + UDPH_LEN, udp_len);
}

void
weir_dpdk_hdr_udp_cksum(const struct dpdk_hdr *hdr, uint8_t *packet,
			uint32_t packet_sum)
{
	uint8_t *udp = packet - L4_LEN;
	uint32_t sum = hdr->pseudo_sum;
	uint16_t cksum;

	/* The length counts twice: in the pseudo header and in the header. */
	sum += 2 * word_sum(get_be16(udp + UDPH_LEN));
	sum += fold(weir_dpdk_hdr_sum(udp, UDPH_LEN, 0));
	cksum = udp_cksum_of(sum + fold(packet_sum));
	memcpy(udp + UDPH_CKSUM, &cksum, sizeof(cksum));
}

void
weir_dpdk_hdr_offload(const struct dpdk_hdr *hdr, uint8_t *packet, bool ip)
{
	uint8_t *udp = packet - L4_LEN;
	uint16_t pseudo =
		fold(hdr->pseudo_sum + word_sum(get_be16(udp + UDPH_LEN)));

	/* ethdev wants the pseudo header's sum here, not complemented. */
	memcpy(udp + UDPH_CKSUM, &pseudo, sizeof(pseudo));
	if (ip)
		memset(udp - L3_LEN + IPH_CKSUM, 0, sizeof(uint16_t));
}

const char *
weir_dpdk_hdr_result_name(enum dpdk_hdr_result result)
{
	static const char *const names[DPDK_HDR_RESULTS] = {
		[DPDK_HDR_PACKET] = "packet",
		[DPDK_HDR_ARP] = "arp",
		[DPDK_HDR_SHORT] = "short",
		[DPDK_HDR_SEGMENTED] = "segmented",
		[DPDK_HDR_FOREIGN_ETHER] = "foreign_ether",
		[DPDK_HDR_FOREIGN_IP] = "foreign_ip",
		[DPDK_HDR_FOREIGN_PORT] = "foreign_port",
		[DPDK_HDR_BAD_IP] = "bad_ip",
		[DPDK_HDR_FRAGMENT] = "fragment",
		[DPDK_HDR_IP_CKSUM] = "ip_checksum",
		[DPDK_HDR_BAD_UDP] = "bad_udp",
		[DPDK_HDR_UDP_CKSUM] = "udp_checksum",
	};

	return result < DPDK_HDR_RESULTS ? names[result] : "unknown";
}

static bool
mac_is_ours(const struct dpdk_hdr_policy *policy, const uint8_t *mac)
{
	return policy->any_mac ||
	       memcmp(mac, &policy->mac, RTE_ETHER_ADDR_LEN) == 0;
}

/*
 * IPv4 without options only: weir sends none, and a middle box that adds them
 * is a reason to drop. Foreign before bad: what is not for us is not ours to
 * judge.
 */
static enum dpdk_hdr_result
check_ip(const struct dpdk_hdr_policy *policy, const uint8_t *ip, uint32_t room,
	 uint16_t *ip_len)
{
	if (room < L3_LEN)
		return DPDK_HDR_SHORT;
	if (ip[IPH_PROTO] != IPPROTO_UDP ||
	    (!dpdk_ip_is_none(&policy->ip) &&
	     memcmp(ip + IPH_DST, policy->ip.bytes + 12, 4) != 0))
		return DPDK_HDR_FOREIGN_IP;
	if (ip[0] != 0x45)
		return DPDK_HDR_BAD_IP;
	*ip_len = get_be16(ip + IPH_TOTAL_LEN);
	if (*ip_len < L3_LEN || *ip_len > room)
		return DPDK_HDR_BAD_IP;
	if (policy->ip_check == DPDK_HDR_CHECK_WRONG ||
	    (policy->ip_check == DPDK_HDR_CHECK &&
	     fold(weir_dpdk_hdr_sum(ip, L3_LEN, 0)) != 0xffff))
		return DPDK_HDR_IP_CKSUM;
	if ((get_be16(ip + IPH_FRAGMENT) & FRAGMENT_BITS) != 0)
		return DPDK_HDR_FRAGMENT;
	return DPDK_HDR_PACKET;
}

static bool
udp_cksum_is_wrong(const struct dpdk_hdr_policy *policy, const uint8_t *ip,
		   const uint8_t *udp, uint16_t udp_len)
{
	uint32_t sum;

	if (policy->udp_check == DPDK_HDR_CHECK_SKIP)
		return false;
	if (get_be16(udp + UDPH_CKSUM) == 0)
		return !policy->udp_zero_ok;
	if (policy->udp_check == DPDK_HDR_CHECK_OK)
		return false;
	if (policy->udp_check == DPDK_HDR_CHECK_WRONG)
		return true;
	sum = weir_dpdk_hdr_sum(ip + IPH_SRC, 8, 0);
	sum += word_sum(IPPROTO_UDP) + word_sum(udp_len);
	return fold(weir_dpdk_hdr_sum(udp, udp_len, sum)) != 0xffff;
}

static enum dpdk_hdr_result
check_udp(const struct dpdk_hdr_policy *policy, const uint8_t *ip,
	  uint16_t ip_len, uint16_t *packet_len)
{
	const uint8_t *udp = ip + L3_LEN;
	uint16_t room = (uint16_t)(ip_len - L3_LEN);
	uint16_t port, udp_len;

	if (room < L4_LEN)
		return DPDK_HDR_SHORT;
	port = get_be16(udp + UDPH_DST);
	if (port < policy->port_first || port > policy->port_last)
		return DPDK_HDR_FOREIGN_PORT;
	udp_len = get_be16(udp + UDPH_LEN);
	if (udp_len != room)
		return DPDK_HDR_BAD_UDP;
	if (udp_cksum_is_wrong(policy, ip, udp, udp_len))
		return DPDK_HDR_UDP_CKSUM;
	*packet_len = (uint16_t)(udp_len - L4_LEN);
	return DPDK_HDR_PACKET;
}

enum dpdk_hdr_result
weir_dpdk_hdr_parse(const struct dpdk_hdr_policy *policy, const uint8_t *frame,
		    uint32_t frame_len, struct dpdk_hdr_in *in)
{
	const uint8_t *ip = frame + L2_LEN;
	const uint8_t *udp = ip + L3_LEN;
	enum dpdk_hdr_result result;
	uint16_t ip_len, packet_len;
	uint16_t type;

	if (frame_len < L2_LEN)
		return DPDK_HDR_SHORT;
	type = get_be16(frame + 12);
	if (type == RTE_ETHER_TYPE_ARP)
		return DPDK_HDR_ARP;
	if (type != RTE_ETHER_TYPE_IPV4 || !mac_is_ours(policy, frame))
		return DPDK_HDR_FOREIGN_ETHER;
	result = check_ip(policy, ip, frame_len - L2_LEN, &ip_len);
	if (result != DPDK_HDR_PACKET)
		return result;
	result = check_udp(policy, ip, ip_len, &packet_len);
	if (result != DPDK_HDR_PACKET)
		return result;

	in->offset = DPDK_HDR_LEN;
	in->len = packet_len;
	memcpy(&in->src_mac, frame + RTE_ETHER_ADDR_LEN, RTE_ETHER_ADDR_LEN);
	in->src.ip = dpdk_ip4_at(ip + IPH_SRC);
	in->dst.ip = dpdk_ip4_at(ip + IPH_DST);
	in->src.port = get_be16(udp + UDPH_SRC);
	in->dst.port = get_be16(udp + UDPH_DST);
	in->ecn = ip[IPH_TOS] & 3;
	return DPDK_HDR_PACKET;
}
