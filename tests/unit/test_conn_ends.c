/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How connections begin and end: handshake, refusal, close, abort, stop,
 * reset, linger.
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

static uint8_t bytes[10000];

static int
setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	pair_init(pair);
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

static struct wire_hdr
init_of(struct pair *pair)
{
	pair_flush(pair, &pair->a);
	return pair_last(&pair->a);
}

/* --- begin ------------------------------------------------------------ */

static void
three_packets_open_a_link(void **state)
{
	struct pair *pair = *state;
	struct conn_limits limits;

	pair->a.config.frag_size = 1000;
	pair->b.config.frag_size = 700;
	pair->b.config.msg_size_max = 12345;
	pair->a.config.data_port = 77;
	pair_make(pair);
	assert_int_equal(weir_conn_status(pair->a.conn), -EINPROGRESS);
	assert_int_equal(weir_conn_tx_credit(pair->a.conn), 0);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(weir_conn_status(pair->b.conn), -EINPROGRESS);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	pair_deliver(pair, &pair->b, &pair->a);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
	assert_int_equal(pair_flush(pair, &pair->b), 0);

	weir_conn_limits(pair->a.conn, &limits);
	assert_int_equal(limits.frag_size, 700);
	assert_int_equal(limits.msg_size_max, 12345);
	assert_int_equal(limits.mode, WIRE_MODE_BARE);
	weir_conn_limits(pair->b.conn, &limits);
	assert_int_equal(limits.frag_size, 700);
	assert_int_equal(limits.peer_port, 77);
	/* Both know the round trip before the first message. */
	assert_in_range(pair_stats(&pair->a).srtt_ns, 9 * US, 11 * US);
	assert_in_range(pair_stats(&pair->b).srtt_ns, 9 * US, 11 * US);
}

static void
no_answer_is_longer_than_its_question(void **state)
{
	struct pair *pair = *state;
	uint8_t reject[CONN_REJECT_MAX];
	struct wire_hdr hdr;

	pair_make(pair);
	hdr = init_of(pair);
	assert_int_equal(pair->a.wire[0].len, WIRE_INIT_LEN);
	assert_in_range(weir_conn_build_reject(&hdr, WIRE_E_BUSY, reject), 40,
			CONN_REJECT_MAX);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_flush(pair, &pair->b);
	assert_int_equal(pair->b.wire[0].len, WIRE_INIT_LEN);
	/* A shorter INIT is no INIT. */
	assert_int_equal(weir_wire_decode(pair->a.wire[0].bytes,
					  WIRE_INIT_LEN - 1, &hdr),
			 WIRE_DROP_SHORT);
}

static void
a_lost_init_is_repeated(void **state)
{
	struct pair *pair = *state;

	pair_make(pair);
	pair_flush(pair, &pair->a);
	pair->a.wire[0].drop = true;
	pair_deliver(pair, &pair->a, &pair->b);
	pair_run(pair, 10 * MS);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
	assert_int_equal(pair_stats(&pair->a).handshake_retx, 1);
}

