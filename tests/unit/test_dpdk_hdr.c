/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_hdr: headers in front of a packet, against bytes written down by
 * hand and against DPDK's own checksum functions, which weir does not use.
 * Whatever does not belong to one kind of frame is tested with all four.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <rte_ip.h>
#include <rte_udp.h>

#include "frames.h"

#define PACKET_LEN 100
#define BUFFER_LEN (DPDK_HDR_LEN_MAX + 1500)

#define IP4    (&frame_kinds[0])
#define IP4TAG (&frame_kinds[1])
#define IP6    (&frame_kinds[2])
#define IP6TAG (&frame_kinds[3])

#define EACH_KIND(kind)                                   \
	for (const struct frame_kind *kind = frame_kinds; \
	     kind < frame_kinds + FRAME_KINDS; kind++)

static enum dpdk_hdr_result
parse(const struct frame_kind *kind, const uint8_t *frame, uint32_t len)
{
	struct dpdk_hdr_policy policy = frame_policy(kind);
	struct dpdk_hdr_in in;

	return weir_dpdk_hdr_parse(&policy, frame, len, &in);
}

/* ---- bytes ---------------------------------------------------------------------- */

/* Computed with another tool and written down: nothing may move. */
static void
ip4_bytes_are_as_the_standards_say(void **state)
{
	static const uint8_t expected[] = {
		0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, /* destination */
		0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, /* source */
		0x08, 0x00,                         /* IPv4 */
		0x45, 0x00, 0x00, 0x1e,             /* length 30 */
		0x00, 0x00, 0x40, 0x00,             /* id 0, DF */
		0x40, 0x11, 0x26, 0xbf,             /* TTL 64, UDP, checksum */
		0x0a, 0x07, 0x00, 0x01,             /* 10.7.0.1 */
		0x0a, 0x07, 0x00, 0x02,             /* 10.7.0.2 */
		0xc0, 0x00, 0x1c, 0xe8,             /* 49152 -> 7400 */
		0x00, 0x0a, 0x00, 0x00,             /* length 10 */
	};
	uint8_t buffer[BUFFER_LEN];
	uint8_t *frame = frame_make(IP4, buffer, 2, false);

	(void)state;
	assert_int_equal(frame_hdr(IP4).len, sizeof(expected));
	assert_memory_equal(frame, expected, sizeof(expected));
}

static void
ip6_bytes_are_as_the_standards_say(void **state)
{
	static const uint8_t expected[] = {
		0x02, 0x00, 0x00, 0x00, 0x00, 0x0b, /* destination */
		0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, /* source */
		0x81, 0x00, 0xa0, 0x07,             /* priority 5, VLAN 7 */
		0x86, 0xdd,                         /* IPv6 */
		0x60, 0x00, 0x00, 0x00,             /* no class, no label */
		0x00, 0x0a, 0x11, 0x40,             /* 10 B, UDP, 64 hops */
		0xfd, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, /* network */
		0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x01, 0x01, /* ...:101 */
		0xfd, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, /* network */
		0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x01, 0x02, /* ...:102 */
		0xc0, 0x00, 0x1c, 0xe8, /* 49152 -> 7400 */
		0x00, 0x0a, 0x00, 0x00, /* length 10 */
	};
	uint8_t buffer[BUFFER_LEN];
	uint8_t *frame = frame_make(IP6TAG, buffer, 2, false);

	(void)state;
	assert_int_equal(frame_hdr(IP6TAG).len, DPDK_HDR_LEN_MAX);
	assert_memory_equal(frame, expected, sizeof(expected));
}

/* The same bytes but for the tag, at whatever place. */
static void
a_tag_moves_nothing_else(void **state)
{
	uint8_t plain[BUFFER_LEN], tagged[BUFFER_LEN];

	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i += 2) {
		uint8_t *a = frame_make(&frame_kinds[i], plain, 40, true);
		uint8_t *b = frame_make(&frame_kinds[i + 1], tagged, 40, true);

		assert_memory_equal(a, b, 12);
		assert_memory_equal(a + 12, b + 16,
				    frame_hdr_len(&frame_kinds[i]) + 40 - 12);
	}
}

/* ---- checksums ------------------------------------------------------------------ */

