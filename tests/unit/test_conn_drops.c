/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reasons to drop a packet that no other test is about: each is counted, once,
 * and under no other name. docs/testing.md says who drives the rest.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "conn_pair.h"

static const uint8_t bytes[100] = "message";

static int
setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	pair_init(pair);
	pair_open(pair);
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

/* One drop of that kind since before, none of another. */
static void
only(const struct conn_stats *before, const struct end *end,
     enum conn_drop reason)
{
	struct conn_stats now = pair_stats(end);

	for (unsigned int i = 0; i < CONN_DROPS; i++)
		assert_int_equal(now.drops[i] - before->drops[i],
				 i == (unsigned int)reason);
}

static void
a_hello_on_an_open_link_is_a_matter_of_state(void **state)
{
	struct pair *pair = *state;
	struct conn_stats before = pair_stats(&pair->a);
	struct wire_hdr hdr = {
		.vt = WIRE_VERSION_MAX << 4 | WIRE_REJECT,
		.hlen = WIRE_HDR_LEN / 8,
		.token = pair->a.config.token,
	};

	assert_int_equal(
		weir_conn_on_packet(pair->a.conn, &hdr, NULL, pair->now), 0);
	only(&before, &pair->a, CONN_DROP_STATE);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
}

static void
data_that_nobody_reads_is_stopped(void **state)
{
	struct pair *pair = *state;
	struct conn_stats before;

	pair_push(&pair->a, bytes, sizeof(bytes));
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	weir_conn_stop_rx(pair->b.conn);
	before = pair_stats(&pair->b);
	pair_deliver(pair, &pair->a, &pair->b);
	only(&before, &pair->b, CONN_DROP_STOPPED);
	assert_int_equal(pair_read(&pair->b), 0);
}

static void
acknowledging_what_was_never_sent_is_a_violation(void **state)
{
	struct pair *pair = *state;
	struct conn_stats before = pair_stats(&pair->b);
	struct wire_hdr hdr;

	pair_push(&pair->a, bytes, sizeof(bytes));
	pair_flush(pair, &pair->a);
	hdr = pair_last(&pair->a);
	hdr.ack += 1;
	assert_int_equal(
		weir_conn_on_packet(pair->b.conn, &hdr, NULL, pair->now), 0);
	only(&before, &pair->b, CONN_DROP_VIOLATION);
	assert_int_equal(weir_conn_status(pair->b.conn), -EPROTO);
	assert_int_equal(weir_conn_error_code(pair->b.conn), WIRE_E_ACK);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_hello_on_an_open_link_is_a_matter_of_state),
		TEST(data_that_nobody_reads_is_stopped),
		TEST(acknowledging_what_was_never_sent_is_a_violation),
	};

	return cmocka_run_group_tests_name("conn_drops", tests, NULL, NULL);
}
