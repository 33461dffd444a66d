/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Floor and link in turn, in windows of a few milliseconds, each between two
 * placement probes:
 *
 *     | floor | link  | floor | link  | floor |   ...  until 200 count
 *     P       P       P       P       P       P
 *
 * A window of the link counts if its two probes agree and so do those of the
 * floor windows on either side of it; these count with it. A vCPU that moves
 * costs a few windows and spoils no figure.
 *
 * The clock of this kind of machine moves in steps of about 10 ns, so floors
 * and ratios time 32 round trips per sample. Percentiles need single ones:
 * the second half of each link window times those.
 */

#include <stdlib.h>

#include "perf.h"
#include "progress.h"
#include "slices.h"
#include "ticks.h"
#include "tool.h"

/* Far below the time between two moves, far above the cost of a probe. */
#define LAT_PART_NS  1500000u
#define BW_WINDOW_NS 3000000u
#define BATCH_ROUNDS 32u
#define BATCH_MAX_NS 1000000u /* slower round trips: fewer per sample */
#define BATCHES_MAX  2048u
/* Of larger messages fewer from the start: a link that nobody polls for
 * hundreds of milliseconds while its floor runs is taken for dead. */
#define BATCH_BYTES (BATCH_ROUNDS * 65536u)
#define SINGLES_MAX 16384u

/* With --sleep: longer than it takes to fall asleep. Who polls a port looks
 * for 64 turns at least, and a turn may be a system call of a microsecond. */
#define THINK_NS        30000u
#define THINK_POLLED_NS 150000u

/* One-way messages between two looks at the clock. */
#define CHUNK_BYTES    65536u
#define CHUNK_MESSAGES 256u

struct window {
	enum weir_placement place;
	uint32_t batch;   /* round trips per sample */
	uint32_t batches; /* samples */
	uint32_t singles;
	uint64_t messages;
	double rate;  /* messages per second */
	bool counted; /* a floor serves two neighbours, but counts once */
	uint64_t ticks_batch[BATCHES_MAX];
	uint32_t ticks_single[SINGLES_MAX];
};

struct progress {
	struct weir_trial *trial;
	struct window *floor, *test, *floor_next;
	enum weir_placement place; /* by the last probe */
	uint32_t batch[2];         /* by enum weir_self_which */
	uint64_t start_ns;         /* of what counts */
	uint64_t note_ns;
};

static struct weir_load *
load_of(const struct weir_trial *trial, enum weir_self_which which)
{
	return which == WEIR_SELF_FLOOR ? trial->side->floor
					: &trial->side->test.load;
}

int
weir_trial_probe(struct weir_trial *trial, enum weir_placement *place)
{
	struct weir_self *self = trial->self;
	double ticks;
	int rc, answer;

	if (self->page->one_cpu != 0) {
		*place = WEIR_PLACE_SAME;
		return 0;
	}
	weir_self_begin(self, WEIR_SELF_PROBE, WEIR_SELF_TEST);
	rc = weir_probe_ask(&self->page->probe, &self->probe_number, &ticks);
	answer = weir_self_end(self, NULL);
	if (rc == 0)
		*place = weir_place_of(ticks / trial->ticks_per_ns);
	return answer != 0 ? answer : rc;
}

int
weir_trial_settle(struct weir_trial *trial, enum weir_self_which which)
{
	struct weir_load *load = load_of(trial, which);

	if (!trial->side->test.polled)
		return 0;
	weir_self_begin(trial->self, WEIR_SELF_SETTLE, which);
	load->ops->settle(load);
	return weir_self_end(trial->self, NULL);
}

/* ---- round trips ---------------------------------------------------------------- */

/* Time n round trips; *now is moved on. */
static int
time_rounds(struct weir_load *load, uint32_t n, uint64_t *now, uint64_t *ticks)
{
	uint64_t before = *now, thought = load->thought;
	int rc = load->ops->rounds(load, n);

	*now = weir_ticks();
	*ticks = *now - before - (load->thought - thought);
	return rc;
}

