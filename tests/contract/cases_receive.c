/* SPDX-License-Identifier: BSD-3-Clause */
/* Received messages: they stay as they are until released, wherever, whenever,
 * in whatever order; and what a receiver that holds them does to others. */

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

static void
hold_at_a(struct fixture *f, uint64_t n, uint64_t size)
{
	peer_go(f->b, STEP_SEND, .n = n, .size = size, .seed = SEED);
	peer_do(f->a, STEP_HOLD, .n = n, .size = size, .seed = SEED);
	peer_finish(f->b);
	assert_int_equal(f->as->held_count, n);
}

static void
shuffle_held(struct steps *s, uint64_t seed)
{
	for (uint32_t i = s->held_count; i > 1; i--) {
		uint32_t j = (uint32_t)(pattern_seed(seed, i) % i);
		struct held kept = s->held[i - 1];

		s->held[i - 1] = s->held[j];
		s->held[j] = kept;
	}
}

static uint64_t
most_held(struct fixture *f, uint32_t size, uint64_t wanted)
{
	uint32_t room =
		(uint32_t)peer_do(f->b, STEP_RESERVE_FILL, .size = size).n;

	return room < wanted ? room : wanted;
}

/* verifies link.rx.recv: a thousand held messages are checked later and
 * released in random order; then all can be sent again */
static void
held_messages_stay_as_they_are(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 1024));
	uint64_t n = most_held(f, 256, 1000);

	assert_true(n >= 100);
	for (int round = 0; round < 3; round++) {
		hold_at_a(f, n, PATTERN_MIX(256));
		peer_do(f->a, STEP_CHECK);
		shuffle_held(f->as, (uint64_t)round);
		while (f->as->held_count > 0) {
			peer_do(f->a, STEP_RELEASE, .n = 37);
			peer_do(f->a, STEP_CHECK);
		}
	}
}

/* verifies link.rx.recv: what goes on in the link does not change what is
 * held */
static void
traffic_does_not_touch_what_is_held(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 128));
	uint64_t held = most_held(f, 512, 100) / 2, n = repeats(f, 20000);

	hold_at_a(f, held, PATTERN_MIX(512));
	peer_go(f->b, STEP_SEND, .n = n, .size = PATTERN_MIX(512), .seed = 1);
	peer_do(f->a, STEP_RECV, .n = n, .size = PATTERN_MIX(512), .seed = 1);
	peer_finish(f->b);
	peer_do(f->a, STEP_CHECK);
	shuffle_held(f->as, 1);
	peer_do(f->a, STEP_RELEASE, .n = PEER_ALL);
}

/* verifies link.rx.recv: large messages are held as well as small ones */
static void
large_messages_can_be_held(void **state)
{
	struct weir_link_config *config =
		CONFIG(.msg_size_max = 256u * 1024, .large_count = 2);
	struct fixture *f = link_up(state, config);

	for (int round = 0; round < 5; round++) {
		hold_at_a(f, 2, 256u * 1024);
		peer_do(f->a, STEP_CHECK);
		/* Newest first, every other time. */
		if (round % 2 == 0)
			shuffle_held(f->as, 3);
		peer_do(f->a, STEP_RELEASE, .n = PEER_ALL);
	}
}

/* Releases every step-th of the held messages from first on. */
struct releaser {
	struct held *held;
	uint32_t first, step, count;
	atomic_uint *ready; /* how many releasers have checked theirs */
};

/* Every other one in bursts, of whichever links they are. */
static void
release_some(const struct releaser *r)
{
	struct weir_msg burst[7];
	uint16_t n = 0;

	for (uint32_t i = r->first; i < r->count; i += r->step) {
		if (r->first % 2 == 0) {
			weir_msg_release(&r->held[i].msg);
			continue;
		}
		burst[n++] = r->held[i].msg;
		if (n == 7) {
			weir_msg_release_burst(burst, n);
			n = 0;
		}
	}
	weir_msg_release_burst(burst, n);
}

static const char *
check_and_release(void *arg)
{
	struct releaser *r = arg;

	for (uint32_t i = r->first; i < r->count; i += r->step) {
		struct held *h = &r->held[i];

		if (pattern_wrong(h->msg.data, h->msg.len, h->seed) >= 0)
			return "a held message has changed";
	}
	/* All at once: neighbours are released by different threads. */
	atomic_fetch_add(r->ready, 1);
	while (atomic_load(r->ready) < r->step)
		sched_yield();
	release_some(r);
	return NULL;
}

/* Three threads release what A holds, in no order. */
static void
release_by_threads(struct fixture *f)
{
	struct releaser r[3];
	struct user users[3];
	atomic_uint ready;

	atomic_init(&ready, 0);
	for (uint32_t i = 0; i < 3; i++) {
		r[i] = (struct releaser){ .held = f->as->held,
					  .first = i,
					  .step = 3,
					  .count = f->as->held_count,
					  .ready = &ready };
		user_start(&users[i], check_and_release, &r[i]);
	}
	for (uint32_t i = 0; i < 3; i++)
		user_finish(&users[i]);
	f->as->held_count = 0;
}