static uint16_t
udp_sum_by_dpdk(const struct frame_kind *kind, const uint8_t *frame)
{
	const uint8_t *ip = frame + kind->l2_len;
	const uint8_t *udp = ip + kind->l3_len;
	struct rte_ipv4_hdr ip4;
	struct rte_ipv6_hdr ip6;

	memcpy(&ip4, ip, sizeof(ip4));
	memcpy(&ip6, ip, sizeof(ip6));
	return kind->l3_len == 20 ? rte_ipv4_udptcp_cksum(&ip4, udp)
				  : rte_ipv6_udptcp_cksum(&ip6, udp);
}

static void
checksums_agree_with_dpdk(void **state)
{
	uint8_t buffer[BUFFER_LEN];

	(void)state;
	EACH_KIND(kind)
	{
		for (uint16_t len = 0; len <= 1400; len++) {
			uint8_t *frame = frame_make(kind, buffer, len, true);
			uint8_t *field = buffer + DPDK_HDR_LEN_MAX - 2;
			uint16_t ours;

			if (kind->l3_len == 20)
				assert_int_equal(
					rte_raw_cksum(frame + kind->l2_len, 20),
					0xffff);
			memcpy(&ours, field, sizeof(ours));
			memset(field, 0, sizeof(ours));
			assert_int_equal(ours, udp_sum_by_dpdk(kind, frame));
		}
	}
}

/* In pieces of even length, as a header and a payload are. */
static void
a_sum_can_be_carried_over_pieces(void **state)
{
	uint8_t bytes[256];

	(void)state;
	srand(7);
	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)rand();
	for (uint32_t cut = 0; cut <= 255; cut += 2) {
		uint32_t sum = weir_dpdk_hdr_sum(bytes, cut, 0);

		sum = weir_dpdk_hdr_sum(bytes + cut, 255 - cut, sum);
		assert_int_equal(sum, weir_dpdk_hdr_sum(bytes, 255, 0));
		assert_int_equal(sum, rte_raw_cksum(bytes, 255));
	}
}

/* All ones is the same number as zero in this arithmetic; zero means none. */
static void
a_checksum_of_zero_is_sent_as_all_ones(void **state)
{
	uint8_t buffer[DPDK_HDR_LEN_MAX + 2];
	uint8_t *packet = buffer + DPDK_HDR_LEN_MAX;

	(void)state;
	EACH_KIND(kind)
	{
		struct dpdk_hdr hdr = frame_hdr(kind);
		int seen = 0;

		for (uint32_t word = 0; word <= 0xffff; word++) {
			packet[0] = (uint8_t)(word >> 8);
			packet[1] = (uint8_t)word;
			weir_dpdk_hdr_write(&hdr, packet, 2, 0);
			weir_dpdk_hdr_udp_cksum(
				&hdr, packet, weir_dpdk_hdr_sum(packet, 2, 0));
			assert_false(packet[-2] == 0 && packet[-1] == 0);
			seen += packet[-2] == 0xff && packet[-1] == 0xff;
			assert_int_equal(
				parse(kind, packet - hdr.len, hdr.len + 2u),
				DPDK_HDR_PACKET);
		}
		assert_true(seen > 0);
	}
}

static void
an_ip6_sum_covers_its_pseudo_header(void **state)
{
	uint8_t buffer[BUFFER_LEN];
	uint8_t *frame = frame_make(IP6, buffer, 33, true);
	uint8_t *ip = frame + 14;
	uint16_t sum = weir_dpdk_hdr_ip6_cksum(ip, ip + 40, 41, 17);

	(void)state;
	assert_int_equal(sum, 0);
	ip[20] ^= 1;
	assert_int_not_equal(weir_dpdk_hdr_ip6_cksum(ip, ip + 40, 41, 17), 0);
	ip[20] ^= 1;
	assert_int_not_equal(weir_dpdk_hdr_ip6_cksum(ip, ip + 40, 41, 58), 0);
}

/* ---- receiving ------------------------------------------------------------------ */

