/* SPDX-License-Identifier: BSD-3-Clause */
/* The figures of an open loop as a table, CSV and JSON ("weir.perf.load/1"). */

#include <math.h>
#include <string.h>

#include "report_json.h"

static const char *const cause_keys[WEIR_CAUSES] = {
	[WEIR_CAUSE_OURS] = "our_processor_away",
	[WEIR_CAUSE_PEERS] = "peer_processor_away",
	[WEIR_CAUSE_RESERVE] = "reserve",
	[WEIR_CAUSE_BEHIND] = "behind_earlier",
	[WEIR_CAUSE_LINK] = "link",
};

/* ---- placements ---------------------------------------------------------------- */

static void
scale_times(struct weir_rtt *times, double factor)
{
	double *const values[] = { &times->min, &times->p50,   &times->p90,
				   &times->p99, &times->p99_9, &times->p99_99,
				   &times->max, &times->mean,  &times->stddev };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		*values[i] *= factor;
}

void
weir_load_place_of(const struct weir_load_point *point,
		   enum weir_placement placement, struct weir_load_place *place)
{
	static const struct weir_rtt none = { .min = NAN,
					      .p50 = NAN,
					      .p90 = NAN,
					      .p99 = NAN,
					      .p99_9 = NAN,
					      .p99_99 = NAN,
					      .max = NAN,
					      .mean = NAN,
					      .stddev = NAN };

	weir_rtt_of(&point->place[placement], &place->response);
	weir_rtt_of(&point->service_at[placement], &place->service);
	place->floor = none;
	if (point->floor_turns[placement] >= WEIR_LOAD_ENOUGH) {
		weir_rtt_of(&point->floor[placement], &place->floor);
		scale_times(&place->floor, 0.001); /* ps to ns */
	}
	place->ratio = place->service.p50 / place->floor.p50;
	place->ratio_p99 = place->service.p99 / place->floor.p99;
}

enum weir_placement
weir_load_main(const struct weir_load_point *point)
{
	int most = 0;

	for (int i = 1; i < WEIR_PLACES; i++)
		if (point->floor_turns[i] > point->floor_turns[most])
			most = i;
	return (enum weir_placement)most;
}

/* What --assert may ask for under the names of a closed loop. */
static void
main_place(const struct weir_load_point *point, struct weir_figures *figures)
{
	struct weir_load_place place;

	figures->place = weir_load_main(point);
	weir_load_place_of(point, figures->place, &place);
	figures->floor_p50_ns = place.floor.p50;
	figures->floor_p99_ns = place.floor.p99;
	figures->ratio = place.ratio;
	figures->ratio_p99 = place.ratio_p99;
}

void
weir_report_load_point(struct weir_report *report, uint32_t point)
{
	const struct weir_perf_load *load = report->result->load;
	const struct weir_load_point *from = &load->points[point];

	weir_rtt_of(&from->response, &report->load.response);
	weir_rtt_of(&from->service, &report->load.service);
	weir_rtt_of(&from->reserve_wait, &report->load.reserve_wait);
	main_place(from, &report->main);
	report->load.rate = from->rate;
	report->load.max_rate = load->max_rate;
}

/* ---- why slow ------------------------------------------------------------------ */

static uint64_t
count_above(const struct weir_hist *hist, uint64_t value)
{
	uint64_t above = 0;

	for (uint32_t i = weir_hist_index(value) + 1; i < WEIR_HIST_LEN; i++)
		above += hist->counts[i];
	return above;
}

void
weir_load_slow_of(const struct weir_load_point *point,
		  struct weir_load_slow *slow)
{
	uint64_t above;

	memset(slow, 0, sizeof(*slow));
	slow->above_ns = NAN;
	if (!weir_hist_supports(&point->response, 0.999))
		return;
	above = weir_hist_quantile(&point->response, 0.999);
	slow->above_ns = (double)above;
	slow->samples = count_above(&point->response, above);
	for (int i = 0; i < WEIR_CAUSES; i++)
		slow->cause[i] = count_above(&point->cause[i], above);
}

