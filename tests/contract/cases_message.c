/* SPDX-License-Identifier: BSD-3-Clause */
/* Payloads, their boundaries and their order. */

#include <string.h>

#include "fixture.h"

/* verifies link: random payloads of every magnitude, both ways at once */
static void
random_payloads_cross_both_ways_at_once(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = repeats(f, 4000), size = PATTERN_MIX(65536);

	peer_go(f->b, STEP_EXCHANGE, .n = n, .size = size, .seed = 2, .k = 1);
	peer_do(f->a, STEP_EXCHANGE, .n = n, .size = size, .seed = 1, .k = 2);
	peer_finish(f->b);
	all_back(f);
}

/* verifies link: what B sends back is what A sent, for a long stream */
static void
echoed_payloads_are_bit_identical(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = repeats(f, 4000), out = 0, in = 0;

	peer_go(f->b, STEP_ECHO, .n = n);
	while (in < n) {
		struct weir_slot slot;
		uint32_t len = pattern_size(SEED, out, PATTERN_MIX(1300));

		/* Never more than 100 under way: B answers each. */
		if (out < n && out - in < 100) {
			open_filled(f, len, pattern_seed(SEED, out), &slot);
			commit(f, &slot);
			out++;
			continue;
		}
		expect_one(f, pattern_size(SEED, in, PATTERN_MIX(1300)),
			   pattern_seed(SEED, in));
		in++;
	}
	assert_int_equal(peer_finish(f->b).n, n);
	all_back(f);
}

/* verifies link.message: one commit is one receive at every edge +-1 */
static void
boundaries_are_kept_at_every_edge(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint32_t sizes[160];
	uint32_t n = edge_sizes(f, f->tx->msg_size_max, sizes, 160);

	for (uint32_t i = 0; i < n; i++) {
		peer_go(f->b, STEP_RECV, .n = 1, .size = sizes[i],
			.seed = SEED + i);
		send_one(f, sizes[i], pattern_seed(SEED + i, 0));
		peer_finish(f->b);
	}
	all_back(f);
}

/* verifies link.message: the same edges the other way */
static void
boundaries_are_kept_at_every_edge_backwards(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint32_t sizes[160];
	uint32_t n = edge_sizes(f, f->tx->msg_size_max, sizes, 160);

	for (uint32_t i = 0; i < n; i++) {
		peer_go(f->b, STEP_SEND, .n = 1, .size = sizes[i],
			.seed = SEED + i);
		expect_one(f, sizes[i], pattern_seed(SEED + i, 0));
		peer_finish(f->b);
	}
}

/* verifies link.message: tiny messages that share a burst are not merged */
static void
tiny_messages_in_one_burst_stay_apart(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit permits[32];
	struct weir_slot slot;

	for (uint64_t round = 0; round < repeats(f, 200); round++) {
		uint32_t got = 0;

		while (got < 32) {
			int rc = weir_tx_reserve_burst(f->tx, 64, permits + got,
						       (uint16_t)(32 - got));
			assert_true(rc >= 0);
			got += (uint32_t)rc;
			peer_pump();
		}
		peer_go(f->b, STEP_RECV, .n = 32, .size = 5, .seed = round);
		for (uint32_t i = 0; i < 32; i++) {
			assert_int_equal(
				weir_permit_alloc(&permits[i], 5, &slot), 0);
			pattern_fill(slot.data, 5, pattern_seed(round, i));
			weir_slot_commit(&slot);
		}
		weir_tx_flush(f->tx);
		audit(f);
		peer_finish(f->b);
	}
	all_back(f);
}

/* verifies link.message: a mix of sizes, large beside small */
static void
large_and_small_alternate(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = repeats(f, 400);

	for (uint64_t i = 0; i < n; i++) {
		uint32_t size = (i & 1) != 0 ? 3 : 65536 - (uint32_t)i;

		peer_go(f->b, STEP_RECV, .n = 1, .size = size, .seed = i);
		send_one(f, size, pattern_seed(i, 0));
		peer_finish(f->b);
	}
	all_back(f);
}