static void
a_packet_is_found_with_its_sender(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct dpdk_hdr_policy policy = frame_policy(kind);
		uint8_t buffer[BUFFER_LEN];
		uint8_t *frame = frame_make(kind, buffer, PACKET_LEN, true);
		uint32_t len = frame_hdr_len(kind) + PACKET_LEN;
		struct dpdk_hdr_in in;

		assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
				 DPDK_HDR_PACKET);
		assert_int_equal(in.offset, frame_hdr_len(kind));
		assert_int_equal(in.len, PACKET_LEN);
		assert_true(dpdk_ip_equal(&in.src.ip, &kind->src.ip));
		assert_int_equal(in.src.port, kind->src.port);
		assert_true(dpdk_ip_equal(&in.dst.ip, &kind->dst.ip));
		assert_int_equal(in.dst.port, kind->dst.port);
		assert_memory_equal(&in.src_mac, &frame_mac_a, 6);
		assert_int_equal(in.ecn, DPDK_ECN_NOT_ECT);
		assert_int_equal(weir_dpdk_hdr_check_source(&policy, &in),
				 DPDK_HDR_PACKET);
	}
}

/* Ethernet pads to 60 bytes: the padding is not part of the packet. */
static void
padding_is_not_part_of_the_packet(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct dpdk_hdr_policy policy = frame_policy(kind);
		uint8_t buffer[BUFFER_LEN] = { 0 };
		uint8_t *frame = frame_make(kind, buffer, 3, true);
		struct dpdk_hdr_in in;

		assert_int_equal(weir_dpdk_hdr_parse(&policy, frame,
						     frame_hdr_len(kind) + 20,
						     &in),
				 DPDK_HDR_PACKET);
		assert_int_equal(in.len, 3);
	}
}

static void
every_cut_is_short_or_bad(void **state)
{
	uint8_t buffer[BUFFER_LEN];

	(void)state;
	EACH_KIND(kind)
	{
		uint8_t *frame = frame_make(kind, buffer, PACKET_LEN, true);
		uint32_t len = frame_hdr_len(kind) + PACKET_LEN;

		for (uint32_t cut = 0; cut < len; cut++) {
			/* A copy of exact size: sanitizers see overreads. */
			uint8_t *copy = malloc(cut > 0 ? cut : 1);
			enum dpdk_hdr_result result;

			assert_non_null(copy);
			memcpy(copy, frame, cut);
			result = parse(kind, copy, cut);
			if (cut < kind->l2_len + kind->l3_len)
				assert_true(result == DPDK_HDR_SHORT ||
					    result == DPDK_HDR_FOREIGN_VLAN);
			else
				assert_int_equal(result, DPDK_HDR_BAD_IP);
			free(copy);
		}
	}
}

/* What no checksum covers: the tag's priority; class, label and hop limit of
 * IPv6, but for its version. */
static bool
is_free_bit(const struct frame_kind *kind, uint32_t bit)
{
	uint32_t byte = bit / 8, ip = kind->l2_len;

	if (kind->wire.vlan != 0 && byte == 14 && bit % 8 >= 4)
		return true;
	if (kind->l3_len == 20)
		return false;
	return (byte == ip && bit % 8 < 4) || (byte > ip && byte < ip + 4) ||
	       byte == ip + 7;
}

