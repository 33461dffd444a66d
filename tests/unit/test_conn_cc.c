/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection and its controller: packets leave spaced after a cut, marks go
 * round, a peer that counts too many is not believed, and a path that has
 * become too narrow ends the link.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "conn_pair.h"

static uint8_t bytes[100000];

static int
setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	pair_init(pair);
	pair->a.config.features_offer = WIRE_FEATURE_ECN;
	pair->b.config.features_offer = WIRE_FEATURE_ECN;
	*state = pair;
	return 0;
}

static int
teardown(void **state)
{
	pair_free(*state);
	free(*state);
	return 0;
}

static void
forget_acked(struct end *end)
{
	while (weir_conn_pop_acked(end->conn) != NULL)
		;
}

/* a sends `count` packets of one message; the first of them are marked. */
static void
send_marked(struct pair *pair, uint32_t count, uint32_t marked)
{
	uint32_t n = pair->a.sent;

	pair_push(&pair->a, bytes, 100 * count);
	pair_flush(pair, &pair->a);
	for (uint32_t i = 0; i < marked; i++)
		pair->a.wire[n + i].mark = pair->a.wire[n + i].ect;
	pair_deliver(pair, &pair->a, &pair->b);
	pair_read(&pair->b);
}

static void
fixed_is_not_marked_and_not_spaced(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	pair_push(&pair->a, bytes, 1000);
	assert_int_equal(pair_flush(pair, &pair->a), 10);
	for (uint32_t n = 0; n < pair->a.sent; n++)
		assert_false(pair->a.wire[n].ect);
	assert_int_equal(pair_stats(&pair->a).cwnd, 64);
	assert_int_equal(pair_stats(&pair->a).gap_ns, 0);
}

static void
a_window_holds_back_what_is_beyond(void **state)
{
	struct pair *pair = *state;

	pair->a.config.cc = CC_NEWRENO;
	pair_open(pair);
	pair_push(&pair->a, bytes, 4000);
	assert_int_equal(pair_flush(pair, &pair->a), 10);
	assert_true(pair_stats(&pair->a).cwnd_full > 0);
	pair_run(pair, MS);
	assert_int_equal(pair_stats(&pair->a).tx_data, 40);
	assert_true(pair_stats(&pair->a).cwnd > 10);
	assert_int_equal(pair_stats(&pair->a).recoveries, 0);
}

/* Lose one of many, so that the window is cut; then all is quiet again. */
static void
cut_once(struct pair *pair)
{
	uint32_t n = pair->a.sent;

	pair_push(&pair->a, bytes, 1000);
	pair_flush(pair, &pair->a);
	pair->a.wire[n + 2].drop = true;
	for (int i = 0; i < 3; i++) {
		pair_run(pair, MS);
		pair_read(&pair->b);
		forget_acked(&pair->a);
	}
	assert_int_equal(pair_stats(&pair->a).tx_retx, 1);
	assert_int_equal(pair_stats(&pair->a).recoveries, 1);
}

/* The wire is 200 us long for a while: so is the round trip then. */
static void
stretch(struct pair *pair)
{
	for (int i = 0; i < 40; i++) {
		pair_push(&pair->a, bytes, 10);
		pair_flush(pair, &pair->a);
		pair->now += 195 * US;
		pair_deliver(pair, &pair->a, &pair->b);
		pair_read(&pair->b);
		pair_wait(pair, pair->b.config.max_ack_delay_ns);
		pair_flush(pair, &pair->b);
		pair_deliver(pair, &pair->b, &pair->a);
		forget_acked(&pair->a);
	}
}

