/* SPDX-License-Identifier: BSD-3-Clause */
/* From windows to figures and to text: tally, JSON, table, CSV, assertions. */

#include <errno.h>
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

#include "plot.h"
#include "report.h"
#include "slices.h"

static struct weir_perf_args args;

/* count windows of one placement: round trips of rtt_ns over floor_ns. */
static void
add_windows(struct weir_tally *tally, enum weir_placement place, uint32_t count,
	    uint64_t rtt_ns, uint64_t floor_ns)
{
	struct weir_tally_place *to = &tally->places[place];

	for (uint32_t i = 0; i < count; i++) {
		for (int k = 0; k < 100; k++) {
			weir_hist_record(&to->rtt_ns, rtt_ns);
			weir_hist_record(&to->batch_ps, rtt_ns * 1000);
			weir_hist_record(&to->floor_batch_ps, floor_ns * 1000);
			weir_hist_record(&tally->all_rtt_ns, rtt_ns);
		}
		to->rate[to->windows++] = 1e9 / (double)rtt_ns;
		to->floor_rate[to->floor_windows++] = 1e9 / (double)floor_ns;
		to->messages += 200;
		tally->windows++;
	}
}

static void
setup_args(enum weir_perf_kind kind)
{
	memset(&args, 0, sizeof(args));
	args.kind = kind;
	args.endpoint = "shm:test";
	args.burst = 32;
	args.self = true;
	snprintf(args.command, sizeof(args.command),
		 "weir perf lat shm:test --self");
}

static void
setup_result(struct weir_perf_result *result, const struct weir_tally *tally)
{
	memset(result, 0, sizeof(*result));
	result->kind = args.kind;
	result->size = result->floor_size = 32;
	result->cpus[1] = 1;
	result->tally = tally;
	result->self = true;
}

static bool
close_to(double value, double expected)
{
	return fabs(value - expected) < expected * 0.002;
}

/* ---- tally --------------------------------------------------------------------- */

/* Near or far, whichever was seen more; smt only where there is nothing else. */
static void
the_most_seen_placement_speaks(void **state)
{
	struct weir_tally *tally = weir_tally_new();

	(void)state;
	assert_non_null(tally);
	assert_int_equal(weir_tally_main(tally), WEIR_PLACE_MOVED);
	add_windows(tally, WEIR_PLACE_SMT, 60, 100, 70);
	assert_int_equal(weir_tally_main(tally), WEIR_PLACE_SMT);
	add_windows(tally, WEIR_PLACE_FAR, 30, 600, 490);
	assert_int_equal(weir_tally_main(tally), WEIR_PLACE_FAR);
	add_windows(tally, WEIR_PLACE_NEAR, 31, 200, 130);
	assert_int_equal(weir_tally_main(tally), WEIR_PLACE_NEAR);
	free(tally);
}

static void
ratio_of_round_trips(void **state)
{
	struct weir_tally *tally = weir_tally_new();
	struct weir_figures f;

	(void)state;
	add_windows(tally, WEIR_PLACE_NEAR, 40, 195, 130);
	add_windows(tally, WEIR_PLACE_FAR, 25, 980, 490);
	weir_tally_figures(tally, WEIR_PLACE_NEAR, false, 32, 32, &f);
	assert_true(close_to(f.ratio, 1.5));
	assert_true(close_to(f.ratio_p99, 1.5));
	assert_int_equal(f.rtt_ns.p50, 195);
	assert_true(close_to(f.floor_p50_ns, 130));
	assert_int_equal(f.windows, 40);
	weir_tally_figures(tally, WEIR_PLACE_FAR, false, 32, 32, &f);
	assert_true(close_to(f.ratio, 2));
	free(tally);
}

