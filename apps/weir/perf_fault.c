/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows with and without faults by turns; see perf_fault.h. */

#include "perf_fault.h"

#include <math.h>
#include <stdlib.h>

#include "perf.h"
#include "ticks.h"
#include "tool.h"

#define WINDOW_NS 30000000u

/* Pairs of the link, then of its floor. */
#define TURN 3

/* Messages between two looks at the clock. */
#define CHUNK 64u

/* Pairs of windows of the link, or of its floor. */
struct series {
	enum weir_self_which which;
	double clean;              /* rate of the newest without faults */
	enum weir_placement place; /* in which that was */
	uint32_t count;
	double ratios[WEIR_TALLY_WINDOWS];
	enum weir_placement places[WEIR_TALLY_WINDOWS];
};

struct run {
	struct weir_trial *trial;
	struct weir_perf_fault *result;
	struct weir_tally_place *place;
	uint64_t window_ns;
	enum weir_placement now; /* by the last probe */
	struct series link, raw;
};

static struct weir_load *
load_of(const struct run *run, enum weir_self_which which)
{
	struct weir_side *side = run->trial->side;

	return which == WEIR_SELF_FLOOR ? side->floor : &side->test.load;
}

/* Both sides, and then what was held has time to arrive. */
static int
switch_faults(struct run *run, enum weir_self_which which, bool on)
{
	struct weir_self *self = run->trial->self;
	struct weir_side *side = run->trial->side;
	struct weir_load *load = load_of(run, which);
	int rc, answer;

	self->page->order.fault = on;
	weir_self_begin(self, WEIR_SELF_FAULT, WEIR_SELF_TEST);
	rc = weir_fault_switch(side->endpoint, side->port, on);
	answer = weir_self_end(self, &side->test.load);
	if (rc == 0)
		rc = answer;
	if (rc != 0)
		return rc;
	weir_self_begin(self, WEIR_SELF_SETTLE, which);
	load->ops->settle(load);
	return weir_self_end(self, NULL);
}

static uint64_t
window_ticks(const struct run *run)
{
	return (uint64_t)((double)run->window_ns * run->trial->ticks_per_ns);
}

/* One way: messages per second, until the last of them is there. */
static int
one_way(struct run *run, enum weir_self_which which, double *rate)
{
	struct weir_trial *trial = run->trial;
	struct weir_load *load = load_of(run, which);
	const struct weir_flow *flow = &trial->self->page->reply.flow;
	uint64_t start, span = window_ticks(run);
	int rc, answer;

	load->sent = 0;
	weir_self_gate(trial->self, true, 0);
	weir_self_begin(trial->self, WEIR_SELF_SINK, which);
	start = weir_ticks();
	do {
		rc = load->ops->send(load, CHUNK);
	} while (rc == 0 && weir_ticks() - start < span);
	weir_self_gate(trial->self, false, load->sent);
	answer = weir_self_end(trial->self, load);
	if (rc != 0 || answer != 0)
		return answer == -ECHILD || rc == 0 ? answer : rc;
	*rate = (double)flow->messages * trial->ticks_per_ns * 1e9 /
		(double)(weir_ticks() - start);
	if (which == WEIR_SELF_TEST)
		trial->messages += flow->messages;
	return 0;
}

/* Round trips, one at a time. */
static int
round_trips(struct run *run, struct weir_hist *hist)
{
	struct weir_trial *trial = run->trial;
	struct weir_load *load = &trial->side->test.load;
	uint64_t start, now, span = window_ticks(run);
	int rc, answer;

	weir_self_gate(trial->self, true, 0);
	weir_self_begin(trial->self, WEIR_SELF_ECHO, WEIR_SELF_TEST);
	start = now = weir_ticks();
	do {
		uint64_t before = now;

		rc = load->ops->rounds(load, 1);
		now = weir_ticks();
		weir_hist_record(hist, (uint64_t)((double)(now - before) /
						  trial->ticks_per_ns));
		trial->messages++;
	} while (rc == 0 && now - start < span);
	weir_self_gate(trial->self, false, 0);
	answer = weir_self_end(trial->self, load);
	if (rc != 0 || answer != 0)
		return answer == -ECHILD || rc == 0 ? answer : rc;
	return 0;
}

/* One window between two probes. */
static int
window(struct run *run, enum weir_self_which which, bool faulty, double *rate,
       enum weir_placement *place)
{
	struct weir_hist *hist = faulty ? &run->place->rtt_ns
					: &run->result->clean_hist;
	enum weir_placement before = run->now;
	int rc = switch_faults(run, which, faulty);

	if (rc == 0)
		rc = run->trial->side->kind == WEIR_PERF_LAT
			     ? round_trips(run, hist)
			     : one_way(run, which, rate);
	if (rc == 0)
		rc = weir_trial_probe(run->trial, &run->now);
	*place = weir_place_between(before, run->now);
	return rc;
}

/* The clean window before the next faulty one. */
static int
first_clean(struct run *run, struct series *series)
{
	return window(run, series->which, false, &series->clean,
		      &series->place);
}

