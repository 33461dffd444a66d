/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_hdr: headers in front of a packet, against bytes written down by
 * hand and against DPDK's own checksum functions, which weir does not use.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <rte_ip.h>
#include <rte_udp.h>

#include "dpdk_hdr.h"

#define PACKET_LEN 100

static const struct rte_ether_addr mac_a = { { 2, 0, 0, 0, 0, 0xa } };
static const struct rte_ether_addr mac_b = { { 2, 0, 0, 0, 0, 0xb } };
static const struct dpdk_addr addr_a = { { { [10] = 0xff, 0xff, 10, 7, 0, 1 } },
					 49152 };
static const struct dpdk_addr addr_b = { { { [10] = 0xff, 0xff, 10, 7, 0, 2 } },
					 7400 };

static struct dpdk_hdr_policy
policy_of_b(void)
{
	return (struct dpdk_hdr_policy){
		.mac = mac_b,
		.ip = addr_b.ip,
		.port_first = addr_b.port,
		.port_last = addr_b.port,
		.ip_check = DPDK_HDR_CHECK,
		.udp_check = DPDK_HDR_CHECK,
	};
}

/* A frame from a to b with some packet in it. @return its length. */
static uint32_t
make_frame(uint8_t *frame, uint16_t packet_len, bool with_cksum)
{
	struct dpdk_hdr hdr;
	uint8_t *packet = frame + DPDK_HDR_LEN;

	for (uint16_t i = 0; i < packet_len; i++)
		packet[i] = (uint8_t)(i * 7 + 3);
	weir_dpdk_hdr_init(&hdr, &mac_a, &mac_b, &addr_a, &addr_b);
	weir_dpdk_hdr_write(&hdr, packet, packet_len, 0);
	if (with_cksum)
		weir_dpdk_hdr_udp_cksum(
			&hdr, packet, weir_dpdk_hdr_sum(packet, packet_len, 0));
	return DPDK_HDR_LEN + (uint32_t)packet_len;
}

static enum dpdk_hdr_result
parse(const uint8_t *frame, uint32_t len)
{
	struct dpdk_hdr_policy policy = policy_of_b();
	struct dpdk_hdr_in in;

	return weir_dpdk_hdr_parse(&policy, frame, len, &in);
}

/* Computed once with another tool and written down: nothing may move. */
static void
bytes_are_as_the_standards_say(void **state)
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
	struct dpdk_hdr hdr;
	uint8_t frame[DPDK_HDR_LEN];

	(void)state;
	weir_dpdk_hdr_init(&hdr, &mac_a, &mac_b, &addr_a, &addr_b);
	weir_dpdk_hdr_write(&hdr, frame + DPDK_HDR_LEN, 2, 0);
	assert_int_equal(hdr.len, sizeof(expected));
	assert_memory_equal(frame, expected, sizeof(expected));
}