/* Any single bit that weir looks at: found out, and never "packet". */
static void
no_single_bit_error_passes(void **state)
{
	uint8_t buffer[BUFFER_LEN];

	(void)state;
	EACH_KIND(kind)
	{
		uint8_t *frame = frame_make(kind, buffer, PACKET_LEN, true);
		uint32_t len = frame_hdr_len(kind) + PACKET_LEN;

		/* From the EtherType on; the source MAC has no checksum. */
		for (uint32_t bit = 12 * 8; bit < len * 8; bit++) {
			bool passes;

			frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
			passes = parse(kind, frame, len) == DPDK_HDR_PACKET;
			if (passes != is_free_bit(kind, bit))
				fail_msg("%s: bit %u of byte %u", kind->name,
					 bit % 8, bit / 8);
			frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_int_equal(parse(kind, frame, len), DPDK_HDR_PACKET);
	}
}

static void
set_ip4(uint8_t *frame, uint32_t offset, uint8_t value)
{
	uint16_t cksum = 0;

	frame[14 + offset] = value;
	memcpy(frame + 24, &cksum, 2);
	cksum = (uint16_t)~rte_raw_cksum(frame + 14, 20);
	memcpy(frame + 24, &cksum, 2);
}

#define EXPECT(kind, change, result)                                           \
	do {                                                                   \
		uint8_t *frame = frame_make((kind), buffer, PACKET_LEN, true); \
		uint32_t len = frame_hdr_len(kind) + PACKET_LEN;               \
		change;                                                        \
		assert_int_equal(parse((kind), frame, len), (result));         \
	} while (0)

static void
each_ip4_reason_has_its_name(void **state)
{
	uint8_t buffer[BUFFER_LEN];

	(void)state;
	EXPECT(IP4, (frame[12] = 8, frame[13] = 6), DPDK_HDR_ARP);
	EXPECT(IP4, memset(frame, 0xff, 6), DPDK_HDR_FOREIGN_ETHER);
	EXPECT(IP4, (memset(frame, 0xff, 6), frame[12] = 8, frame[13] = 6),
	       DPDK_HDR_ARP);
	/* Somebody else's answer, seen because the device takes everything. */
	EXPECT(IP4, (frame[5] = 0xc, frame[12] = 8, frame[13] = 6),
	       DPDK_HDR_FOREIGN_ETHER);
	EXPECT(IP4, frame[12] = 0x86, DPDK_HDR_FOREIGN_ETHER);
	EXPECT(IP4, (frame[12] = 0x86, frame[13] = 0xdd),
	       DPDK_HDR_FOREIGN_ETHER);
	EXPECT(IP4, frame[5] = 0xc, DPDK_HDR_FOREIGN_ETHER);
	EXPECT(IP4, set_ip4(frame, 9, 6), DPDK_HDR_FOREIGN_IP);
	EXPECT(IP4, set_ip4(frame, 9, 1), DPDK_HDR_ICMP);
	EXPECT(IP4, set_ip4(frame, 19, 3), DPDK_HDR_FOREIGN_IP);
	EXPECT(IP4, set_ip4(frame, 0, 0x46), DPDK_HDR_IP_OPTIONS);
	EXPECT(IP4, set_ip4(frame, 0, 0x4f), DPDK_HDR_IP_OPTIONS);
	EXPECT(IP4, set_ip4(frame, 0, 0x44), DPDK_HDR_BAD_IP);
	EXPECT(IP4, set_ip4(frame, 0, 0x65), DPDK_HDR_BAD_IP);
	EXPECT(IP4, set_ip4(frame, 2, 0xff), DPDK_HDR_BAD_IP);
	EXPECT(IP4, (set_ip4(frame, 2, 0), set_ip4(frame, 3, 19)),
	       DPDK_HDR_BAD_IP);
	EXPECT(IP4, (set_ip4(frame, 2, 0), set_ip4(frame, 3, 27)),
	       DPDK_HDR_SHORT);
	EXPECT(IP4, set_ip4(frame, 6, 0x60), DPDK_HDR_FRAGMENT4);
	EXPECT(IP4, set_ip4(frame, 7, 0x01), DPDK_HDR_FRAGMENT4);
	EXPECT(IP4, frame[24] ^= 1, DPDK_HDR_IP_CKSUM);
	EXPECT(IP4, frame[37] ^= 1, DPDK_HDR_FOREIGN_PORT);
	EXPECT(IP4, frame[39] ^= 1, DPDK_HDR_BAD_UDP);
	EXPECT(IP4, frame[50] ^= 1, DPDK_HDR_UDP_CKSUM);
	EXPECT(IP4, (frame[40] = 0, frame[41] = 0), DPDK_HDR_UDP_NO_CKSUM);
}

static void
each_ip6_reason_has_its_name(void **state)
{
	static const uint8_t extensions[] = {
		0, 43, 60, 51, 50, 135, 139, 140
	};
	uint8_t buffer[BUFFER_LEN];

	(void)state;
	EXPECT(IP6, (frame[12] = 8, frame[13] = 6), DPDK_HDR_FOREIGN_ETHER);
	EXPECT(IP6, (frame[12] = 8, frame[13] = 0), DPDK_HDR_FOREIGN_ETHER);
	EXPECT(IP6, frame[5] = 0xc, DPDK_HDR_FOREIGN_ETHER);
	EXPECT(IP6, frame[14] = 0x45, DPDK_HDR_BAD_IP);
	EXPECT(IP6, frame[18] = 1, DPDK_HDR_BAD_IP);
	EXPECT(IP6, frame[19] = 7, DPDK_HDR_SHORT);
	EXPECT(IP6, frame[20] = 6, DPDK_HDR_FOREIGN_IP);
	EXPECT(IP6, frame[20] = 59, DPDK_HDR_FOREIGN_IP);
	EXPECT(IP6, frame[20] = 44, DPDK_HDR_FRAGMENT6);
	for (size_t i = 0; i < sizeof(extensions); i++)
		EXPECT(IP6, frame[20] = extensions[i], DPDK_HDR_EXTENSION);
	EXPECT(IP6, (frame[20] = 58, frame[54] = 128), DPDK_HDR_ICMP);
	EXPECT(IP6, (frame[20] = 58, frame[54] = 134), DPDK_HDR_ICMP);
	EXPECT(IP6, (frame[20] = 58, frame[54] = 135), DPDK_HDR_NDP);
	EXPECT(IP6, (frame[20] = 58, frame[54] = 136), DPDK_HDR_NDP);
	EXPECT(IP6, (frame[20] = 58, frame[19] = 0), DPDK_HDR_SHORT);
	EXPECT(IP6, frame[53] ^= 1, DPDK_HDR_FOREIGN_IP);
	EXPECT(IP6, frame[57] ^= 1, DPDK_HDR_FOREIGN_PORT);
	EXPECT(IP6, frame[59] ^= 1, DPDK_HDR_BAD_UDP);
	EXPECT(IP6, frame[70] ^= 1, DPDK_HDR_UDP_CKSUM);
	/* RFC 8200 8.1: in IPv6 never without. */
	EXPECT(IP6, (frame[60] = 0, frame[61] = 0), DPDK_HDR_UDP_NO_CKSUM);
}

static void
to_group(uint8_t *frame, const uint8_t *group)
{
	frame[0] = frame[1] = 0x33;
	memcpy(frame + 2, group + 12, 4);
	memcpy(frame + 38, group, 16);
}

/* Groups are for questions: ours, and all nodes; never for packets. */
static void
groups_ask_and_do_no_more(void **state)
{
	static const uint8_t ours[16] = { 0xff, 2, [11] = 1, 0xff, 13, 1, 2 };
	static const uint8_t other[16] = { 0xff, 2, [11] = 1, 0xff, 13, 1, 3 };
	static const uint8_t all[16] = { 0xff, 2, [15] = 1 };
	static const uint8_t routers[16] = { 0xff, 2, [15] = 2 };
	uint8_t buffer[BUFFER_LEN];

	(void)state;
#define ASKS (frame[20] = 58, frame[54] = 135)
	EXPECT(IP6, (ASKS, to_group(frame, ours)), DPDK_HDR_NDP);
	EXPECT(IP6, (ASKS, to_group(frame, all)), DPDK_HDR_NDP);
	EXPECT(IP6, (ASKS, to_group(frame, other)), DPDK_HDR_FOREIGN_IP);
	EXPECT(IP6, (ASKS, to_group(frame, routers)), DPDK_HDR_FOREIGN_IP);
	EXPECT(IP6, to_group(frame, ours), DPDK_HDR_FOREIGN_IP);
	EXPECT(IP6, to_group(frame, all), DPDK_HDR_FOREIGN_IP);
	/* Our address at a group's MAC. */
	EXPECT(IP6, memset(frame, 0x33, 2), DPDK_HDR_FOREIGN_ETHER);
	EXPECT(IP6, memset(frame, 0xff, 6), DPDK_HDR_FOREIGN_ETHER);
#undef ASKS
}

static void
arp_and_ndp_say_where_they_begin(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct dpdk_hdr_policy policy = frame_policy(kind);
		bool ip4 = kind->l3_len == 20;
		uint8_t buffer[BUFFER_LEN];
		uint8_t *frame = frame_make(kind, buffer, PACKET_LEN, true);
		uint8_t *ip = frame + kind->l2_len;
		uint32_t len = frame_hdr_len(kind) + PACKET_LEN;
		struct dpdk_hdr_in in;

		if (ip4)
			ip[-1] = 6;
		else
			ip[6] = 58, ip[40] = 136;
		assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
				 ip4 ? DPDK_HDR_ARP : DPDK_HDR_NDP);
		assert_int_equal(in.offset, kind->l2_len);
		assert_int_equal(in.len, len - kind->l2_len);
		assert_memory_equal(&in.src_mac, &frame_mac_a, 6);
	}
}