/* A faulty window and the clean one behind it. */
static int
pair(struct run *run, struct series *series, bool counts)
{
	enum weir_placement place = WEIR_PLACE_MOVED, after = WEIR_PLACE_MOVED;
	double faulty = NAN, clean = NAN;
	int rc = window(run, series->which, true, &faulty, &place);

	if (rc == 0)
		rc = window(run, series->which, false, &clean, &after);
	if (rc != 0)
		return rc;
	if (counts) {
		series->ratios[series->count] =
			faulty / ((series->clean + clean) / 2);
		series->places[series->count++] = weir_place_between(
			weir_place_between(series->place, place), after);
	}
	if (counts && series->which == WEIR_SELF_TEST) {
		struct weir_tally_place *to = run->place;

		to->rate[to->windows++] = faulty;
		to->floor_rate[to->floor_windows++] = clean;
		run->trial->tally->windows++;
	}
	series->clean = clean;
	series->place = after;
	return weir_tool_signal != 0 ? -EINTR : 0;
}

/* What the floor is compared with must be one way and one frame long. */
static bool
has_floor(const struct run *run)
{
	const struct weir_side *side = run->trial->side;

	return side->kind == WEIR_PERF_BW && side->floor != NULL &&
	       side->floor->frames == 1;
}

/* Two loads take turns. The caches still hold what the other one used, which
 * is to count neither for nor against the faults: one window for nothing. */
static int
turn(struct run *run, struct series *series, bool counts)
{
	int rc = first_clean(run, series);

	if (rc == 0)
		rc = first_clean(run, series);
	for (int i = 0; rc == 0 && i < TURN; i++)
		rc = pair(run, series, counts);
	return rc;
}

static int
pairs(struct run *run, bool counts)
{
	int rc;

	if (!has_floor(run))
		return pair(run, &run->link, counts);
	rc = turn(run, &run->link, counts);
	return rc == 0 ? turn(run, &run->raw, counts) : rc;
}

static int
run_pairs(struct run *run)
{
	struct weir_trial *trial = run->trial;
	const struct weir_perf_args *args = trial->args;
	uint64_t warm_ns = weir_now_ns() + trial->warmup_ns, end_ns;
	int rc = weir_trial_probe(trial, &run->now);

	if (rc == 0)
		rc = first_clean(run, &run->link);
	while (rc == 0 && weir_now_ns() < warm_ns)
		rc = pairs(run, false);
	weir_tally_reset(trial->tally);
	weir_hist_reset(&run->result->clean_hist);
	trial->messages = 0;
	end_ns = weir_now_ns() + trial->time_ns;
	while (rc == 0 && weir_now_ns() < end_ns &&
	       run->link.count + TURN <= WEIR_TALLY_WINDOWS &&
	       (args->count == 0 || trial->messages < args->count))
		rc = pairs(run, true);
	return rc;
}

static int
by_size(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

/* @param place whose pairs; WEIR_PLACES: all. @return the median; NAN. */
static double
median(const struct series *series, enum weir_placement place, uint32_t *count)
{
	double ratios[WEIR_TALLY_WINDOWS];

	*count = 0;
	for (uint32_t i = 0; i < series->count; i++)
		if (place == WEIR_PLACES || series->places[i] == place)
			ratios[(*count)++] = series->ratios[i];
	if (*count == 0)
		return NAN;
	qsort(ratios, *count, sizeof(ratios[0]), by_size);
	return ratios[*count / 2];
}

static void
goodput_of(const struct run *run, enum weir_placement place,
	   struct weir_perf_goodput *goodput)
{
	goodput->relative = median(&run->link, place, &goodput->pairs);
	goodput->raw = median(&run->raw, place, &goodput->raw_pairs);
	if (run->trial->side->kind == WEIR_PERF_LAT)
		goodput->relative = NAN;
}

static void
sum_up(struct run *run)
{
	struct weir_perf_fault *result = run->result;
	struct weir_side *side = run->trial->side;

	goodput_of(run, WEIR_PLACES, &result->goodput);
	for (uint32_t place = 0; place < WEIR_PLACES; place++)
		goodput_of(run, (enum weir_placement)place,
			   &result->places[place]);
	weir_rtt_of(&result->clean_hist, &result->clean_rtt_ns);
	run->place->messages = run->trial->messages;
	weir_hist_add(&run->trial->tally->all_rtt_ns, &run->place->rtt_ns);
	weir_fault_count(side->endpoint, side->port, &result->ours);
	result->peers = run->trial->self->page->reply.fault;
}

/* How many packets may be behind a missing one. */
static uint32_t
order_window(struct weir_side *side)
{
	struct weir_counters now;

	weir_side_counters(side, &now);
	return (uint32_t)now.link.cwnd;
}

int
weir_perf_fault_run(struct weir_trial *trial, struct weir_perf_fault *result)
{
	struct run *run = calloc(1, sizeof(*run));
	int rc;

	if (run == NULL)
		return -ENOMEM;
	run->trial = trial;
	run->result = result;
	result->spec = weir_fault_spec;
	/* Windows are longer than the CPUs stay where they are. */
	run->place = &trial->tally->places[WEIR_PLACE_FAR];
	run->window_ns = trial->time_ns / WEIR_TALLY_WINDOWS / 2;
	if (run->window_ns < WINDOW_NS)
		run->window_ns = WINDOW_NS;
	run->link.which = WEIR_SELF_TEST;
	run->raw.which = WEIR_SELF_FLOOR;
	trial->self->page->gate.order_window = order_window(trial->side);
	weir_hist_reset(&result->clean_hist);
	trial->self->page->gate.slice_ticks =
		(uint64_t)(1e9 * trial->ticks_per_ns);
	rc = run_pairs(run);
	trial->self->page->gate.order_window = 0;
	sum_up(run);
	free(run);
	return rc;
}
