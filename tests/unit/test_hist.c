/* SPDX-License-Identifier: BSD-3-Clause */
/* The histogram of weir perf: buckets, quantiles, sums; and the order check,
 * which judges received numbers. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hist.h"
#include "order.h"

static struct weir_hist *
new_hist(void)
{
	struct weir_hist *hist = malloc(sizeof(*hist));

	assert_non_null(hist);
	weir_hist_reset(hist);
	return hist;
}

/* Every value lies in its bucket, and buckets leave no hole. */
static void
buckets_cover_all_values(void **state)
{
	uint64_t expected = 0;

	(void)state;
	for (uint32_t i = 0; i < WEIR_HIST_LEN; i++) {
		assert_int_equal(weir_hist_lowest(i), expected);
		assert_int_equal(weir_hist_index(weir_hist_lowest(i)), i);
		assert_int_equal(weir_hist_index(weir_hist_highest(i)), i);
		expected = weir_hist_highest(i) + 1;
	}
	assert_int_equal(expected, WEIR_HIST_VALUE_MAX + 1);
	assert_int_equal(weir_hist_index(UINT64_MAX), WEIR_HIST_LEN - 1);
}

static void
buckets_keep_three_digits(void **state)
{
	(void)state;
	for (uint64_t value = 1; value < WEIR_HIST_VALUE_MAX / 3;
	     value = value * 3 + 1) {
		uint32_t index = weir_hist_index(value);
		uint64_t width =
			weir_hist_highest(index) - weir_hist_lowest(index);

		assert_true(width * 1000 <= value);
	}
}

static void
quantiles_of_1_to_1000(void **state)
{
	struct weir_hist *hist = new_hist();

	(void)state;
	for (uint64_t value = 1; value <= 1000; value++)
		weir_hist_record(hist, value);
	assert_int_equal(weir_hist_quantile(hist, 0.5), 500);
	assert_int_equal(weir_hist_quantile(hist, 0.9), 900);
	assert_int_equal(weir_hist_quantile(hist, 0.99), 990);
	assert_int_equal(weir_hist_quantile(hist, 0.999), 999);
	assert_int_equal(weir_hist_quantile(hist, 1), 1000);
	assert_int_equal(weir_hist_quantile(hist, 0), 1);
	assert_int_equal(hist->min, 1);
	assert_int_equal(hist->max, 1000);
	assert_true(fabs(weir_hist_mean(hist) - 500.5) < 1e-9);
	/* (n^2 - 1) / 12 is the variance of 1..n. */
	assert_true(fabs(weir_hist_stddev(hist) - sqrt(999999.0 / 12)) < 1e-6);
	free(hist);
}

/* The answer for large values is off by less than a thousandth, and never
 * beyond what was recorded. */
static void
quantiles_of_large_values(void **state)
{
	struct weir_hist *hist = new_hist();
	uint64_t p50;

	(void)state;
	for (uint64_t i = 1; i <= 1001; i++)
		weir_hist_record(hist, i * 1000003);
	p50 = weir_hist_quantile(hist, 0.5);
	assert_in_range(p50, UINT64_C(501) * 1000003,
			UINT64_C(501) * 1000003 / 999 * 1000);
	assert_int_equal(weir_hist_quantile(hist, 1), UINT64_C(1001) * 1000003);
	free(hist);
}

static void
values_beyond_the_range_are_kept(void **state)
{
	struct weir_hist *hist = new_hist();

	(void)state;
	weir_hist_record(hist, 5);
	weir_hist_record(hist, UINT64_MAX / 2);
	assert_int_equal(hist->total, 2);
	assert_int_equal(hist->max, UINT64_MAX / 2);
	assert_int_equal(weir_hist_quantile(hist, 1), UINT64_MAX / 2);
	free(hist);
}

static void
an_empty_histogram_says_nothing(void **state)
{
	struct weir_hist *hist = new_hist();

	(void)state;
	assert_int_equal(weir_hist_quantile(hist, 0.5), 0);
	assert_false(weir_hist_supports(hist, 0.5));
	assert_true(weir_hist_mean(hist) < 1e-9);
	assert_true(weir_hist_stddev(hist) < 1e-9);
	free(hist);
}