/* ---- VLAN ----------------------------------------------------------------------- */

/* frame of kind, with policy of VLAN vlan and a tag that was taken out. */
static enum dpdk_hdr_result
parse_in(uint16_t vlan, uint32_t stripped, const struct frame_kind *kind,
	 const uint8_t *frame)
{
	struct dpdk_hdr_policy policy = frame_policy(kind);
	struct dpdk_hdr_in in;

	policy.vlan = vlan;
	policy.stripped = stripped;
	return weir_dpdk_hdr_parse(&policy, frame,
				   frame_hdr_len(kind) + PACKET_LEN, &in);
}

static void
only_our_vlan_is_ours(void **state)
{
	const uint32_t tag = DPDK_HDR_STRIPPED | 3 << 13;

	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i++) {
		const struct frame_kind *kind = &frame_kinds[i];
		bool tagged = kind->wire.vlan != 0;
		uint8_t buffer[BUFFER_LEN];
		uint8_t *frame = frame_make(kind, buffer, PACKET_LEN, true);

		assert_int_equal(parse_in(FRAME_VLAN, 0, kind, frame),
				 tagged ? DPDK_HDR_PACKET
					: DPDK_HDR_FOREIGN_VLAN);
		assert_int_equal(parse_in(0, 0, kind, frame),
				 tagged ? DPDK_HDR_FOREIGN_VLAN
					: DPDK_HDR_PACKET);
		assert_int_equal(parse_in(FRAME_VLAN + 1, 0, kind, frame),
				 DPDK_HDR_FOREIGN_VLAN);
		/* The device has taken a tag out: of our VLAN, of another, of
		 * none. With one still there it was two. */
		assert_int_equal(
			parse_in(FRAME_VLAN, tag | FRAME_VLAN, kind, frame),
			tagged ? DPDK_HDR_STACKED_VLAN : DPDK_HDR_PACKET);
		assert_int_equal(parse_in(FRAME_VLAN, tag | 8, kind, frame),
				 tagged ? DPDK_HDR_STACKED_VLAN
					: DPDK_HDR_FOREIGN_VLAN);
		assert_int_equal(parse_in(0, tag, kind, frame),
				 tagged ? DPDK_HDR_STACKED_VLAN
					: DPDK_HDR_PACKET);
		assert_int_equal(
			parse_in(FRAME_VLAN,
				 tag | FRAME_VLAN | DPDK_HDR_STRIPPED_TWO, kind,
				 frame),
			DPDK_HDR_STACKED_VLAN);
	}
}