/* verifies link.message: 16 MiB is one message, both ways */
static void
sixteen_mebibytes_are_one_message(void **state)
{
	struct weir_link_config *config =
		CONFIG(.msg_size_max = WEIR_MSG_SIZE_LIMIT);
	struct fixture *f = link_up(state, config);
	uint64_t size = WEIR_MSG_SIZE_LIMIT;

	assert_int_equal(weir_tx_msg_size_max(f->tx), size);
	for (uint64_t i = 0; i < 3; i++) {
		peer_go(f->b, STEP_RECV, .n = 1, .size = size - i, .seed = i);
		peer_do(f->a, STEP_SEND, .n = 1, .size = size - i, .seed = i);
		peer_finish(f->b);
		peer_go(f->b, STEP_SEND, .n = 1, .size = size - i, .seed = i);
		peer_do(f->a, STEP_RECV, .n = 1, .size = size - i, .seed = i);
		peer_finish(f->b);
	}
	all_back(f);
}

/* verifies link.message.empty: received as a message, not as the end */
static void
an_empty_message_is_a_message(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_msg msg;

	peer_do(f->b, STEP_SEND, .n = 1, .size = 0);
	take_msg(f, &msg);
	assert_int_equal(msg.len, 0);
	assert_non_null(msg.store);
	weir_msg_release(&msg);
	expect_quiet(f);
	peer_do(f->b, STEP_SEND, .n = 1, .size = 9, .seed = 1);
	expect_one(f, 9, pattern_seed(1, 0));
}

/* verifies link.message.empty: thousands, and each of them counts */
static void
empty_messages_are_counted_one_by_one(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = repeats(f, 5000);

	peer_go(f->b, STEP_RECV, .n = n, .size = 0);
	peer_do(f->a, STEP_SEND, .n = n, .size = 0);
	assert_int_equal(peer_finish(f->b).n, n);
	assert_int_equal(peer_do(f->b, STEP_COUNTERS).rx_messages, n);
	all_back(f);
}

/* verifies link.message.empty: the last message before the end may be empty */
static void
an_empty_message_before_the_end_arrives(void **state)
{
	struct fixture *f = link_up(state, NULL);

	peer_do(f->b, STEP_SEND, .n = 1, .size = 0);
	assert_int_equal(peer_do(f->b, STEP_TX_CLOSE).rc, 0);
	expect_one(f, 0, 0);
	assert_int_equal(expect_end(f), WEIR_EOF);
}

/* verifies link.order: order is that of commit, not of alloc */
static void
messages_arrive_in_commit_order(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_slot s[2];

	for (uint64_t round = 0; round < repeats(f, 200); round++) {
		open_filled(f, 40, pattern_seed(round, 1), &s[0]);
		open_filled(f, 40, pattern_seed(round, 0), &s[1]);
		commit(f, &s[1]);
		commit(f, &s[0]);
		peer_do(f->b, STEP_RECV, .n = 2, .size = 40, .seed = round);
	}
	all_back(f);
}

static void
shuffle(uint32_t *order, uint32_t n, uint64_t seed)
{
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = (uint32_t)(pattern_seed(seed, i) % i);
		uint32_t kept = order[i - 1];

		order[i - 1] = order[j];
		order[j] = kept;
	}
}

/* verifies link.order: many open slots of all sizes, any order of commit */
static void
many_open_slots_commit_in_any_order(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint32_t room = weir_tx_capacity(f->tx, 1024), order[48];
	uint32_t n = room < 48 ? room : 48;
	struct weir_slot slots[48];

	assert_true(n > 1);
	for (uint64_t round = 0; round < repeats(f, 100); round++) {
		uint64_t size = PATTERN_MIX(1024);

		shuffle(order, n, round);
		/* order[i] is the place in which slot i is committed */
		for (uint32_t i = 0; i < n; i++)
			open_filled(f, pattern_size(round, order[i], size),
				    pattern_seed(round, order[i]), &slots[i]);
		peer_go(f->b, STEP_RECV, .n = n, .size = size, .seed = round);
		for (uint32_t place = 0; place < n; place++)
			for (uint32_t i = 0; i < n; i++)
				if (order[i] == place)
					commit(f, &slots[i]);
		peer_finish(f->b);
	}
	all_back(f);
}