const char *
weir_load_cause_text(enum weir_load_cause cause)
{
	static const char *const texts[WEIR_CAUSES] = {
		[WEIR_CAUSE_OURS] = "our processor was away",
		[WEIR_CAUSE_PEERS] = "the peer's processor was away",
		[WEIR_CAUSE_RESERVE] = "reserve had no room",
		[WEIR_CAUSE_BEHIND] = "behind earlier messages",
		[WEIR_CAUSE_LINK] = "on the link",
	};

	return texts[cause];
}

/* ---- table ------------------------------------------------------------------- */

static void
column(FILE *to, double value_ns)
{
	if (isnan(value_ns))
		fprintf(to, " %9s", "-");
	else
		fprintf(to, " %9.3f", value_ns / 1000);
}

static void
rtt_row(const char *name, const struct weir_rtt *rtt, FILE *to)
{
	fprintf(to, "  %-13s %10llu", name, (unsigned long long)rtt->samples);
	column(to, rtt->p50);
	column(to, rtt->p90);
	column(to, rtt->p99);
	column(to, rtt->p99_9);
	column(to, rtt->p99_99);
	column(to, rtt->max);
	column(to, rtt->mean);
	fputc('\n', to);
}

static void
times_row(const char *name, const struct weir_hist *hist, FILE *to)
{
	struct weir_rtt rtt;

	weir_rtt_of(hist, &rtt);
	rtt_row(name, &rtt, to);
}

/* Where the floor was seen long enough: it, and service over it. */
static void
floor_rows(const struct weir_load_point *point, FILE *to)
{
	uint32_t turns = point->floor_turns[weir_load_main(point)];

	if (turns > 0 && turns < WEIR_LOAD_ENOUGH)
		fputs("  the floor was seen too shortly; measure longer with "
		      "-t\n",
		      to);
	for (int i = 0; i < WEIR_PLACES; i++) {
		const char *where = weir_place_name((enum weir_placement)i);
		struct weir_load_place place;
		char name[32];

		weir_load_place_of(point, (enum weir_placement)i, &place);
		if (isnan(place.ratio))
			continue;
		snprintf(name, sizeof(name), "floor %s", where);
		rtt_row(name, &place.floor, to);
		fprintf(to, "  service %s over its floor: p50 %.2f", where,
			place.ratio);
		if (!isnan(place.ratio_p99))
			fprintf(to, ", p99 %.2f", place.ratio_p99);
		fputc('\n', to);
	}
}

static void
print_event(void *arg, const char *part, const struct weir_counter *counter,
	    uint64_t value)
{
	if (counter->kind == WEIR_COUNTER_EVENT && value != 0 &&
	    (strcmp(part, "link") != 0 ||
	     strncmp(counter->name, "reserve_", 8) != 0))
		fprintf((FILE *)arg, "  %s %s %llu %s: %s\n", part,
			counter->name, (unsigned long long)value, counter->unit,
			counter->text);
}

static void
print_gaps(const char *whose, const struct weir_load_gaps *gaps, FILE *to)
{
	if (gaps->count > 0)
		fprintf(to,
			"  %s processor was away %llu times, %.3f ms in all, "
			"longest %.3f ms\n",
			whose, (unsigned long long)gaps->count,
			gaps->total_ns / 1e6, gaps->longest_ns / 1e6);
}

static void
print_slow(const struct weir_load_point *point, FILE *to)
{
	struct weir_load_slow slow;

	weir_load_slow_of(point, &slow);
	if (slow.samples == 0)
		return;
	fprintf(to,
		"  slower than p99.9 (%.3f us), %llu:", slow.above_ns / 1000,
		(unsigned long long)slow.samples);
	for (int i = 0; i < WEIR_CAUSES; i++)
		if (slow.cause[i] != 0)
			fprintf(to, " %s %.1f %%;",
				weir_load_cause_text((enum weir_load_cause)i),
				100.0 * (double)slow.cause[i] /
					(double)slow.samples);
	fputc('\n', to);
}