static void
a_tag_may_carry_a_priority_alone(void **state)
{
	uint8_t buffer[BUFFER_LEN];
	uint8_t *frame = frame_make(IP4TAG, buffer, PACKET_LEN, true);

	(void)state;
	frame[14] = 0xe0;
	frame[15] = 0;
	assert_int_equal(parse_in(0, 0, IP4TAG, frame), DPDK_HDR_PACKET);
	assert_int_equal(parse_in(FRAME_VLAN, 0, IP4TAG, frame),
			 DPDK_HDR_FOREIGN_VLAN);
}

static void
two_tags_are_dropped(void **state)
{
	static const uint16_t types[] = { 0x8100, 0x88a8, 0x9100 };
	uint8_t buffer[BUFFER_LEN];

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		uint8_t high = (uint8_t)(types[i] >> 8);
		uint8_t low = (uint8_t)types[i];

		EXPECT(IP4TAG, (frame[16] = high, frame[17] = low),
		       DPDK_HDR_STACKED_VLAN);
		EXPECT(IP4TAG, (frame[12] = high, frame[13] = low),
		       types[i] == 0x8100 ? DPDK_HDR_PACKET
					  : DPDK_HDR_STACKED_VLAN);
	}
}

/* ---- distance, sources, devices ------------------------------------------------- */

