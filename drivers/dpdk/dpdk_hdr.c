/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_hdr: headers in front of a weir packet. See dpdk_hdr.h.
 *
 * Checksums are one's complement sums (RFC 1071): the sum of a header is the
 * sum of its parts in any order, so everything that does not change from
 * packet to packet is summed once, in the template.
 */

#include <string.h>

#include <netinet/in.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "dpdk_hdr.h"

#define L2_LEN  14
#define TAG_LEN DPDK_HDR_TAG_LEN
#define IP4_LEN 20
#define IP6_LEN 40
#define UDP_LEN 8

_Static_assert(sizeof(struct rte_ether_hdr) == L2_LEN, "Ethernet header");
_Static_assert(sizeof(struct rte_vlan_hdr) == TAG_LEN, "802.1Q tag");
_Static_assert(sizeof(struct rte_ipv4_hdr) == IP4_LEN, "IPv4 header");
_Static_assert(sizeof(struct rte_ipv6_hdr) == IP6_LEN, "IPv6 header");
_Static_assert(sizeof(struct rte_udp_hdr) == UDP_LEN, "UDP header");
_Static_assert(L2_LEN + IP4_LEN + UDP_LEN == DPDK_HDR_LEN, "of a pair");
_Static_assert(L2_LEN + TAG_LEN + IP6_LEN + UDP_LEN == DPDK_HDR_LEN_MAX,
	       "the longest");

/* Offsets from the beginning of each header (RFC 791, 8200, 768). */
enum {
	ETH_DST = 0,
	ETH_SRC = 6,
	ETH_TYPE = 12,
	IP4_TOS = 1,
	IP4_TOTAL_LEN = 2,
	IP4_FRAGMENT = 6,
	IP4_TTL = 8,
	IP4_PROTO = 9,
	IP4_CKSUM = 10,
	IP4_SRC = 12,
	IP4_DST = 16,
	IP6_CLASS = 1, /* its high nibble: ECN is in the upper two bits */
	IP6_PAYLOAD_LEN = 4,
	IP6_NEXT = 6,
	IP6_HOPS = 7,
	IP6_SRC = 8,
	IP6_DST = 24,
	UDPH_SRC = 0,
	UDPH_DST = 2,
	UDPH_LEN = 4,
	UDPH_CKSUM = 6,
	ICMP6_TYPE = 0,
};

#define DONT_FRAGMENT 0x4000
#define FRAGMENT_BITS 0x3fff /* more-fragments and offset */
#define ECN_BITS      3
#define IP6_ECN_SHIFT 4
#define VLAN_ID_BITS  0x0fff
#define PCP_SHIFT     13

/* Neighbour solicitation and advertisement (RFC 4861). */
#define ND_SOLICIT   135
#define ND_ADVERTISE 136

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

uint16_t
weir_dpdk_hdr_ip6_cksum(const uint8_t *ip6, const uint8_t *body, uint16_t len,
			uint8_t protocol)
{
	uint32_t sum = weir_dpdk_hdr_sum(ip6 + IP6_SRC, 32, 0);

	sum += word_sum(protocol) + word_sum(len);
	return (uint16_t)~fold(weir_dpdk_hdr_sum(body, len, sum));
}

/* ---- sending ------------------------------------------------------------------ */

uint32_t
weir_dpdk_hdr_ether(const struct dpdk_hdr_wire *wire, uint8_t *frame,
		    const struct rte_ether_addr *dst,
		    const struct rte_ether_addr *src, uint16_t type)
{
	memcpy(frame + ETH_DST, dst, RTE_ETHER_ADDR_LEN);
	memcpy(frame + ETH_SRC, src, RTE_ETHER_ADDR_LEN);
	if (wire->vlan == 0) {
		put_be16(frame + ETH_TYPE, type);
		return L2_LEN;
	}
	put_be16(frame + ETH_TYPE, RTE_ETHER_TYPE_VLAN);
	put_be16(frame + L2_LEN,
		 (uint16_t)(wire->pcp << PCP_SHIFT | wire->vlan));
	put_be16(frame + L2_LEN + 2, type);
	return L2_LEN + TAG_LEN;
}