static void
print_point(const struct weir_load_point *point, FILE *to)
{
	char name[32];

	if (!isnan(point->share))
		fprintf(to, "%.0f %% of it: ", point->share * 100);
	fprintf(to,
		"%.0f messages/s planned; %llu of %llu late by more than 1 us, "
		"%llu not sent\n  %-13s %10s %9s %9s %9s %9s %9s %9s %9s\n",
		point->rate, (unsigned long long)point->late,
		(unsigned long long)point->answered,
		(unsigned long long)point->unsent, "", "messages", "p50", "p90",
		"p99", "p99.9", "p99.99", "max", "mean");
	times_row("response", &point->response, to);
	for (int i = 0; i < WEIR_PLACES; i++)
		if (point->place[i].total > 0) {
			snprintf(name, sizeof(name), "  of it %s",
				 weir_place_name((enum weir_placement)i));
			times_row(name, &point->place[i], to);
		}
	times_row("service", &point->service, to);
	times_row("reserve wait", &point->reserve_wait, to);
	floor_rows(point, to);
	print_slow(point, to);
	print_gaps("our", &point->ours, to);
	print_gaps("the peer's", &point->peers, to);
	weir_counters_each(&point->counters, print_event, to);
}

void
weir_report_load_human(const struct weir_report *report, FILE *to)
{
	const struct weir_perf_load *load = report->result->load;

	if (report->args->find_max && load->max_rate < 1)
		fprintf(to,
			"%u B: not even one message per second is kept "
			"up\n",
			report->result->size);
	else if (report->args->find_max)
		fprintf(to,
			"%u B: the highest rate that is kept up is %.0f "
			"messages/s\n",
			report->result->size, load->max_rate);
	for (uint32_t i = 0; i < load->count; i++)
		print_point(&load->points[i], to);
	if (report->result->floor_missing != NULL)
		fprintf(to, "no floor: %s\n", report->result->floor_missing);
}

/* ---- CSV --------------------------------------------------------------------- */

static void
csv_times(const struct weir_hist *hist, FILE *to)
{
	struct weir_rtt rtt;

	weir_rtt_of(hist, &rtt);
	const double values[] = { rtt.p50,   rtt.p90,    rtt.p99,
				  rtt.p99_9, rtt.p99_99, rtt.max };

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (isnan(values[i]))
			fputc(',', to);
		else
			fprintf(to, ",%.0f", values[i]);
}

static void
csv_floor(const struct weir_load_point *point, FILE *to)
{
	enum weir_placement main = weir_load_main(point);
	struct weir_load_place place;

	weir_load_place_of(point, main, &place);
	if (isnan(place.ratio))
		fputs(",,,,,\n", to);
	else
		fprintf(to, ",%s,%.1f,%.1f,%.4g,%.4g\n", weir_place_name(main),
			place.floor.p50, place.floor.p99, place.ratio,
			place.ratio_p99);
}

void
weir_report_load_csv(const struct weir_report *report, FILE *to, bool first)
{
	const struct weir_perf_load *load = report->result->load;

	if (first) {
		static const char *const groups[] = { "response_ns",
						      "service_ns",
						      "reserve_wait_ns" };

		fputs("kind,endpoint,size,max_rate,share,rate,messages,late,"
		      "unsent",
		      to);
		for (int i = 0; i < 3; i++)
			fprintf(to,
				",%s.p50,%s.p90,%s.p99,%s.p99_9,%s.p99_99,"
				"%s.max",
				groups[i], groups[i], groups[i], groups[i],
				groups[i], groups[i]);
		fputs(",placement,floor_ns.p50,floor_ns.p99,ratio,ratio_p99\n",
		      to);
	}
	for (uint32_t i = 0; i < load->count; i++) {
		const struct weir_load_point *point = &load->points[i];

		fprintf(to, "load,\"%s\",%u,", report->args->endpoint,
			report->result->size);
		if (!isnan(load->max_rate))
			fprintf(to, "%.0f,%.2f", load->max_rate, point->share);
		else
			fputc(',', to);
		fprintf(to, ",%.9g,%llu,%llu,%llu", point->rate,
			(unsigned long long)point->answered,
			(unsigned long long)point->late,
			(unsigned long long)point->unsent);
		csv_times(&point->response, to);
		csv_times(&point->service, to);
		csv_times(&point->reserve_wait, to);
		csv_floor(point, to);
	}
}

/* ---- JSON -------------------------------------------------------------------- */