static void
a_lost_accept_is_repeated_unchanged(void **state)
{
	struct pair *pair = *state;

	pair_make(pair);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_flush(pair, &pair->b);
	pair->b.delivered = pair->b.sent;
	/* The client's INIT comes again before the server's timer. */
	assert_int_equal(pair_hand(pair, &pair->a, 0, &pair->b), 0);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	/* Its clock has moved on; token, number and choices have not. */
	assert_memory_equal(pair->b.wire[0].bytes + WIRE_HDR_LEN,
			    pair->b.wire[1].bytes + WIRE_HDR_LEN,
			    WIRE_PARAMS_LEN);
	assert_memory_equal(pair->b.wire[0].bytes, pair->b.wire[1].bytes, 24);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

static void
a_lost_first_ack_is_asked_for(void **state)
{
	struct pair *pair = *state;

	pair_make(pair);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_flush(pair, &pair->b);
	pair_deliver(pair, &pair->b, &pair->a);
	pair_flush(pair, &pair->a);
	pair->a.delivered = pair->a.sent;
	assert_int_equal(weir_conn_status(pair->b.conn), -EINPROGRESS);
	pair_run(pair, 10 * MS);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

static void
nobody_answers_nothing(void **state)
{
	struct pair *pair = *state;
	uint64_t start;

	pair_make(pair);
	start = pair->now;
	while (weir_conn_status(pair->a.conn) == -EINPROGRESS) {
		pair_flush(pair, &pair->a);
		pair_wait(pair, MS);
	}
	assert_int_equal(weir_conn_status(pair->a.conn), -ETIMEDOUT);
	assert_in_range(pair->now - start, 3 * S, 3 * S + 2 * MS);
	assert_true(weir_conn_finished(pair->a.conn));
	/* 3, 6, 12 ... 200 ms: some twenty tries, not thousands. */
	assert_in_range(pair->a.sent, 10, 25);
}

static void
a_soft_reject_is_waited_out(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr init, hdr;
	uint8_t reject[CONN_REJECT_MAX];
	uint32_t len;

	pair_make(pair);
	init = init_of(pair);
	len = weir_conn_build_reject(&init, WIRE_E_NO_LISTENER, reject);
	assert_int_equal(weir_wire_decode(reject, len, &hdr), WIRE_OK);
	weir_conn_on_packet(pair->a.conn, &hdr, NULL, pair->now);
	assert_int_equal(weir_conn_status(pair->a.conn), -EINPROGRESS);
	while (weir_conn_status(pair->a.conn) == -EINPROGRESS) {
		pair_flush(pair, &pair->a);
		pair_wait(pair, MS);
	}
	assert_int_equal(weir_conn_status(pair->a.conn), -ECONNREFUSED);
	assert_int_equal(weir_conn_error_code(pair->a.conn),
			 WIRE_E_NO_LISTENER);
}

static void
a_hard_reject_ends_at_once(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr init, hdr;
	uint8_t reject[CONN_REJECT_MAX];
	uint32_t len;

	pair_make(pair);
	init = init_of(pair);
	len = weir_conn_build_reject(&init, WIRE_E_VERSION, reject);
	assert_int_equal(weir_wire_decode(reject, len, &hdr), WIRE_OK);
	/* Without our number it was not made from our INIT. */
	hdr.ack++;
	weir_conn_on_packet(pair->a.conn, &hdr, NULL, pair->now);
	assert_int_equal(weir_conn_status(pair->a.conn), -EINPROGRESS);
	hdr.ack--;
	weir_conn_on_packet(pair->a.conn, &hdr, NULL, pair->now);
	assert_int_equal(weir_conn_status(pair->a.conn), -EPROTONOSUPPORT);
	assert_int_equal(weir_conn_error_code(pair->a.conn), WIRE_E_VERSION);
}

static void
the_listener_refuses_with_a_reason(void **state)
{
	struct pair *pair = *state;
	struct wire_params params;
	struct wire_hdr hdr;
	struct conn_init init;
	uint8_t ext[WIRE_PARAMS_LEN];
	enum wire_error reason;

	pair_make(pair);
	hdr = init_of(pair);
	weir_wire_get_params(hdr.params, &params);
	hdr.params = ext;

	params.version_min = params.version_max = 2;
	weir_wire_put_params(&params, ext);
	assert_int_equal(
		weir_conn_check_init(&pair->b.config, &hdr, &init, &reason),
		-ECONNREFUSED);
	assert_int_equal(reason, WIRE_E_VERSION);
	params.version_min = 1;
	params.modes = WIRE_MODE_STABLE;
	weir_wire_put_params(&params, ext);
	assert_int_equal(
		weir_conn_check_init(&pair->b.config, &hdr, &init, &reason),
		-ECONNREFUSED);
	assert_int_equal(reason, WIRE_E_MODE);
	params.modes = WIRE_MODE_BARE;
	pair->b.config.features_require = 8;
	weir_wire_put_params(&params, ext);
	assert_int_equal(
		weir_conn_check_init(&pair->b.config, &hdr, &init, &reason),
		-ECONNREFUSED);
	assert_int_equal(reason, WIRE_E_FEATURES);
	params.features = 8;
	weir_wire_put_params(&params, ext);
	assert_int_equal(
		weir_conn_check_init(&pair->b.config, &hdr, &init, &reason), 0);
}

static void
a_malformed_init_is_dropped(void **state)
{
	struct pair *pair = *state;
	struct wire_params good, params;
	struct wire_hdr hdr, other;
	struct conn_init init;
	uint8_t ext[WIRE_PARAMS_LEN];
	enum wire_error reason;

	pair_make(pair);
	hdr = init_of(pair);
	weir_wire_get_params(hdr.params, &good);
#define REFUSED(change)                                                        \
	do {                                                                   \
		params = good;                                                 \
		other = hdr;                                                   \
		other.params = ext;                                            \
		change;                                                        \
		weir_wire_put_params(&params, ext);                            \
		assert_int_equal(weir_conn_check_init(&pair->b.config, &other, \
						      &init, &reason),         \
				 -EPROTO);                                     \
	} while (0)
	REFUSED(other.params = NULL);
	REFUSED(other.token = 1);
	REFUSED(other.seq++);
	REFUSED(params.token = 0);
	REFUSED(params.frag_size = CONN_FRAG_MIN - 1);
	REFUSED(params.window_packets = 0);
	REFUSED(params.window_packets = WIRE_WINDOW_MAX + 1);
	REFUSED(params.credit_msgs = 0);
	REFUSED(params.credit_msgs = WIRE_CREDIT_MAX + 1);
	REFUSED(params.modes = 0);
	REFUSED(params.version_min = 0);
	REFUSED((params.version_min = 2, params.version_max = 1));
#undef REFUSED
}

static void
a_choice_that_was_not_offered_is_refused(void **state)
{
	static const struct {
		uint64_t features;
		uint32_t isn_off, frag_size;
		uint16_t modes;
		uint8_t version_max;
		int error;
	} cases[] = {
		{ 4, 0, 100, 1, 1, -EPROTONOSUPPORT },
		{ 0, 0, 100, 2, 1, -EPROTONOSUPPORT },
		{ 0, 0, 100, 3, 1, -EPROTONOSUPPORT },
		{ 0, 0, 100, 1, 2, -EPROTONOSUPPORT },
		{ 0, 0, 101, 1, 1, -EPROTO },
		{ 0, 1, 100, 1, 1, -EPROTO },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct wire_params params;
		uint8_t ext[WIRE_PARAMS_LEN];
		struct wire_hdr hdr;
		struct pair *pair;

		teardown(state);
		setup(state);
		pair = *state;
		pair_make(pair);
		pair_flush(pair, &pair->a);
		pair_deliver(pair, &pair->a, &pair->b);
		pair_flush(pair, &pair->b);
		hdr = pair_last(&pair->b);
		weir_wire_get_params(hdr.params, &params);
		params.features = cases[i].features;
		params.isn += cases[i].isn_off;
		params.frag_size = cases[i].frag_size;
		params.modes = cases[i].modes;
		params.version_max = cases[i].version_max;
		weir_wire_put_params(&params, ext);
		hdr.params = ext;
		weir_conn_on_packet(pair->a.conn, &hdr, NULL, pair->now);
		assert_int_equal(weir_conn_status(pair->a.conn),
				 cases[i].error);
		assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_PARAMS],
				 1);
		/* The server need not wait for its timer. */
		pair_flush(pair, &pair->a);
		pair_deliver(pair, &pair->a, &pair->b);
		assert_int_equal(weir_conn_status(pair->b.conn), -ECONNRESET);
	}
}