static void
init_ip4(struct dpdk_hdr *hdr, uint8_t *ip, uint8_t ttl,
	 const struct dpdk_addr *src, const struct dpdk_addr *dst)
{
	ip[0] = 0x45; /* version 4, five words */
	/* RFC 6864: with DF the ID means nothing; it stays 0. */
	put_be16(ip + IP4_FRAGMENT, DONT_FRAGMENT);
	ip[IP4_TTL] = ttl;
	ip[IP4_PROTO] = IPPROTO_UDP;
	memcpy(ip + IP4_SRC, src->ip.bytes + 12, 4);
	memcpy(ip + IP4_DST, dst->ip.bytes + 12, 4);
	hdr->ip_sum = weir_dpdk_hdr_sum(ip, IP4_LEN, 0);
	hdr->pseudo_sum =
		weir_dpdk_hdr_sum(ip + IP4_SRC, 8, 0) + word_sum(IPPROTO_UDP);
}

static void
init_ip6(struct dpdk_hdr *hdr, uint8_t *ip, uint8_t ttl,
	 const struct dpdk_addr *src, const struct dpdk_addr *dst)
{
	ip[0] = 0x60; /* version 6, no flow label */
	ip[IP6_NEXT] = IPPROTO_UDP;
	ip[IP6_HOPS] = ttl;
	memcpy(ip + IP6_SRC, src->ip.bytes, 16);
	memcpy(ip + IP6_DST, dst->ip.bytes, 16);
	hdr->pseudo_sum =
		weir_dpdk_hdr_sum(ip + IP6_SRC, 32, 0) + word_sum(IPPROTO_UDP);
}

void
weir_dpdk_hdr_init(struct dpdk_hdr *hdr, const struct dpdk_hdr_wire *wire,
		   const struct rte_ether_addr *src_mac,
		   const struct rte_ether_addr *dst_mac,
		   const struct dpdk_addr *src, const struct dpdk_addr *dst)
{
	uint8_t *udp = hdr->bytes + DPDK_HDR_LEN_MAX - UDP_LEN;
	uint8_t *ip;

	memset(hdr, 0, sizeof(*hdr));
	hdr->is_ip4 = dpdk_ip_is_ip4(&dst->ip);
	hdr->l2_len = wire->vlan == 0 ? L2_LEN : L2_LEN + TAG_LEN;
	hdr->l3_len = hdr->is_ip4 ? IP4_LEN : IP6_LEN;
	hdr->len = (uint8_t)(hdr->l2_len + hdr->l3_len + UDP_LEN);

	ip = udp - hdr->l3_len;
	weir_dpdk_hdr_ether(wire, ip - hdr->l2_len, dst_mac, src_mac,
			    hdr->is_ip4 ? RTE_ETHER_TYPE_IPV4
					: RTE_ETHER_TYPE_IPV6);
	if (hdr->is_ip4)
		init_ip4(hdr, ip, wire->ttl, src, dst);
	else
		init_ip6(hdr, ip, wire->ttl, src, dst);
	put_be16(udp + UDPH_SRC, src->port);
	put_be16(udp + UDPH_DST, dst->port);
}

void
weir_dpdk_hdr_set_dst_mac(struct dpdk_hdr *hdr,
			  const struct rte_ether_addr *mac)
{
	memcpy(hdr->bytes + DPDK_HDR_LEN_MAX - hdr->len + ETH_DST, mac,
	       RTE_ETHER_ADDR_LEN);
}

void
weir_dpdk_hdr_set_dst_port(struct dpdk_hdr *hdr, uint16_t udp_port)
{
	/* Neither prepared sum covers the UDP header. */
	put_be16(hdr->bytes + DPDK_HDR_LEN_MAX - UDP_LEN + UDPH_DST, udp_port);
}

