/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_cksum: who makes and who verifies checksums, for every set of
 * offloads that a device may offer and everything that it may say of a frame.
 * The device is made of software here: it finishes what it was left to.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <rte_ip.h>

#include "dpdk_cksum.h"
#include "frames.h"

#define PACKET_LEN 101

static uint8_t buffer[DPDK_HDR_LEN_MAX + PACKET_LEN];
static uint8_t *const packet = buffer + DPDK_HDR_LEN_MAX;

/* ---- sending -------------------------------------------------------------------- */

/*
 * What a NIC does with a frame, by its flags and lengths alone: sum from the
 * UDP header to the end onto what it finds in the field.
 */
static void
device_sends(const struct rte_mbuf *m, uint8_t *frame, uint32_t len)
{
	uint8_t *ip = frame + m->l2_len, *udp = ip + m->l3_len;
	uint16_t sum;

	if ((m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) != 0) {
		sum = (uint16_t)~rte_raw_cksum(ip, m->l3_len);
		memcpy(ip + 10, &sum, sizeof(sum));
	}
	if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_UDP_CKSUM) {
		sum = (uint16_t)~rte_raw_cksum(udp,
					       len - m->l2_len - m->l3_len);
		sum = sum == 0 ? 0xffff : sum;
		memcpy(udp + 6, &sum, sizeof(sum));
	}
}

static void
whatever_is_offered_the_frame_is_right(void **state)
{
	(void)state;
	for (size_t k = 0; k < FRAME_KINDS; k++) {
		const struct frame_kind *kind = &frame_kinds[k];
		struct dpdk_hdr_policy policy = frame_policy(kind);
		struct dpdk_hdr hdr = frame_hdr(kind);
		uint32_t len = hdr.len + PACKET_LEN;

		for (int offered = 0; offered < 4; offered++) {
			uint64_t offers =
				(offered & 1 ? RTE_MBUF_F_TX_UDP_CKSUM : 0) |
				(offered & 2 ? RTE_MBUF_F_TX_IP_CKSUM : 0);
			uint8_t *frame =
				frame_make(kind, buffer, PACKET_LEN, false);
			struct rte_mbuf m = { .ol_flags = 0 };
			struct dpdk_hdr_in in;

			dpdk_cksum_tx(&hdr, offers, &m, packet, PACKET_LEN);
			device_sends(&m, frame, len);
			assert_int_equal(
				weir_dpdk_hdr_parse(&policy, frame, len, &in),
				DPDK_HDR_PACKET);
		}
	}
}

static void
a_device_is_asked_for_what_it_offers_and_no_more(void **state)
{
	(void)state;
	for (size_t k = 0; k < FRAME_KINDS; k++) {
		const struct frame_kind *kind = &frame_kinds[k];
		struct dpdk_hdr hdr = frame_hdr(kind);
		const uint64_t both = RTE_MBUF_F_TX_UDP_CKSUM |
				      RTE_MBUF_F_TX_IP_CKSUM;
		struct rte_mbuf m = { .ol_flags = 0 };

		frame_make(kind, buffer, PACKET_LEN, false);
		dpdk_cksum_tx(&hdr, RTE_MBUF_F_TX_IP_CKSUM, &m, packet,
			      PACKET_LEN);
		assert_int_equal(m.ol_flags, 0);

		dpdk_cksum_tx(&hdr, RTE_MBUF_F_TX_UDP_CKSUM, &m, packet,
			      PACKET_LEN);
		assert_int_equal(m.ol_flags,
				 RTE_MBUF_F_TX_UDP_CKSUM |
					 (hdr.is_ip4 ? RTE_MBUF_F_TX_IPV4
						     : RTE_MBUF_F_TX_IPV6));
		assert_int_equal(m.l2_len, kind->l2_len);
		assert_int_equal(m.l3_len, kind->l3_len);

		m.ol_flags = 0;
		dpdk_cksum_tx(&hdr, both, &m, packet, PACKET_LEN);
		assert_int_equal(m.ol_flags,
				 hdr.is_ip4 ? both | RTE_MBUF_F_TX_IPV4
					    : RTE_MBUF_F_TX_UDP_CKSUM |
						      RTE_MBUF_F_TX_IPV6);
	}
}

/* ---- receiving ------------------------------------------------------------------ */

enum said {
	UNKNOWN,
	GOOD,
	BAD,
	NONE,
	SAYINGS
};

static const uint64_t ip_flags[SAYINGS] = {
	RTE_MBUF_F_RX_IP_CKSUM_UNKNOWN,
	RTE_MBUF_F_RX_IP_CKSUM_GOOD,
	RTE_MBUF_F_RX_IP_CKSUM_BAD,
	RTE_MBUF_F_RX_IP_CKSUM_NONE,
};

static const uint64_t udp_flags[SAYINGS] = {
	RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN,
	RTE_MBUF_F_RX_L4_CKSUM_GOOD,
	RTE_MBUF_F_RX_L4_CKSUM_BAD,
	RTE_MBUF_F_RX_L4_CKSUM_NONE,
};