/* Bytes for payload, messages where there is none; higher is better. */
static void
ratio_of_rates(void **state)
{
	struct weir_tally *tally = weir_tally_new();
	struct weir_figures f;

	(void)state;
	add_windows(tally, WEIR_PLACE_FAR, 40, 200, 100);
	weir_tally_figures(tally, WEIR_PLACE_FAR, true, 64, 64, &f);
	assert_true(close_to(f.ratio, 0.5));
	assert_true(isnan(f.ratio_p99));
	assert_true(close_to(f.bytes_per_s, 64 * 5e6));
	weir_tally_figures(tally, WEIR_PLACE_FAR, true, 64, 32, &f);
	assert_true(close_to(f.ratio, 1));
	weir_tally_figures(tally, WEIR_PLACE_FAR, true, 0, 0, &f);
	assert_true(close_to(f.ratio, 0.5));
	free(tally);
}

static void
too_few_windows_have_no_ratio(void **state)
{
	struct weir_tally *tally = weir_tally_new();
	struct weir_figures f;

	(void)state;
	add_windows(tally, WEIR_PLACE_NEAR, WEIR_TALLY_ENOUGH - 1, 200, 130);
	weir_tally_figures(tally, WEIR_PLACE_NEAR, false, 32, 32, &f);
	assert_true(isnan(f.ratio));
	assert_true(isnan(f.ratio_p99));
	add_windows(tally, WEIR_PLACE_NEAR, 1, 200, 130);
	weir_tally_figures(tally, WEIR_PLACE_NEAR, false, 32, 32, &f);
	assert_false(isnan(f.ratio));
	free(tally);
}

/* One stalled window in twenty does not move the rate. */
static void
a_rate_is_the_median_window(void **state)
{
	struct weir_tally *tally = weir_tally_new();
	struct weir_figures f;

	(void)state;
	add_windows(tally, WEIR_PLACE_NEAR, 20, 200, 100);
	add_windows(tally, WEIR_PLACE_NEAR, 1, 100000, 100);
	weir_tally_figures(tally, WEIR_PLACE_NEAR, true, 64, 64, &f);
	assert_true(close_to(f.msgs_per_s, 5e6));
	free(tally);
}

/* Most of the windows of round trips lost their CPU for a while: the rate is
 * still what the times beside it say, on both sides. */
static void
a_rate_of_round_trips_agrees_with_them(void **state)
{
	struct weir_tally *tally = weir_tally_new();
	struct weir_tally_place *near = &tally->places[WEIR_PLACE_NEAR];
	struct weir_figures f;

	(void)state;
	add_windows(tally, WEIR_PLACE_NEAR, 40, 200, 100);
	for (int i = 0; i < 30; i++) {
		near->rate[i] = near->floor_rate[i] = 119;
		weir_hist_record(&near->batch_ps, 200000000);
		weir_hist_record(&near->floor_batch_ps, 200000000);
	}
	weir_tally_figures(tally, WEIR_PLACE_NEAR, false, 32, 32, &f);
	assert_true(close_to(f.msgs_per_s, 5e6));
	assert_true(close_to(f.bytes_per_s, 32 * 5e6));
	assert_true(close_to(f.floor_msgs_per_s, 1e7));
	assert_true(close_to(f.msgs_per_s * f.batch_p50_ns, 1e9));
	assert_true(close_to(f.floor_msgs_per_s * f.floor_p50_ns, 1e9));
	weir_hist_reset(&near->batch_ps); /* as without a peer of our own */
	weir_tally_figures(tally, WEIR_PLACE_NEAR, false, 32, 32, &f);
	assert_true(close_to(f.msgs_per_s, 5e6));
	free(tally);
}

/* Ten messages per tick in slices of 1,000 ticks, and a hole of 50,000 ticks:
 * the hole is in one slice, so the window's rate stays ten. */
static void
a_hole_in_a_window_is_not_in_its_rate(void **state)
{
	struct weir_slices slices;
	struct weir_flow flow = { 0 };
	uint64_t count = 500, now = 1000000;

	(void)state;
	weir_slices_begin(&slices, 1000, 64);
	weir_slices_look(&slices, count, now);
	for (int i = 0; i < 50; i++) {
		now += i == 25 ? 50000 : 100;
		count += 1000;
		weir_slices_look(&slices, count, now);
	}
	weir_slices_end(&slices, &flow);
	assert_int_equal(slices.n, 5);
	assert_int_equal(flow.timed, flow.ticks * 10);
}

