/* SPDX-License-Identifier: BSD-3-Clause */
/* Open loop: plan, both sides' loops, search for the highest rate; drawn in
 * perf_load.h. */

#include "perf_load.h"

#include <math.h>
#include <stdlib.h>

#include "perf.h"
#include "progress.h"
#include "spin.h"
#include "ticks.h"
#include "tool.h"

#define SEGMENT_NS   50000000u
#define LATE_NS      1000u
#define KEPT_UP_PART 20u /* of a segment: behind by less at its end */
#define PATIENCE_NS  UINT64_C(5000000000) /* for an answer */

/* A look at the link takes less, even with a message to copy. */
#define GAP_NS         20000u
#define GAP_BYTE_NS    4u
#define BURST_SIZE_MAX 4096u /* longer messages go one by one */
#define FLOOR_NS       1000000u

/* Search: tries of 9 segments, doubling, then halving the step to 5 %. */
#define TRY_SEGMENT_NS 4000000u
#define TRY_SEGMENTS   9u
#define TRIES_MAX      60u /* if a processor is away in most of them */
#define FIRST_RATE     10000.0
#define RATE_MIN       1.0
#define RATE_MAX       1e9
#define CLOSE_ENOUGH   1.05

/* More than both directions and both sides ever hold. */
#define FLIGHT_MAX 16384u

struct flight {
	uint64_t planned, sent, wait;
	uint64_t peer_gaps;
};

struct run {
	struct weir_trial *trial;
	struct weir_load_point *point;
	uint64_t segment_ns;
	uint64_t give_up_ns; /* so far behind the plan is hopeless */
	uint64_t gap_ticks;
	uint16_t burst;
	/* of this segment, in ticks */
	double interval;
	uint64_t start, total, sent, got;
	uint64_t refused; /* since when reserve says no; 0: it does not */
	uint64_t looked, gap_end;
	enum weir_placement place; /* by the last probe */
	/* By placement, until that is known: */
	struct weir_hist *response_at, *service_at, *floor_at;
	struct flight flights[FLIGHT_MAX];
};

static uint64_t
to_ns(const struct run *run, uint64_t ticks)
{
	return (uint64_t)((double)ticks / run->trial->ticks_per_ns);
}

static uint64_t
to_ticks(const struct run *run, uint64_t ns)
{
	return (uint64_t)((double)ns * run->trial->ticks_per_ns);
}

static uint64_t
planned(const struct run *run, uint64_t number)
{
	return run->start + (uint64_t)((double)number * run->interval);
}

/* ---- gaps ---------------------------------------------------------------------- */

static uint64_t
gap_ns(uint32_t size)
{
	return GAP_NS + (uint64_t)GAP_BYTE_NS * size;
}

/* Only its own side writes a gap counter. */
static void
add_relaxed(_Atomic uint64_t *to, uint64_t value)
{
	atomic_store_explicit(
		to, atomic_load_explicit(to, memory_order_relaxed) + value,
		memory_order_relaxed);
}

static uint64_t
peer_gaps(const struct run *run)
{
	return atomic_load_explicit(&run->trial->self->page->gaps.count,
				    memory_order_relaxed);
}

/* Look at the clock; a long time since the last look is a gap. */
static uint64_t
look(struct run *run)
{
	uint64_t now = weir_ticks(), gap = now - run->looked;
	struct weir_load_gaps *ours = &run->point->ours;

	run->looked = now;
	if (__builtin_expect(gap > run->gap_ticks, 0)) {
		double ns = (double)gap / run->trial->ticks_per_ns;

		run->gap_end = now;
		ours->count++;
		ours->total_ns += ns;
		if (ns > ours->longest_ns)
			ours->longest_ns = ns;
	}
	return now;
}

/* ---- meter --------------------------------------------------------------------- */

