/* SPDX-License-Identifier: BSD-3-Clause */
/* Schema weir.perf/1: one object per size. null: not known, not measured, or
 * too few samples to say. */

#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "report_json.h"

/* Nanoseconds to a tenth, rates to a whole number: no false digits. */
json_t *
weir_json_number(double value, double step)
{
	if (isnan(value) || isinf(value))
		return json_null();
	return json_real(round(value / step) * step);
}

static json_t *
count(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *
whole(double value)
{
	return isnan(value) || isinf(value) ? json_null()
					    : json_integer((json_int_t)value);
}

static void
cpu_model(char *text, size_t size, bool *vm)
{
	FILE *from = fopen("/proc/cpuinfo", "r");
	char line[4096];

	snprintf(text, size, "unknown");
	*vm = false;
	if (from == NULL)
		return;
	while (fgets(line, sizeof(line), from) != NULL) {
		char *colon = strchr(line, ':');

		if (colon == NULL)
			continue;
		if (strncmp(line, "model name", 10) == 0)
			snprintf(text, size, "%.*s",
				 (int)strcspn(colon + 2, "\n"), colon + 2);
		if (strncmp(line, "flags", 5) == 0 &&
		    strstr(colon, " hypervisor") != NULL)
			*vm = true;
	}
	fclose(from);
}

json_t *
weir_json_host(void)
{
	struct utsname name;
	char model[128];
	bool vm;

	cpu_model(model, sizeof(model), &vm);
	if (uname(&name) != 0)
		snprintf(name.release, sizeof(name.release), "unknown");
	return json_pack("{s:s, s:s, s:b, s:I}", "cpu", model, "kernel",
			 name.release, "vm", vm, "cpus",
			 (json_int_t)sysconf(_SC_NPROCESSORS_ONLN));
}

json_t *
weir_json_rtt(const struct weir_rtt *rtt)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "samples", count(rtt->samples), "min", whole(rtt->min),
			 "p50", whole(rtt->p50), "p90", whole(rtt->p90), "p99",
			 whole(rtt->p99), "p99_9", whole(rtt->p99_9), "p99_99",
			 whole(rtt->p99_99), "max", whole(rtt->max), "mean",
			 weir_json_number(rtt->mean, 0.1), "stddev",
			 weir_json_number(rtt->stddev, 0.1));
}

static json_t *
result_json(const struct weir_report *report, const struct weir_figures *f)
{
	bool lat = report->result->kind == WEIR_PERF_LAT;
	json_t *result = json_pack(
		"{s:o, s:o, s:o, s:o}", "messages", count(f->messages),
		"rtt_ns", lat ? weir_json_rtt(&f->rtt_ns) : json_null(),
		"msgs_per_s", weir_json_number(f->msgs_per_s, 1), "bytes_per_s",
		weir_json_number(f->bytes_per_s, 1));

	if (lat)
		json_object_set_new(
			result, "rtt32_ns",
			json_pack("{s:o, s:o}", "p50",
				  weir_json_number(f->batch_p50_ns, 0.1), "p99",
				  weir_json_number(f->batch_p99_ns, 0.1)));
	return result;
}

static json_t *
floor_json(const struct weir_report *report, const struct weir_figures *f)
{
	bool lat = report->result->kind == WEIR_PERF_LAT;

	if (!report->result->self || report->result->fault != NULL ||
	    report->result->floor_missing != NULL)
		return json_null();
	return json_pack(
		"{s:o, s:o, s:o, s:I}", "rtt_ns",
		lat ? json_pack("{s:o, s:o}", "p50",
				weir_json_number(f->floor_p50_ns, 0.1), "p99",
				weir_json_number(f->floor_p99_ns, 0.1))
		    : json_null(),
		"msgs_per_s", weir_json_number(f->floor_msgs_per_s, 1),
		"bytes_per_s", weir_json_number(f->floor_bytes_per_s, 1),
		"size", (json_int_t)report->result->floor_size);
}

static json_t *
place_json(const struct weir_report *report, const struct weir_figures *f)
{
	return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o}", "placement",
			 weir_place_name(f->place), "windows",
			 (json_int_t)f->windows, "result",
			 result_json(report, f), "floor", floor_json(report, f),
			 "ratio", weir_json_number(f->ratio, 0.0001),
			 "ratio_p99", weir_json_number(f->ratio_p99, 0.0001));
}