static void
a_forged_accept_is_ignored(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr, forged;

	pair_make(pair);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_flush(pair, &pair->b);
	hdr = pair_last(&pair->b);
	forged = hdr;
	forged.token ^= 0x10000;
	weir_conn_on_packet(pair->a.conn, &forged, NULL, pair->now);
	forged = hdr;
	forged.ack++;
	weir_conn_on_packet(pair->a.conn, &forged, NULL, pair->now);
	forged = hdr;
	forged.params = NULL;
	weir_conn_on_packet(pair->a.conn, &forged, NULL, pair->now);
	assert_int_equal(weir_conn_status(pair->a.conn), -EINPROGRESS);
	weir_conn_on_packet(pair->a.conn, &hdr, NULL, pair->now);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
}

static void
a_half_open_link_expires(void **state)
{
	struct pair *pair = *state;

	pair->b.config.accept_tries = 5;
	pair_make(pair);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	for (int i = 0; i < 1000; i++) {
		pair_flush(pair, &pair->b);
		pair_wait(pair, MS);
	}
	assert_int_equal(weir_conn_status(pair->b.conn), -ETIMEDOUT);
	assert_int_equal(pair_count(&pair->b, WIRE_ACCEPT), 5);
	assert_true(weir_conn_finished(pair->b.conn));
}