void
weir_dpdk_hdr_write(const struct dpdk_hdr *hdr, uint8_t *packet,
		    uint16_t packet_len, uint8_t ecn)
{
	uint8_t *udp = packet - UDP_LEN;
	uint16_t udp_len = (uint16_t)(packet_len + UDP_LEN);
	uint16_t ip_len = (uint16_t)(udp_len + IP4_LEN);
	uint8_t *ip = udp - IP4_LEN;
	uint16_t cksum;

	/* Of fixed length: what precedes a shorter header is nobody's. */
	memcpy(packet - DPDK_HDR_LEN_MAX, hdr->bytes, DPDK_HDR_LEN_MAX);
	put_be16(udp + UDPH_LEN, udp_len);
	if (__builtin_expect(!hdr->is_ip4, 0)) {
		ip = udp - IP6_LEN;
		ip[IP6_CLASS] |= (uint8_t)(ecn << IP6_ECN_SHIFT);
		put_be16(ip + IP6_PAYLOAD_LEN, udp_len);
		return;
	}
	ip[IP4_TOS] = ecn;
	put_be16(ip + IP4_TOTAL_LEN, ip_len);
	cksum = (uint16_t)~fold(hdr->ip_sum + word_sum(ip_len) + word_sum(ecn));
	memcpy(ip + IP4_CKSUM, &cksum, sizeof(cksum));
}

void
weir_dpdk_hdr_udp_cksum(const struct dpdk_hdr *hdr, uint8_t *packet,
			uint32_t packet_sum)
{
	uint8_t *udp = packet - UDP_LEN;
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
	uint8_t *udp = packet - UDP_LEN;
	uint16_t pseudo =
		fold(hdr->pseudo_sum + word_sum(get_be16(udp + UDPH_LEN)));

	/* ethdev wants the pseudo header's sum here, not complemented. */
	memcpy(udp + UDPH_CKSUM, &pseudo, sizeof(pseudo));
	if (ip && hdr->is_ip4)
		memset(udp - IP4_LEN + IP4_CKSUM, 0, sizeof(uint16_t));
}

/* ---- receiving ---------------------------------------------------------------- */

const char *
weir_dpdk_hdr_result_name(enum dpdk_hdr_result result)
{
	static const char *const names[DPDK_HDR_RESULTS] = {
		[DPDK_HDR_PACKET] = "packet",
		[DPDK_HDR_ARP] = "arp",
		[DPDK_HDR_NDP] = "ndp",
		[DPDK_HDR_SHORT] = "short",
		[DPDK_HDR_SEGMENTED] = "segmented",
		[DPDK_HDR_FOREIGN_ETHER] = "foreign_ether",
		[DPDK_HDR_FOREIGN_VLAN] = "foreign_vlan",
		[DPDK_HDR_STACKED_VLAN] = "stacked_vlan",
		[DPDK_HDR_FOREIGN_IP] = "foreign_ip",
		[DPDK_HDR_FOREIGN_PORT] = "foreign_port",
		[DPDK_HDR_ICMP] = "icmp",
		[DPDK_HDR_BAD_IP] = "bad_ip",
		[DPDK_HDR_IP_OPTIONS] = "ip_options",
		[DPDK_HDR_EXTENSION] = "ip6_extension",
		[DPDK_HDR_FRAGMENT4] = "ip4_fragment",
		[DPDK_HDR_FRAGMENT6] = "ip6_fragment",
		[DPDK_HDR_TOO_FAR] = "ttl",
		[DPDK_HDR_IP_CKSUM] = "ip_checksum",
		[DPDK_HDR_BAD_UDP] = "bad_udp",
		[DPDK_HDR_UDP_CKSUM] = "udp_checksum",
		[DPDK_HDR_UDP_NO_CKSUM] = "udp_no_checksum",
		[DPDK_HDR_BAD_SOURCE] = "bad_source",
	};

	return result < DPDK_HDR_RESULTS ? names[result] : "unknown";
}