static json_t *
times_json(const struct weir_hist *hist)
{
	struct weir_rtt rtt;

	weir_rtt_of(hist, &rtt);
	return weir_json_rtt(&rtt);
}

static json_t *
gaps_json(const struct weir_load_gaps *gaps)
{
	return json_pack("{s:I, s:o, s:o}", "count", (json_int_t)gaps->count,
			 "total_ns", weir_json_number(gaps->total_ns, 1),
			 "longest_ns", weir_json_number(gaps->longest_ns, 1));
}

static json_t *
slow_json(const struct weir_load_point *point)
{
	struct weir_load_slow slow;
	json_t *causes = json_object();

	weir_load_slow_of(point, &slow);
	for (int i = 0; i < WEIR_CAUSES; i++)
		json_object_set_new(causes, cause_keys[i],
				    json_integer((json_int_t)slow.cause[i]));
	return json_pack("{s:o, s:I, s:o}", "above_ns",
			 weir_json_number(slow.above_ns, 1), "samples",
			 (json_int_t)slow.samples, "causes", causes);
}

static json_t *
point_places_json(const struct weir_load_point *point)
{
	json_t *list = json_array();

	for (int i = 0; i < WEIR_PLACES; i++) {
		struct weir_load_place place;

		if (point->place[i].total == 0)
			continue;
		weir_load_place_of(point, (enum weir_placement)i, &place);
		json_array_append_new(
			list,
			json_pack("{s:s, s:o, s:o, s:o, s:i, s:o, s:o}",
				  "placement",
				  weir_place_name((enum weir_placement)i),
				  "response_ns", weir_json_rtt(&place.response),
				  "service_ns", weir_json_rtt(&place.service),
				  "floor_ns", weir_json_rtt(&place.floor),
				  "floor_turns", (int)point->floor_turns[i],
				  "ratio", weir_json_number(place.ratio, 0.001),
				  "ratio_p99",
				  weir_json_number(place.ratio_p99, 0.001)));
	}
	return list;
}

static json_t *
point_json(const struct weir_load_point *point)
{
	return json_pack(
		"{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o,"
		" s:o, s:o, s:{s:o, s:o}, s:o}",
		"share", weir_json_number(point->share, 0.01), "rate",
		weir_json_number(point->rate, 0.001), "planned",
		(json_int_t)point->planned, "answered",
		(json_int_t)point->answered, "late", (json_int_t)point->late,
		"unsent", (json_int_t)point->unsent, "segments",
		(json_int_t)point->segments, "segments_kept_up",
		(json_int_t)point->kept_up, "span_ns",
		(json_int_t)point->span_ns, "response_ns",
		times_json(&point->response), "service_ns",
		times_json(&point->service), "reserve_wait_ns",
		times_json(&point->reserve_wait), "placements",
		point_places_json(point), "slow", slow_json(point),
		"processor_away", "ours", gaps_json(&point->ours), "peers",
		gaps_json(&point->peers), "counters",
		weir_json_counters(&point->counters));
}

json_t *
weir_json_load(const struct weir_report *report)
{
	const struct weir_perf_load *load = report->result->load;
	const struct weir_perf_result *result = report->result;
	json_t *points = json_array();

	for (uint32_t i = 0; i < load->count; i++)
		json_array_append_new(points, point_json(&load->points[i]));
	return json_pack(
		"{s:s, s:{s:s}, s:o, s:o, s:{s:s, s:I, s:I, s:b, s:o, "
		"s:I, s:s},"
		" s:o, s:o, s:o, s:o, s:s?}",
		"schema", "weir.perf.load/1", "tool", "version", weir_version(),
		"host", weir_json_host(), "link", weir_json_link(report),
		"test", "kind", "load", "size", (json_int_t)result->size,
		"burst", (json_int_t)report->args->burst, "verify",
		report->args->verify, "cpus",
		json_pack("[i, i]", result->cpus[0], result->cpus[1]),
		"duration_ns", (json_int_t)result->duration_ns, "command",
		report->args->command, "max_rate",
		weir_json_number(load->max_rate, 1), "points", points,
		"peer_counters", weir_json_counters(result->peer_counters),
		"integrity", weir_json_integrity(&result->integrity),
		"floor_missing", result->floor_missing);
}