/* Too short for slices: everything after the first burst. */
static void
a_short_window_counts_whole(void **state)
{
	struct weir_slices slices;
	struct weir_flow flow = { 0 };

	(void)state;
	weir_slices_begin(&slices, 1000, 1 << 20);
	assert_int_equal(slices.step, 1);
	weir_slices_end(&slices, &flow);
	assert_int_equal(flow.timed, 0);
	assert_int_equal(flow.ticks, 0);
	weir_slices_look(&slices, 3, 500);
	weir_slices_look(&slices, 4, 900);
	weir_slices_look(&slices, 7, 1700);
	weir_slices_end(&slices, &flow);
	assert_int_equal(flow.timed, 4);
	assert_int_equal(flow.ticks, 1200);
}

/* ---- JSON ---------------------------------------------------------------------- */

static json_t *
json_of(const struct weir_tally *tally, struct weir_perf_result *result)
{
	struct weir_report report;
	json_error_t error;
	json_t *root;
	char *text;

	(void)tally;
	weir_report_of(&args, result, &report);
	text = weir_report_json(&report);
	assert_non_null(text);
	root = json_loads(text, 0, &error);
	free(text);
	assert_non_null(root);
	return root;
}

/* A dotted path; fails the test when a key is missing. */
static json_t *
at(json_t *from, const char *path)
{
	char part[64];

	while (*path != '\0') {
		size_t len = strcspn(path, ".");

		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		from = json_object_get(from, part);
		if (from == NULL)
			fail_msg("no key %s", part);
		path += len + (path[len] == '.');
	}
	return from;
}

static void
json_has_the_promised_keys(void **state)
{
	static const char *const numbers[] = {
		"result.rtt_ns.p50",   "result.rtt_ns.p99",
		"result.rtt_ns.p90",   "result.rtt_ns.max",
		"result.rtt_ns.mean",  "result.msgs_per_s",
		"result.bytes_per_s",  "floor.rtt_ns.p50",
		"floor.rtt_ns.p99",    "floor.msgs_per_s",
		"floor.bytes_per_s",   "ratio",
		"ratio_p99",           "integrity.lost",
		"integrity.duplicate", "integrity.reordered",
		"integrity.corrupt",   "test.size",
	};
	struct weir_tally *tally = weir_tally_new();
	struct weir_perf_result result;
	json_t *root;

	(void)state;
	setup_args(WEIR_PERF_LAT);
	add_windows(tally, WEIR_PLACE_NEAR, 40, 195, 130);
	add_windows(tally, WEIR_PLACE_FAR, 21, 980, 490);
	setup_result(&result, tally);
	root = json_of(tally, &result);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		assert_true(json_is_number(at(root, numbers[i])));
	assert_string_equal(json_string_value(at(root, "schema")),
			    "weir.perf/1");
	assert_string_equal(json_string_value(at(root, "placement")), "near");
	assert_int_equal(json_array_size(at(root, "placements")), 2);
	assert_int_equal(json_array_size(at(root, "warnings")), 0);
	assert_string_equal(json_string_value(at(root, "test.command")),
			    args.command);
	assert_int_equal(json_integer_value(at(root, "result.rtt_ns.p50")),
			 195);
	/* 4,000 round trips are too few for this one. */
	assert_true(json_is_null(at(root, "result.rtt_ns.p99_9")));
	json_decref(root);
	free(tally);
}

static void
json_without_self_has_no_floor(void **state)
{
	struct weir_tally *tally = weir_tally_new();
	struct weir_perf_result result;
	json_t *root;

	(void)state;
	setup_args(WEIR_PERF_LAT);
	args.self = false;
	add_windows(tally, WEIR_PLACE_FAR, 1, 5000, 490);
	setup_result(&result, tally);
	result.self = false;
	root = json_of(tally, &result);
	assert_true(json_is_null(at(root, "floor")));
	assert_true(json_is_null(at(root, "ratio")));
	assert_true(json_is_null(at(root, "placement")));
	assert_int_equal(json_array_size(at(root, "placements")), 0);
	json_decref(root);
	free(tally);
}

