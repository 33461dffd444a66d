/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_PERF_H
#define WEIR_PERF_H

/*
 * weir perf, in parts:
 *
 *   cmd_perf.c     command line                perf_output.c where results go
 *   perf_plan.c    which sizes, for how long   sweep.c       their curve
 *   plot*.c        pictures by gnuplot         progress.c    how far it is
 *   perf_side.c    one end of a link: open, close, its loads
 *   perf_link.c    the link as a load          floor*.c  the machine's floors
 *   selfrun.c      the peer of a --self run and the turns between the two
 *   perf_trial.c   floor, link, floor, ... in short windows
 *   perf_load.c    open loop: load by a plan   report_load.c its figures
 *   perf_fault.c   --fault: link without and with faults by turns
 *   perf_rest.c    --sleep: what waiting for nothing takes of a CPU
 *   perf_multi.c   --producers: several threads on one send half
 *   perf_remote.c  perf serve and its clients, no floor
 *   tally.c        windows -> figures          report.c  figures -> text
 */

#include "order.h"
#include "perf_fault.h"
#include "perf_link.h"
#include "perf_load.h"
#include "selfrun.h"
#include "tally.h"
#include "weir.h"
#include "counters.h"

#define WEIR_PERF_SIZES_MAX 32
/* Messages that each link may have under way with --links. */
#define WEIR_LINKS_CREDITS      4u
#define WEIR_PERF_PRODUCERS_MAX 16
#define WEIR_PERF_ASSERTS_MAX   16

/* Both kinds, each size of the list and those around the class edges. */
#define WEIR_PERF_RUNS_MAX (2 * (WEIR_PERF_SIZES_MAX + 3 * WEIR_CLASSES_MAX))

enum weir_perf_kind {
	WEIR_PERF_LAT,
	WEIR_PERF_BW,
	WEIR_PERF_LOAD
};

enum weir_perf_format {
	WEIR_PERF_HUMAN,
	WEIR_PERF_JSON,
	WEIR_PERF_CSV
};

/* The command line, understood. */
struct weir_perf_args {
	enum weir_perf_kind kind;
	const char *endpoint;      /* as typed */
	const char *peer_endpoint; /* --peer; NULL */
	uint32_t sizes[WEIR_PERF_SIZES_MAX];
	uint32_t size_count;
	uint64_t burst;
	uint64_t links;       /* all but one of them idle; 0: no others */
	uint64_t producers;   /* threads on one send half; 0: as ever */
	uint64_t count;       /* 0: as many as fit */
	uint64_t time_ns;     /* measured, per size, at most */
	uint64_t total_ns;    /* all sizes with their warm-up; 0: no limit */
	uint64_t warmup_ns;   /* before, per size */
	uint64_t interval_ns; /* progress lines; 0: none */
	int cpus[2];          /* -1: not given */
	bool self;
	bool half;
	bool verify;
	bool sleep; /* both sides, whenever there is nothing to do */
	bool sweep; /* both kinds, not only kind */
	bool edges; /* sizes around the edges of the link's classes too */
	bool serve;
	int format; /* enum weir_perf_format */
	const char *output;
	bool output_ours; /* a folder that nobody has asked for by name */
	const char *hlog; /* file for the histograms; NULL */
	const char *plot; /* load: folder for a plot; NULL */
	double rate;      /* load: planned messages per second */
	bool find_max;    /* load: search the highest rate instead */
	const char *asserts[WEIR_PERF_ASSERTS_MAX];
	uint32_t assert_count;
	char command[512]; /* how to repeat it */
};

/* What is measured one after the other. */
struct weir_perf_run {
	enum weir_perf_kind kind;
	uint32_t size;
};

struct weir_perf_plan {
	struct weir_perf_run runs[WEIR_PERF_RUNS_MAX];
	uint32_t count;
};

/* One end of a link. */
struct weir_side {
	const struct weir_perf_args *args;
	enum weir_perf_kind kind; /* of the run */
	char endpoint[WEIR_SELF_ENDPOINT_MAX];
	struct weir_port *port;
	struct weir_listener *listener;
	struct weir_link *link;
	struct weir_link **idle; /* see perf_idle.c */
	uint64_t idle_count;
	struct weir_work work;
	struct weir_perf_link test;
	struct weir_load *floor;   /* NULL: none */
	const char *floor_missing; /* why */
};

/* Shares of a CPU that a side takes while nobody sends, 1: all of it. */
struct weir_perf_rest {
	double polling;
	double asleep;
};

/* What one run has shown; input of the report. */
struct weir_perf_result {
	enum weir_perf_kind kind;
	uint32_t size;
	uint32_t floor_size;
	uint32_t planned;  /* sizes of this kind, in the whole plan */
	uint64_t messages; /* measured, counted windows or not */
	uint64_t duration_ns;
	int cpus[2];
	const struct weir_tally *tally;
	struct weir_integrity integrity;
	struct weir_counters counters; /* our side's, warm-up included */
	/* The other side's, or, of perf serve, its drops, waits and repairs;
	 * NULL: not known. */
	const struct weir_counters *peer_counters;
	const struct weir_perf_fault *fault; /* NULL: none, or no --self */
	const struct weir_perf_load *load;   /* NULL: not an open loop */
	const struct weir_perf_rest *rest;   /* NULL: not with --sleep */
	const char *floor_missing;           /* NULL: there is a floor */
	uint32_t msg_size_max;
	bool self;
	bool interrupted;
};

