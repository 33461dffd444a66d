/* SPDX-License-Identifier: BSD-3-Clause */
/* weir perf sweep: what is measured, for how long, and what a cliff is. */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "sweep.h"

/* ---- plan ---------------------------------------------------------------------- */

static void
sizes_in_order_round_trips_first(void **state)
{
	struct weir_perf_args args = { .sweep = true, .size_count = 3 };
	struct weir_perf_plan plan;

	(void)state;
	args.sizes[0] = 64;
	args.sizes[2] = 64;
	weir_plan_make(&args, NULL, &plan);
	assert_int_equal(plan.count, 4);
	assert_int_equal(plan.runs[0].size, 0);
	assert_int_equal(plan.runs[1].size, 64);
	assert_int_equal(plan.runs[1].kind, WEIR_PERF_LAT);
	assert_int_equal(plan.runs[2].size, 0);
	assert_int_equal(plan.runs[2].kind, WEIR_PERF_BW);
}

static void
sizes_of_one_kind_stay_as_typed(void **state)
{
	struct weir_perf_args args = { .kind = WEIR_PERF_BW, .size_count = 2 };
	struct weir_perf_plan plan;

	(void)state;
	args.sizes[0] = 64;
	weir_plan_make(&args, NULL, &plan);
	assert_int_equal(plan.count, 2);
	assert_int_equal(plan.runs[0].size, 64);
	assert_int_equal(plan.runs[0].kind, WEIR_PERF_BW);
	assert_int_equal(plan.runs[1].size, 0);
}

/* One below, on and above each edge, up to the largest size asked for. */
static void
edges_of_classes_are_added(void **state)
{
	static const uint32_t expected[] = { 47, 48, 49, 64, 1023, 1024 };
	struct weir_perf_args args = { .sweep = true,
				       .edges = true,
				       .size_count = 2 };
	struct weir_tx_stats classes = { .class_count = 3 };
	struct weir_perf_plan plan;

	(void)state;
	args.sizes[0] = 64;
	args.sizes[1] = 1024;
	classes.classes[0].size = 48;
	classes.classes[1].size = 1024;
	classes.classes[2].size = 65536;
	weir_plan_make(&args, &classes, &plan);
	assert_int_equal(plan.count, 12);
	for (int i = 0; i < 12; i++)
		assert_int_equal(plan.runs[i].size, expected[i % 6]);
}

static void
time_is_shared_and_bounded(void **state)
{
	struct weir_perf_args args = { .time_ns = 5000, .warmup_ns = 70 };
	uint64_t warmup, time, spent = 0;

	(void)state;
	weir_plan_time(&args, 123456, 3, &warmup, &time);
	assert_int_equal(time, 5000);
	assert_int_equal(warmup, 70);
	args.time_ns = args.warmup_ns = 3000000000;
	args.total_ns = 1000000000;
	for (uint32_t left = 20; left > 0; left--) {
		weir_plan_time(&args, spent, left, &warmup, &time);
		assert_true(warmup <= time);
		spent += warmup + time;
	}
	assert_in_range(spent, 700000000, 1000000000);
	/* Whoever is late anyhow is short. */
	weir_plan_time(&args, 2000000000, 2, &warmup, &time);
	assert_int_equal(warmup, 0);
	assert_int_equal(time, 1000000);
}

/* ---- cliffs -------------------------------------------------------------------- */

static void
add(struct weir_sweep *sweep, enum weir_placement place, uint32_t size,
    double cost, double floor)
{
	sweep->points[sweep->count++] = (struct weir_sweep_point){
		.kind = WEIR_PERF_LAT,
		.place = place,
		.size = size,
		.cost_ns = cost,
		.floor_ns = floor,
	};
}

static void
bytes_explain_growth_and_nothing_else(void **state)
{
	static struct weir_sweep sweep;
	struct weir_sweep_step worst;

	(void)state;
	weir_sweep_worst(&sweep, WEIR_PERF_LAT, WEIR_PLACE_NEAR, &worst);
	assert_int_equal(worst.steps, 0);
	add(&sweep, WEIR_PLACE_NEAR, 48, 100, 90);
	add(&sweep, WEIR_PLACE_FAR, 48, 400, 390);
	add(&sweep, WEIR_PLACE_NEAR, 49, 150, 90); /* 1.5, nothing explains */
	add(&sweep, WEIR_PLACE_NEAR, 4096, 900, 540); /* 6 times both */
	add(&sweep, WEIR_PLACE_NEAR, 8192, 990, 270); /* the floor fell */
	weir_sweep_worst(&sweep, WEIR_PERF_LAT, WEIR_PLACE_NEAR, &worst);
	assert_int_equal(worst.steps, 3);
	assert_int_equal(worst.from, 48);
	assert_int_equal(worst.to, 49);
	assert_true(fabs(worst.factor - 1.5) < 1e-9);
	weir_sweep_worst(&sweep, WEIR_PERF_LAT, WEIR_PLACE_FAR, &worst);
	assert_int_equal(worst.steps, 0);
	weir_sweep_worst(&sweep, WEIR_PERF_BW, WEIR_PLACE_NEAR, &worst);
	assert_int_equal(worst.steps, 0);
}