/* verifies link.order: an open slot delays none of those committed after */
static void
an_open_slot_delays_nobody(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = repeats(f, 3000);
	struct weir_slot open;

	open_filled(f, 100, pattern_seed(SEED, n), &open);
	peer_go(f->b, STEP_RECV, .n = n, .size = 24, .seed = SEED);
	peer_do(f->a, STEP_SEND, .n = n, .size = 24, .seed = SEED);
	assert_int_equal(peer_finish(f->b).n, n);
	assert_int_equal(pattern_wrong(open.data, 100, pattern_seed(SEED, n)),
			 -1);
	commit(f, &open);
	peer_do(f->b, STEP_RECV, .n = 1, .size = 100, .seed = SEED, .k = n);
	all_back(f);
}

/* verifies link.order: order of reserve means nothing either */
static void
order_of_reserve_means_nothing(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit p[3];
	struct weir_slot slot;

	for (int i = 0; i < 3; i++)
		take_permit(f, 32, &p[i]);
	for (int i = 2; i >= 0; i--) {
		assert_int_equal(weir_permit_alloc(&p[i], 32, &slot), 0);
		pattern_fill(slot.data, 32,
			     pattern_seed(SEED, 2 - (uint64_t)i));
		commit(f, &slot);
	}
	peer_do(f->b, STEP_RECV, .n = 3, .size = 32, .seed = SEED);
	all_back(f);
}

/* verifies link.order: each exactly once over many turns of every ring */
static void
each_message_arrives_exactly_once(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 64));
	uint64_t n = repeats(f, 200000);

	peer_go(f->b, STEP_RECV, .n = n, .size = 8, .seed = SEED);
	peer_do(f->a, STEP_SEND, .n = n, .size = 8, .seed = SEED);
	peer_finish(f->b);
	assert_int_equal(peer_do(f->b, STEP_COUNTERS).rx_messages, n);
	all_back(f);
	/* Nothing comes twice, later. */
	peer_do(f->b, STEP_SEND, .n = 1, .size = 8, .seed = 1);
	expect_one(f, 8, pattern_seed(1, 0));
	assert_int_equal(peer_do(f->b, STEP_COUNTERS).rx_messages, n);
}

/* verifies link.order: a receiver that takes bursts sees the same order, and
 * may give them back by the burst, too */
static void
a_burst_of_receives_keeps_the_order(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = repeats(f, 5000), got = 0;
	struct weir_msg msgs[17];
	char text[192];

	peer_go(f->b, STEP_SEND, .n = n, .size = 21, .seed = SEED);
	while (got < n) {
		int rc = weir_rx_recv_burst(f->rx, msgs, 17);

		assert_in_range((uintmax_t)rc, 0, 17);
		for (int i = 0; i < rc; i++, got++) {
			if (!steps_compare(&msgs[i], 21,
					   pattern_seed(SEED, got), got, text,
					   sizeof(text)))
				fail_msg("A: %s", text);
			if (rc % 2 != 0)
				weir_msg_release(&msgs[i]);
		}
		if (rc % 2 == 0)
			weir_msg_release_burst(msgs, (uint16_t)rc);
		for (int i = 0; i < rc; i++)
			assert_null(msgs[i].store);
		peer_pump();
	}
	peer_finish(f->b);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(random_payloads_cross_both_ways_at_once),
	cmocka_unit_test(echoed_payloads_are_bit_identical),
	cmocka_unit_test(boundaries_are_kept_at_every_edge),
	cmocka_unit_test(boundaries_are_kept_at_every_edge_backwards),
	cmocka_unit_test(tiny_messages_in_one_burst_stay_apart),
	cmocka_unit_test(large_and_small_alternate),
	cmocka_unit_test(sixteen_mebibytes_are_one_message),
	cmocka_unit_test(an_empty_message_is_a_message),
	cmocka_unit_test(empty_messages_are_counted_one_by_one),
	cmocka_unit_test(an_empty_message_before_the_end_arrives),
	cmocka_unit_test(messages_arrive_in_commit_order),
	cmocka_unit_test(many_open_slots_commit_in_any_order),
	cmocka_unit_test(an_open_slot_delays_nobody),
	cmocka_unit_test(order_of_reserve_means_nothing),
	cmocka_unit_test(each_message_arrives_exactly_once),
	cmocka_unit_test(a_burst_of_receives_keeps_the_order),
};

CASE_LIST(cases_message, tests);