static bool
mac_is_ours(const struct dpdk_hdr_policy *policy, const uint8_t *mac)
{
	return policy->any_mac ||
	       memcmp(mac, &policy->mac, RTE_ETHER_ADDR_LEN) == 0;
}

static bool
is_tag(uint16_t type)
{
	return type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ ||
	       type == RTE_ETHER_TYPE_QINQ1;
}

/*
 * The VLAN of a frame, whose tag may be in it or may have been stripped; *type
 * and *l2_len are moved behind it. A tag of VLAN 0 carries a priority only.
 */
static enum dpdk_hdr_result
check_vlan(const struct dpdk_hdr_policy *policy, const uint8_t *frame,
	   uint32_t frame_len, uint16_t *type, uint32_t *l2_len)
{
	uint16_t vlan = policy->stripped & VLAN_ID_BITS;

	if (policy->stripped & DPDK_HDR_STRIPPED_TWO)
		return DPDK_HDR_STACKED_VLAN;
	if (is_tag(*type)) {
		if (frame_len < L2_LEN + TAG_LEN)
			return DPDK_HDR_SHORT;
		if (policy->stripped != 0 || *type != RTE_ETHER_TYPE_VLAN)
			return DPDK_HDR_STACKED_VLAN;
		vlan = get_be16(frame + L2_LEN) & VLAN_ID_BITS;
		*type = get_be16(frame + L2_LEN + 2);
		*l2_len = L2_LEN + TAG_LEN;
		if (is_tag(*type))
			return DPDK_HDR_STACKED_VLAN;
	}
	return vlan == policy->vlan ? DPDK_HDR_PACKET : DPDK_HDR_FOREIGN_VLAN;
}

/* One look at an IP packet: what follows its header, and what UDP's pseudo
 * header takes from it. */
struct ip_look {
	const uint8_t *addresses;
	uint32_t addresses_len;
	const uint8_t *udp;
	uint16_t room; /* as the IP header says */
	uint8_t ecn;
};

/*
 * IPv4 without options only: weir sends none, and a middle box that adds them
 * is a reason to drop. Foreign before bad: what is not for us is not ours to
 * judge.
 */
static inline __attribute__((always_inline)) enum dpdk_hdr_result
check_ip4(const struct dpdk_hdr_policy *policy, const uint8_t *ip,
	  uint32_t room, struct ip_look *look)
{
	uint16_t ip_len;

	if (room < IP4_LEN)
		return DPDK_HDR_SHORT;
	if (!policy->any_ip &&
	    memcmp(ip + IP4_DST, policy->ip.bytes + 12, 4) != 0)
		return DPDK_HDR_FOREIGN_IP;
	if (ip[IP4_PROTO] != IPPROTO_UDP)
		return ip[IP4_PROTO] == IPPROTO_ICMP ? DPDK_HDR_ICMP
						     : DPDK_HDR_FOREIGN_IP;
	if (ip[0] != 0x45)
		return ip[0] > 0x45 && ip[0] <= 0x4f ? DPDK_HDR_IP_OPTIONS
						     : DPDK_HDR_BAD_IP;
	ip_len = get_be16(ip + IP4_TOTAL_LEN);
	if (ip_len < IP4_LEN || ip_len > room)
		return DPDK_HDR_BAD_IP;
	if (policy->ip_check == DPDK_HDR_CHECK_WRONG ||
	    (policy->ip_check == DPDK_HDR_CHECK &&
	     fold(weir_dpdk_hdr_sum(ip, IP4_LEN, 0)) != 0xffff))
		return DPDK_HDR_IP_CKSUM;
	if ((get_be16(ip + IP4_FRAGMENT) & FRAGMENT_BITS) != 0)
		return DPDK_HDR_FRAGMENT4;
	if (ip[IP4_TTL] < policy->ttl_min)
		return DPDK_HDR_TOO_FAR;
	look->addresses = ip + IP4_SRC;
	look->addresses_len = 8;
	look->udp = ip + IP4_LEN;
	look->room = (uint16_t)(ip_len - IP4_LEN);
	look->ecn = ip[IP4_TOS] & ECN_BITS;
	return DPDK_HDR_PACKET;
}