static void
a_stranger_cannot_wear_a_half_open_link_out(void **state)
{
	struct pair *pair = *state;
	uint8_t *init, token[8];

	pair_make(pair);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_flush(pair, &pair->b);
	/* INIT with a token, which no honest peer sends. */
	init = pair->a.wire[0].bytes;
	memcpy(token, init + 8, sizeof(token));
	memset(init + 8, 0x5a, sizeof(token));
	for (int i = 0; i < 20; i++)
		assert_int_equal(pair_hand(pair, &pair->a, 0, &pair->b), 0);
	assert_int_equal(pair_flush(pair, &pair->b), 0);
	assert_int_equal(pair_stats(&pair->b).drops[CONN_DROP_TOKEN], 20);
	memcpy(init + 8, token, sizeof(token));
	pair_run(pair, MS);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

static void
a_later_life_supersedes(void **state)
{
	struct pair *pair = *state;
	struct conn_init init;
	struct wire_hdr hdr;
	enum wire_error reason;

	pair_make(pair);
	hdr = init_of(pair);
	assert_int_equal(
		weir_conn_check_init(&pair->b.config, &hdr, &init, &reason), 0);
	weir_conn_accept(pair->b.conn, &init, pair->now);
	assert_true(weir_conn_is_same_init(pair->b.conn, &init));
	assert_false(weir_conn_is_superseded(pair->b.conn, &init));
	init.params.token ^= 0xff0000;
	assert_false(weir_conn_is_same_init(pair->b.conn, &init));
	assert_false(weir_conn_is_superseded(pair->b.conn, &init));
	init.params.epoch++;
	assert_true(weir_conn_is_superseded(pair->b.conn, &init));
	init.params.instance++;
	assert_false(weir_conn_is_superseded(pair->b.conn, &init));
}

static void
bad_configurations_are_named(void **state)
{
	struct pair *pair = *state;
	struct conn_config good = pair->a.config, c;

#define REFUSED(change)                                                \
	do {                                                           \
		c = good;                                              \
		change;                                                \
		assert_int_equal(weir_conn_config_check(&c), -EINVAL); \
	} while (0)
	assert_int_equal(weir_conn_config_check(&good), 0);
	REFUSED(c.token = 0);
	REFUSED(c.modes = 0);
	REFUSED(c.frag_size = 63);
	REFUSED(c.frag_size = CONN_FRAG_MAX + 1);
	REFUSED(c.rx_window_packets = 0);
	REFUSED(c.rx_window_packets = WIRE_WINDOW_MAX + 1);
	REFUSED(c.rx_credit_msgs = 0);
	REFUSED(c.rx_credit_msgs = WIRE_CREDIT_MAX + 1);
	REFUSED(c.tx_window_packets = 32);
	REFUSED(c.tx_window_packets = 100);
	REFUSED(c.tx_msgs = 0);
	REFUSED(c.tx_msgs = 3);
	REFUSED(c.max_ack_delay_ns = 2 * S);
	REFUSED(c.rto_min_ns = 0);
	REFUSED(c.rto_max_ns = 1);
	REFUSED(c.handshake_retry_ns = 0);
	REFUSED(c.accept_tries = 0);
#undef REFUSED
}

/* --- close ------------------------------------------------------------ */

static void
close_delivers_everything_then_eof(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	for (int i = 0; i < 5; i++)
		pair_push(&pair->a, bytes, 150);
	assert_int_equal(weir_conn_close_tx(pair->a.conn), 0);
	assert_int_equal(weir_conn_close_tx(pair->a.conn), -EALREADY);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_tx_state(pair->a.conn), CONN_TX_DONE);
	assert_int_equal(weir_conn_rx_state(pair->b.conn), 0);
	assert_int_equal(pair_read(&pair->b), 5);
	for (int i = 0; i < 3; i++)
		assert_int_equal(weir_conn_rx_state(pair->b.conn), CONN_EOF);
	/* The other direction goes on. */
	pair_push(&pair->b, bytes, 10);
	pair_run(pair, MS);
	assert_int_equal(pair_read(&pair->a), 1);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

static void
both_closed_is_closed_and_then_finished(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	weir_conn_close_tx(pair->a.conn);
	weir_conn_close_tx(pair->b.conn);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_status(pair->a.conn), CONN_CLOSED);
	assert_int_equal(weir_conn_status(pair->b.conn), CONN_CLOSED);
	assert_false(weir_conn_finished(pair->a.conn));
	pair_run(pair, S);
	assert_true(weir_conn_finished(pair->a.conn));
	assert_true(weir_conn_finished(pair->b.conn));
	assert_int_equal(weir_conn_deadline(pair->a.conn), CONN_NEVER);
	assert_int_equal(weir_conn_rx_state(pair->a.conn), CONN_EOF);
	assert_int_equal(weir_conn_tx_state(pair->a.conn), CONN_TX_DONE);
}