static int
send_due(struct run *run, uint64_t now)
{
	struct weir_perf_link *link = &run->trial->side->test;
	struct weir_permit permits[WEIR_PERF_BURST_MAX];
	uint64_t due =
		(uint64_t)((double)(now - run->start) / run->interval) + 1;
	uint64_t want;
	int got;

	due = due < run->total ? due : run->total;
	want = due > run->sent ? due - run->sent : 0;
	want = want < run->burst ? want : run->burst;
	if (want > FLIGHT_MAX - (run->sent - run->got))
		want = FLIGHT_MAX - (run->sent - run->got);
	if (want == 0)
		return 0;
	got = weir_tx_reserve_burst(link->tx, link->load.size, permits,
				    (uint16_t)want);
	if (got < 0)
		return got;
	for (int i = 0; i < got; i++) {
		uint64_t number = run->sent++, time = planned(run, number);
		uint64_t from = run->refused > time ? run->refused : time;

		run->flights[number % FLIGHT_MAX] = (struct flight){
			.planned = time,
			.sent = now,
			.wait = run->refused != 0 ? now - from : 0,
			.peer_gaps = peer_gaps(run),
		};
	}
	if (got == (int)want)
		run->refused = 0;
	else if (run->refused == 0)
		run->refused = now;
	if (got > 0)
		weir_perf_link_put(link, permits, (uint32_t)got);
	return 0;
}

static enum weir_load_cause
cause_of(const struct run *run, const struct flight *flight, uint64_t now)
{
	uint64_t response = now - flight->planned;

	if (run->gap_end > flight->planned)
		return WEIR_CAUSE_OURS;
	if (peer_gaps(run) != flight->peer_gaps)
		return WEIR_CAUSE_PEERS;
	if (flight->wait > response / 2)
		return WEIR_CAUSE_RESERVE;
	if (flight->sent - flight->planned > response / 2)
		return WEIR_CAUSE_BEHIND;
	return WEIR_CAUSE_LINK;
}

static void
count_answer(struct run *run, uint64_t now)
{
	const struct flight *flight = &run->flights[run->got++ % FLIGHT_MAX];
	struct weir_load_point *point = run->point;
	uint64_t response = to_ns(run, now - flight->planned);

	weir_hist_record(&point->response, response);
	weir_hist_record(run->response_at, response);
	weir_hist_record(&point->service, to_ns(run, now - flight->sent));
	weir_hist_record(run->service_at, to_ns(run, now - flight->sent));
	weir_hist_record(&point->reserve_wait, to_ns(run, flight->wait));
	weir_hist_record(&point->cause[cause_of(run, flight, now)], response);
	point->late += to_ns(run, flight->sent - flight->planned) > LATE_NS;
	point->answered++;
}

/* @return 0; negative; -ETIMEDOUT no answer for a long time. */
static int
receive(struct run *run, uint64_t *progress)
{
	int rc = weir_perf_link_take(&run->trial->side->test);
	uint64_t now = look(run);

	if (rc < 0)
		return rc;
	if (rc > 0)
		*progress = now;
	for (int i = 0; i < rc && run->got < run->sent; i++)
		count_answer(run, now);
	return to_ns(run, now - *progress) > PATIENCE_NS ? -ETIMEDOUT : 0;
}

static int
follow_plan(struct run *run)
{
	uint64_t behind = to_ticks(run, run->give_up_ns);
	uint64_t progress = weir_ticks();
	struct weir_spin spin = { .limit = run->trial->self->spin_limit };
	bool keep_on = true;
	int rc = 0;

	run->looked = run->start = progress;
	while (rc == 0 && (keep_on || run->got < run->sent)) {
		uint64_t got = run->got;

		rc = receive(run, &progress);
		if (rc == 0 && keep_on && run->looked >= run->start)
			rc = send_due(run, run->looked);
		if (keep_on && run->sent == run->total)
			keep_on = false;
		else if (keep_on && run->looked > planned(run, run->sent) &&
			 run->looked - planned(run, run->sent) > behind)
			keep_on = false;
		/* A peer on the same CPU needs it to answer. */
		if (run->got != got)
			weir_spin_reset(&spin);
		else if (spin.limit == 0)
			(void)weir_spin(&spin);
	}
	return rc;
}

