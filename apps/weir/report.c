/* SPDX-License-Identifier: BSD-3-Clause */
/* Table, CSV and assertions; JSON is in report_json.c. */

#include "report.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void
weir_report_of(const struct weir_perf_args *args,
	       const struct weir_perf_result *result,
	       struct weir_report *report)
{
	bool one_way = result->kind == WEIR_PERF_BW;
	enum weir_placement place = weir_tally_main(result->tally);

	memset(report, 0, sizeof(*report));
	report->args = args;
	report->result = result;
	weir_tally_figures(result->tally, place, one_way, result->size,
			   result->floor_size, &report->main);
	for (int i = 0; i < WEIR_PLACES; i++)
		if (result->tally->places[i].windows > 0)
			weir_tally_figures(
				result->tally, (enum weir_placement)i, one_way,
				result->size, result->floor_size,
				&report->places[report->place_count++]);
}

/* ---- table ------------------------------------------------------------------- */

/* A number in a column, or a dash where there are too few samples to say. */
static const char *
cell(char text[24], double value, int decimals)
{
	if (isnan(value))
		snprintf(text, 24, "-");
	else
		snprintf(text, 24, "%.*f", decimals, value);
	return text;
}

static void
column(FILE *to, int width, double value, int decimals)
{
	char text[24];

	fprintf(to, " %*s", width, cell(text, value, decimals));
}

static void
heading(const struct weir_report *report, FILE *to)
{
	const struct weir_perf_args *args = report->args;
	const struct weir_perf_result *result = report->result;

	fprintf(to, "weir %s  %s  ", weir_version(), args->endpoint);
	if (result->self)
		fprintf(to, "%s, CPUs %d and %d",
			weir_self_in_process(args->endpoint) ? "two threads"
							     : "two processes",
			result->cpus[0], result->cpus[1]);
	else
		fprintf(to, "peer elsewhere, no floor");
	if (result->kind == WEIR_PERF_LOAD)
		fputs("\nOpen loop: messages leave by a plan; in us. response: "
		      "from the planned time, service: from the send\n",
		      to);
	else if (result->kind == WEIR_PERF_LAT)
		fprintf(to,
			"\n%s in us, closed loop, one in flight; floor and "
			"ratio (link / floor, 1 is best): 32 timed at once\n"
			"size[B] place windows messages      p50     p90     "
			"p99   p99.9  p99.99      max    mean | floor p50     "
			"p99 | ratio  at p99\n",
			args->half ? "Half of the round trip" : "Round trip");
	else
		fprintf(to,
			"\nOne way, counted at the receiver, bursts of %u; "
			"MB: 10^6 bytes of payload; ratio: link / floor, 1 is "
			"best\n"
			"size[B] place windows messages   M msg/s       MB/s "
			"| floor M msg/s       MB/s | ratio\n",
			(unsigned int)args->burst);
}

static void
lat_row(const struct weir_report *report, const struct weir_figures *f,
	FILE *to)
{
	double us = report->args->half ? 2000 : 1000;
	const struct weir_rtt *rtt = &f->rtt_ns;

	column(to, 8, rtt->p50 / us, 3);
	column(to, 7, rtt->p90 / us, 3);
	column(to, 7, rtt->p99 / us, 3);
	column(to, 7, rtt->p99_9 / us, 3);
	column(to, 7, rtt->p99_99 / us, 3);
	column(to, 8, rtt->max / us, 3);
	column(to, 7, rtt->mean / us, 3);
	fputs(" |", to);
	column(to, 9, f->floor_p50_ns / us, 3);
	column(to, 7, f->floor_p99_ns / us, 3);
	fputs(" |", to);
	column(to, 5, f->ratio, 2);
	column(to, 7, f->ratio_p99, 2);
}

static void
bw_row(const struct weir_figures *f, FILE *to)
{
	column(to, 9, f->msgs_per_s / 1e6, 3);
	column(to, 10, f->bytes_per_s / 1e6, 1);
	fputs(" |", to);
	column(to, 13, f->floor_msgs_per_s / 1e6, 3);
	column(to, 10, f->floor_bytes_per_s / 1e6, 1);
	fputs(" |", to);
	column(to, 5, f->ratio, 2);
}