static void
json_says_when_windows_are_few(void **state)
{
	struct weir_tally *tally = weir_tally_new();
	struct weir_perf_result result;
	json_t *root;

	(void)state;
	setup_args(WEIR_PERF_BW);
	add_windows(tally, WEIR_PLACE_FAR, 19, 100, 50);
	setup_result(&result, tally);
	root = json_of(tally, &result);
	assert_true(json_is_null(at(root, "ratio")));
	assert_true(json_is_null(at(root, "result.rtt_ns")));
	assert_int_equal(json_array_size(at(root, "warnings")), 1);
	json_decref(root);
	free(tally);
}

/* ---- table and CSV -------------------------------------------------------------- */

static void
table_and_csv_show_the_floor(void **state)
{
	struct weir_tally *tally = weir_tally_new();
	struct weir_perf_result result;
	struct weir_report report;
	char text[4096] = "";
	FILE *to = fmemopen(text, sizeof(text), "w");

	(void)state;
	assert_non_null(to);
	setup_args(WEIR_PERF_LAT);
	add_windows(tally, WEIR_PLACE_NEAR, 40, 195, 130);
	setup_result(&result, tally);
	weir_report_of(&args, &result, &report);
	weir_report_human(&report, to, true);
	weir_report_csv(&report, to, true);
	fclose(to);
	assert_non_null(strstr(text, "0.195"));
	assert_non_null(strstr(text, "0.130"));
	assert_non_null(strstr(text, " 1.50"));
	assert_non_null(strstr(text, "near"));
	assert_non_null(
		strstr(text, "\nlat,\"shm:test\",32,near,40,8000,195,"));
	free(tally);
}

/* ---- assertions ------------------------------------------------------------------ */

static void
assertions_are_understood_or_refused(void **state)
{
	static const char *const good[] = { "rtt.p99<20us",
					    "ratio<1.25",
					    "loss==0",
					    "msgs_per_s>1.5M",
					    "rtt.p99.9 <= 1ms",
					    "corrupt!=1",
					    "max_rate>1M",
					    "response.p99.9<1ms",
					    "reserve_wait.max==0ns",
					    "samples>=10k",
					    "floor.p50<1us",
					    "rtt32.p99<2us",
					    "messages>0",
					    "tx.messages>0",
					    "rx.copied_bytes==0",
					    "port.polls>0" };
	static const char *const bad[] = { "",
					   "ratio",
					   "ratio<",
					   "ratio<x",
					   "p99<20us",
					   "ratio=1",
					   "rtt.p99<20",
					   "ratio<2us",
					   "ratio<<1",
					   "ratio<1 2",
					   "tx.none>1",
					   "messages>1us",
					   "tx.messages<2us",
					   "tx.messages" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int rc = weir_report_assert(NULL, good[i], NULL);

		assert_int_equal(rc, 1);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int rc = weir_report_assert(NULL, bad[i], NULL);

		assert_int_equal(rc, -EINVAL);
	}
}

static void
assertions_hold_or_not(void **state)
{
	static const struct {
		const char *text;
		int holds;
	} cases[] = {
		{ "rtt.p50<196ns", 1 },
		{ "rtt.p50<195ns", 0 },
		{ "rtt.p50<=195ns", 1 },
		{ "rtt.p50>=0.195us", 1 },
		{ "ratio<1.6", 1 },
		{ "ratio>1.6", 0 },
		{ "lost==2", 1 },
		{ "lost!=2", 0 },
		{ "rtt.p99_99<1s", 0 }, /* not known: does not hold */
		{ "rtt.p99_99>0s", 0 },
		{ "msgs_per_s>5M", 1 },
		{ "samples==4k", 1 },
		{ "messages==8k", 1 },
		{ "floor.p50<=131ns", 1 },
		{ "floor.p50<129ns", 0 },
		{ "tx.copied_bytes==7", 1 },
		{ "rx.copied_bytes==7", 0 },
		{ "port.device_missed==0", 1 },
		{ "peer.port.device_missed==3", 1 },
		{ "peer.tx.copied_bytes==7", 0 },
		{ "peer.tx.copied", -EINVAL },
		{ "peer.", -EINVAL },
	};
	struct weir_counters peer = { 0 };
	struct weir_tally *tally = weir_tally_new();
	struct weir_perf_result result;
	struct weir_report report;

	(void)state;
	setup_args(WEIR_PERF_LAT);
	add_windows(tally, WEIR_PLACE_NEAR, 40, 195, 130);
	setup_result(&result, tally);
	result.integrity.lost = 2;
	result.counters.tx.copied_bytes = 7;
	peer.port.device_missed = 3;
	result.peer_counters = &peer;
	weir_report_of(&args, &result, &report);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double value;
		int rc = weir_report_assert(&report, cases[i].text, &value);

		assert_int_equal(rc, cases[i].holds);
	}
	free(tally);
}