/* verifies link.rx.recv: released by several threads at once, while the
 * receiver goes on, round after round */
static void
other_threads_may_release(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 512));
	uint64_t n = most_held(f, 128, 400);

	for (uint64_t round = 0; round < repeats(f, 100); round++) {
		hold_at_a(f, n, PATTERN_MIX(128));
		if (round % 2 != 0)
			shuffle_held(f->as, round);
		release_by_threads(f);
	}
	pump_until(most_held(f, 128, 400) == n);
}

/* verifies link.rx.recv: after the half has gone */
static void
messages_outlive_their_half(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = most_held(f, 200, 300);

	hold_at_a(f, n, PATTERN_MIX(200));
	peer_do(f->a, STEP_RX_DESTROY);
	peer_do(f->a, STEP_CHECK);
	for (int i = 0; i < 1000; i++)
		peer_pump();
	peer_do(f->a, STEP_CHECK);
	release_by_threads(f);
	/* The other direction has not noticed. */
	peer_do(f->a, STEP_SEND, .n = 10, .size = 10, .seed = SEED);
	peer_do(f->b, STEP_RECV, .n = 10, .size = 10, .seed = SEED);
}

/* verifies link.rx.recv: after link and port have gone, on both sides */
static void
messages_outlive_link_and_port(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = most_held(f, 200, 300);
	struct held *kept = calloc(n, sizeof(*kept));
	atomic_uint ready;
	struct releaser r = { kept, 0, 1, (uint32_t)n, &ready };
	struct user user;

	atomic_init(&ready, 0);
	assert_non_null(kept);
	hold_at_a(f, n, PATTERN_MIX(200));
	memcpy(kept, f->as->held, n * sizeof(*kept));
	f->as->held_count = 0;
	peer_do(f->b, STEP_RESET);
	peer_do(f->a, STEP_RESET);
	for (uint64_t k = 0; k < f->v->carriers; k++) {
		assert_int_equal(peer_do(f->b, STEP_PORT_CLOSE, .k = k).rc, 0);
		assert_int_equal(peer_do(f->a, STEP_PORT_CLOSE, .k = k).rc, 0);
	}
	user_start(&user, check_and_release, &r);
	user_finish(&user);
	free(kept);
}

/* verifies link.rx.recv: both halves, the link and the peer's halves go while
 * messages are held, over and over */
static void
held_messages_of_many_links_outlive_them(void **state)
{
	struct fixture *f = fixture_of(state);

	for (uint64_t round = 0; round < repeats(f, 40); round++) {
		uint32_t before = f->as->held_count;

		link_open(f, 0, CONFIG(.tx_credits = 32),
			  CONFIG(.tx_credits = 32));
		peer_go(f->b, STEP_SEND, .n = 5, .size = 99, .seed = round);
		peer_do(f->a, STEP_HOLD, .n = 5, .size = 99, .seed = round);
		peer_finish(f->b);
		peer_do(f->b, STEP_RESET);
		peer_do(f->a, STEP_TX_CLOSE);
		peer_do(f->a, STEP_TX_DESTROY);
		peer_do(f->a, STEP_RX_DESTROY);
		peer_do(f->a, STEP_LINK_DESTROY);
		for (uint64_t k = 0; k < f->v->carriers; k++)
			peer_do(f->a, STEP_UNLISTEN, .k = k);
		peer_do(f->a, STEP_CHECK);
		assert_int_equal(f->as->held_count, before + 5);
	}
	release_by_threads(f);
}

/* ---- a receiver that holds ------------------------------------------------------ */

/* verifies link.fair: a receiver that holds all slows the sender down, and
 * nothing is lost */
static void
a_holding_receiver_slows_but_loses_nothing(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 64));
	uint64_t sent = 0;

	for (uint64_t round = 0; round < repeats(f, 50); round++) {
		uint32_t n = send_until_dry(f, 80, round);

		peer_do(f->b, STEP_HOLD, .n = n, .size = 80, .seed = round);
		assert_int_equal(send_until_dry(f, 80, round), 0);
		peer_do(f->b, STEP_CHECK);
		peer_do(f->b, STEP_RELEASE, .n = PEER_ALL);
		all_back(f);
		sent += n;
	}
	assert_int_equal(peer_do(f->b, STEP_COUNTERS).rx_messages, sent);
}

/* verifies link.fair: another link of the same port does not notice */
static void
another_link_of_the_port_goes_on(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 64));
	uint64_t n = repeats(f, 5000);
	uint32_t held;

	link_open(f, 1, NULL, NULL);
	held = send_until_dry(f, 80, SEED);
	peer_do(f->b, STEP_HOLD, .n = held, .size = 80, .seed = SEED);
	peer_go(f->b, STEP_RECV, .end = 1, .n = n, .size = 300, .seed = 2);
	peer_do(f->a, STEP_SEND, .end = 1, .n = n, .size = 300, .seed = 2);
	assert_int_equal(peer_finish(f->b).n, n);
	peer_do(f->b, STEP_CHECK);
	peer_do(f->b, STEP_RELEASE, .n = PEER_ALL);
	all_back(f);
}

