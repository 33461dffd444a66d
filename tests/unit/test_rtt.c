/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Round-trip estimation: the first sample, convergence, and time-outs that
 * leave a calm link alone.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "rtt.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

static void
the_first_sample_counts_whole(void **state)
{
	struct rtt rtt = { 0 };

	(void)state;
	rtt_sample(&rtt, 40 * US, S);
	assert_int_equal(rtt.srtt_ns, 40 * US);
	assert_int_equal(rtt.rttvar_ns, 20 * US);
	assert_int_equal(rtt.min_ns, 40 * US);
}

static void
later_samples_count_an_eighth(void **state)
{
	struct rtt rtt = { 0 };

	(void)state;
	rtt_sample(&rtt, 80 * US, S);
	rtt_sample(&rtt, 160 * US, S);
	assert_int_equal(rtt.srtt_ns, 90 * US);
	/* 40 us of deviation moved a quarter towards 80 us. */
	assert_int_equal(rtt.rttvar_ns, 50 * US);
	rtt_sample(&rtt, 10 * US, S);
	assert_int_equal(rtt.srtt_ns, 80 * US);
	assert_int_equal(rtt.min_ns, 10 * US);
}

static void
it_converges(void **state)
{
	struct rtt rtt = { 0 };

	(void)state;
	rtt_sample(&rtt, 10 * MS, S);
	for (int i = 0; i < 200; i++)
		rtt_sample(&rtt, 20 * US, S);
	assert_in_range(rtt.srtt_ns, 20 * US - 10, 20 * US + 10);
	assert_in_range(rtt.rttvar_ns, 0, 10);
}

static void
no_sample_is_below_the_granularity(void **state)
{
	struct rtt rtt = { 0 };

	(void)state;
	rtt_sample(&rtt, 0, S);
	assert_int_equal(rtt.srtt_ns, RTT_GRANULARITY_NS);
}

static void
the_minimum_is_forgotten_after_ten_seconds(void **state)
{
	struct rtt rtt = { 0 };

	(void)state;
	rtt_sample(&rtt, 5 * US, S);
	rtt_sample(&rtt, 50 * US, 10 * S);
	assert_int_equal(rtt.min_ns, 5 * US);
	rtt_sample(&rtt, 50 * US, 12 * S);
	assert_int_equal(rtt.min_ns, 50 * US);
}

static void
rto_has_the_ack_delay_a_floor_and_a_ceiling(void **state)
{
	struct rtt rtt = { .srtt_ns = 500 * US, .rttvar_ns = 100 * US };

	(void)state;
	assert_int_equal(rtt_rto(&rtt, 0, 1, S), 900 * US);
	assert_int_equal(rtt_rto(&rtt, 20 * US, 1, S), 920 * US);
	assert_int_equal(rtt_rto(&rtt, 20 * US, 2 * MS, S), 2 * MS);
	assert_int_equal(rtt_rto(&rtt, 20 * US, 1, 700 * US), 700 * US);
	/* A perfectly steady link still gets a microsecond of patience. */
	rtt.rttvar_ns = 0;
	assert_int_equal(rtt_rto(&rtt, 0, 1, S), 501 * US);
}

static void
pto_takes_the_larger_of_two_measures(void **state)
{
	struct rtt calm = { .srtt_ns = 100 * US, .rttvar_ns = 1 * US };
	struct rtt wild = { .srtt_ns = 100 * US, .rttvar_ns = 60 * US };

	(void)state;
	assert_int_equal(rtt_pto(&calm, 20 * US, 0), 220 * US);
	assert_int_equal(rtt_pto(&wild, 20 * US, 0), 360 * US);
	assert_int_equal(rtt_pto(&calm, 20 * US, MS), MS);
}

static void
backoff_doubles_up_to_the_ceiling(void **state)
{
	(void)state;
	assert_int_equal(rtt_backoff(200 * US, 0, 2 * S), 200 * US);
	assert_int_equal(rtt_backoff(200 * US, 3, 2 * S), 1600 * US);
	assert_int_equal(rtt_backoff(200 * US, 14, 2 * S), 2 * S);
	assert_int_equal(rtt_backoff(200 * US, 4000000000, 2 * S), 2 * S);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_sample_counts_whole),
		cmocka_unit_test(later_samples_count_an_eighth),
		cmocka_unit_test(it_converges),
		cmocka_unit_test(no_sample_is_below_the_granularity),
		cmocka_unit_test(the_minimum_is_forgotten_after_ten_seconds),
		cmocka_unit_test(rto_has_the_ack_delay_a_floor_and_a_ceiling),
		cmocka_unit_test(pto_takes_the_larger_of_two_measures),
		cmocka_unit_test(backoff_doubles_up_to_the_ceiling),
	};

	return cmocka_run_group_tests_name("rtt", tests, NULL, NULL);
}