static void
without_a_floor_cost_may_grow_with_the_bytes(void **state)
{
	static struct weir_sweep sweep;
	struct weir_sweep_step worst;

	(void)state;
	add(&sweep, WEIR_PLACE_FAR, 65536, 100, NAN);
	add(&sweep, WEIR_PLACE_FAR, 131072, 220, NAN);
	add(&sweep, WEIR_PLACE_FAR, 262144, 700, NAN);
	weir_sweep_worst(&sweep, WEIR_PERF_LAT, WEIR_PLACE_FAR, &worst);
	assert_int_equal(worst.from, 131072);
	assert_true(fabs(worst.factor - 700.0 / 220 / 2) < 1e-9);
}

static void
cliffs_as_text_and_json(void **state)
{
	static struct weir_sweep sweep;
	char *line = NULL, *text;
	size_t size = 0;
	FILE *to = open_memstream(&line, &size);
	json_t *list;

	(void)state;
	add(&sweep, WEIR_PLACE_FAR, 8, 100, 100);
	add(&sweep, WEIR_PLACE_FAR, 16, 140, 100);
	sweep.planned[WEIR_PERF_LAT] = 5;
	weir_sweep_human(&sweep, to);
	fclose(to);
	assert_non_null(strstr(line, "1.40"));
	assert_non_null(strstr(line, "8 to 16 B"));
	assert_non_null(strstr(line, "2 of 5 sizes"));
	assert_non_null(strstr(line, "missed"));
	text = weir_sweep_json(&sweep);
	list = json_loads(text, 0, NULL);
	assert_int_equal(json_array_size(list), 1);
	assert_true(json_is_false(
		json_object_get(json_array_get(list, 0), "reached")));
	json_decref(list);
	free(text);
	free(line);
}

/* A size without a figure might be one. */
static void
no_cliff_was_seen_only_where_one_looked(void **state)
{
	static struct weir_sweep sweep;
	struct weir_sweep_step worst;

	(void)state;
	sweep.planned[WEIR_PERF_LAT] = 5;
	for (uint32_t size = 1; size <= 3; size++)
		add(&sweep, WEIR_PLACE_FAR, size, 100, 100);
	weir_sweep_worst(&sweep, WEIR_PERF_LAT, WEIR_PLACE_FAR, &worst);
	assert_string_equal(weir_sweep_verdict(&worst), "not measured");
	add(&sweep, WEIR_PLACE_FAR, 4, 100, 100);
	weir_sweep_worst(&sweep, WEIR_PERF_LAT, WEIR_PLACE_FAR, &worst);
	assert_int_equal(worst.sizes, 4);
	assert_int_equal(worst.planned, 5);
	assert_string_equal(weir_sweep_verdict(&worst), "reached");
	add(&sweep, WEIR_PLACE_FAR, 5, 140, 100);
	weir_sweep_worst(&sweep, WEIR_PERF_LAT, WEIR_PLACE_FAR, &worst);
	assert_string_equal(weir_sweep_verdict(&worst), "missed");
}

/* The data and the script are there whether gnuplot is or not. */
static void
plots_leave_data_and_script(void **state)
{
	static struct weir_sweep sweep;
	char folder[] = "/tmp/weir-test-XXXXXX", path[64];
	static const char *const names[] = { "sweep.dat", "sweep.gp", "lat.svg",
					     "lat.png" };
	int rc;

	(void)state;
	assert_non_null(mkdtemp(folder));
	add(&sweep, WEIR_PLACE_FAR, 0, 100, 90);
	add(&sweep, WEIR_PLACE_FAR, 16, 140, NAN);
	rc = weir_sweep_plot(&sweep, folder);
	assert_true(rc == 0 || rc == -ENOENT);
	for (int i = 0; i < (rc == 0 ? 4 : 2); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		assert_int_equal(access(path, R_OK), 0);
		unlink(path);
	}
	assert_int_equal(rmdir(folder), 0);
	assert_true(weir_sweep_plot(&sweep, folder) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_in_order_round_trips_first),
		cmocka_unit_test(sizes_of_one_kind_stay_as_typed),
		cmocka_unit_test(edges_of_classes_are_added),
		cmocka_unit_test(time_is_shared_and_bounded),
		cmocka_unit_test(bytes_explain_growth_and_nothing_else),
		cmocka_unit_test(without_a_floor_cost_may_grow_with_the_bytes),
		cmocka_unit_test(no_cliff_was_seen_only_where_one_looked),
		cmocka_unit_test(cliffs_as_text_and_json),
		cmocka_unit_test(plots_leave_data_and_script),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
