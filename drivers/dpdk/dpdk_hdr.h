/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_HDR_H
#define DPDK_HDR_H

/*
 * dpdk_hdr: what stands in front of a weir packet, both ways.
 *
 *     | Ethernet 14 [tag 4] | IPv4 20 or IPv6 40 | UDP 8 | weir packet ...
 *     -len                                       -8      0
 *
 * Everything is counted backwards from the packet: a template per peer ends
 * where the packet begins, is copied there in one piece whatever it is made
 * of, and the fields that depend on the length are patched. Receiving: one
 * look over the frame tells where the packet is, or the named reason why
 * there is none. Pure: bytes in, bytes out.
 */

#include <stdbool.h>
#include <stdint.h>
#include <rte_ether.h>

#include "crc32c.h"
#include "dpdk_addr.h"

#define DPDK_HDR_LEN     42 /* Ethernet + IPv4 + UDP, as pairs have it */
#define DPDK_HDR_LEN_MAX 66 /* Ethernet + tag + IPv6 + UDP */
#define DPDK_HDR_TAG_LEN 4
#define DPDK_HDR_TTL     64
#define DPDK_HDR_TTL_MAX 255

/* VLAN IDs: 0 is no VLAN, 4095 is reserved (802.1Q). */
#define DPDK_VLAN_MAX 4094
#define DPDK_PCP_MAX  7

/* ECN field of the IP header (RFC 3168 section 5). */
enum {
	DPDK_ECN_NOT_ECT = 0,
	DPDK_ECN_ECT1 = 1,
	DPDK_ECN_ECT0 = 2,
	DPDK_ECN_CE = 3, /* a router was congested */
};

/* What all frames of a port have in common. */
struct dpdk_hdr_wire {
	uint16_t vlan; /* 0: no tag */
	uint8_t pcp;   /* priority in the tag */
	uint8_t ttl;   /* or hop limit */
};

/* Everything in front of a packet to one peer, but for its length. */
struct dpdk_hdr {
	uint8_t bytes[DPDK_HDR_LEN_MAX]; /* the last len are in use */
	uint8_t len;
	uint8_t l2_len; /* for tx offloads */
	uint8_t l3_len;
	bool is_ip4;
	uint32_t ip_sum;     /* of the IPv4 header without length and ECN */
	uint32_t pseudo_sum; /* of the UDP pseudo header without length */
};