static json_t *
places_json(const struct weir_report *report)
{
	json_t *list = json_array();

	for (uint32_t i = 0;
	     report->result->self && report->result->fault == NULL &&
	     i < report->place_count;
	     i++)
		json_array_append_new(list,
				      place_json(report, &report->places[i]));
	return list;
}

static json_t *
test_json(const struct weir_report *report)
{
	const struct weir_perf_args *args = report->args;
	const struct weir_perf_result *result = report->result;

	return json_pack(
		"{s:s, s:I, s:I, s:b, s:b, s:o, s:I, s:I, s:I, s:I, s:s}",
		"kind", result->kind == WEIR_PERF_LAT ? "lat" : "bw", "size",
		(json_int_t)result->size, "burst", (json_int_t)args->burst,
		"verify", args->verify, "self", result->self, "cpus",
		result->self
			? json_pack("[i, i]", result->cpus[0], result->cpus[1])
			: json_null(),
		"duration_ns", (json_int_t)result->duration_ns, "warmup_ns",
		(json_int_t)args->warmup_ns, "windows",
		(json_int_t)result->tally->windows, "windows_moved",
		(json_int_t)result->tally->moved, "command", args->command);
}

static void
warn(json_t *warnings, const char *id, const char *text)
{
	json_array_append_new(warnings,
			      json_pack("{s:s, s:s}", "id", id, "text", text));
}

static json_t *
warnings_json(const struct weir_report *report)
{
	const struct weir_perf_result *result = report->result;
	json_t *list = json_array();

	if (result->interrupted)
		warn(list, "interrupted", "stopped before the end");
	if (result->fault != NULL)
		return list;
	if (result->self && result->floor_missing != NULL)
		warn(list, "floor", result->floor_missing);
	else if (result->self && report->main.windows < WEIR_TALLY_ENOUGH)
		warn(list, "windows",
		     "fewer than 20 windows count: no ratio; measure longer");
	return list;
}

static json_t *
all_json(const struct weir_report *report)
{
	struct weir_rtt rtt;

	if (report->result->kind != WEIR_PERF_LAT)
		return json_null();
	weir_rtt_of(&report->result->tally->all_rtt_ns, &rtt);
	return json_pack("{s:o}", "rtt_ns", weir_json_rtt(&rtt));
}

/* All 0 where there are no packets. */
static json_t *
transport_json(const struct weir_link_stats *t)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "tx_packets", count(t->tx_packets), "tx_wire_bytes",
			 count(t->tx_wire_bytes), "tx_acks", count(t->tx_acks),
			 "rx_packets", count(t->rx_packets), "rx_acks",
			 count(t->rx_acks), "retransmits",
			 count(t->tx_retransmits), "rto_fired",
			 count(t->rto_fired), "probes", count(t->probes),
			 "rx_duplicates", count(t->rx_duplicates),
			 "rx_reordered", count(t->rx_reordered));
}

static void
add_counter(void *arg, const char *part, const struct weir_counter *counter,
	    uint64_t value)
{
	json_t *parts = arg;

	json_object_set_new(json_object_get(parts, part), counter->name,
			    count(value));
}

/* Every counter there is; all 0 where there are no packets. */
json_t *
weir_json_counters(const struct weir_counters *counters)
{
	json_t *parts;

	if (counters == NULL)
		return json_null();
	parts = json_pack("{s:{}, s:{}, s:{}, s:{}}", "link", "tx", "rx",
			  "port");
	weir_counters_each(counters, add_counter, parts);
	return parts;
}

static json_t *
faults_json(const struct weir_fault_counts *c)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "frames",
			 count(c->frames), "lost", count(c->lost), "duplicated",
			 count(c->duplicated), "reordered", count(c->reordered),
			 "delayed", count(c->delayed), "corrupted",
			 count(c->corrupted), "truncated", count(c->truncated),
			 "overflows", count(c->overflows));
}