static void
adding_equals_recording(void **state)
{
	struct weir_hist *a = new_hist(), *b = new_hist(), *all = new_hist();

	(void)state;
	for (uint64_t value = 1; value < 5000000; value += value / 3 + 1) {
		weir_hist_record(value % 2 != 0 ? a : b, value);
		weir_hist_record(all, value);
	}
	weir_hist_add(a, b);
	assert_int_equal(a->total, all->total);
	assert_int_equal(a->min, all->min);
	assert_int_equal(a->max, all->max);
	assert_memory_equal(a->counts, all->counts, sizeof(all->counts));
	free(a);
	free(b);
	free(all);
}

/* Ten values are expected beyond a quantile before it is spoken of. */
static void
quantiles_need_samples(void **state)
{
	struct weir_hist *hist = new_hist();

	(void)state;
	for (int i = 0; i < 999; i++)
		weir_hist_record(hist, 7);
	assert_true(weir_hist_supports(hist, 0.9));
	assert_false(weir_hist_supports(hist, 0.99));
	weir_hist_record(hist, 7);
	assert_true(weir_hist_supports(hist, 0.99));
	assert_false(weir_hist_supports(hist, 0.999));
	free(hist);
}

/* ---- order -------------------------------------------------------------------- */

static void
note_all(struct weir_order *order, const uint64_t *numbers, int count)
{
	for (int i = 0; i < count; i++)
		weir_order_note(order, numbers[i]);
}

static void
expect_found(const struct weir_order *order, uint64_t lost, uint64_t duplicate,
	     uint64_t reordered)
{
	assert_int_equal(order->found.lost, lost);
	assert_int_equal(order->found.duplicate, duplicate);
	assert_int_equal(order->found.reordered, reordered);
}

static void
order_of_a_clean_stream(void **state)
{
	struct weir_order order = { 0 };

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		weir_order_note(&order, i);
	weir_order_end(&order, 1000);
	expect_found(&order, 0, 0, 0);
	assert_true(weir_integrity_ok(&order.found));
}

static void
order_counts_what_is_missing(void **state)
{
	static const uint64_t numbers[] = { 0, 1, 5, 6 };
	struct weir_order order = { 0 };

	(void)state;
	note_all(&order, numbers, 4);
	expect_found(&order, 3, 0, 0);
	weir_order_end(&order, 10);
	expect_found(&order, 6, 0, 0);
	assert_false(weir_integrity_ok(&order.found));
}

/* 3 fills the middle of the gap 2..5, then its ends come: nothing is lost. */
static void
order_tells_late_from_repeated(void **state)
{
	static const uint64_t numbers[] = { 0, 1, 6, 3, 3, 2, 5, 4, 4, 7 };
	struct weir_order order = { 0 };

	(void)state;
	note_all(&order, numbers, 10);
	expect_found(&order, 0, 2, 4);
	assert_int_equal(order.gap_count, 0);
	assert_int_equal(order.next, 8);
}

static void
order_survives_more_gaps_than_it_remembers(void **state)
{
	struct weir_order order = { 0 };
	uint64_t number;

	(void)state;
	for (number = 1; number < 1000; number += 2)
		weir_order_note(&order, number);
	expect_found(&order, 500, 0, 0);
	weir_order_note(&order, 0); /* the first gap is remembered */
	expect_found(&order, 499, 0, 1);
	weir_order_note(&order, 998); /* the last one is not */
	expect_found(&order, 499, 1, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_cover_all_values),
		cmocka_unit_test(buckets_keep_three_digits),
		cmocka_unit_test(quantiles_of_1_to_1000),
		cmocka_unit_test(quantiles_of_large_values),
		cmocka_unit_test(values_beyond_the_range_are_kept),
		cmocka_unit_test(an_empty_histogram_says_nothing),
		cmocka_unit_test(adding_equals_recording),
		cmocka_unit_test(quantiles_need_samples),
		cmocka_unit_test(order_of_a_clean_stream),
		cmocka_unit_test(order_counts_what_is_missing),
		cmocka_unit_test(order_tells_late_from_repeated),
		cmocka_unit_test(order_survives_more_gaps_than_it_remembers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
