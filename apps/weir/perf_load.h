/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_PERF_LOAD_H
#define WEIR_PERF_LOAD_H

/*
 * Open loop: messages leave by a plan, at a given rate, whatever became of
 * those before; the peer echoes each.
 *
 *     planned      sent                            received
 *        |-- late --|----------- service -------------|
 *        |------------------- response ---------------|
 *        |- reserve wait -|   of late: the link had no room
 *
 * A sender that is held up sends what it owes afterwards, and the delay of
 * each is counted from its planned time (no coordinated omission). Nothing is
 * left out: segments of 50 ms, each a plan of its own, lie between placement
 * probes; those whose probes agree are also shown by placement. Between two of
 * them a millisecond of the floor's closed loop tells what the machine needs
 * for such a round trip, by placement as well:
 *
 *     | segment | floor | segment | floor |   ...
 *     P         P       P         P       P
 *
 * Why a slow message was slow: the first of these that holds. Both sides
 * watch their own loop, and a gap in it means that the processor was away.
 */

#include "counters.h"
#include "hist.h"
#include "placement.h"
#include "tally.h"

#define WEIR_LOAD_POINTS 3
/* Turns of the floor in a placement, or there is no figure of it. */
#define WEIR_LOAD_ENOUGH 5u

enum weir_load_cause {
	WEIR_CAUSE_OURS,    /* our processor was away */
	WEIR_CAUSE_PEERS,   /* the peer's was */
	WEIR_CAUSE_RESERVE, /* more than half was waiting for room */
	WEIR_CAUSE_BEHIND,  /* more than half was behind earlier messages */
	WEIR_CAUSE_LINK,    /* none of these */
	WEIR_CAUSES
};

struct weir_load_gaps {
	uint64_t count;
	double total_ns, longest_ns;
};

struct weir_load_point {
	double share; /* of the highest rate; NAN: rate was given */
	double rate;  /* planned, messages per second */
	uint64_t planned, answered;
	uint64_t unsent; /* given up: hopelessly behind */
	uint64_t late;   /* sent more than 1 us after their time */
	uint32_t segments;
	uint32_t kept_up; /* of these ended hardly behind */
	uint64_t span_ns;
	struct weir_load_gaps ours, peers;
	struct weir_hist response, service, reserve_wait; /* ns */
	struct weir_hist cause[WEIR_CAUSES];              /* response */
	struct weir_hist place[WEIR_PLACES];              /* response */
	struct weir_hist service_at[WEIR_PLACES];         /* service */
	struct weir_hist floor[WEIR_PLACES]; /* ps, means of a batch */
	uint32_t floor_turns[WEIR_PLACES];
	struct weir_counters counters;
};

struct weir_perf_load {
	double max_rate; /* the highest that was kept up; NAN: not searched */
	uint32_t count;
	struct weir_load_point points[WEIR_LOAD_POINTS];
};

/* Of the messages above the 99.9th percentile, why they were slow. */
struct weir_load_slow {
	double above_ns;  /* NAN: too few samples */
	uint64_t samples; /* above it */
	uint64_t cause[WEIR_CAUSES];
};

/* What a placement comes to; NAN: seen too little, or no floor. */
struct weir_load_place {
	struct weir_rtt response, service;
	struct weir_rtt floor;   /* 32 round trips timed at once */
	double ratio, ratio_p99; /* service over floor, p50 and p99 */
};

struct weir_trial;
struct weir_perf_link;
struct weir_self;

/** Meter: all points. @return as weir_trial_run(). */
int weir_perf_load_run(struct weir_trial *trial, struct weir_perf_load *load);

/** Peer: echo until the gate closes. @return 0; negative. */
int weir_perf_load_answer(struct weir_perf_link *link, struct weir_self *self);

void weir_load_slow_of(const struct weir_load_point *point,
		       struct weir_load_slow *slow);

void weir_load_place_of(const struct weir_load_point *point,
			enum weir_placement placement,
			struct weir_load_place *place);

/** Where the floor was seen most. */
enum weir_placement weir_load_main(const struct weir_load_point *point);

/** "our processor was away". */
const char *weir_load_cause_text(enum weir_load_cause cause);

#endif /* WEIR_PERF_LOAD_H */