static int
time_batches(struct weir_load *load, struct window *window, uint64_t span)
{
	uint64_t start = weir_ticks(), now = start;

	while (now - start < span && window->batches < BATCHES_MAX) {
		uint64_t *ticks = &window->ticks_batch[window->batches];
		int rc = time_rounds(load, window->batch, &now, ticks);

		if (rc != 0)
			return rc;
		window->batches++;
	}
	window->messages = (uint64_t)window->batches * window->batch;
	return 0;
}

static int
time_singles(struct weir_load *load, struct window *window, uint64_t span)
{
	uint64_t start = weir_ticks(), now = start;

	while (now - start < span && window->singles < SINGLES_MAX) {
		uint64_t ticks;
		int rc = time_rounds(load, 1, &now, &ticks);

		if (rc != 0)
			return rc;
		window->ticks_single[window->singles++] =
			ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
	}
	window->messages += window->singles;
	return 0;
}

/* Keep a sample, and so a window, short on slow devices. The fastest sample
 * tells: one that lost its CPU for a while says nothing about the device. */
static void
fit_batch(struct progress *run, enum weir_self_which which,
	  const struct window *window)
{
	double most = BATCH_MAX_NS * run->trial->ticks_per_ns;
	uint64_t best = UINT64_MAX;

	for (uint32_t i = 0; i < window->batches; i++)
		if (window->ticks_batch[i] < best)
			best = window->ticks_batch[i];
	if (window->batches > 0 && (double)best > most)
		run->batch[which] =
			(uint32_t)(window->batch * most / (double)best) + 1;
}

static int
lat_window(struct progress *run, enum weir_self_which which,
	   struct window *window)
{
	struct weir_trial *trial = run->trial;
	struct weir_load *load = load_of(trial, which);
	uint64_t span = (uint64_t)(LAT_PART_NS * trial->ticks_per_ns);
	int rc, answer;

	window->batch = run->batch[which];
	weir_self_gate(trial->self, true, 0);
	weir_self_begin(trial->self, WEIR_SELF_ECHO, which);
	rc = time_batches(load, window, span);
	if (rc == 0 && which == WEIR_SELF_TEST)
		rc = time_singles(load, window, span);
	weir_self_gate(trial->self, false, 0);
	answer = weir_self_end(trial->self, load);
	if (rc != 0 || answer != 0)
		return answer == -ECHILD || rc == 0 ? answer : rc;

	fit_batch(run, which, window);
	return 0;
}

/* ---- one way --------------------------------------------------------------------- */

static uint32_t
chunk_of(const struct weir_load *load)
{
	uint32_t chunk = load->size == 0 ? CHUNK_MESSAGES
					 : CHUNK_BYTES / load->size;

	if (chunk > CHUNK_MESSAGES)
		chunk = CHUNK_MESSAGES;
	if (chunk < load->burst && load->size <= CHUNK_BYTES / 4)
		chunk = load->burst;
	return chunk < 2 ? 2 : chunk;
}

static int
bw_window(struct progress *run, enum weir_self_which which,
	  struct window *window)
{
	struct weir_trial *trial = run->trial;
	struct weir_load *load = load_of(trial, which);
	uint64_t span = (uint64_t)(BW_WINDOW_NS * trial->ticks_per_ns);
	const struct weir_flow *flow = &trial->self->page->reply.flow;
	uint32_t chunk = chunk_of(load);
	uint64_t start;
	int rc, answer;

	load->sent = 0;
	weir_self_gate(trial->self, true, 0);
	weir_self_begin(trial->self, WEIR_SELF_SINK, which);
	start = weir_ticks();
	do {
		rc = load->ops->send(load, chunk);
	} while (rc == 0 && weir_ticks() - start < span);
	weir_self_gate(trial->self, false, load->sent);
	answer = weir_self_end(trial->self, load);
	if (rc != 0 || answer != 0)
		return answer == -ECHILD || rc == 0 ? answer : rc;