static void
distance_is_limited_on_request(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct dpdk_hdr_policy policy = frame_policy(kind);
		struct frame_kind far = *kind;
		uint8_t buffer[BUFFER_LEN];
		struct dpdk_hdr_in in;

		for (int ttl = 253; ttl <= 255; ttl++) {
			uint8_t *frame;

			far.wire.ttl = (uint8_t)ttl;
			frame = frame_make(&far, buffer, PACKET_LEN, true);
			for (int min = 253; min <= 255; min++) {
				policy.ttl_min = (uint8_t)min;
				assert_int_equal(weir_dpdk_hdr_parse(
							 &policy, frame,
							 frame_hdr_len(kind) +
								 PACKET_LEN,
							 &in),
						 ttl < min ? DPDK_HDR_TOO_FAR
							   : DPDK_HDR_PACKET);
			}
		}
	}
}

static void
only_one_station_can_be_answered(void **state)
{
	static const struct dpdk_ip ip4[] = {
		FRAME_IP4(2), /* ours */
		{ { [10] = 0xff, 0xff, 0 } },
		{ { [10] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
		{ { [10] = 0xff, 0xff, 224, 0, 0, 1 } },
		{ { [10] = 0xff, 0xff, 127, 0, 0, 1 } },
	};
	static const struct dpdk_ip ip6[] = {
		FRAME_IP6(2),
		{ { 0 } },
		{ { [15] = 1 } },
		{ { 0xff, 2 } },
		/* IPv4, which would be answered by IPv4. */
		FRAME_IP4(1)
	};

	(void)state;
	for (int family = 0; family < 2; family++) {
		const struct frame_kind *kind = family == 0 ? IP4 : IP6;
		struct dpdk_hdr_policy policy = frame_policy(kind);
		struct dpdk_hdr_in good = { .src = kind->src,
					    .dst = kind->dst,
					    .src_mac = frame_mac_a };
		struct dpdk_hdr_in in = good;

		assert_int_equal(weir_dpdk_hdr_check_source(&policy, &in),
				 DPDK_HDR_PACKET);
		in.src_mac.addr_bytes[0] |= 1;
		assert_int_equal(weir_dpdk_hdr_check_source(&policy, &in),
				 DPDK_HDR_BAD_SOURCE);
		in = good;
		in.src.port = 0;
		assert_int_equal(weir_dpdk_hdr_check_source(&policy, &in),
				 DPDK_HDR_BAD_SOURCE);
		for (size_t i = 0; i < 5; i++) {
			in = good;
			in.src.ip = family == 0 ? ip4[i] : ip6[i];
			assert_int_equal(
				weir_dpdk_hdr_check_source(&policy, &in),
				DPDK_HDR_BAD_SOURCE);
		}
	}
}

/* memif and net_ring: no wire, no checksum, any MAC, any address. */
static void
without_a_wire_nothing_is_summed(void **state)
{
	struct dpdk_hdr_policy policy = frame_policy(IP4);
	uint8_t buffer[BUFFER_LEN];
	uint8_t *frame = frame_make(IP4, buffer, PACKET_LEN, false);
	uint32_t len = frame_hdr_len(IP4) + PACKET_LEN;
	struct dpdk_hdr_in in;

	(void)state;
	frame[0] ^= 4;
	policy.udp_check = DPDK_HDR_CHECK_SKIP;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_FOREIGN_ETHER);
	policy.any_mac = true;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_PACKET);
	policy.udp_check = DPDK_HDR_CHECK;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_UDP_NO_CKSUM);
	policy.udp_zero_ok = true;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_PACKET);
	policy.ip.bytes[15] = 99;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_FOREIGN_IP);
	policy.any_ip = true;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_PACKET);
}

/* What was asked for is in the frame, with the right checksum around it. */
static void
ecn_goes_there_and_back(void **state)
{
	(void)state;
	EACH_KIND(kind)
	{
		struct dpdk_hdr_policy policy = frame_policy(kind);
		struct dpdk_hdr hdr = frame_hdr(kind);
		uint8_t buffer[BUFFER_LEN];
		uint8_t *frame = frame_make(kind, buffer, PACKET_LEN, true);
		uint8_t *packet = buffer + DPDK_HDR_LEN_MAX;
		struct dpdk_hdr_in in;

		for (uint8_t ecn = 0; ecn <= DPDK_ECN_CE; ecn++) {
			weir_dpdk_hdr_write(&hdr, packet, PACKET_LEN, ecn);
			weir_dpdk_hdr_udp_cksum(
				&hdr, packet,
				weir_dpdk_hdr_sum(packet, PACKET_LEN, 0));
			assert_int_equal(
				weir_dpdk_hdr_parse(&policy, frame,
						    hdr.len + PACKET_LEN, &in),
				DPDK_HDR_PACKET);
			assert_int_equal(in.ecn, ecn);
		}
	}
}