static void
a_lost_fin_and_a_lost_ack_are_repaired(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	weir_conn_close_tx(pair->a.conn);
	pair_flush(pair, &pair->a);
	pair->a.wire[pair->a.sent - 1].drop = true;
	pair_run(pair, MS);
	assert_int_equal(weir_conn_tx_state(pair->a.conn), CONN_TX_DONE);
	assert_int_equal(weir_conn_rx_state(pair->b.conn), CONN_EOF);
	weir_conn_close_tx(pair->b.conn);
	pair_flush(pair, &pair->b);
	pair_deliver(pair, &pair->b, &pair->a);
	pair_flush(pair, &pair->a);
	pair->a.wire[pair->a.sent - 1].drop = true;
	pair_run(pair, MS);
	assert_int_equal(weir_conn_status(pair->a.conn), CONN_CLOSED);
	assert_int_equal(weir_conn_status(pair->b.conn), CONN_CLOSED);
}

static void
closing_before_it_is_open_works(void **state)
{
	struct pair *pair = *state;

	pair_make(pair);
	assert_int_equal(weir_conn_close_tx(pair->a.conn), 0);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_tx_state(pair->a.conn), CONN_TX_DONE);
	assert_int_equal(weir_conn_rx_state(pair->b.conn), CONN_EOF);
}

static void
fin_passes_a_closed_window(void **state)
{
	struct pair *pair = *state;

	pair->b.config.rx_window_packets = 2;
	pair_open(pair);
	pair_push(&pair->a, bytes, 10);
	pair_push(&pair->a, bytes, 10);
	weir_conn_close_tx(pair->a.conn);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_tx_state(pair->a.conn), CONN_TX_DONE);
	assert_int_equal(pair_read(&pair->b), 2);
	assert_int_equal(weir_conn_rx_state(pair->b.conn), CONN_EOF);
}

static void
unread_messages_keep_it_from_finishing(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	pair_push(&pair->a, bytes, 10);
	weir_conn_close_tx(pair->a.conn);
	weir_conn_close_tx(pair->b.conn);
	pair_run(pair, S);
	assert_false(weir_conn_finished(pair->b.conn));
	assert_int_equal(pair_read(&pair->b), 1);
	assert_true(weir_conn_finished(pair->b.conn));
	/* a still owes the ref of its message. */
	assert_false(weir_conn_finished(pair->a.conn));
	assert_non_null(weir_conn_pop_acked(pair->a.conn));
	assert_true(weir_conn_finished(pair->a.conn));
}

static void
a_peer_gone_after_our_last_fin_is_success(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	weir_conn_close_tx(pair->b.conn);
	pair_run(pair, MS);
	weir_conn_close_tx(pair->a.conn);
	/* b takes the FIN and lingers out; its ack never arrives. */
	for (int i = 0; i < 4000; i++) {
		pair_wait(pair, MS);
		pair_flush(pair, &pair->a);
	}
	assert_int_equal(weir_conn_status(pair->a.conn), CONN_CLOSED);
	assert_int_equal(weir_conn_tx_state(pair->a.conn), CONN_TX_DONE);
	assert_true(weir_conn_finished(pair->a.conn));
}

/* --- abort and stop --------------------------------------------------- */