/* Long windows are not split by placement. */
static const char *
place_of(const struct weir_report *report, const struct weir_figures *f)
{
	bool split = report->result->self && report->result->fault == NULL;

	return split ? weir_place_name(f->place) : "-";
}

static void
row(const struct weir_report *report, const struct weir_figures *f, FILE *to)
{
	fprintf(to, "%7u %-5s %7u %8llu", report->result->size,
		place_of(report, f), f->windows,
		(unsigned long long)f->messages);
	if (report->result->kind == WEIR_PERF_LAT)
		lat_row(report, f, to);
	else
		bw_row(f, to);
	fputc('\n', to);
}

/* Drops, waits and repairs, one a line; nothing where all is well. */
struct events {
	FILE *to;
	uint32_t size;
	const char *whose; /* "", or "peer " */
};

static void
print_event(void *arg, const char *part, const struct weir_counter *counter,
	    uint64_t value)
{
	struct events *events = arg;

	if (counter->kind != WEIR_COUNTER_EVENT || value == 0)
		return;
	/* A link counts its send half's waits as well: once is enough. */
	if (strcmp(part, "link") == 0 &&
	    strncmp(counter->name, "reserve_", 8) == 0)
		return;
	fprintf(events->to, "%7u: %s%s %s %llu %s: %s\n", events->size,
		events->whose, part, counter->name, (unsigned long long)value,
		counter->unit, counter->text);
}

static void
print_events(const struct weir_perf_result *result, FILE *to)
{
	struct events ours = { to, result->size, "" };
	struct events peers = { to, result->size, "peer " };

	if (result->load == NULL) /* else each point has its own */
		weir_counters_each(&result->counters, print_event, &ours);
	if (result->peer_counters != NULL)
		weir_counters_each(result->peer_counters, print_event, &peers);
}

static void
fault_counts(const char *whose, const struct weir_fault_counts *c, FILE *to)
{
	fprintf(to,
		"%8s: of %llu frames %llu lost, %llu repeated, %llu "
		"reordered, %llu delayed, %llu corrupt, %llu cut\n",
		whose, (unsigned long long)c->frames,
		(unsigned long long)(c->lost + c->overflows),
		(unsigned long long)c->duplicated,
		(unsigned long long)c->reordered,
		(unsigned long long)c->delayed,
		(unsigned long long)c->corrupted,
		(unsigned long long)c->truncated);
}

static void
goodput_row(uint32_t size, const char *where,
	    const struct weir_perf_goodput *goodput, FILE *to)
{
	char text[24], raw[24];

	if (goodput->pairs == 0)
		return;
	fprintf(to, "%7u: relative goodput %s%s, median of %u windows", size,
		cell(text, goodput->relative, 4), where, goodput->pairs);
	if (goodput->raw_pairs > 0)
		fprintf(to, "; raw frames kept in order: %s",
			cell(raw, goodput->raw, 4));
	fprintf(to, "\n");
}

static void
goodput_rows(const struct weir_report *report, FILE *to)
{
	const struct weir_perf_fault *fault = report->result->fault;
	uint32_t size = report->result->size;

	goodput_row(size, "", &fault->goodput, to);
	for (uint32_t place = 0; place < WEIR_PLACES; place++) {
		char where[16];

		snprintf(where, sizeof(where), " %s",
			 weir_place_name((enum weir_placement)place));
		goodput_row(size, where, &fault->places[place], to);
	}
}

/* Beside the link with faults, the same link without. */
static void
fault_rows(const struct weir_report *report, FILE *to)
{
	const struct weir_perf_fault *fault = report->result->fault;
	const struct weir_rtt *rtt = &fault->clean_rtt_ns;
	char text[24];

	if (report->result->kind == WEIR_PERF_LAT)
		fprintf(to,
			"%7u: without faults: p50 %.3f  p99 %.3f  p99.9 %s us"
			"\n",
			report->result->size, rtt->p50 / 1000, rtt->p99 / 1000,
			cell(text, rtt->p99_9 / 1000, 3));
	else
		goodput_rows(report, to);
	fault_counts("ours", &fault->ours, to);
	fault_counts("peer", &fault->peers, to);
}