static void
after_a_cut_packets_leave_spaced(void **state)
{
	struct pair *pair = *state;
	struct conn_tx_packet out;
	uint64_t gap_ns, waits;
	uint32_t count;

	pair->a.config.cc = CC_NEWRENO;
	pair->a.config.tx_window_packets = 64;
	pair_open(pair);
	cut_once(pair);
	stretch(pair);
	gap_ns = pair_stats(&pair->a).gap_ns;
	assert_int_equal(gap_ns, pair_stats(&pair->a).srtt_ns /
					 pair_stats(&pair->a).cwnd);
	waits = pair_stats(&pair->a).pace_waits;
	pair_push(&pair->a, bytes, 4000);
	/* Late by much: a round trip's worth goes at once, cwnd packets. */
	count = pair_flush(pair, &pair->a);
	assert_int_equal(count, pair_stats(&pair->a).cwnd);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_flush(pair, &pair->b);
	pair_deliver(pair, &pair->b, &pair->a);
	/* Now one by one. */
	while (weir_conn_next(pair->a.conn, pair->now, &out))
		assert_int_equal(out.type, WIRE_DATA);
	assert_true(pair_stats(&pair->a).pace_waits > waits);
	assert_false(weir_conn_wants_tx(pair->a.conn));
	gap_ns = pair_stats(&pair->a).gap_ns;
	assert_in_range(weir_conn_deadline(pair->a.conn), pair->now + 1,
			pair->now + gap_ns);
	pair->now = weir_conn_deadline(pair->a.conn);
	weir_conn_on_time(pair->a.conn, pair->now);
	assert_true(weir_conn_wants_tx(pair->a.conn));
	assert_int_equal(weir_conn_next(pair->a.conn, pair->now, &out), 1);
	assert_int_equal(weir_conn_next(pair->a.conn, pair->now, &out), 0);
}

static void
a_timeout_leaves_two_packets(void **state)
{
	struct pair *pair = *state;
	uint32_t n;

	pair->a.config.cc = CC_NEWRENO;
	pair_open(pair);
	n = pair->a.sent;
	pair_push(&pair->a, bytes, 1000);
	pair_flush(pair, &pair->a);
	while (n < pair->a.sent)
		pair->a.wire[n++].drop = true;
	pair_deliver(pair, &pair->a, &pair->b);
	while (pair_stats(&pair->a).rto == 0) {
		pair_wait(pair, 100 * US);
		n = pair->a.sent;
		pair_flush(pair, &pair->a);
		if (pair_stats(&pair->a).rto == 0)
			while (n < pair->a.sent)
				pair->a.wire[n++].drop = true;
	}
	assert_int_equal(pair_stats(&pair->a).cwnd, 2);
	pair_run(pair, 10 * MS);
	assert_int_equal(pair_read(&pair->b), 1);
}

/* --- marks ---------------------------------------------------------------- */

static void
marks_are_counted_told_at_once_and_heard(void **state)
{
	struct pair *pair = *state;

	pair->a.config.cc = CC_DCTCP;
	pair_open(pair);
	send_marked(pair, 1, 1);
	assert_true(pair->a.wire[pair->a.sent - 1].ect);
	assert_int_equal(pair_stats(&pair->b).rx_marked, 1);
	/* No waiting for the delay. */
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	assert_int_equal(pair_last(&pair->b).ce, 1);
	assert_false(pair->b.wire[pair->b.sent - 1].ect);
	pair_deliver(pair, &pair->b, &pair->a);
	assert_int_equal(pair_stats(&pair->a).tx_marked, 1);
	/* And when it ends, at once again. */
	send_marked(pair, 1, 0);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	assert_int_equal(pair_last(&pair->b).ce, 1);
	/* But what stays as it is may wait. */
	send_marked(pair, 1, 0);
	assert_int_equal(pair_flush(pair, &pair->b), 0);
}

static void
marks_cut_the_window(void **state)
{
	struct pair *pair = *state;
	uint32_t before;

	pair->a.config.cc = CC_DCTCP;
	pair_open(pair);
	before = pair_stats(&pair->a).cwnd;
	send_marked(pair, 10, 10);
	pair_run(pair, MS);
	assert_true(pair_stats(&pair->a).cwnd < before);
	assert_int_equal(pair_stats(&pair->a).recoveries, 0);
	assert_int_equal(pair_stats(&pair->a).tx_marked, 10);
}

static void
marks_go_round_in_eight_bits(void **state)
{
	struct pair *pair = *state;

	pair->a.config.cc = CC_DCTCP;
	pair_open(pair);
	for (int i = 0; i < 300; i++) {
		send_marked(pair, 1, 1);
		pair_run(pair, MS);
		forget_acked(&pair->a);
	}
	assert_int_equal(pair_stats(&pair->b).rx_marked, 300);
	assert_int_equal(pair_stats(&pair->a).tx_marked, 300);
	assert_true(pair->a.wire[pair->a.sent - 1].ect);
}