static void
an_aborted_tx_delivers_and_then_errs(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	for (int i = 0; i < 3; i++)
		pair_push(&pair->a, bytes, 10);
	weir_conn_abort_tx(pair->a.conn, pair->now);
	pair_run(pair, MS);
	assert_int_equal(pair_read(&pair->b), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(weir_conn_rx_state(pair->b.conn), -ECONNRESET);
	/* The other direction goes on and closes well. */
	pair_push(&pair->b, bytes, 10);
	weir_conn_close_tx(pair->b.conn);
	pair_run(pair, MS);
	assert_int_equal(pair_read(&pair->a), 1);
	assert_int_equal(weir_conn_rx_state(pair->a.conn), CONN_EOF);
	assert_int_equal(weir_conn_tx_state(pair->b.conn), CONN_TX_DONE);
}

static void
an_aborted_tx_does_not_wait_for_ever(void **state)
{
	struct pair *pair = *state;

	pair->b.config.rx_window_packets = 2;
	pair_open(pair);
	/* The second message is cut in the middle. */
	pair_push(&pair->a, bytes, 10);
	pair_push(&pair->a, bytes, 900);
	pair_push(&pair->a, bytes, 10);
	pair_run(pair, MS);
	weir_conn_abort_tx(pair->a.conn, pair->now);
	pair_run(pair, pair->a.config.linger_ns + 10 * MS);
	assert_int_equal(pair_read(&pair->b), 1);
	assert_int_equal(weir_conn_rx_state(pair->b.conn), -ECONNRESET);
	assert_ptr_equal(weir_conn_pop_acked(pair->a.conn), (void *)1);
	assert_ptr_equal(weir_conn_pop_acked(pair->a.conn), (void *)2);
	assert_ptr_equal(weir_conn_pop_acked(pair->a.conn), (void *)3);
}

static void
a_stopped_peer_cannot_send(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	pair_push(&pair->b, bytes, 10);
	pair_push(&pair->b, bytes, 10);
	pair_flush(pair, &pair->b);
	pair_deliver(pair, &pair->b, &pair->a);
	weir_conn_stop_rx(pair->a.conn);
	assert_null(weir_conn_rx_peek(pair->a.conn));
	while (weir_conn_pop_dropped_rx(pair->a.conn) != NULL)
		pair->a.freed++;
	assert_int_equal(pair->a.freed, 2);
	pair_push(&pair->b, bytes, 10);
	pair_flush(pair, &pair->b);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_tx_state(pair->b.conn), -ECONNRESET);
	for (uintptr_t i = 1; i <= 3; i++)
		assert_ptr_equal(weir_conn_pop_acked(pair->b.conn), (void *)i);
	/* The direction that was not stopped goes on and closes well. */
	pair_push(&pair->a, bytes, 10);
	weir_conn_close_tx(pair->a.conn);
	pair_run(pair, MS);
	assert_int_equal(pair_read(&pair->b), 1);
	assert_int_equal(weir_conn_rx_state(pair->b.conn), CONN_EOF);
	assert_int_equal(weir_conn_tx_state(pair->a.conn), CONN_TX_DONE);
	assert_int_equal(weir_conn_status(pair->a.conn), CONN_CLOSED);
	assert_int_equal(weir_conn_status(pair->b.conn), CONN_CLOSED);
}

static void
a_lost_stop_is_repeated(void **state)
{
	struct pair *pair = *state;

	pair->a.config.keepalive_ns = 0;
	pair->b.config.keepalive_ns = 0;
	pair_open(pair);
	weir_conn_stop_rx(pair->a.conn);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	assert_true(pair_last(&pair->a).flags & WIRE_F_STOP);
	pair->a.wire[pair->a.sent - 1].drop = true;
	pair_run(pair, 5 * MS);
	assert_int_equal(weir_conn_tx_state(pair->b.conn), -ECONNRESET);
}

static void
stopping_what_has_all_arrived_is_no_error(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	pair_push(&pair->b, bytes, 10);
	pair_run(pair, MS);
	weir_conn_close_tx(pair->b.conn);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	/* STOP crosses the FIN. */
	weir_conn_stop_rx(pair->a.conn);
	while (weir_conn_pop_dropped_rx(pair->a.conn) != NULL)
		pair->a.freed++;
	pair_run(pair, MS);
	assert_int_equal(weir_conn_tx_state(pair->b.conn), CONN_TX_DONE);
}