static void
end_segment(struct run *run)
{
	struct weir_load_point *point = run->point;
	const struct flight *last = &run->flights[(run->sent - 1) % FLIGHT_MAX];

	point->segments++;
	point->planned += run->total;
	point->unsent += run->total - run->sent;
	if (run->sent == run->total && to_ns(run, last->sent - last->planned) <
					       run->segment_ns / KEPT_UP_PART)
		point->kept_up++;
}

/* One plan from its start to its last answer. */
static int
segment(struct run *run)
{
	struct weir_self *self = run->trial->self;
	double per_s = run->point->rate;
	enum weir_placement before = run->place, during;
	int rc, answer;

	run->total = (uint64_t)(per_s * (double)run->segment_ns / 1e9);
	run->total = run->total > 0 ? run->total : 1;
	run->interval = 1e9 / per_s * run->trial->ticks_per_ns;
	run->sent = run->got = run->refused = run->gap_end = 0;
	weir_hist_reset(run->response_at);
	weir_hist_reset(run->service_at);
	weir_self_gate(self, true, 0);
	weir_self_begin(self, WEIR_SELF_ANSWER, WEIR_SELF_TEST);
	rc = follow_plan(run);
	weir_self_gate(self, false, 0);
	answer = weir_self_end(self, &run->trial->side->test.load);
	if (rc != 0 || answer != 0)
		return answer == -ECHILD || rc == 0 ? answer : rc;
	end_segment(run);
	run->trial->messages += run->got;
	rc = weir_trial_probe(run->trial, &run->place);
	during = weir_place_between(before, run->place);
	if (rc == 0 && during != WEIR_PLACE_MOVED) {
		weir_hist_add(&run->point->place[during], run->response_at);
		weir_hist_add(&run->point->service_at[during], run->service_at);
	}
	return rc == 0 && weir_tool_signal != 0 ? -EINTR : rc;
}

static int
time_floor(struct run *run, struct weir_load *floor)
{
	uint32_t batch = weir_trial_batch(floor->size);
	double ps = 1000 / run->trial->ticks_per_ns / batch;
	uint64_t start = weir_ticks(), now = start;

	weir_hist_reset(run->floor_at);
	while (to_ns(run, now - start) < FLOOR_NS) {
		uint64_t before = now;
		int rc = floor->ops->rounds(floor, batch);

		if (rc != 0)
			return rc;
		now = weir_ticks();
		weir_hist_record(run->floor_at,
				 (uint64_t)((double)(now - before) * ps));
	}
	return 0;
}

/* Between two segments: the floor's closed loop, where there is a floor. */
static int
floor_turn(struct run *run)
{
	struct weir_trial *trial = run->trial;
	struct weir_load *floor = trial->side->floor;
	enum weir_placement before = run->place, during;
	int rc, answer;

	if (floor == NULL)
		return 0;
	rc = weir_trial_settle(trial, WEIR_SELF_TEST);
	if (rc != 0)
		return rc;
	weir_self_gate(trial->self, true, 0);
	weir_self_begin(trial->self, WEIR_SELF_ECHO, WEIR_SELF_FLOOR);
	rc = time_floor(run, floor);
	weir_self_gate(trial->self, false, 0);
	answer = weir_self_end(trial->self, floor);
	if (rc != 0 || answer != 0)
		return answer == -ECHILD || rc == 0 ? answer : rc;
	rc = weir_trial_settle(trial, WEIR_SELF_FLOOR);
	if (rc == 0)
		rc = weir_trial_probe(trial, &run->place);
	during = weir_place_between(before, run->place);
	if (rc == 0 && during != WEIR_PLACE_MOVED) {
		weir_hist_add(&run->point->floor[during], run->floor_at);
		run->point->floor_turns[during]++;
	}
	return rc;
}

static void
reset_point(struct weir_load_point *point, double share, double rate)
{
	memset(point, 0, sizeof(*point));
	point->share = share;
	point->rate = rate;
	weir_hist_reset(&point->response);
	weir_hist_reset(&point->service);
	weir_hist_reset(&point->reserve_wait);
	for (int i = 0; i < WEIR_CAUSES; i++)
		weir_hist_reset(&point->cause[i]);
	for (int i = 0; i < WEIR_PLACES; i++) {
		weir_hist_reset(&point->place[i]);
		weir_hist_reset(&point->service_at[i]);
		weir_hist_reset(&point->floor[i]);
	}
}

