/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_arp: the address table with a clock of our own and frames from
 * another table, so that both ends are tested at once.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "dpdk_arp.h"

#define MS UINT64_C(1000000)

#define IP_A UINT32_C(0x0a070001)
#define IP_B UINT32_C(0x0a070002)
#define IP_C UINT32_C(0x0a070003)

static const struct rte_ether_addr mac_a = { { 2, 0, 0, 0, 0, 0xa } };
static const struct rte_ether_addr mac_b = { { 2, 0, 0, 0, 0, 0xb } };
static const struct rte_ether_addr mac_c = { { 2, 0, 0, 0, 0, 0xc } };

struct two_ends {
	struct dpdk_arp a, b;
};

static int
setup(void **state)
{
	static struct two_ends ends;

	weir_dpdk_arp_init(&ends.a, IP_A, &mac_a);
	weir_dpdk_arp_init(&ends.b, IP_B, &mac_b);
	*state = &ends;
	return 0;
}

static void
expect_mac(struct dpdk_arp *arp, uint32_t ip, uint64_t now_ns,
	   const struct rte_ether_addr *expected)
{
	struct rte_ether_addr mac;

	assert_int_equal(weir_dpdk_arp_lookup(arp, ip, now_ns, &mac), 1);
	assert_memory_equal(&mac, expected, sizeof(mac));
}

static void
one_asks_and_the_other_answers(void **state)
{
	struct two_ends *ends = *state;
	uint8_t request[DPDK_ARP_FRAME_LEN], reply[DPDK_ARP_FRAME_LEN];
	uint8_t none[DPDK_ARP_FRAME_LEN];
	struct rte_ether_addr mac;

	assert_int_equal(weir_dpdk_arp_lookup(&ends->a, IP_B, 0, &mac), 0);
	assert_int_equal(weir_dpdk_arp_deadline_ns(&ends->a), 0);
	assert_int_equal(weir_dpdk_arp_poll(&ends->a, 0, request),
			 DPDK_ARP_FRAME_LEN);
	assert_int_equal(weir_dpdk_arp_poll(&ends->a, 0, none), 0);
	assert_int_equal(
		weir_dpdk_arp_input(&ends->b, request, sizeof(request), reply),
		DPDK_ARP_FRAME_LEN);
	/* To us alone, not to everybody. */
	assert_memory_equal(reply, &mac_a, sizeof(mac_a));
	assert_int_equal(
		weir_dpdk_arp_input(&ends->a, reply, sizeof(reply), none), 0);
	expect_mac(&ends->a, IP_B, 1 * MS, &mac_b);
	assert_int_equal(weir_dpdk_arp_deadline_ns(&ends->a), UINT64_MAX);
	assert_int_equal(ends->a.generation, 1);
	/* b was asked by a stranger, and has learned nothing. */
	assert_int_equal(ends->b.generation, 0);
}

static void
requests_are_what_rfc_826_draws(void **state)
{
	static const uint8_t expected[DPDK_ARP_FRAME_LEN] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,    0,    0,
		0,    0,    0xa,  0x08, 0x06, 0x00, 0x01, 0x08, 0x00,
		6,    4,    0x00, 0x01, 2,    0,    0,    0,    0,
		0xa,  0x0a, 0x07, 0x00, 0x01, 0,    0,    0,    0,
		0,    0,    0x0a, 0x07, 0x00, 0x02,
	};
	struct two_ends *ends = *state;
	uint8_t frame[DPDK_ARP_FRAME_LEN];
	struct rte_ether_addr mac;

	weir_dpdk_arp_lookup(&ends->a, IP_B, 0, &mac);
	weir_dpdk_arp_poll(&ends->a, 0, frame);
	assert_memory_equal(frame, expected, sizeof(expected));
}

static void
silence_is_unreachable_after_three_tries(void **state)
{
	struct two_ends *ends = *state;
	uint8_t frame[DPDK_ARP_FRAME_LEN];
	struct rte_ether_addr mac;
	uint64_t now_ns = 5 * MS;
	int asked = 0;

	assert_int_equal(weir_dpdk_arp_lookup(&ends->a, IP_C, now_ns, &mac), 0);
	while (weir_dpdk_arp_deadline_ns(&ends->a) != UINT64_MAX) {
		assert_true(weir_dpdk_arp_deadline_ns(&ends->a) >= now_ns);
		now_ns = weir_dpdk_arp_deadline_ns(&ends->a);
		if (weir_dpdk_arp_poll(&ends->a, now_ns, frame) != 0)
			asked++;
	}
	assert_int_equal(asked, DPDK_ARP_TRIES);
	assert_int_equal(now_ns, 305 * MS);
	assert_int_equal(weir_dpdk_arp_lookup(&ends->a, IP_C, now_ns, &mac),
			 -EHOSTUNREACH);
	/* Later it is worth asking again. */
	assert_int_equal(weir_dpdk_arp_lookup(&ends->a, IP_C,
					      now_ns + DPDK_ARP_FAILED_NS,
					      &mac),
			 0);
	assert_int_equal(weir_dpdk_arp_poll(&ends->a,
					    now_ns + DPDK_ARP_FAILED_NS, frame),
			 DPDK_ARP_FRAME_LEN);
}

/* Make b's unasked "I am IP" frame to a. */
static void
announce(struct dpdk_arp *from, uint32_t to_ip, uint8_t *frame)
{
	struct rte_ether_addr mac;

	weir_dpdk_arp_lookup(from, to_ip, 0, &mac);
	assert_int_equal(weir_dpdk_arp_poll(from, 0, frame),
			 DPDK_ARP_FRAME_LEN);
	frame[21] = 2; /* a reply that nobody asked for */
}