static void
a_count_that_goes_back_is_ignored(void **state)
{
	struct pair *pair = *state;
	uint32_t n;

	pair->a.config.cc = CC_DCTCP;
	pair_open(pair);
	send_marked(pair, 2, 2);
	pair_run(pair, MS);
	send_marked(pair, 1, 0);
	pair_wait(pair, MS);
	n = pair->b.sent;
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	assert_int_equal(pair->b.wire[n].bytes[3], 2);
	pair->b.wire[n].bytes[3] = 1;
	pair_deliver(pair, &pair->b, &pair->a);
	assert_int_equal(pair_stats(&pair->a).tx_marked, 2);
	send_marked(pair, 1, 0);
	assert_true(pair->a.wire[pair->a.sent - 1].ect);
}

static void
who_counts_too_many_is_not_believed(void **state)
{
	struct pair *pair = *state;
	uint32_t n;

	pair->a.config.cc = CC_DCTCP;
	pair_open(pair);
	send_marked(pair, 1, 0);
	pair_wait(pair, MS);
	n = pair->b.sent;
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	pair->b.wire[n].bytes[3] = 2; /* ce, of one packet */
	pair_deliver(pair, &pair->b, &pair->a);
	send_marked(pair, 1, 0);
	assert_false(pair->a.wire[pair->a.sent - 1].ect);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
}

static void
without_the_feature_nothing_is_markable(void **state)
{
	struct pair *pair = *state;

	pair->a.config.cc = CC_DCTCP;
	pair->b.config.features_offer = 0;
	pair_open(pair);
	send_marked(pair, 1, 0);
	assert_false(pair->a.wire[pair->a.sent - 1].ect);
}

/* --- a path that has become narrow ------------------------------------------ */

/* Time passes; packets of a above `mtu` vanish. */
static void
narrow_run(struct pair *pair, uint32_t mtu, uint64_t ns)
{
	uint64_t end = pair->now + ns;

	while (pair->now < end) {
		uint32_t n = pair->a.sent;

		pair_flush(pair, &pair->a);
		for (; n < pair->a.sent; n++)
			pair->a.wire[n].drop = pair->a.wire[n].len > mtu;
		pair_deliver(pair, &pair->a, &pair->b);
		pair_read(&pair->b);
		pair_flush(pair, &pair->b);
		pair_deliver(pair, &pair->b, &pair->a);
		pair_wait(pair, 500 * US);
		/* The wires are not for so long a time. */
		if (pair->a.sent > PAIR_WIRE / 2)
			pair->a.sent = pair->a.delivered = 0;
		if (pair->b.sent > PAIR_WIRE / 2)
			pair->b.sent = pair->b.delivered = 0;
	}
}

static void
open_long(struct pair *pair)
{
	pair->a.config.frag_size = 1400;
	pair->b.config.frag_size = 1400;
	pair_open(pair);
}

static void
long_packets_that_vanish_end_the_link(void **state)
{
	struct pair *pair = *state;
	uint64_t dead_ns = pair->a.config.dead_timeout_ns;

	open_long(pair);
	pair_push(&pair->a, bytes, 1400);
	narrow_run(pair, 1200, dead_ns);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	narrow_run(pair, 1200, 2 * dead_ns);
	assert_int_equal(weir_conn_status(pair->a.conn), -ETIMEDOUT);
	assert_int_equal(weir_conn_error_code(pair->a.conn), WIRE_E_NARROW);
	/* RESET is short: the peer knows too. */
	assert_int_equal(weir_conn_status(pair->b.conn), -ECONNRESET);
	assert_int_equal(weir_conn_error_code(pair->b.conn), WIRE_E_NARROW);
}