static void
checksums_agree_with_dpdk(void **state)
{
	uint8_t frame[DPDK_HDR_LEN + 1500];

	(void)state;
	for (uint16_t len = 0; len <= 1458; len++) {
		struct rte_ipv4_hdr ip;
		uint16_t ours;

		make_frame(frame, len, true);
		memcpy(&ip, frame + 14, sizeof(ip));
		assert_int_equal((uint16_t)~rte_raw_cksum(&ip, sizeof(ip)), 0);
		memcpy(&ours, frame + 40, sizeof(ours));
		memset(frame + 40, 0, sizeof(ours));
		assert_int_equal(ours, rte_ipv4_udptcp_cksum(&ip, frame + 34));
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
	uint8_t frame[DPDK_HDR_LEN + 2];
	struct dpdk_hdr hdr;
	int seen = 0;

	(void)state;
	weir_dpdk_hdr_init(&hdr, &mac_a, &mac_b, &addr_a, &addr_b);
	for (uint32_t word = 0; word <= 0xffff; word++) {
		frame[42] = (uint8_t)(word >> 8);
		frame[43] = (uint8_t)word;
		weir_dpdk_hdr_write(&hdr, frame + 42, 2, 0);
		weir_dpdk_hdr_udp_cksum(&hdr, frame + 42,
					weir_dpdk_hdr_sum(frame + 42, 2, 0));
		assert_false(frame[40] == 0 && frame[41] == 0);
		seen += frame[40] == 0xff && frame[41] == 0xff;
		assert_int_equal(parse(frame, sizeof(frame)), DPDK_HDR_PACKET);
	}
	assert_true(seen > 0);
}

static void
a_packet_is_found_with_its_sender(void **state)
{
	struct dpdk_hdr_policy policy = policy_of_b();
	uint8_t frame[DPDK_HDR_LEN + PACKET_LEN];
	uint32_t len = make_frame(frame, PACKET_LEN, true);
	struct dpdk_hdr_in in;

	(void)state;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_PACKET);
	assert_int_equal(in.offset, DPDK_HDR_LEN);
	assert_int_equal(in.len, PACKET_LEN);
	assert_true(dpdk_ip_equal(&in.src.ip, &addr_a.ip));
	assert_int_equal(in.src.port, addr_a.port);
	assert_true(dpdk_ip_equal(&in.dst.ip, &addr_b.ip));
	assert_int_equal(in.dst.port, addr_b.port);
	assert_memory_equal(&in.src_mac, &mac_a, sizeof(mac_a));
	assert_int_equal(in.ecn, DPDK_ECN_NOT_ECT);
}

/* Ethernet pads to 60 bytes: the padding is not part of the packet. */
static void
padding_is_not_part_of_the_packet(void **state)
{
	struct dpdk_hdr_policy policy = policy_of_b();
	uint8_t frame[60] = { 0 };
	struct dpdk_hdr_in in;

	(void)state;
	make_frame(frame, 3, true);
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, 60, &in),
			 DPDK_HDR_PACKET);
	assert_int_equal(in.len, 3);
}

static void
every_cut_is_short_or_bad(void **state)
{
	uint8_t frame[DPDK_HDR_LEN + PACKET_LEN];
	uint32_t len = make_frame(frame, PACKET_LEN, true);

	(void)state;
	for (uint32_t cut = 0; cut < len; cut++) {
		/* A copy of exact size, so that sanitizers see overreads. */
		uint8_t *copy = malloc(cut > 0 ? cut : 1);
		enum dpdk_hdr_result result;

		assert_non_null(copy);
		memcpy(copy, frame, cut);
		result = parse(copy, cut);
		if (cut < 34)
			assert_int_equal(result, DPDK_HDR_SHORT);
		else
			assert_int_equal(result, DPDK_HDR_BAD_IP);
		free(copy);
	}
}