static void
rest_row(const struct weir_perf_result *result, FILE *to)
{
	if (result->rest != NULL)
		fprintf(to,
			"%7u: while nobody sends, of a CPU: asleep %.2f %%, "
			"polling %.1f %%\n",
			result->size, 100 * result->rest->asleep,
			100 * result->rest->polling);
}

void
weir_report_human(const struct weir_report *report, FILE *to, bool first)
{
	const struct weir_perf_result *result = report->result;
	const struct weir_integrity *found = &result->integrity;

	if (first)
		heading(report, to);
	if (result->load != NULL) {
		weir_report_load_human(report, to);
		print_events(result, to);
		return;
	}
	for (uint32_t i = 0; i < report->place_count; i++)
		row(report, &report->places[i], to);
	if (report->place_count == 0)
		fprintf(to,
			"%7u: no window counts: the CPUs moved all the "
			"time\n",
			result->size);
	if (!weir_integrity_ok(found))
		fprintf(to,
			"%7u: lost %llu  duplicate %llu  reordered %llu  "
			"corrupt %llu\n",
			result->size, (unsigned long long)found->lost,
			(unsigned long long)found->duplicate,
			(unsigned long long)found->reordered,
			(unsigned long long)found->corrupt);
	print_events(result, to);
	rest_row(result, to);
	if (result->fault != NULL)
		fault_rows(report, to);
	else if (result->self && result->floor_missing != NULL)
		fprintf(to, "%7u: no floor: %s\n", result->size,
			result->floor_missing);
	else if (result->self && isnan(report->main.ratio))
		fprintf(to,
			"%7u: fewer than %u windows count: no ratio; "
			"measure longer with -t\n",
			result->size, WEIR_TALLY_ENOUGH);
}

/* ---- CSV --------------------------------------------------------------------- */

static void
csv_number(FILE *to, double value)
{
	if (isnan(value))
		fputc(',', to);
	else
		fprintf(to, ",%.9g", value);
}

static void
csv_row(const struct weir_report *report, const struct weir_figures *f,
	FILE *to)
{
	const struct weir_integrity *found = &report->result->integrity;
	const double values[] = {
		f->rtt_ns.p50,        f->rtt_ns.p90,    f->rtt_ns.p99,
		f->rtt_ns.p99_9,      f->rtt_ns.p99_99, f->rtt_ns.max,
		f->rtt_ns.mean,       f->msgs_per_s,    f->bytes_per_s,
		f->floor_p50_ns,      f->floor_p99_ns,  f->floor_msgs_per_s,
		f->floor_bytes_per_s, f->ratio,         f->ratio_p99,
	};
	bool lat = report->result->kind == WEIR_PERF_LAT;

	fprintf(to, "%s,\"%s\",%u,%s,%u,%llu", lat ? "lat" : "bw",
		report->args->endpoint, report->result->size,
		report->result->fault != NULL || !report->result->self
			? ""
			: weir_place_name(f->place),
		f->windows, (unsigned long long)f->messages);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		csv_number(to, lat || i >= 7 ? values[i] : NAN);
	fprintf(to, ",%llu,%llu,%llu,%llu\n", (unsigned long long)found->lost,
		(unsigned long long)found->duplicate,
		(unsigned long long)found->reordered,
		(unsigned long long)found->corrupt);
}

void
weir_report_csv(const struct weir_report *report, FILE *to, bool first)
{
	if (report->result->load != NULL) {
		weir_report_load_csv(report, to, first);
		return;
	}
	if (first)
		fputs("kind,endpoint,size,placement,windows,messages,"
		      "rtt_ns.p50,rtt_ns.p90,rtt_ns.p99,rtt_ns.p99_9,"
		      "rtt_ns.p99_99,rtt_ns.max,rtt_ns.mean,msgs_per_s,"
		      "bytes_per_s,floor.rtt_ns.p50,floor.rtt_ns.p99,"
		      "floor.msgs_per_s,floor.bytes_per_s,ratio,ratio_p99,"
		      "lost,duplicate,reordered,corrupt\n",
		      to);
	for (uint32_t i = 0; i < report->place_count; i++)
		csv_row(report, &report->places[i], to);
}