static void
stopping_before_it_is_open_works(void **state)
{
	struct pair *pair = *state;

	pair_make(pair);
	weir_conn_stop_rx(pair->a.conn);
	weir_conn_stop_rx(pair->a.conn);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_tx_state(pair->b.conn), -ECONNRESET);
	pair_push(&pair->a, bytes, 10);
	pair_run(pair, MS);
	assert_int_equal(pair_read(&pair->b), 1);
}

static void
a_reset_while_lingering_is_no_error(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr = { .vt = WIRE_VERSION_MAX << 4 | WIRE_RESET };

	pair_open(pair);
	weir_conn_close_tx(pair->a.conn);
	weir_conn_close_tx(pair->b.conn);
	pair_run(pair, MS);
	hdr.token = pair->a.config.token;
	hdr.seq = pair->b.config.isn + 1;
	weir_conn_on_packet(pair->a.conn, &hdr, NULL, pair->now);
	assert_int_equal(weir_conn_status(pair->a.conn), CONN_CLOSED);
	assert_true(weir_conn_finished(pair->a.conn));
}

static void
drops_have_names(void **state)
{
	(void)state;
	for (int a = 0; a < CONN_DROPS; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(
				weir_conn_drop_name((enum conn_drop)a),
				weir_conn_drop_name((enum conn_drop)b));
	assert_string_equal(weir_conn_drop_name(CONN_DROPS), "unknown");
}

static void
both_halves_gone_ends_the_link(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	pair_push(&pair->a, bytes, 10);
	weir_conn_abort_tx(pair->a.conn, pair->now);
	weir_conn_stop_rx(pair->a.conn);
	pair_run(pair, MS);
	assert_int_equal(pair_read(&pair->b), 1);
	assert_int_equal(weir_conn_rx_state(pair->b.conn), -ECONNRESET);
	assert_int_equal(weir_conn_tx_state(pair->b.conn), -ECONNRESET);
	pair_run(pair, S);
	while (weir_conn_pop_acked(pair->a.conn) != NULL)
		;
	assert_true(weir_conn_finished(pair->a.conn));
	assert_true(weir_conn_finished(pair->b.conn));
}

static void
an_abort_resets_both_directions(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	pair_push(&pair->a, bytes, 10);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_push(&pair->a, bytes, 10);
	weir_conn_abort(pair->a.conn, WIRE_E_ABORT, pair->now);
	assert_int_equal(weir_conn_status(pair->a.conn), -ECONNABORTED);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(weir_conn_status(pair->b.conn), -ECONNRESET);
	assert_int_equal(weir_conn_tx_state(pair->b.conn), -ECONNRESET);
	/* What was there before stays readable. */
	assert_int_equal(pair_read(&pair->b), 1);
	assert_int_equal(weir_conn_rx_state(pair->b.conn), -ECONNRESET);
	assert_true(weir_conn_finished(pair->b.conn));
	assert_int_equal(weir_conn_close_tx(pair->b.conn), -ECONNRESET);
}

static void
a_lost_reset_is_said_again(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	weir_conn_abort(pair->a.conn, WIRE_E_ABORT, pair->now);
	pair_flush(pair, &pair->a);
	pair->a.delivered = pair->a.sent;
	pair_push(&pair->b, bytes, 10);
	pair_flush(pair, &pair->b);
	pair_deliver(pair, &pair->b, &pair->a);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(weir_conn_status(pair->b.conn), -ECONNRESET);
	/* A RESET is not answered with a RESET. */
	assert_int_equal(pair_flush(pair, &pair->b), 0);
	pair_run(pair, S);
	assert_true(weir_conn_finished(pair->a.conn));
}

static void
discard_gives_everything_back(void **state)
{
	struct pair *pair = *state;
	uint32_t parked;

	pair_open(pair);
	for (int i = 0; i < 4; i++)
		pair_push(&pair->a, bytes, 10);
	pair_flush(pair, &pair->a);
	parked = pair->a.sent - 2;
	pair->a.wire[parked].drop = true;
	pair_deliver(pair, &pair->a, &pair->b);
	weir_conn_discard(pair->b.conn);
	for (int i = 0; i < 3; i++) {
		assert_false(weir_conn_finished(pair->b.conn));
		assert_non_null(weir_conn_pop_dropped_rx(pair->b.conn));
		pair->b.freed++;
	}
	assert_null(weir_conn_pop_dropped_rx(pair->b.conn));
	assert_true(weir_conn_finished(pair->b.conn));
	assert_int_equal(pair_flush(pair, &pair->b), 0);
}

/* --- state by type ---------------------------------------------------- */

/* Only the pairs in the table of docs/wire.md may change a state. */
static void
every_type_in_every_state(void **state)
{
	enum {
		IDLE,
		INIT_SENT,
		ACCEPT_SENT,
		OPEN,
		FAILED,
		STATES
	};

	for (int at = IDLE; at < STATES; at++) {
		for (uint8_t type = 0; type < 16; type++) {
			struct wire_hdr hdr = { .vt = (uint8_t)(0x10 | type),
						.hlen = 5 };
			struct pair *pair;
			struct weir_conn *conn;
			int before;

			teardown(state);
			setup(state);
			pair = *state;
			pair_make(pair);
			conn = at == INIT_SENT ? pair->a.conn : pair->b.conn;
			if (at >= ACCEPT_SENT) {
				pair_flush(pair, &pair->a);
				pair_deliver(pair, &pair->a, &pair->b);
			}
			if (at >= OPEN)
				pair_run(pair, MS);
			if (at == FAILED)
				weir_conn_abort(conn, WIRE_E_ABORT, pair->now);
			before = weir_conn_status(conn);
			hdr.token = at == INIT_SENT ? pair->a.config.token
						    : pair->b.config.token;
			hdr.seq = pair->a.config.isn;
			hdr.ts = (uint32_t)(pair->now >> WIRE_TIME_SHIFT);
			hdr.flags = WIRE_F_FIRST | WIRE_F_LAST;
			if (weir_conn_on_packet(conn, &hdr, (void *)1,
						pair->now)) {
				assert_int_equal(at, OPEN);
				assert_int_equal(type, WIRE_DATA);
				pair->b.kept++;
			}
			if (at == OPEN && type == WIRE_RESET)
				before = -ECONNRESET;
			/* It was not agreed upon. */
			if (at == OPEN && type == WIRE_BATCH)
				before = -EPROTO;
			assert_int_equal(weir_conn_status(conn), before);
		}
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(three_packets_open_a_link),
		CASE(no_answer_is_longer_than_its_question),
		CASE(a_lost_init_is_repeated),
		CASE(a_lost_accept_is_repeated_unchanged),
		CASE(a_lost_first_ack_is_asked_for),
		CASE(nobody_answers_nothing),
		CASE(a_soft_reject_is_waited_out),
		CASE(a_hard_reject_ends_at_once),
		CASE(the_listener_refuses_with_a_reason),
		CASE(a_malformed_init_is_dropped),
		CASE(a_choice_that_was_not_offered_is_refused),
		CASE(a_forged_accept_is_ignored),
		CASE(a_half_open_link_expires),
		CASE(a_stranger_cannot_wear_a_half_open_link_out),
		CASE(a_later_life_supersedes),
		CASE(bad_configurations_are_named),
		CASE(close_delivers_everything_then_eof),
		CASE(both_closed_is_closed_and_then_finished),
		CASE(a_lost_fin_and_a_lost_ack_are_repaired),
		CASE(closing_before_it_is_open_works),
		CASE(fin_passes_a_closed_window),
		CASE(unread_messages_keep_it_from_finishing),
		CASE(a_peer_gone_after_our_last_fin_is_success),
		CASE(an_aborted_tx_delivers_and_then_errs),
		CASE(an_aborted_tx_does_not_wait_for_ever),
		CASE(a_stopped_peer_cannot_send),
		CASE(a_lost_stop_is_repeated),
		CASE(stopping_what_has_all_arrived_is_no_error),
		CASE(stopping_before_it_is_open_works),
		CASE(a_reset_while_lingering_is_no_error),
		CASE(drops_have_names),
		CASE(both_halves_gone_ends_the_link),
		CASE(an_abort_resets_both_directions),
		CASE(a_lost_reset_is_said_again),
		CASE(discard_gives_everything_back),
		CASE(every_type_in_every_state),
	};

	return cmocka_run_group_tests_name("conn ends", tests, NULL, NULL);
}