/* Any single bit that weir looks at: found out, and never "packet". */
static void
no_single_bit_error_passes(void **state)
{
	uint8_t frame[DPDK_HDR_LEN + PACKET_LEN];
	uint32_t len = make_frame(frame, PACKET_LEN, true);

	(void)state;
	/* From the EtherType on; the source MAC is not protected by IP. */
	for (uint32_t bit = 12 * 8; bit < len * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(parse(frame, len), DPDK_HDR_PACKET);
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(parse(frame, len), DPDK_HDR_PACKET);
}

static void
set_ip(uint8_t *frame, uint32_t offset, uint8_t value)
{
	uint16_t cksum = 0;

	frame[14 + offset] = value;
	memcpy(frame + 24, &cksum, 2);
	cksum = (uint16_t)~rte_raw_cksum(frame + 14, 20);
	memcpy(frame + 24, &cksum, 2);
}

static void
each_reason_has_its_name(void **state)
{
	uint8_t frame[DPDK_HDR_LEN + PACKET_LEN];
	uint32_t len;

	(void)state;
#define EXPECT(change, result)                               \
	do {                                                 \
		len = make_frame(frame, PACKET_LEN, true);   \
		change;                                      \
		assert_int_equal(parse(frame, len), result); \
	} while (0)
	EXPECT((frame[12] = 8, frame[13] = 6), DPDK_HDR_ARP);
	EXPECT(frame[12] = 0x86, DPDK_HDR_FOREIGN_ETHER);
	EXPECT(frame[5] = 0xc, DPDK_HDR_FOREIGN_ETHER);
	EXPECT(memset(frame, 0xff, 6), DPDK_HDR_FOREIGN_ETHER);
	EXPECT(set_ip(frame, 9, 6), DPDK_HDR_FOREIGN_IP);
	EXPECT(set_ip(frame, 19, 3), DPDK_HDR_FOREIGN_IP);
	EXPECT(set_ip(frame, 0, 0x46), DPDK_HDR_BAD_IP);
	EXPECT(set_ip(frame, 0, 0x65), DPDK_HDR_BAD_IP);
	EXPECT(set_ip(frame, 2, 0xff), DPDK_HDR_BAD_IP);
	EXPECT(set_ip(frame, 6, 0x60), DPDK_HDR_FRAGMENT);
	EXPECT(set_ip(frame, 7, 0x01), DPDK_HDR_FRAGMENT);
	EXPECT(frame[24] ^= 1, DPDK_HDR_IP_CKSUM);
	EXPECT(frame[37] ^= 1, DPDK_HDR_FOREIGN_PORT);
	EXPECT(frame[39] ^= 1, DPDK_HDR_BAD_UDP);
	EXPECT(frame[50] ^= 1, DPDK_HDR_UDP_CKSUM);
	EXPECT((frame[40] = 0, frame[41] = 0), DPDK_HDR_UDP_CKSUM);
#undef EXPECT
	for (int i = 0; i < DPDK_HDR_RESULTS; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(weir_dpdk_hdr_result_name(i),
						weir_dpdk_hdr_result_name(j));
}

static void
the_device_may_have_checked(void **state)
{
	struct dpdk_hdr_policy policy = policy_of_b();
	uint8_t frame[DPDK_HDR_LEN + PACKET_LEN];
	uint32_t len = make_frame(frame, PACKET_LEN, true);
	struct dpdk_hdr_in in;

	(void)state;
	policy.udp_check = DPDK_HDR_CHECK_WRONG;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_UDP_CKSUM);
	frame[60] ^= 1;
	policy.udp_check = DPDK_HDR_CHECK_OK;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_PACKET);
	policy.ip_check = DPDK_HDR_CHECK_WRONG;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_IP_CKSUM);
}

/* memif and net_ring: no wire, no checksum, any MAC. */
static void
without_a_wire_nothing_is_summed(void **state)
{
	struct dpdk_hdr_policy policy = policy_of_b();
	uint8_t frame[DPDK_HDR_LEN + PACKET_LEN];
	uint32_t len = make_frame(frame, PACKET_LEN, false);
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
			 DPDK_HDR_UDP_CKSUM);
	policy.udp_zero_ok = true;
	assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
			 DPDK_HDR_PACKET);
}

/* The NIC sums header and payload onto what it finds in the field. */
static void
an_offload_finds_the_pseudo_header(void **state)
{
	uint8_t frame[DPDK_HDR_LEN + PACKET_LEN];
	struct rte_ipv4_hdr ip;
	struct dpdk_hdr hdr;
	uint16_t found, expected;

	(void)state;
	make_frame(frame, PACKET_LEN, false);
	weir_dpdk_hdr_init(&hdr, &mac_a, &mac_b, &addr_a, &addr_b);
	memcpy(&ip, frame + 14, sizeof(ip));
	expected = rte_ipv4_phdr_cksum(&ip, 0);
	weir_dpdk_hdr_offload(&hdr, frame + DPDK_HDR_LEN, true);
	memcpy(&found, frame + 40, sizeof(found));
	assert_int_equal(found, expected);
	assert_int_equal(frame[24] | frame[25], 0);
}