/* Answers to PING repair the hole before any time-out does; and FIN waits. */
static void
a_hole_of_long_packets_ends_the_link(void **state)
{
	struct pair *pair = *state;

	open_long(pair);
	pair_push(&pair->a, bytes, 1400);
	pair_push(&pair->a, bytes, 100);
	weir_conn_close_tx(pair->a.conn);
	narrow_run(pair, 1200, 3 * pair->a.config.dead_timeout_ns);
	assert_int_equal(weir_conn_status(pair->a.conn), -ETIMEDOUT);
	assert_int_equal(weir_conn_error_code(pair->a.conn), WIRE_E_NARROW);
	assert_int_equal(weir_conn_status(pair->b.conn), -ECONNRESET);
}

/* While we slept nobody could answer. */
static void
our_own_pause_is_no_sign(void **state)
{
	struct pair *pair = *state;

	open_long(pair);
	pair_push(&pair->a, bytes, 1400);
	pair_push(&pair->a, bytes, 100);
	narrow_run(pair, 1200, 150 * MS);
	assert_true(pair_stats(&pair->a).tx_retx > 3);
	pair->now += 2 * pair->a.config.dead_timeout_ns;
	narrow_run(pair, 1500, 5 * S);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(pair_stats(&pair->b).rx_msgs, 2);
}

static void
a_path_that_widens_in_time_is_kept(void **state)
{
	struct pair *pair = *state;
	uint64_t dead_ns = pair->a.config.dead_timeout_ns;

	open_long(pair);
	for (int i = 0; i < 3; i++) {
		pair_push(&pair->a, bytes, 1400);
		narrow_run(pair, 1200, dead_ns / 3);
		narrow_run(pair, 1500, dead_ns);
	}
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(pair_stats(&pair->b).rx_msgs, 3);
}

/* PINGs that are answered make long packets lost before a time-out does. */
static void
so_they_do_where_repeats_come_before_timeouts(void **state)
{
	struct pair *pair = *state;
	uint64_t dead_ns = pair->a.config.dead_timeout_ns;

	pair->a.config.keepalive_ns = pair->b.config.keepalive_ns = 20 * MS;
	open_long(pair);
	pair_push(&pair->a, bytes, 1400);
	pair_push(&pair->a, bytes, 100);
	narrow_run(pair, 1200, 2 * dead_ns);
	assert_int_equal(weir_conn_status(pair->a.conn), -ETIMEDOUT);
	assert_int_equal(weir_conn_error_code(pair->a.conn), WIRE_E_NARROW);
}

/* Nothing passes at all: that is another case, with another code. */
static void
silence_is_not_a_narrow_path(void **state)
{
	struct pair *pair = *state;

	open_long(pair);
	pair_push(&pair->a, bytes, 1400);
	narrow_run(pair, 0, 3 * pair->a.config.dead_timeout_ns);
	/* b, whose PINGs are not answered, says so. */
	assert_int_equal(weir_conn_status(pair->a.conn), -ECONNRESET);
	assert_int_equal(weir_conn_error_code(pair->a.conn), WIRE_E_DEAD);
}

/* Short data that vanishes is no sign of it either. */
static void
short_packets_that_vanish_are_no_sign(void **state)
{
	struct pair *pair = *state;

	open_long(pair);
	pair_push(&pair->a, bytes, 1100);
	narrow_run(pair, 1100, 3 * pair->a.config.dead_timeout_ns);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	narrow_run(pair, 1500, 5 * S);
	assert_int_equal(pair_stats(&pair->b).rx_msgs, 1);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(fixed_is_not_marked_and_not_spaced),
		TEST(a_window_holds_back_what_is_beyond),
		TEST(after_a_cut_packets_leave_spaced),
		TEST(a_timeout_leaves_two_packets),
		TEST(marks_are_counted_told_at_once_and_heard),
		TEST(marks_cut_the_window),
		TEST(marks_go_round_in_eight_bits),
		TEST(a_count_that_goes_back_is_ignored),
		TEST(who_counts_too_many_is_not_believed),
		TEST(without_the_feature_nothing_is_markable),
		TEST(long_packets_that_vanish_end_the_link),
		TEST(so_they_do_where_repeats_come_before_timeouts),
		TEST(a_path_that_widens_in_time_is_kept),
		TEST(a_hole_of_long_packets_ends_the_link),
		TEST(our_own_pause_is_no_sign),
		TEST(silence_is_not_a_narrow_path),
		TEST(short_packets_that_vanish_are_no_sign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