static json_t *
goodput_json(const struct weir_perf_fault *fault)
{
	json_t *places = json_array();

	for (uint32_t i = 0; i < WEIR_PLACES; i++) {
		const struct weir_perf_goodput *goodput = &fault->places[i];

		if (goodput->pairs == 0)
			continue;
		json_array_append_new(
			places,
			json_pack("{s:s, s:I, s:o, s:I, s:o}", "placement",
				  weir_place_name((enum weir_placement)i),
				  "pairs", (json_int_t)goodput->pairs,
				  "relative_goodput",
				  weir_json_number(goodput->relative, 0.0001),
				  "raw_pairs", (json_int_t)goodput->raw_pairs,
				  "raw_goodput",
				  weir_json_number(goodput->raw, 0.0001)));
	}
	return places;
}

static json_t *
fault_json(const struct weir_report *report)
{
	const struct weir_perf_fault *fault = report->result->fault;
	bool lat = report->result->kind == WEIR_PERF_LAT;

	if (fault == NULL)
		return json_null();
	return json_pack(
		"{s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "spec", fault->spec,
		"pairs", (json_int_t)fault->goodput.pairs, "raw_goodput",
		weir_json_number(fault->goodput.raw, 0.0001), "placements",
		goodput_json(fault), "clean_rtt_ns",
		lat ? weir_json_rtt(&fault->clean_rtt_ns) : json_null(),
		"clean_msgs_per_s",
		lat ? json_null()
		    : weir_json_number(report->main.floor_msgs_per_s, 1),
		"ours", faults_json(&fault->ours), "peers",
		faults_json(&fault->peers));
}

static json_t *
rest_json(const struct weir_perf_rest *rest)
{
	if (rest == NULL)
		return json_null();
	return json_pack("{s:o, s:o}", "polling",
			 weir_json_number(rest->polling, 0.00001), "asleep",
			 weir_json_number(rest->asleep, 0.00001));
}

static double
relative_goodput(const struct weir_report *report)
{
	const struct weir_perf_fault *fault = report->result->fault;

	return fault != NULL ? fault->goodput.relative : NAN;
}

json_t *
weir_json_link(const struct weir_report *report)
{
	const char *endpoint = report->args->endpoint;

	return json_pack("{s:s, s:s%, s:s, s:I}", "endpoint", endpoint,
			 "driver", endpoint, strcspn(endpoint, ":"), "mode",
			 "bare", "max_message",
			 (json_int_t)report->result->msg_size_max);
}

json_t *
weir_json_integrity(const struct weir_integrity *found)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "lost", count(found->lost),
			 "duplicate", count(found->duplicate), "reordered",
			 count(found->reordered), "corrupt",
			 count(found->corrupt));
}

char *
weir_json_text(json_t *root)
{
	char *text = NULL;

	if (root != NULL)
		text = json_dumps(root,
				  JSON_INDENT(2) | JSON_REAL_PRECISION(10));
	json_decref(root);
	return text;
}

static json_t *
root_json(const struct weir_report *report)
{
	const struct weir_figures *f = &report->main;
	bool any = report->place_count > 0 && report->result->self &&
		   report->result->fault == NULL;

	return json_pack(
		"{s:s, s:{s:s}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
		" s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"schema", "weir.perf/1", "tool", "version", weir_version(),
		"host", weir_json_host(), "link", weir_json_link(report),
		"test", test_json(report), "result", result_json(report, f),
		"floor", floor_json(report, f), "ratio",
		weir_json_number(f->ratio, 0.0001), "ratio_p99",
		weir_json_number(f->ratio_p99, 0.0001), "placement",
		any ? json_string(weir_place_name(f->place)) : json_null(),
		"placements", places_json(report), "all", all_json(report),
		"fault", fault_json(report), "rest",
		rest_json(report->result->rest), "relative_goodput",
		weir_json_number(relative_goodput(report), 0.0001), "transport",
		transport_json(&report->result->counters.link), "counters",
		weir_json_counters(&report->result->counters), "peer_counters",
		weir_json_counters(report->result->peer_counters), "integrity",
		weir_json_integrity(&report->result->integrity), "warnings",
		warnings_json(report));
}

char *
weir_report_json(const struct weir_report *report)
{
	return weir_json_text(report->result->load != NULL
				      ? weir_json_load(report)
				      : root_json(report));
}