static void
an_unasked_answer_teaches_nothing(void **state)
{
	struct two_ends *ends = *state;
	uint8_t frame[DPDK_ARP_FRAME_LEN], reply[DPDK_ARP_FRAME_LEN];

	announce(&ends->b, IP_A, frame);
	assert_int_equal(
		weir_dpdk_arp_input(&ends->a, frame, sizeof(frame), reply), 0);
	assert_int_equal(ends->a.generation, 0);
	for (int i = 0; i < DPDK_ARP_ENTRIES; i++)
		assert_int_equal(ends->a.entries[i].state, DPDK_ARP_FREE);
}

static void
a_static_entry_is_never_overwritten(void **state)
{
	struct two_ends *ends = *state;
	uint8_t frame[DPDK_ARP_FRAME_LEN], reply[DPDK_ARP_FRAME_LEN];

	assert_int_equal(weir_dpdk_arp_add_static(&ends->a, IP_B, &mac_c), 0);
	announce(&ends->b, IP_A, frame);
	weir_dpdk_arp_input(&ends->a, frame, sizeof(frame), reply);
	expect_mac(&ends->a, IP_B, 0, &mac_c);
	assert_int_equal(weir_dpdk_arp_deadline_ns(&ends->a), UINT64_MAX);
}

static void
a_known_peer_may_move(void **state)
{
	struct two_ends *ends = *state;
	uint8_t frame[DPDK_ARP_FRAME_LEN], reply[DPDK_ARP_FRAME_LEN];
	struct dpdk_arp moved;

	one_asks_and_the_other_answers(state);
	weir_dpdk_arp_init(&moved, IP_B, &mac_c);
	announce(&moved, IP_A, frame);
	weir_dpdk_arp_input(&ends->a, frame, sizeof(frame), reply);
	expect_mac(&ends->a, IP_B, 0, &mac_c);
	assert_int_equal(ends->a.generation, 2);
}

static void
only_our_own_address_is_answered(void **state)
{
	struct two_ends *ends = *state;
	uint8_t frame[DPDK_ARP_FRAME_LEN], reply[DPDK_ARP_FRAME_LEN];
	struct rte_ether_addr mac;

	weir_dpdk_arp_lookup(&ends->a, IP_C, 0, &mac);
	weir_dpdk_arp_poll(&ends->a, 0, frame);
	assert_int_equal(
		weir_dpdk_arp_input(&ends->b, frame, sizeof(frame), reply), 0);
	/* Our own frame, come back: someone else has our address, or a loop. */
	assert_int_equal(
		weir_dpdk_arp_input(&ends->a, frame, sizeof(frame), reply), 0);
}

static void
malformed_frames_do_nothing(void **state)
{
	static const int fixed[] = { 12, 13, 14, 15, 16, 17, 18, 19, 20 };
	struct two_ends *ends = *state;
	uint8_t frame[DPDK_ARP_FRAME_LEN], reply[DPDK_ARP_FRAME_LEN];
	struct rte_ether_addr mac;

	weir_dpdk_arp_lookup(&ends->a, IP_B, 0, &mac);
	weir_dpdk_arp_poll(&ends->a, 0, frame);
	for (uint32_t cut = 0; cut < 42; cut++)
		assert_int_equal(
			weir_dpdk_arp_input(&ends->b, frame, cut, reply), 0);
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		frame[fixed[i]] ^= 1;
		assert_int_equal(weir_dpdk_arp_input(&ends->b, frame,
						     sizeof(frame), reply),
				 0);
		frame[fixed[i]] ^= 1;
	}
	/* Says to come from one station and was sent by another. */
	frame[11] ^= 1;
	assert_int_equal(
		weir_dpdk_arp_input(&ends->b, frame, sizeof(frame), reply), 0);
	frame[11] ^= 1;
	assert_int_equal(
		weir_dpdk_arp_input(&ends->b, frame, sizeof(frame), reply),
		DPDK_ARP_FRAME_LEN);
}

static void
a_full_table_forgets_who_was_not_asked_for_longest(void **state)
{
	struct two_ends *ends = *state;
	struct dpdk_arp *a = &ends->a;
	struct rte_ether_addr mac;

	for (uint32_t i = 0; i < DPDK_ARP_ENTRIES; i++)
		assert_int_equal(weir_dpdk_arp_lookup(a, IP_C + i, i, &mac), 0);
	/* Nobody may be pushed out while being asked for. */
	assert_int_equal(weir_dpdk_arp_lookup(a, IP_B, 100, &mac), -ENOSPC);
	assert_int_equal(weir_dpdk_arp_add_static(a, IP_B, &mac_b), -ENOSPC);
	for (int i = 0; i < DPDK_ARP_ENTRIES; i++) {
		a->entries[i].state = DPDK_ARP_KNOWN;
		a->entries[i].mac = mac_c;
	}
	expect_mac(a, IP_C, 200, &mac_c);
	assert_int_equal(weir_dpdk_arp_lookup(a, IP_B, 201, &mac), 0);
	expect_mac(a, IP_C, 202, &mac_c);
	/* IP_C + 1 was the oldest, and has gone. */
	for (int i = 0; i < DPDK_ARP_ENTRIES; i++)
		assert_int_not_equal(a->entries[i].ip, IP_C + 1);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(one_asks_and_the_other_answers),
		TEST(requests_are_what_rfc_826_draws),
		TEST(silence_is_unreachable_after_three_tries),
		TEST(an_unasked_answer_teaches_nothing),
		TEST(a_static_entry_is_never_overwritten),
		TEST(a_known_peer_may_move),
		TEST(only_our_own_address_is_answered),
		TEST(malformed_frames_do_nothing),
		TEST(a_full_table_forgets_who_was_not_asked_for_longest),
	};

	return cmocka_run_group_tests_name("dpdk_arp", tests, NULL, NULL);
}