/* What was asked for is in the frame, with the right checksum around it. */
static void
ecn_goes_there_and_back(void **state)
{
	struct dpdk_hdr_policy policy = policy_of_b();
	uint8_t frame[DPDK_HDR_LEN + PACKET_LEN];
	uint32_t len = make_frame(frame, PACKET_LEN, true);
	struct dpdk_hdr_in in;
	struct dpdk_hdr hdr;
	uint8_t sum[2];

	(void)state;
	memcpy(sum, frame + 40, sizeof(sum));
	weir_dpdk_hdr_init(&hdr, &mac_a, &mac_b, &addr_a, &addr_b);
	for (uint8_t ecn = DPDK_ECN_NOT_ECT; ecn <= DPDK_ECN_CE; ecn++) {
		weir_dpdk_hdr_write(&hdr, frame + DPDK_HDR_LEN, PACKET_LEN,
				    ecn);
		memcpy(frame + 40, sum, sizeof(sum));
		assert_int_equal(weir_dpdk_hdr_parse(&policy, frame, len, &in),
				 DPDK_HDR_PACKET);
		assert_int_equal(in.ecn, ecn);
	}
}

static void
a_range_of_ports_is_ours(void **state)
{
	struct dpdk_hdr_policy policy = policy_of_b();
	uint8_t frame[DPDK_HDR_LEN + PACKET_LEN];
	uint32_t len = make_frame(frame, PACKET_LEN, true);
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
the_peer_may_move_to_another_port(void **state)
{
	struct dpdk_addr moved = { addr_b.ip, 7555 };
	uint8_t expected[DPDK_HDR_LEN + 8] = { 0 };
	uint8_t frame[DPDK_HDR_LEN + 8] = { 0 };
	struct dpdk_hdr hdr;

	(void)state;
	weir_dpdk_hdr_init(&hdr, &mac_a, &mac_b, &addr_a, &moved);
	weir_dpdk_hdr_write(&hdr, expected + DPDK_HDR_LEN, 8, 1);
	weir_dpdk_hdr_udp_cksum(&hdr, expected + DPDK_HDR_LEN, 0);
	weir_dpdk_hdr_init(&hdr, &mac_a, &mac_b, &addr_a, &addr_b);
	weir_dpdk_hdr_set_dst_port(&hdr, moved.port);
	weir_dpdk_hdr_write(&hdr, frame + DPDK_HDR_LEN, 8, 1);
	weir_dpdk_hdr_udp_cksum(&hdr, frame + DPDK_HDR_LEN, 0);
	assert_memory_equal(frame, expected, sizeof(frame));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_as_the_standards_say),
		cmocka_unit_test(checksums_agree_with_dpdk),
		cmocka_unit_test(a_sum_can_be_carried_over_pieces),
		cmocka_unit_test(a_checksum_of_zero_is_sent_as_all_ones),
		cmocka_unit_test(a_packet_is_found_with_its_sender),
		cmocka_unit_test(padding_is_not_part_of_the_packet),
		cmocka_unit_test(every_cut_is_short_or_bad),
		cmocka_unit_test(no_single_bit_error_passes),
		cmocka_unit_test(each_reason_has_its_name),
		cmocka_unit_test(the_device_may_have_checked),
		cmocka_unit_test(without_a_wire_nothing_is_summed),
		cmocka_unit_test(an_offload_finds_the_pseudo_header),
		cmocka_unit_test(ecn_goes_there_and_back),
		cmocka_unit_test(a_range_of_ports_is_ours),
		cmocka_unit_test(the_peer_may_move_to_another_port),
	};

	return cmocka_run_group_tests_name("dpdk_hdr", tests, NULL, NULL);
}
