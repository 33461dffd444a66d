/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A deterministic world for the wire protocol: two connections, two
 * applications, a wire that loses, repeats and reorders, one virtual clock.
 * Everything follows from one number, the seed.
 *
 *      app A <-> conn A ==[ loss, dup, delay, partition ]== conn B <-> app B
 *
 * sim_run() first lets chaos reign, then heals the wire; afterwards everything
 * must finish. Invariants are checked after each poll of either side.
 */
#ifndef WEIR_TESTS_SIM_H
#define WEIR_TESTS_SIM_H

#include <stdbool.h>
#include <stdint.h>

/* How one side ends. */
enum sim_end {
	SIM_CLOSE,      /* close_tx after the last message */
	SIM_CLOSE_LAST, /* close_tx after the peer's EOF */
	SIM_ABORT_TX,   /* destroy the Tx half somewhere in the middle */
	SIM_STOP_RX,    /* destroy the Rx half somewhere in the middle */
	SIM_ABORT,      /* RESET somewhere in the middle */
	SIM_VANISH,     /* killed: nothing more is sent or read */
	SIM_ENDS,
};

/* What this seed has drawn. */
struct sim_draw {
	bool fault_free;
	bool is_long;
	double loss[2]; /* per direction: A to B, B to A */
	double dup[2];
	double dup_late; /* of the duplicates: so many come up to 10 s late */
	double reorder[2];
	uint64_t delay_ns[2];
	uint64_t jitter_ns;
	uint64_t packet_ns; /* serialisation: 0 means an infinite rate */
	uint32_t queue;     /* tail drop behind so many */
	double partition;   /* chance per 1 ms of a cut of up to 20 ms */
	double stall;       /* chance per poll of 0..20 ms without polling */
	uint64_t heal_ns;
	uint32_t isn[2];
	uint32_t frag[2];
	uint32_t window[2];
	uint32_t credit[2];
	uint32_t tx_window[2];
	uint32_t tx_msgs[2];
	uint32_t msgs[2]; /* to send */
	uint32_t msg_max[2];
	double slow[2]; /* chance that a message is held for long */
	uint64_t ack_delay_ns[2];
	bool batch[2];  /* offers to take batches */
	bool tiny[2];   /* most of its messages are small enough for one */
	bool keepalive; /* else nothing but probes repeats what is lost */
	enum sim_end end[2];
};

/* What happened, summed over both sides; also the "sometimes" counters. */
struct sim_count {
	uint64_t events;
	uint64_t packets;
	uint64_t lost;
	uint64_t duplicated;
	uint64_t late;
	uint64_t msgs;
	uint64_t tlp;
	uint64_t rto;
	uint64_t lost_sack;
	uint64_t lost_time;
	uint64_t retx;
	uint64_t dup_dropped;
	uint64_t window_closed;
	uint64_t probes;
	uint64_t probe_healed;
	uint64_t seq_wrapped;
	uint64_t credit_wrapped;
	uint64_t sack_wide; /* more than one word of SACK */
	uint64_t ends[SIM_ENDS];
	uint64_t handshake_retx;
	uint64_t stale;
	uint64_t reorder_seen;
	uint64_t spurious;
	uint64_t batches;
	uint64_t batches_again; /* sent again */
	uint64_t batches_held;  /* a part of their messages released */
};

/**
 * Run one seed.
 * @return 0, or -1 after printing what went wrong and how to replay it.
 */
int sim_run(uint64_t seed, bool trace, struct sim_count *count);

/** What a seed means. */
void sim_draw(uint64_t seed, struct sim_draw *draw);

#endif