/* To us, or to a group that we must be in: all nodes, and those whose address
 * ends like ours (RFC 4291 2.7.1). */
static bool
is_for_us(const struct dpdk_hdr_policy *policy, const uint8_t *dst, bool group)
{
	static const uint8_t all[16] = { 0xff, 2, [15] = 1 };
	static const uint8_t solicited[13] = { 0xff, 2, [11] = 1, [12] = 0xff };

	if (!group)
		return policy->any_ip || memcmp(dst, &policy->ip, 16) == 0;
	return memcmp(dst, all, sizeof(all)) == 0 ||
	       (memcmp(dst, solicited, sizeof(solicited)) == 0 &&
		memcmp(dst + 13, policy->ip.bytes + 13, 3) == 0);
}

/* What follows the header, if it is not UDP. RFC 8200, 4302, 4303, 6275. */
static enum dpdk_hdr_result
ip6_other(const uint8_t *ip, uint16_t room)
{
	switch (ip[IP6_NEXT]) {
	case IPPROTO_ICMPV6:
		if (room == 0)
			return DPDK_HDR_SHORT;
		return ip[IP6_LEN + ICMP6_TYPE] == ND_SOLICIT ||
				       ip[IP6_LEN + ICMP6_TYPE] == ND_ADVERTISE
			       ? DPDK_HDR_NDP
			       : DPDK_HDR_ICMP;
	case IPPROTO_FRAGMENT:
		return DPDK_HDR_FRAGMENT6;
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_AH:
	case IPPROTO_ESP:
	case IPPROTO_MH:
	case 139: /* host identity */
	case 140: /* shim6 */
		return DPDK_HDR_EXTENSION;
	default:
		return DPDK_HDR_FOREIGN_IP;
	}
}

static enum dpdk_hdr_result
check_ip6(const struct dpdk_hdr_policy *policy, const uint8_t *ip,
	  uint32_t room, struct ip_look *look)
{
	bool group;

	if (room < IP6_LEN)
		return DPDK_HDR_SHORT;
	group = ip[IP6_DST] == 0xff;
	if (!is_for_us(policy, ip + IP6_DST, group) ||
	    (group && ip[IP6_NEXT] != IPPROTO_ICMPV6))
		return DPDK_HDR_FOREIGN_IP;
	look->room = get_be16(ip + IP6_PAYLOAD_LEN);
	if (ip[0] >> 4 != 6 || look->room > room - IP6_LEN)
		return DPDK_HDR_BAD_IP;
	if (ip[IP6_NEXT] != IPPROTO_UDP)
		return ip6_other(ip, look->room);
	if (ip[IP6_HOPS] < policy->ttl_min)
		return DPDK_HDR_TOO_FAR;
	look->addresses = ip + IP6_SRC;
	look->addresses_len = 32;
	look->udp = ip + IP6_LEN;
	look->ecn = ip[IP6_CLASS] >> IP6_ECN_SHIFT & ECN_BITS;
	return DPDK_HDR_PACKET;
}

/* In software. Arguments, not a structure: kept in registers. */
static __attribute__((noinline)) enum dpdk_hdr_result
check_udp_sum(bool may_be_partial, const uint8_t *addresses,
	      uint32_t addresses_len, const uint8_t *udp, uint16_t len)
{
	uint32_t sum = weir_dpdk_hdr_sum(addresses, addresses_len, 0);
	uint16_t field;

	memcpy(&field, udp + UDPH_CKSUM, sizeof(field));
	sum += word_sum(IPPROTO_UDP) + word_sum(len);
	if (may_be_partial && field == fold(sum))
		return DPDK_HDR_PACKET;
	return fold(weir_dpdk_hdr_sum(udp, len, sum)) == 0xffff
		       ? DPDK_HDR_PACKET
		       : DPDK_HDR_UDP_CKSUM;
}