/* ---- open loop ------------------------------------------------------------------- */

/* 20,000 answers of 1 us, and 30 slow ones, two thirds of them the peer's. */
static struct weir_perf_load *
slow_load(void)
{
	struct weir_perf_load *load = calloc(1, sizeof(*load));
	struct weir_load_point *point = &load->points[0];

	load->count = 1;
	load->max_rate = NAN;
	point->share = NAN;
	point->rate = 100000;
	weir_hist_reset(&point->response);
	weir_hist_reset(&point->service);
	weir_hist_reset(&point->reserve_wait);
	weir_hist_reset(&point->service_at[WEIR_PLACE_FAR]);
	weir_hist_reset(&point->floor[WEIR_PLACE_FAR]);
	for (int i = 0; i < WEIR_CAUSES; i++)
		weir_hist_reset(&point->cause[i]);
	for (int i = 0; i < 20000; i++) {
		weir_hist_record(&point->response, 1000);
		weir_hist_record(&point->cause[WEIR_CAUSE_LINK], 1000);
		weir_hist_record(&point->service, 900);
		weir_hist_record(&point->reserve_wait, 0);
		weir_hist_record(&point->place[WEIR_PLACE_FAR], 1000);
		weir_hist_record(&point->service_at[WEIR_PLACE_FAR], 900);
		weir_hist_record(&point->floor[WEIR_PLACE_FAR], 600000);
	}
	point->floor_turns[WEIR_PLACE_FAR] = WEIR_LOAD_ENOUGH;
	for (int i = 0; i < 30; i++) {
		/* Ten of them are the 99.9th percentile itself. */
		uint64_t value = i < 10 ? 50000 : 90000;

		weir_hist_record(&point->response, value);
		weir_hist_record(&point->cause[i < 24 ? WEIR_CAUSE_PEERS
						      : WEIR_CAUSE_RESERVE],
				 value);
	}
	return load;
}

static void
slow_messages_have_causes(void **state)
{
	struct weir_perf_load *load = slow_load();
	struct weir_load_slow slow;

	(void)state;
	weir_load_slow_of(&load->points[0], &slow);
	assert_true(close_to(slow.above_ns, 50000));
	assert_int_equal(slow.samples, 20);
	assert_int_equal(slow.cause[WEIR_CAUSE_PEERS], 14);
	assert_int_equal(slow.cause[WEIR_CAUSE_RESERVE], 6);
	assert_int_equal(slow.cause[WEIR_CAUSE_LINK], 0);
	weir_hist_reset(&load->points[0].response);
	weir_load_slow_of(&load->points[0], &slow);
	assert_true(isnan(slow.above_ns));
	assert_int_equal(slow.samples, 0);
	free(load);
}

/* By placement, in which the floor was seen often enough. */
static void
service_stands_beside_the_floor(void **state)
{
	struct weir_perf_load *load = slow_load();
	struct weir_load_point *point = &load->points[0];
	struct weir_load_place place;

	(void)state;
	assert_int_equal(weir_load_main(point), WEIR_PLACE_FAR);
	weir_load_place_of(point, WEIR_PLACE_FAR, &place);
	assert_true(close_to(place.floor.p50, 600));
	assert_true(close_to(place.ratio, 1.5));
	assert_true(close_to(place.ratio_p99, 1.5));
	weir_load_place_of(point, WEIR_PLACE_NEAR, &place);
	assert_true(isnan(place.ratio));
	point->floor_turns[WEIR_PLACE_FAR]--;
	weir_load_place_of(point, WEIR_PLACE_FAR, &place);
	assert_true(isnan(place.ratio));
	assert_int_equal(place.service.p50, 900);
	free(load);
}