static void
a_range_of_ports_is_ours(void **state)
{
	struct dpdk_hdr_policy policy = frame_policy(IP4);
	uint8_t buffer[BUFFER_LEN];
	uint8_t *frame = frame_make(IP4, buffer, PACKET_LEN, true);
	uint32_t len = frame_hdr_len(IP4) + PACKET_LEN;
	struct dpdk_hdr_in in;

	(void)state;
	policy.port_first = 7399;
	policy.port_last = 7401;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_PACKET);
	assert_int_equal(in.dst.port, 7400);
	policy.port_first = 7401;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_FOREIGN_PORT);
}

static void
the_peer_may_move(void **state)
{
	static const struct rte_ether_addr mac_c = { { 2, 0, 0, 0, 0, 0xc } };

	(void)state;
	EACH_KIND(kind)
	{
		struct frame_kind moved = *kind;
		uint8_t expected[BUFFER_LEN] = { 0 };
		uint8_t buffer[BUFFER_LEN] = { 0 };
		uint8_t *packet = buffer + DPDK_HDR_LEN_MAX;
		struct dpdk_hdr hdr = frame_hdr(kind);
		uint8_t *frame;

		moved.dst.port = 7555;
		frame = frame_make(&moved, expected, 8, true);
		memcpy(frame, &mac_c, 6);
		memcpy(packet, expected + DPDK_HDR_LEN_MAX, 8);
		weir_dpdk_hdr_set_dst_mac(&hdr, &mac_c);
		weir_dpdk_hdr_set_dst_port(&hdr, 7555);
		weir_dpdk_hdr_write(&hdr, packet, 8, 0);
		weir_dpdk_hdr_udp_cksum(&hdr, packet,
					weir_dpdk_hdr_sum(packet, 8, 0));
		assert_memory_equal(packet - hdr.len, frame, hdr.len + 8u);
	}
}

static void
results_have_names_of_their_own(void **state)
{
	(void)state;
	for (int i = 0; i < DPDK_HDR_RESULTS; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(weir_dpdk_hdr_result_name(i),
						weir_dpdk_hdr_result_name(j));
	assert_string_equal(weir_dpdk_hdr_result_name(DPDK_HDR_RESULTS),
			    "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip4_bytes_are_as_the_standards_say),
		cmocka_unit_test(ip6_bytes_are_as_the_standards_say),
		cmocka_unit_test(a_tag_moves_nothing_else),
		cmocka_unit_test(checksums_agree_with_dpdk),
		cmocka_unit_test(a_sum_can_be_carried_over_pieces),
		cmocka_unit_test(a_checksum_of_zero_is_sent_as_all_ones),
		cmocka_unit_test(an_ip6_sum_covers_its_pseudo_header),
		cmocka_unit_test(a_packet_is_found_with_its_sender),
		cmocka_unit_test(padding_is_not_part_of_the_packet),
		cmocka_unit_test(every_cut_is_short_or_bad),
		cmocka_unit_test(no_single_bit_error_passes),
		cmocka_unit_test(each_ip4_reason_has_its_name),
		cmocka_unit_test(each_ip6_reason_has_its_name),
		cmocka_unit_test(groups_ask_and_do_no_more),
		cmocka_unit_test(arp_and_ndp_say_where_they_begin),
		cmocka_unit_test(only_our_vlan_is_ours),
		cmocka_unit_test(a_tag_may_carry_a_priority_alone),
		cmocka_unit_test(two_tags_are_dropped),
		cmocka_unit_test(distance_is_limited_on_request),
		cmocka_unit_test(only_one_station_can_be_answered),
		cmocka_unit_test(without_a_wire_nothing_is_summed),
		cmocka_unit_test(ecn_goes_there_and_back),
		cmocka_unit_test(a_range_of_ports_is_ours),
		cmocka_unit_test(the_peer_may_move),
		cmocka_unit_test(results_have_names_of_their_own),
	};

	return cmocka_run_group_tests_name("dpdk_hdr", tests, NULL, NULL);
}