/* ---- points -------------------------------------------------------------------- */

static void
take_peer_gaps(struct run *run)
{
	struct weir_self_gaps *gaps = &run->trial->self->page->gaps;
	struct weir_load_gaps *to = &run->point->peers;
	double per_ns = run->trial->ticks_per_ns;

	to->count = atomic_load(&gaps->count);
	to->total_ns = (double)atomic_load(&gaps->ticks) / per_ns;
	to->longest_ns = (double)atomic_load(&gaps->longest) / per_ns;
	atomic_store(&gaps->count, 0);
	atomic_store(&gaps->ticks, 0);
	atomic_store(&gaps->longest, 0);
}

static void
show_progress(const struct run *run, uint64_t start_ns)
{
	const struct weir_load_point *point = run->point;

	weir_progress("%u B: %.4g messages/s: %.1f s, %llu answered, %llu "
		      "late",
		      run->trial->side->test.load.size, point->rate,
		      (double)(weir_now_ns() - start_ns) / 1e9,
		      (unsigned long long)point->answered,
		      (unsigned long long)point->late);
}

/* Segments for so long, the first one only to warm up. */
static int
measure_point(struct run *run, double share, double rate)
{
	const struct weir_trial *trial = run->trial;
	struct weir_counters before;
	uint64_t start_ns = weir_now_ns(), warm_ns;
	int rc;

	warm_ns = start_ns + trial->warmup_ns;
	run->segment_ns = SEGMENT_NS;
	if (rate * SEGMENT_NS < 1e9)
		run->segment_ns = (uint64_t)(1e9 / rate) + 1;
	run->give_up_ns = PATIENCE_NS;
	do {
		reset_point(run->point, share, rate);
		rc = segment(run);
	} while (rc == 0 && weir_now_ns() < warm_ns);
	reset_point(run->point, share, rate);
	take_peer_gaps(run);
	weir_side_counters(trial->side, &before);
	start_ns = weir_now_ns();
	while (rc == 0) {
		rc = segment(run);
		if (rc == 0)
			rc = floor_turn(run);
		show_progress(run, start_ns);
		if (weir_now_ns() - start_ns >= trial->time_ns)
			break;
	}
	run->point->span_ns = weir_now_ns() - start_ns;
	take_peer_gaps(run);
	weir_side_counters(trial->side, &run->point->counters);
	weir_counters_since(&run->point->counters, &before);
	return rc;
}

/* How long the two processors have been away, ns. */
static double
away_ns(const struct run *run)
{
	return run->point->ours.total_ns +
	       (double)atomic_load(&run->trial->self->page->gaps.ticks) /
		       run->trial->ticks_per_ns;
}

/* Does most of a few short segments keep up? One in which a processor was
 * away says nothing, unless there are no others.
 * @return 1; 0; negative. */
static int
try_rate(struct run *run, double rate)
{
	uint32_t quiet = 0, kept_up = 0;
	int rc = 0;

	reset_point(run->point, NAN, rate);
	run->segment_ns = TRY_SEGMENT_NS;
	if (rate * TRY_SEGMENT_NS < 1e9)
		run->segment_ns = (uint64_t)(1e9 / rate) + 1;
	run->give_up_ns = run->segment_ns;
	for (uint32_t i = 0; i < TRIES_MAX && quiet < TRY_SEGMENTS; i++) {
		uint32_t before = run->point->kept_up;
		double away = away_ns(run);

		rc = segment(run);
		if (rc != 0)
			return rc;
		if (away_ns(run) - away >
		    (double)run->segment_ns / KEPT_UP_PART / 2)
			continue;
		quiet++;
		kept_up += run->point->kept_up - before;
	}
	if (quiet > TRY_SEGMENTS / 2)
		return kept_up * 2 > quiet;
	return run->point->kept_up * 2 > run->point->segments;
}