	window->messages = flow->messages;
	if (flow->timed > 0 && flow->ticks > 0)
		window->rate = (double)flow->timed / (double)flow->ticks *
			       trial->ticks_per_ns * 1e9;
	return 0;
}

/* ---- windows ---------------------------------------------------------------------- */

static int
run_window(struct progress *run, enum weir_self_which which,
	   struct window *window)
{
	enum weir_placement before = run->place;
	int rc;

	window->batches = window->singles = 0;
	window->messages = 0;
	window->rate = 0;
	window->counted = false;
	window->place = WEIR_PLACE_MOVED;
	if (load_of(run->trial, which) == NULL)
		return 0; /* no floor: nothing that could agree */
	rc = run->trial->side->kind == WEIR_PERF_LAT
		     ? lat_window(run, which, window)
		     : bw_window(run, which, window);
	if (rc == 0)
		rc = weir_trial_settle(run->trial, which);
	if (rc == 0)
		rc = weir_trial_probe(run->trial, &run->place);
	if (rc == 0)
		window->place = weir_place_between(before, run->place);
	return rc;
}

static void
count_floor(struct progress *run, struct window *window)
{
	struct weir_tally_place *to = &run->trial->tally->places[window->place];
	double ps = 1000 / run->trial->ticks_per_ns / window->batch;

	if (window->counted)
		return;
	window->counted = true;
	for (uint32_t i = 0; i < window->batches; i++)
		weir_hist_record(
			&to->floor_batch_ps,
			(uint64_t)((double)window->ticks_batch[i] * ps));
	if (to->floor_windows <= WEIR_TALLY_WINDOWS)
		to->floor_rate[to->floor_windows++] = window->rate;
}

static void
count_test(struct progress *run, const struct window *window)
{
	struct weir_tally *tally = run->trial->tally;
	struct weir_tally_place *to = &tally->places[window->place];
	double ticks_per_ns = run->trial->ticks_per_ns;
	double ps = 1000 / ticks_per_ns / window->batch;

	for (uint32_t i = 0; i < window->batches; i++)
		weir_hist_record(
			&to->batch_ps,
			(uint64_t)((double)window->ticks_batch[i] * ps));
	for (uint32_t i = 0; i < window->singles; i++)
		weir_hist_record(
			&to->rtt_ns,
			(uint64_t)(window->ticks_single[i] / ticks_per_ns));
	to->messages += window->messages;
	to->rate[to->windows++] = window->rate;
	tally->windows++;
}

/* A link window between two floors: does it count? */
static void
judge(struct progress *run)
{
	struct weir_tally *tally = run->trial->tally;
	struct window *test = run->test;
	bool floor = run->trial->side->floor != NULL;

	run->trial->messages += test->messages;
	for (uint32_t i = 0; i < test->singles; i++)
		weir_hist_record(&tally->all_rtt_ns,
				 (uint64_t)(test->ticks_single[i] /
					    run->trial->ticks_per_ns));
	if (test->place == WEIR_PLACE_MOVED ||
	    (floor && (run->floor->place != test->place ||
		       run->floor_next->place != test->place))) {
		tally->moved++;
		return;
	}
	count_test(run, test);
	if (floor) {
		count_floor(run, run->floor);
		count_floor(run, run->floor_next);
	}
}

static void
show_progress(struct progress *run, uint64_t now_ns)
{
	const struct weir_perf_args *args = run->trial->args;
	const struct weir_tally *tally = run->trial->tally;

	if (args->interval_ns == 0 && !args->sweep)
		weir_progress("%u B: %.1f s, windows: %u near, %u far, %u "
			      "spoiled by a move",
			      run->trial->side->test.load.size,
			      (double)(now_ns - run->start_ns) / 1e9,
			      tally->places[WEIR_PLACE_NEAR].windows,
			      tally->places[WEIR_PLACE_FAR].windows,
			      tally->moved);
	if (args->interval_ns == 0 || now_ns < run->note_ns)
		return;
	run->note_ns = now_ns + args->interval_ns;
	weir_tool_note("%u B: %u windows count, %u do not (%u near, %u far, "
		       "%u smt)",
		       run->trial->side->test.load.size, tally->windows,
		       tally->moved, tally->places[WEIR_PLACE_NEAR].windows,
		       tally->places[WEIR_PLACE_FAR].windows,
		       tally->places[WEIR_PLACE_SMT].windows);
}