/* src and dst are of one family. */
void weir_dpdk_hdr_init(struct dpdk_hdr *hdr, const struct dpdk_hdr_wire *wire,
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
 * Write the headers in front of packet; the frame begins hdr->len before it.
 * Up to DPDK_HDR_LEN_MAX bytes there are overwritten, whatever hdr->len is.
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

/* Ethernet header and tag of some other frame. @return their length. */
uint32_t weir_dpdk_hdr_ether(const struct dpdk_hdr_wire *wire, uint8_t *frame,
			     const struct rte_ether_addr *dst,
			     const struct rte_ether_addr *src, uint16_t type);

/*
 * Checksum of what an IPv6 header is followed by, pseudo header included
 * (RFC 8200 section 8.1): over a body whose checksum field is zero what to put
 * there, over one that has it 0 if it is right. Memory order of the bytes.
 */
uint16_t weir_dpdk_hdr_ip6_cksum(const uint8_t *ip6, const uint8_t *body,
				 uint16_t len, uint8_t protocol);

/* The trailer (docs/wire.md) of a packet with headers before it: addresses and
 * ports, which it covers, end 4 bytes before the packet. */
static inline uint32_t
dpdk_trailer(bool is_ip4, const uint8_t *packet, uint32_t len)
{
	uint32_t addr_len = is_ip4 ? 12 : 36;

	return crc32c_trailer(packet - 4 - addr_len, addr_len, packet, len);
}

/* What a received frame turned out to be. Each has a name and is counted. */
enum dpdk_hdr_result {
	DPDK_HDR_PACKET,    /* for us: see struct dpdk_hdr_in */
	DPDK_HDR_ARP,       /* for weir_dpdk_neigh_arp(), at in.offset */
	DPDK_HDR_NDP,       /* for weir_dpdk_neigh_ndp(), at in.offset */
	DPDK_HDR_SHORT,     /* ends inside the headers */
	DPDK_HDR_SEGMENTED, /* in several mbufs, which no device here does */
	DPDK_HDR_FOREIGN_ETHER, /* another EtherType, or not our MAC */
	DPDK_HDR_FOREIGN_VLAN,  /* of another VLAN, or of none, or of one */
	DPDK_HDR_STACKED_VLAN,  /* two tags, or a provider's */
	DPDK_HDR_FOREIGN_IP,    /* another address or protocol */
	DPDK_HDR_FOREIGN_PORT,  /* UDP, but none of our ports */
	DPDK_HDR_ICMP,          /* to us, and not about neighbours */
	DPDK_HDR_BAD_IP,        /* version, header length or total length */
	DPDK_HDR_IP_OPTIONS,    /* IPv4 with options: weir sends none */
	DPDK_HDR_EXTENSION,     /* IPv6 with extension headers */
	DPDK_HDR_FRAGMENT4,     /* we set DF, so not from weir */
	DPDK_HDR_FRAGMENT6,     /* IPv6 with a fragment header */
	DPDK_HDR_TOO_FAR,       /* came from farther away than ttl-min= says */
	DPDK_HDR_IP_CKSUM,
	DPDK_HDR_BAD_UDP, /* its length disagrees with IP's */
	DPDK_HDR_UDP_CKSUM,
	DPDK_HDR_UDP_NO_CKSUM, /* zero: the sender made none */
	DPDK_HDR_BAD_SOURCE,   /* nobody to answer: see check_source() */
	DPDK_HDR_RESULTS
};

/* A short name for statistics: "short", "foreign_ether", ... */
const char *weir_dpdk_hdr_result_name(enum dpdk_hdr_result result);

enum dpdk_hdr_check {
	DPDK_HDR_CHECK,       /* verify in software */
	DPDK_HDR_CHECK_OK,    /* the device found it right */
	DPDK_HDR_CHECK_WRONG, /* the device found it wrong */
	/* The device vouches for the data, but the field may be unfinished:
	 * local traffic that waited for an offload. */
	DPDK_HDR_CHECK_PARTIAL,
	DPDK_HDR_CHECK_SKIP, /* no wire, no checksum */
};

/* policy.stripped: a tag that the device took out of the frame; one of two. */
#define DPDK_HDR_STRIPPED     UINT32_C(0x10000)
#define DPDK_HDR_STRIPPED_TWO UINT32_C(0x20000)

/* What counts as ours. */
struct dpdk_hdr_policy {
	struct rte_ether_addr mac;
	bool any_mac;        /* pairs: do not look */
	bool any_ip;         /* the same */
	uint16_t ether_type; /* RTE_ETHER_TYPE_IPV4 or _IPV6: of ip */
	struct dpdk_ip ip;
	uint16_t port_first; /* UDP destination port, inclusive range; */
	uint16_t port_last;  /* the exact port is out.dst.port */
	uint16_t vlan;       /* 0: only frames of none */
	uint8_t ttl_min;     /* 0: any */
	/*
	 * A UDP checksum of 0 means "the sender made none". On a wire weir
	 * always makes one, so 0 is refused unless this is set.
	 */
	bool udp_zero_ok;

	/* Per frame, from its ol_flags: dpdk_cksum.h. */
	enum dpdk_hdr_check ip_check;
	enum dpdk_hdr_check udp_check;
	uint32_t stripped; /* 0, or DPDK_HDR_STRIPPED and the tag */
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
 * Look at one contiguous frame. *in is written for DPDK_HDR_PACKET; for ARP
 * and NDP its offset, len and src_mac are: what stands behind Ethernet.
 */
enum dpdk_hdr_result weir_dpdk_hdr_parse(const struct dpdk_hdr_policy *policy,
					 const uint8_t *frame,
					 uint32_t frame_len,
					 struct dpdk_hdr_in *in);

/*
 * The same for packets of links that stand already: only offset, len and ecn
 * of *in are written. The fast path.
 */
enum dpdk_hdr_result weir_dpdk_hdr_find(const struct dpdk_hdr_policy *policy,
					const uint8_t *frame,
					uint32_t frame_len,
					struct dpdk_hdr_in *in);

/*
 * A packet that begins something: can its sender be answered?
 *
 * @return DPDK_HDR_PACKET; DPDK_HDR_BAD_SOURCE if the MAC or the IP address
 *         is not one station's, or is ours.
 */
enum dpdk_hdr_result weir_dpdk_hdr_check_source(
	const struct dpdk_hdr_policy *policy, const struct dpdk_hdr_in *in);

#endif /* DPDK_HDR_H */