/* Everything behind the IP header; *in if it is for us. */
static inline __attribute__((always_inline)) enum dpdk_hdr_result
check_udp(const struct dpdk_hdr_policy *policy, const struct ip_look *look,
	  const uint8_t *frame, struct dpdk_hdr_in *in)
{
	enum dpdk_hdr_check check = policy->udp_check;
	const uint8_t *udp = look->udp;
	uint16_t port;

	if (look->room < UDP_LEN)
		return DPDK_HDR_SHORT;
	port = get_be16(udp + UDPH_DST);
	if (port < policy->port_first || port > policy->port_last)
		return DPDK_HDR_FOREIGN_PORT;
	if (get_be16(udp + UDPH_LEN) != look->room)
		return DPDK_HDR_BAD_UDP;
	in->offset = (uint16_t)(udp + UDP_LEN - frame);
	in->len = (uint16_t)(look->room - UDP_LEN);
	in->ecn = look->ecn;
	if (check == DPDK_HDR_CHECK_SKIP)
		return DPDK_HDR_PACKET;
	if (get_be16(udp + UDPH_CKSUM) == 0)
		return policy->udp_zero_ok ? DPDK_HDR_PACKET
					   : DPDK_HDR_UDP_NO_CKSUM;
	if (check == DPDK_HDR_CHECK_OK)
		return DPDK_HDR_PACKET;
	if (check == DPDK_HDR_CHECK_WRONG)
		return DPDK_HDR_UDP_CKSUM;
	return check_udp_sum(check == DPDK_HDR_CHECK_PARTIAL, look->addresses,
			     look->addresses_len, udp, look->room);
}

/* IPv6 altogether. A group is for asking, never for packets. */
static __attribute__((noinline)) enum dpdk_hdr_result
find_ip6(const struct dpdk_hdr_policy *policy, const uint8_t *frame,
	 struct dpdk_hdr_in *in)
{
	bool ours = mac_is_ours(policy, frame);
	enum dpdk_hdr_result result;
	struct ip_look look;

	/* RFC 2464 section 7. */
	if (!ours && (frame[0] != 0x33 || frame[1] != 0x33))
		return DPDK_HDR_FOREIGN_ETHER;
	result = check_ip6(policy, frame + in->offset, in->len, &look);
	if (result != DPDK_HDR_PACKET)
		return result;
	return ours ? check_udp(policy, &look, frame, in)
		    : DPDK_HDR_FOREIGN_ETHER;
}

/* Neither IP for us, nor nothing at all? ARP asks everybody. */
static enum dpdk_hdr_result
check_arp(const struct dpdk_hdr_policy *policy, const uint8_t *frame,
	  uint16_t type)
{
	bool group = (frame[ETH_DST] & 1) != 0;

	if (type != RTE_ETHER_TYPE_ARP ||
	    policy->ether_type != RTE_ETHER_TYPE_IPV4 ||
	    (!group && !mac_is_ours(policy, frame)))
		return DPDK_HDR_FOREIGN_ETHER;
	return DPDK_HDR_ARP;
}

/* A frame with a tag, or not of our IP. @return PACKET: it is, in->offset on. */
static __attribute__((noinline)) enum dpdk_hdr_result
check_ether(const struct dpdk_hdr_policy *policy, const uint8_t *frame,
	    uint32_t frame_len, struct dpdk_hdr_in *in)
{
	enum dpdk_hdr_result result = DPDK_HDR_PACKET;
	uint16_t type = get_be16(frame + ETH_TYPE);
	uint32_t l2_len = L2_LEN;

	if ((policy->vlan | policy->stripped) != 0 || is_tag(type))
		result = check_vlan(policy, frame, frame_len, &type, &l2_len);
	in->offset = (uint16_t)l2_len;
	in->len = (uint16_t)(frame_len - l2_len);
	if (result != DPDK_HDR_PACKET || type == policy->ether_type)
		return result;
	return check_arp(policy, frame, type);
}