/* A plot's data and script are there whether gnuplot is or not. */
static void
a_plot_of_an_open_loop(void **state)
{
	static const char *const names[] = { "load-32.dat", "load-32.gp",
					     "load-32.svg", "load-32.png" };
	struct weir_perf_load *load = slow_load();
	char folder[] = "/tmp/weir-test-XXXXXX", path[64];
	int rc;

	(void)state;
	assert_non_null(mkdtemp(folder));
	rc = weir_plot_load(load, 32, folder);
	assert_true(rc == 0 || rc == -ENOENT);
	for (int i = 0; i < (rc == 0 ? 4 : 2); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		assert_int_equal(access(path, R_OK), 0);
		unlink(path);
	}
	assert_int_equal(rmdir(folder), 0);
	assert_true(weir_plot_load(load, 32, folder) < 0);
	free(load);
}

static void
open_loop_in_every_form(void **state)
{
	struct weir_tally *tally = weir_tally_new();
	struct weir_perf_load *load = slow_load();
	struct weir_perf_result result;
	struct weir_report report;
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	json_t *root, *point;
	double value;
	int rc;

	(void)state;
	setup_args(WEIR_PERF_LOAD);
	setup_result(&result, tally);
	result.load = load;
	weir_report_of(&args, &result, &report);
	weir_report_human(&report, to, true);
	weir_report_csv(&report, to, true);
	fclose(to);
	assert_non_null(strstr(text, "the peer's processor was away 70.0 %"));
	assert_non_null(strstr(text, "load,\"shm:test\",32,,,100000,"));
	assert_non_null(strstr(text, "far over its floor: p50 1.50, p99 1.50"));
	assert_non_null(strstr(text, ",far,600.0,600.0,1.5,1.5\n"));
	free(text);
	text = weir_report_json(&report);
	root = json_loads(text, 0, NULL);
	point = json_array_get(json_object_get(root, "points"), 0);
	assert_true(json_is_null(json_object_get(root, "max_rate")));
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(point, "slow"), "samples")),
			 20);
	weir_report_load_point(&report, 0);
	rc = weir_report_assert(&report, "response.p50<1us", &value);
	assert_int_equal(rc, 0);
	rc = weir_report_assert(&report, "service.p99<901ns", &value);
	assert_int_equal(rc, 1);
	rc = weir_report_assert(&report, "ratio>1.49", &value);
	assert_int_equal(rc, 1);
	rc = weir_report_assert(&report, "floor.p50<601ns", &value);
	assert_int_equal(rc, 1);
	rc = weir_report_assert(&report, "max_rate>0", &value);
	assert_int_equal(rc, 0);
	json_decref(root);
	free(text);
	free(load);
	free(tally);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_most_seen_placement_speaks),
		cmocka_unit_test(ratio_of_round_trips),
		cmocka_unit_test(ratio_of_rates),
		cmocka_unit_test(too_few_windows_have_no_ratio),
		cmocka_unit_test(a_rate_is_the_median_window),
		cmocka_unit_test(a_rate_of_round_trips_agrees_with_them),
		cmocka_unit_test(a_hole_in_a_window_is_not_in_its_rate),
		cmocka_unit_test(a_short_window_counts_whole),
		cmocka_unit_test(json_has_the_promised_keys),
		cmocka_unit_test(json_without_self_has_no_floor),
		cmocka_unit_test(json_says_when_windows_are_few),
		cmocka_unit_test(table_and_csv_show_the_floor),
		cmocka_unit_test(assertions_are_understood_or_refused),
		cmocka_unit_test(assertions_hold_or_not),
		cmocka_unit_test(slow_messages_have_causes),
		cmocka_unit_test(service_stands_beside_the_floor),
		cmocka_unit_test(a_plot_of_an_open_loop),
		cmocka_unit_test(open_loop_in_every_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