/* What is the matter with the frame. */
enum damage {
	INTACT,
	IP_DAMAGED,
	UDP_DAMAGED,
	UDP_ZERO,
	UDP_UNFINISHED, /* holds the pseudo header's sum, as for an offload */
	DAMAGES
};

static uint8_t *
damaged(const struct frame_kind *kind, enum damage damage)
{
	struct dpdk_hdr hdr = frame_hdr(kind);
	uint8_t *frame = frame_make(kind, buffer, PACKET_LEN, true);

	switch (damage) {
	case IP_DAMAGED:
		frame[kind->l2_len + 10] ^= 1;
		break;
	case UDP_DAMAGED:
		packet[PACKET_LEN / 2] ^= 1;
		break;
	case UDP_ZERO:
		memset(packet - 2, 0, 2);
		break;
	case UDP_UNFINISHED:
		weir_dpdk_hdr_offload(&hdr, packet, false);
		break;
	default:
		break;
	}
	return frame;
}

/* Written down from the table in dpdk_cksum.h, not from the code. */
static enum dpdk_hdr_result
expected(bool is_ip4, enum damage damage, enum said of_ip, enum said of_udp)
{
	if (is_ip4 && of_ip == BAD)
		return DPDK_HDR_IP_CKSUM;
	if (is_ip4 && of_ip == UNKNOWN && damage == IP_DAMAGED)
		return DPDK_HDR_IP_CKSUM;
	if (damage == UDP_ZERO)
		return DPDK_HDR_UDP_NO_CKSUM;
	if (of_udp == BAD)
		return DPDK_HDR_UDP_CKSUM;
	if (of_udp == GOOD)
		return DPDK_HDR_PACKET;
	if (damage == UDP_DAMAGED)
		return DPDK_HDR_UDP_CKSUM;
	if (damage == UDP_UNFINISHED && of_udp == UNKNOWN)
		return DPDK_HDR_UDP_CKSUM;
	return DPDK_HDR_PACKET;
}

static void
parse_all(const struct frame_kind *kind, enum damage damage)
{
	bool is_ip4 = kind->l3_len == 20;

	for (enum said of_ip = UNKNOWN; of_ip < SAYINGS; of_ip++)
		for (enum said of_udp = UNKNOWN; of_udp < SAYINGS; of_udp++) {
			struct dpdk_hdr_policy policy = frame_policy(kind);
			struct rte_mbuf m = { .ol_flags = ip_flags[of_ip] |
							  udp_flags[of_udp] };
			uint8_t *frame = damaged(kind, damage);
			enum dpdk_hdr_result result;
			struct dpdk_hdr_in in;

			dpdk_cksum_rx(&m, &policy);
			result = weir_dpdk_hdr_parse(
				&policy, frame,
				frame_hdr_len(kind) + PACKET_LEN, &in);
			if (result != expected(is_ip4, damage, of_ip, of_udp))
				fail_msg("%s, damage %d, IP %d, UDP %d: %s",
					 kind->name, damage, of_ip, of_udp,
					 weir_dpdk_hdr_result_name(result));
		}
}

static void
what_the_device_says_decides(void **state)
{
	(void)state;
	for (size_t k = 0; k < FRAME_KINDS; k++)
		for (enum damage damage = INTACT; damage < DAMAGES; damage++)
			/* The byte that is damaged is an address in IPv6. */
			if (frame_kinds[k].l3_len == 20 || damage != IP_DAMAGED)
				parse_all(&frame_kinds[k], damage);
}

static void
a_tag_may_have_been_taken_out(void **state)
{
	const uint64_t one = RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED;
	const uint64_t two = one | RTE_MBUF_F_RX_QINQ |
			     RTE_MBUF_F_RX_QINQ_STRIPPED;
	struct dpdk_hdr_policy policy = { .stripped = 99 };
	struct rte_mbuf m = { .vlan_tci = 0xa007 };

	(void)state;
	dpdk_cksum_rx(&m, &policy);
	assert_int_equal(policy.stripped, 0);
	/* Told of, but still in the frame. */
	m.ol_flags = RTE_MBUF_F_RX_VLAN;
	dpdk_cksum_rx(&m, &policy);
	assert_int_equal(policy.stripped, 0);
	m.ol_flags = one;
	dpdk_cksum_rx(&m, &policy);
	assert_int_equal(policy.stripped, DPDK_HDR_STRIPPED | 0xa007);
	m.ol_flags = two;
	dpdk_cksum_rx(&m, &policy);
	assert_true((policy.stripped & DPDK_HDR_STRIPPED_TWO) != 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_is_offered_the_frame_is_right),
		cmocka_unit_test(
			a_device_is_asked_for_what_it_offers_and_no_more),
		cmocka_unit_test(what_the_device_says_decides),
		cmocka_unit_test(a_tag_may_have_been_taken_out),
	};

	return cmocka_run_group_tests_name("dpdk_cksum", tests, NULL, NULL);
}