/* ---- assertions ---------------------------------------------------------------- */

struct subject {
	const char *name;
	size_t offset; /* of a double in struct weir_figures; or see below */
	enum {
		TIME,
		NUMBER,
		WHOLE,
		COUNTER,
		GOODPUT,
		REST,
		LOAD_TIME,
		LOAD_NUMBER
	} kind;
};

#define FIGURE(name, member, kind)                                \
	{                                                         \
		name, offsetof(struct weir_figures, member), kind \
	}
#define COUNT(name, member)                                            \
	{                                                              \
		name, offsetof(struct weir_integrity, member), COUNTER \
	}

#define LOAD(name, member, kind)                                       \
	{                                                              \
		name, offsetof(struct weir_load_figures, member), kind \
	}
#define LOAD_TIMES(what)                                       \
	LOAD(#what ".min", what.min, LOAD_TIME),               \
		LOAD(#what ".p50", what.p50, LOAD_TIME),       \
		LOAD(#what ".p90", what.p90, LOAD_TIME),       \
		LOAD(#what ".p99", what.p99, LOAD_TIME),       \
		LOAD(#what ".p99_9", what.p99_9, LOAD_TIME),   \
		LOAD(#what ".p99.9", what.p99_9, LOAD_TIME),   \
		LOAD(#what ".p99_99", what.p99_99, LOAD_TIME), \
		LOAD(#what ".p99.99", what.p99_99, LOAD_TIME), \
		LOAD(#what ".max", what.max, LOAD_TIME),       \
		LOAD(#what ".mean", what.mean, LOAD_TIME)

static const struct subject subjects[] = {
	FIGURE("rtt.min", rtt_ns.min, TIME),
	FIGURE("rtt.p50", rtt_ns.p50, TIME),
	FIGURE("rtt.p90", rtt_ns.p90, TIME),
	FIGURE("rtt.p99", rtt_ns.p99, TIME),
	FIGURE("rtt.p99_9", rtt_ns.p99_9, TIME),
	FIGURE("rtt.p99.9", rtt_ns.p99_9, TIME),
	FIGURE("rtt.p99_99", rtt_ns.p99_99, TIME),
	FIGURE("rtt.p99.99", rtt_ns.p99_99, TIME),
	FIGURE("rtt.max", rtt_ns.max, TIME),
	FIGURE("rtt.mean", rtt_ns.mean, TIME),
	FIGURE("rtt.stddev", rtt_ns.stddev, TIME),
	FIGURE("rtt32.p50", batch_p50_ns, TIME),
	FIGURE("rtt32.p99", batch_p99_ns, TIME),
	FIGURE("msgs_per_s", msgs_per_s, NUMBER),
	FIGURE("bytes_per_s", bytes_per_s, NUMBER),
	FIGURE("floor.p50", floor_p50_ns, TIME),
	FIGURE("floor.p99", floor_p99_ns, TIME),
	FIGURE("floor.msgs_per_s", floor_msgs_per_s, NUMBER),
	FIGURE("floor.bytes_per_s", floor_bytes_per_s, NUMBER),
	FIGURE("ratio", ratio, NUMBER),
	FIGURE("ratio_p99", ratio_p99, NUMBER),
	{ "samples", offsetof(struct weir_figures, rtt_ns.samples), WHOLE },
	{ "messages", offsetof(struct weir_figures, messages), WHOLE },
	LOAD_TIMES(response),
	LOAD_TIMES(service),
	LOAD_TIMES(reserve_wait),
	LOAD("rate", rate, LOAD_NUMBER),
	LOAD("max_rate", max_rate, LOAD_NUMBER),
	{ "relative_goodput", 0, GOODPUT },
	{ "rest.asleep", offsetof(struct weir_perf_rest, asleep), REST },
	{ "rest.polling", offsetof(struct weir_perf_rest, polling), REST },
	COUNT("lost", lost),
	COUNT("loss", lost),
	COUNT("duplicate", duplicate),
	COUNT("reordered", reordered),
	COUNT("corrupt", corrupt),
};

static const struct subject *
find_subject(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
		if (strlen(subjects[i].name) == len &&
		    strncmp(subjects[i].name, name, len) == 0)
			return &subjects[i];
	return NULL;
}

/* "20us" in nanoseconds, "1.5M" as 1.5 million. */
static int
read_limit(const char *text, const struct subject *subject, double *limit)
{
	static const struct {
		const char *name;
		double factor;
		bool time;
	} units[] = { { "ns", 1, true },   { "us", 1e3, true },
		      { "ms", 1e6, true }, { "s", 1e9, true },
		      { "", 1, false },    { "k", 1e3, false },
		      { "K", 1e3, false }, { "M", 1e6, false },
		      { "G", 1e9, false } };
	char *end;

	*limit = strtod(text, &end);
	if (end == text)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].name) == 0 &&
		    units[i].time == (subject->kind == TIME ||
				      subject->kind == LOAD_TIME)) {
			*limit *= units[i].factor;
			return 0;
		}
	return -EINVAL;
}

static double
subject_value(const struct weir_report *report, const struct subject *subject)
{
	const char *from = (const char *)&report->main;
	double value;
	uint64_t count;

	if (subject->kind == LOAD_TIME || subject->kind == LOAD_NUMBER) {
		if (report->result->load == NULL)
			return NAN;
		from = (const char *)&report->load;
	}
	if (subject->kind == REST) {
		if (report->result->rest == NULL)
			return NAN;
		from = (const char *)report->result->rest;
	}
	if (subject->kind == COUNTER)
		from = (const char *)&report->result->integrity;
	if (subject->kind == COUNTER || subject->kind == WHOLE) {
		memcpy(&count, from + subject->offset, sizeof(count));
		return (double)count;
	}
	if (subject->kind == GOODPUT)
		return report->result->fault != NULL
			       ? report->result->fault->goodput.relative
			       : NAN;
	memcpy(&value, from + subject->offset, sizeof(value));
	return value;
}

/* A counter of ours as in the JSON, "tx.reserve_waits", or of the other side,
 * "peer.link.drop_stale". */
static bool
find_counter(const struct weir_report *report, const char *name, size_t len,
	     double *value)
{
	static const char peer[] = "peer.";
	const size_t peer_len = sizeof(peer) - 1;
	bool peers = len > peer_len && memcmp(name, peer, peer_len) == 0;
	struct weir_counters counters = { 0 };
	bool known = true;
	uint64_t *at;

	if (report != NULL && !peers)
		counters = report->result->counters;
	if (report != NULL && peers) {
		known = report->result->peer_counters != NULL;
		if (known)
			counters = *report->result->peer_counters;
	}
	at = weir_counters_find(&counters, name + (peers ? peer_len : 0),
				len - (peers ? peer_len : 0));
	if (at == NULL)
		return false;
	*value = known ? (double)*at : NAN;
	return true;
}

static int
compare(double value, const char *op, size_t op_len, double limit)
{
	bool equal = op_len == 2; /* "<=", ">=", "==", "!=" */

	switch (op[0]) {
	case '<':
		return value < limit || (equal && value == limit);
	case '>':
		return value > limit || (equal && value == limit);
	case '=':
		return value == limit;
	default:
		return value < limit || value > limit;
	}
}

int
weir_report_assert(const struct weir_report *report, const char *text,
		   double *value)
{
	static const struct subject counter = { .kind = COUNTER };
	size_t name_len = strcspn(text, "<>=! ");
	const char *op = text + name_len + strspn(text + name_len, " ");
	size_t op_len = strspn(op, "<>=!");
	const struct subject *subject = find_subject(text, name_len);
	double limit, count = 0;

	if (op_len < 1 || op_len > 2 || (op_len == 2 && op[1] != '=') ||
	    (op_len == 1 && (op[0] == '=' || op[0] == '!')))
		return -EINVAL;
	if (subject == NULL && !find_counter(report, text, name_len, &count))
		return -EINVAL;
	if (read_limit(op + op_len + strspn(op + op_len, " "),
		       subject != NULL ? subject : &counter, &limit) != 0)
		return -EINVAL;
	if (report == NULL)
		return 1;
	*value = subject != NULL ? subject_value(report, subject) : count;
	return compare(*value, op, op_len, limit); /* NAN: never holds */
}