/* @return 1 and the rate; 0 not even the lowest; negative. */
static int
find_max(struct run *run, double *max)
{
	double good = 0, bad = 0, rate = FIRST_RATE;

	while (good < RATE_MIN || bad < RATE_MIN || bad / good > CLOSE_ENOUGH) {
		int rc;

		weir_progress("%u B: searching the highest rate, now %.4g "
			      "messages/s",
			      run->trial->side->test.load.size, rate);
		rc = try_rate(run, rate);
		if (rc < 0)
			return rc;
		if (rc > 0)
			good = rate;
		else
			bad = rate;
		if (bad < RATE_MIN)
			rate = good * 2;
		else
			rate = good < RATE_MIN ? bad / 2 : (good + bad) / 2;
		if (rate > RATE_MAX || rate < RATE_MIN)
			break;
	}
	*max = good;
	return good >= RATE_MIN;
}

static int
measure_points(struct run *run, struct weir_perf_load *load)
{
	static const double shares[WEIR_LOAD_POINTS] = { 0.1, 0.5, 0.9 };
	double given = run->trial->args->rate;
	int rc = weir_trial_probe(run->trial, &run->place);

	run->point = &load->points[0];
	load->max_rate = NAN;
	load->count = 0;
	if (rc == 0 && !run->trial->args->find_max) {
		rc = measure_point(run, NAN, given);
		load->count = 1;
		return rc;
	}
	if (rc == 0)
		rc = find_max(run, &load->max_rate);
	for (int i = 0; i < WEIR_LOAD_POINTS && rc >= 0; i++) {
		if (load->max_rate < RATE_MIN)
			return 0;
		run->point = &load->points[load->count++];
		rc = measure_point(run, shares[i], load->max_rate * shares[i]);
	}
	return rc < 0 ? rc : 0;
}

int
weir_perf_load_run(struct weir_trial *trial, struct weir_perf_load *load)
{
	struct weir_load *link = &trial->side->test.load;
	struct run *run = calloc(1, sizeof(*run));
	struct weir_hist *at;
	int rc = -ENOMEM;

	if (run == NULL)
		return -ENOMEM;
	run->trial = trial;
	run->burst = link->size > BURST_SIZE_MAX ? 1 : (uint16_t)link->burst;
	run->gap_ticks = to_ticks(run, gap_ns(link->size));
	trial->self->page->gaps.limit = run->gap_ticks;
	at = calloc(3, sizeof(*at));
	if (at != NULL) {
		run->response_at = at;
		run->service_at = at + 1;
		run->floor_at = at + 2;
		rc = measure_points(run, load);
	}
	free(at);
	free(run);
	return rc;
}

/* ---- peer ---------------------------------------------------------------------- */

static void
look_here(struct weir_self_gaps *gaps, uint64_t *looked)
{
	uint64_t now = weir_ticks(), gap = now - *looked;

	*looked = now;
	if (__builtin_expect(gap <= gaps->limit, 1))
		return;
	add_relaxed(&gaps->ticks, gap);
	if (gap > atomic_load_explicit(&gaps->longest, memory_order_relaxed))
		atomic_store_explicit(&gaps->longest, gap,
				      memory_order_relaxed);
	/* The answers that follow are published by the link's own release,
	 * so the meter sees this one before them. */
	add_relaxed(&gaps->count, 1);
}

int
weir_perf_load_answer(struct weir_perf_link *link, struct weir_self *self)
{
	struct weir_self_gaps *gaps = &self->page->gaps;
	struct weir_spin spin = { .limit = link->load.spin_limit };
	struct weir_msg msgs[WEIR_PERF_BURST_MAX];
	uint64_t looked = weir_ticks();
	int rc;

	for (;;) {
		rc = weir_perf_link_poll(link);
		if (rc == 0)
			rc = weir_rx_recv_burst(link->rx, msgs,
						(uint16_t)link->load.burst);
		look_here(gaps, &looked);
		if (rc > 0) {
			rc = weir_perf_link_echo(link, msgs, (uint32_t)rc);
			weir_spin_reset(&spin);
		} else if (rc == 0 && !weir_gate_open(link->load.gate)) {
			return 0;
		} else if (rc == 0) {
			(void)weir_spin(&spin);
		}
		if (rc < 0)
			return rc;
	}
}
