/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows with and without faults by turns; see perf_fault.h. */

#include "perf_fault.h"

#include <math.h>
#include <stdlib.h>

#include "perf.h"
#include "ticks.h"
#include "tool.h"

#define WINDOW_NS 30000000u

/* Messages between two looks at the clock. */
#define CHUNK 64u

struct run {
	struct weir_trial *trial;
	struct weir_perf_fault *result;
	struct weir_tally_place *place;
	uint64_t window_ns;
	double ratios[WEIR_TALLY_WINDOWS];
};

/* Both sides, and then what was held has time to arrive. */
static int
switch_faults(struct run *run, bool on)
{
	struct weir_self *self = run->trial->self;
	struct weir_side *side = run->trial->side;
	int rc, answer;

	self->page->order.fault = on;
	weir_self_begin(self, WEIR_SELF_FAULT, WEIR_SELF_TEST);
	rc = weir_fault_switch(side->endpoint, side->port, on);
	answer = weir_self_end(self, &side->test.load);
	if (rc == 0)
		rc = answer;
	if (rc != 0)
		return rc;
	weir_self_begin(self, WEIR_SELF_SETTLE, WEIR_SELF_TEST);
	side->test.load.ops->settle(&side->test.load);
	return weir_self_end(self, NULL);
}

static uint64_t
window_ticks(const struct run *run)
{
	return (uint64_t)((double)run->window_ns * run->trial->ticks_per_ns);
}

/* One way: messages per second, until the last of them is there. */
static int
one_way(struct run *run, double *rate)
{
	struct weir_trial *trial = run->trial;
	struct weir_load *load = &trial->side->test.load;
	const struct weir_flow *flow = &trial->self->page->reply.flow;
	uint64_t start, span = window_ticks(run);
	int rc, answer;

	load->sent = 0;
	weir_self_gate(trial->self, true, 0);
	weir_self_begin(trial->self, WEIR_SELF_SINK, WEIR_SELF_TEST);
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

static int
window(struct run *run, bool faulty, double *rate)
{
	struct weir_hist *hist = faulty ? &run->place->rtt_ns
					: &run->result->clean_hist;
	int rc = switch_faults(run, faulty);

	if (rc != 0)
		return rc;
	if (run->trial->side->kind == WEIR_PERF_LAT)
		return round_trips(run, hist);
	return one_way(run, rate);
}

/* A faulty window and the clean one behind it; *clean is the one before. */
static int
pair(struct run *run, double *clean, bool counts)
{
	struct weir_tally_place *to = run->place;
	double faulty = NAN, next = NAN;
	int rc = window(run, true, &faulty);

	if (rc == 0)
		rc = window(run, false, &next);
	if (rc != 0)
		return rc;
	if (counts) {
		run->ratios[run->result->pairs++] =
			faulty / ((*clean + next) / 2);
		to->rate[to->windows++] = faulty;
		to->floor_rate[to->floor_windows++] = next;
		run->trial->tally->windows++;
	}
	*clean = next;
	return weir_tool_signal != 0 ? -EINTR : 0;
}

static int
run_pairs(struct run *run)
{
	struct weir_trial *trial = run->trial;
	const struct weir_perf_args *args = trial->args;
	uint64_t warm_ns = weir_now_ns() + trial->warmup_ns, end_ns;
	double clean = NAN;
	int rc = window(run, false, &clean);

	while (rc == 0 && weir_now_ns() < warm_ns)
		rc = pair(run, &clean, false);
	weir_tally_reset(trial->tally);
	weir_hist_reset(&run->result->clean_hist);
	trial->messages = 0;
	end_ns = weir_now_ns() + trial->time_ns;
	while (rc == 0 && weir_now_ns() < end_ns &&
	       run->result->pairs < WEIR_TALLY_WINDOWS &&
	       (args->count == 0 || trial->messages < args->count))
		rc = pair(run, &clean, true);
	return rc;
}

static int
by_size(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static void
sum_up(struct run *run)
{
	struct weir_perf_fault *result = run->result;
	struct weir_side *side = run->trial->side;

	result->relative_goodput = NAN;
	if (run->trial->side->kind == WEIR_PERF_BW && result->pairs != 0) {
		qsort(run->ratios, result->pairs, sizeof(run->ratios[0]),
		      by_size);
		result->relative_goodput = run->ratios[result->pairs / 2];
	}
	weir_rtt_of(&result->clean_hist, &result->clean_rtt_ns);
	run->place->messages = run->trial->messages;
	weir_hist_add(&run->trial->tally->all_rtt_ns, &run->place->rtt_ns);
	weir_fault_count(side->endpoint, side->port, &result->ours);
	result->peers = run->trial->self->page->reply.fault;
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
	result->pairs = 0;
	weir_hist_reset(&result->clean_hist);
	trial->self->page->gate.slice_ticks =
		(uint64_t)(1e9 * trial->ticks_per_ns);
	rc = run_pairs(run);
	sum_up(run);
	free(run);
	return rc;
}