/* The time that a size of a sweep does not need is that of those to come. */
static bool
enough_of_both(const struct weir_tally *tally)
{
	return tally->places[WEIR_PLACE_NEAR].windows >=
		       2 * WEIR_TALLY_ENOUGH &&
	       tally->places[WEIR_PLACE_FAR].windows >= 2 * WEIR_TALLY_ENOUGH;
}

static bool
enough(struct progress *run, uint64_t end_ns)
{
	const struct weir_trial *trial = run->trial;
	uint64_t now_ns = weir_now_ns();

	show_progress(run, now_ns);
	return trial->tally->windows >= WEIR_TALLY_WINDOWS ||
	       (trial->args->sweep && enough_of_both(trial->tally)) ||
	       (trial->args->count != 0 &&
		trial->messages >= trial->args->count) ||
	       now_ns >= end_ns;
}

/* The link window and the floor after it; the floor before is there. */
static int
run_pair(struct progress *run)
{
	struct window *swap;
	int rc = run_window(run, WEIR_SELF_TEST, run->test);

	if (rc == 0)
		rc = run_window(run, WEIR_SELF_FLOOR, run->floor_next);
	if (rc != 0)
		return rc;
	judge(run);
	swap = run->floor;
	run->floor = run->floor_next;
	run->floor_next = swap;
	return weir_tool_signal != 0 ? -EINTR : 0;
}

static int
run_windows(struct progress *run)
{
	const struct weir_perf_args *args = run->trial->args;
	uint64_t start_ns = weir_now_ns();
	uint64_t warm_ns = start_ns + run->trial->warmup_ns;
	int rc = weir_trial_settle(run->trial, WEIR_SELF_TEST);

	run->trial->self->page->gate.slice_ticks =
		(uint64_t)(WEIR_SLICE_NS * run->trial->ticks_per_ns);
	if (args->sleep)
		run->trial->self->page->gate.think_ticks =
			(uint64_t)((run->trial->side->test.polled
					    ? THINK_POLLED_NS
					    : THINK_NS) *
				   run->trial->ticks_per_ns);
	if (rc == 0)
		rc = weir_trial_probe(run->trial, &run->place);
	if (rc == 0)
		rc = run_window(run, WEIR_SELF_FLOOR, run->floor);
	while (rc == 0 && weir_now_ns() < warm_ns)
		rc = run_pair(run);
	if (rc != 0)
		return rc;
	weir_tally_reset(run->trial->tally);
	run->trial->messages = 0;
	run->floor->counted = false;
	start_ns = weir_now_ns();
	run->start_ns = start_ns;
	run->note_ns = start_ns + args->interval_ns;
	do {
		rc = run_pair(run);
	} while (rc == 0 && !enough(run, start_ns + run->trial->time_ns));
	return rc;
}

uint32_t
weir_trial_batch(uint32_t size)
{
	uint32_t rounds = BATCH_BYTES / (size > 0 ? size : 1);

	return rounds < 1 ? 1 : rounds < BATCH_ROUNDS ? rounds : BATCH_ROUNDS;
}

int
weir_trial_run(struct weir_trial *trial)
{
	uint32_t batch = weir_trial_batch(trial->side->test.load.size);
	struct window *windows = calloc(3, sizeof(*windows));
	struct progress run = {
		.trial = trial,
		.floor = windows,
		.test = windows + 1,
		.floor_next = windows + 2,
		.batch = { batch, batch },
	};
	int rc;

	if (windows == NULL)
		return -ENOMEM;
	rc = run_windows(&run);
	free(windows);
	return rc;
}