/* verifies link.fair: a full large place does not stop the small messages of
 * another link */
static void
held_large_messages_stop_nobody_else(void **state)
{
	struct weir_link_config *config =
		CONFIG(.msg_size_max = 128u * 1024, .large_count = 2);
	struct fixture *f = link_up(state, config);
	uint64_t n = repeats(f, 2000);

	link_open(f, 1, NULL, NULL);
	peer_go(f->b, STEP_HOLD, .n = 2, .size = 128u * 1024, .seed = SEED);
	peer_do(f->a, STEP_SEND, .n = 2, .size = 128u * 1024, .seed = SEED);
	peer_finish(f->b);
	peer_go(f->b, STEP_RECV, .end = 1, .n = n, .size = 20, .seed = 2);
	peer_do(f->a, STEP_SEND, .end = 1, .n = n, .size = 20, .seed = 2);
	peer_finish(f->b);
	peer_do(f->b, STEP_CHECK);
	peer_do(f->b, STEP_RELEASE, .n = PEER_ALL);
	peer_go(f->b, STEP_RECV, .n = 2, .size = 128u * 1024, .seed = 3);
	peer_do(f->a, STEP_SEND, .n = 2, .size = 128u * 1024, .seed = 3);
	peer_finish(f->b);
	all_back(f);
}

/* verifies link: many links of one port do not mix */
static void
many_links_of_one_port_do_not_mix(void **state)
{
	struct fixture *f = fixture_of(state);
	uint32_t links = (uint32_t)repeats(f, 32) + 1;

	for (uint32_t end = 0; end < links; end++)
		link_open(f, end, CONFIG(.tx_credits = 32),
			  CONFIG(.tx_credits = 32));
	for (uint64_t i = 0; i < 20; i++)
		for (uint32_t end = 0; end < links; end++)
			peer_do(f->a, STEP_SEND, .end = end, .n = 1,
				.size = 50 + end, .seed = end, .k = i);
	for (uint32_t end = links; end-- > 0;)
		peer_do(f->b, STEP_RECV, .end = end, .n = 20, .size = 50 + end,
			.seed = end);
}

/* verifies link.stats: counters agree with what happened, on both sides */
static void
counters_agree_with_what_happened(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_tx_stats t;
	struct weir_slot slot;
	struct answer b;
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < 100; i++) {
		uint32_t len = pattern_size(SEED, i, PATTERN_MIX(2000));

		send_one(f, len, pattern_seed(SEED, i));
		bytes += len;
	}
	for (int i = 0; i < 7; i++) {
		open_filled(f, 10, 1, &slot);
		weir_slot_discard(&slot);
	}
	peer_do(f->b, STEP_HOLD, .n = 100, .size = PATTERN_MIX(2000),
		.seed = SEED);
	peer_do(f->b, STEP_RELEASE, .n = 60);
	weir_tx_stats(f->tx, &t, sizeof(t));
	assert_int_equal(t.messages, 100);
	assert_int_equal(t.payload_bytes, bytes);
	assert_int_equal(t.discarded, 7);
	b = peer_do(f->b, STEP_COUNTERS);
	assert_int_equal(b.rx_messages, 100);
	assert_int_equal(b.rx_bytes, bytes);
	assert_int_equal(b.rx_released, 60);
	assert_int_equal(b.tx_messages, 0);
	peer_do(f->b, STEP_RELEASE, .n = PEER_ALL);
	assert_int_equal(peer_do(f->b, STEP_COUNTERS).rx_released, 100);
	all_back(f);
}

/* verifies link.stats: a caller that knows only the first fields gets these */
static void
a_smaller_struct_gets_its_first_fields(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 32));
	struct weir_tx_stats t;
	uint32_t first[3] = { 9, 9, 9 };

	memset(&t, 0xff, sizeof(t));
	weir_tx_stats(f->tx, (struct weir_tx_stats *)(void *)first,
		      2 * sizeof(uint32_t));
	assert_int_equal(first[0], 32);
	assert_int_equal(first[1], 32);
	assert_int_equal(first[2], 9);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(held_messages_stay_as_they_are),
	cmocka_unit_test(traffic_does_not_touch_what_is_held),
	cmocka_unit_test(large_messages_can_be_held),
	cmocka_unit_test(other_threads_may_release),
	cmocka_unit_test(messages_outlive_their_half),
	cmocka_unit_test(messages_outlive_link_and_port),
	cmocka_unit_test(held_messages_of_many_links_outlive_them),
	cmocka_unit_test(a_holding_receiver_slows_but_loses_nothing),
	cmocka_unit_test(another_link_of_the_port_goes_on),
	cmocka_unit_test(held_large_messages_stop_nobody_else),
	cmocka_unit_test(many_links_of_one_port_do_not_mix),
	cmocka_unit_test(counters_agree_with_what_happened),
	cmocka_unit_test(a_smaller_struct_gets_its_first_fields),
};

CASE_LIST(cases_receive, tests);