enum dpdk_hdr_result
weir_dpdk_hdr_find(const struct dpdk_hdr_policy *policy, const uint8_t *frame,
		   uint32_t frame_len, struct dpdk_hdr_in *in)
{
	enum dpdk_hdr_result result;
	struct ip_look look;

	if (frame_len < L2_LEN)
		return DPDK_HDR_SHORT;
	in->offset = L2_LEN;
	in->len = (uint16_t)(frame_len - L2_LEN);
	if (__builtin_expect(get_be16(frame + ETH_TYPE) != policy->ether_type ||
				     (policy->vlan | policy->stripped) != 0,
			     0)) {
		result = check_ether(policy, frame, frame_len, in);
		if (result != DPDK_HDR_PACKET)
			return result;
	}
	if (__builtin_expect(policy->ether_type != RTE_ETHER_TYPE_IPV4, 0))
		return find_ip6(policy, frame, in);
	if (!mac_is_ours(policy, frame))
		return DPDK_HDR_FOREIGN_ETHER;
	result = check_ip4(policy, frame + in->offset, in->len, &look);
	return result == DPDK_HDR_PACKET ? check_udp(policy, &look, frame, in)
					 : result;
}

enum dpdk_hdr_result
weir_dpdk_hdr_parse(const struct dpdk_hdr_policy *policy, const uint8_t *frame,
		    uint32_t frame_len, struct dpdk_hdr_in *in)
{
	enum dpdk_hdr_result result =
		weir_dpdk_hdr_find(policy, frame, frame_len, in);
	const uint8_t *udp = frame + in->offset - UDP_LEN;

	if (result == DPDK_HDR_PACKET || result == DPDK_HDR_ARP ||
	    result == DPDK_HDR_NDP)
		memcpy(&in->src_mac, frame + ETH_SRC, RTE_ETHER_ADDR_LEN);
	if (result != DPDK_HDR_PACKET)
		return result;
	in->src.port = get_be16(udp + UDPH_SRC);
	in->dst.port = get_be16(udp + UDPH_DST);
	if (policy->ether_type == RTE_ETHER_TYPE_IPV4) {
		in->src.ip = dpdk_ip4_at(udp - IP4_LEN + IP4_SRC);
		in->dst.ip = dpdk_ip4_at(udp - IP4_LEN + IP4_DST);
	} else {
		memcpy(&in->src.ip, udp - IP6_LEN + IP6_SRC, 16);
		memcpy(&in->dst.ip, udp - IP6_LEN + IP6_DST, 16);
	}
	return DPDK_HDR_PACKET;
}

enum dpdk_hdr_result
weir_dpdk_hdr_check_source(const struct dpdk_hdr_policy *policy,
			   const struct dpdk_hdr_in *in)
{
	bool ip4 = dpdk_ip_is_ip4(&in->src.ip);

	/* A mapped address inside IPv6 would be answered by IPv4. */
	if (ip4 != dpdk_ip_is_ip4(&in->dst.ip) ||
	    !weir_dpdk_ip_is_unicast(&in->src.ip) ||
	    (in->src_mac.addr_bytes[0] & 1) != 0)
		return DPDK_HDR_BAD_SOURCE;
	if (!policy->any_ip && dpdk_ip_equal(&in->src.ip, &policy->ip))
		return DPDK_HDR_BAD_SOURCE;
	return in->src.port != 0 ? DPDK_HDR_PACKET : DPDK_HDR_BAD_SOURCE;
}