/* ---- sides: errors are reported, results are exit codes ------------------------- */

uint32_t weir_perf_size_max(const struct weir_perf_args *args);

/** Open port and listener, or port and link. @return 0, or exit code. */
int weir_side_listen(struct weir_side *side, const char *endpoint);
int weir_side_connect(struct weir_side *side, const char *endpoint);

/** Does a link of that endpoint need somebody who polls its port? */
bool weir_perf_polled(const char *endpoint);

/** How links are opened. */
void weir_side_config(const struct weir_perf_args *args,
		      struct weir_link_config *config);

/** The idle links of --links, the same number on both sides. @return 0, or exit
 *  code. */
int weir_idle_connect(struct weir_side *side);
int weir_idle_accept(struct weir_side *side);
void weir_idle_close(struct weir_side *side);

/** Wait until somebody has connected, or the link is up. @return 0, or exit
 *  code; WEIR_EXIT_INTERRUPT after a signal or when stop (may be NULL) is set.
 */
int weir_side_accept(struct weir_side *side, const _Atomic uint32_t *stop);
int weir_side_wait(struct weir_side *side);

/** Prepare side->test for messages of that size. @return 0; -ENOMEM. */
int weir_side_test(struct weir_side *side, struct weir_gate *gate,
		   uint32_t size, uint32_t spin_limit);

/** What link, send half and port have counted so far. */
void weir_side_counters(struct weir_side *side, struct weir_counters *now);

/** Say goodbye: close our direction, wait for the peer's, free the link. */
void weir_side_hang_up(struct weir_side *side);

/** weir_side_hang_up(), then everything else. */
void weir_side_close(struct weir_side *side);

/* ---- plan ------------------------------------------------------------------------ */

/**
 * Sizes in ascending order, each once; round trips first, then one way.
 *
 * @param classes of the send half of a link that is up, for args->edges; may
 *        be NULL.
 */
void weir_plan_make(const struct weir_perf_args *args,
		    const struct weir_tx_stats *classes,
		    struct weir_perf_plan *plan);

/** How many of the runs are of that kind. */
uint32_t weir_plan_sizes(const struct weir_perf_plan *plan,
			 enum weir_perf_kind kind);

/**
 * How long the next of `left` runs may take, so that all end in time.
 *
 * @param spent_ns since the first began.
 */
void weir_plan_time(const struct weir_perf_args *args, uint64_t spent_ns,
		    uint32_t left, uint64_t *warmup_ns, uint64_t *time_ns);

/* ---- runs: exit codes ----------------------------------------------------------- */

/** Called with each result; @return 0, or exit code. */
typedef int (*weir_perf_report_fn)(void *arg,
				   const struct weir_perf_result *result);

int weir_perf_self(const struct weir_perf_args *args,
		   weir_perf_report_fn report, void *arg);
int weir_perf_self_peer(const struct weir_perf_args *args);
int weir_perf_remote(const struct weir_perf_args *args,
		     weir_perf_report_fn report, void *arg);
int weir_perf_producers(const struct weir_perf_args *args);
int weir_perf_serve(const struct weir_perf_args *args);

/** With --sleep: take no messages for a while, polling and asleep; neither time
 *  is part of a window. @return 0; negative. */
int weir_perf_rest_run(struct weir_trial *trial, struct weir_perf_rest *result);

/* ---- output ----------------------------------------------------------------------- */

struct weir_perf_output;

/** Where args say. *output is to be closed in any case. @return 0, or exit
 *  code. */
int weir_output_open(const struct weir_perf_args *args,
		     struct weir_perf_output **output);

/** A weir_perf_report_fn: print, then check integrity and --assert. */
int weir_output_result(void *output, const struct weir_perf_result *result);

/** True, with a note, if the time of -T is over with so many runs left. */
bool weir_output_late(const struct weir_perf_args *args, uint64_t spent_ns,
		      uint32_t left);

/** @return rc, or if that is 0 the exit code for a failure to write. */
int weir_output_close(struct weir_perf_output *output, int rc);

/* ---- a trial: windows of one size ------------------------------------------------ */

struct weir_trial {
	const struct weir_perf_args *args;
	struct weir_self *self;
	struct weir_side *side;
	struct weir_tally *tally;
	double ticks_per_ns;
	uint64_t warmup_ns;
	uint64_t time_ns;
	uint64_t messages; /* measured, both directions counted once */
};

/** @return 0; -EINTR interrupted, what there is counts; -ECHILD the peer is
 *  gone; negative: the link failed. */
int weir_trial_run(struct weir_trial *trial);

/** How far apart are the two CPUs now? @return 0; negative. */
int weir_trial_probe(struct weir_trial *trial, enum weir_placement *place);

/** After a window of that load, before one of the other. @return 0; negative.
 */
int weir_trial_settle(struct weir_trial *trial, enum weir_self_which which);

/** Round trips of a size that are timed at once, to begin with. */
uint32_t weir_trial_batch(uint32_t size);

/* ---- floors ---------------------------------------------------------------------- */

/** The meter's half and the peer's half of opening a floor for the size that
 *  self->page->order names; side->floor stays NULL where there is none. */
void weir_perf_floor_open(struct weir_side *side, struct weir_self *self,
			  bool meter);
void weir_perf_floor_close(struct weir_side *side);

#endif /* WEIR_PERF_H */
