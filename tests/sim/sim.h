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
	double dup_late;  /* of the duplicates: so many come late, */
	uint64_t late_ns; /* by so much at most */
	double reorder[2];
	uint64_t delay_ns[2];
	uint64_t jitter_ns;
	uint64_t packet_ns; /* serialisation: 0 means an infinite rate */
	uint32_t queue;     /* tail drop behind so many */
	double burst[2];    /* chance per packet that a bad spell begins */
	double flip;        /* chance that a bit turns over */
	double cut_short;   /* chance that the end is missing */
	uint32_t mtu;       /* 0, or longer packets vanish from mtu_ns on */
	uint8_t mtu_ways;   /* bits: A to B, B to A */
	uint64_t mtu_ns;
	bool mtu_stays;      /* and for good: chaos ends without it */
	uint32_t mark_at;    /* queue length that marks ECT packets; 0: never */
	double starve;       /* chance per packet that there is no memory */
	int32_t skew_ppm[2]; /* clocks that run differently */
	uint64_t clock_ns[2]; /* and start anywhere */
	bool crc[2];
	uint8_t cc[2];
	bool padded;  /* the client pads INIT to a full packet */
	bool cookies; /* the listener asks for them */
	double forge; /* chance per poll of an attacker's packet */
	int crash_side;
	uint64_t crash_ns; /* since the start; 0: none */
	uint64_t down_ns;
	double partition; /* chance per 1 ms of a cut of up to 20 ms */
	bool tlp_learns[2];
	double stall; /* chance per poll of 0..20 ms without polling */
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
	bool batch[2];   /* offers to take batches */
	bool tiny[2];    /* most of its messages are small enough for one */
	bool trickle[2]; /* sends its messages one by one */
	uint64_t asleep_ns[2]; /* reads nothing before, since the start */
	uint64_t stay_ns;      /* nobody closes before, since the start */
	bool eager;            /* applications never pause */
	bool echo;             /* one message of A, one of B, and so on */
	bool keepalive; /* else nothing but probes repeats what is lost */
	enum sim_end end[2];
};

/*
 * What happened, summed over both sides. Those of the second list must all
 * have happened in a campaign, or the seeds are too tame.
 */
#define SIM_TOTALS(X) \
	X(events)     \
	X(packets)    \
	X(msgs)       \
	X(retx)       \
	X(spurious)

#define SIM_SOMETIMES(X)                                                    \
	X(lost)                                                             \
	X(duplicated)                                                       \
	X(late_heard) /* copies that came late, to a link that was up */    \
	X(fin_lost)                                                         \
	X(reject_heard) /* by who waits for ACCEPT */                       \
	X(bad_spells)                                                       \
	X(flipped)                                                          \
	X(crc_caught)                                                       \
	X(cut_short)                                                        \
	X(too_long)                                                         \
	X(short_init) /* 1,200 bytes, after longer ones got no answer */    \
	X(narrow)     /* links that ended since their path became so */     \
	X(starved)                                                          \
	X(marked)                                                           \
	X(tx_marked)                                                        \
	X(recoveries)                                                       \
	X(cwnd_full)                                                        \
	X(pace_waits)                                                       \
	X(below_one) /* swift: packets farther apart than a round trip */   \
	X(tlp)                                                              \
	X(tlp_repaired)                                                     \
	X(rto)                                                              \
	X(lost_sack)                                                        \
	X(lost_time)                                                        \
	X(reorder_seen)                                                     \
	X(dup_dropped)                                                      \
	X(stale)                                                            \
	X(window_closed)                                                    \
	X(probes)                                                           \
	X(probe_healed)                                                     \
	X(seq_wrapped)                                                      \
	X(credit_wrapped)                                                   \
	X(ts_wrapped)                                                       \
	X(sack_wide) /* more than one word of SACK */                       \
	X(bursts)    /* packets that left together */                       \
	X(cookies)                                                          \
	X(refused)                                                          \
	X(crashes)                                                          \
	X(superseded)                                                       \
	X(gone)                                                             \
	X(gone_refused)                                                     \
	X(forged)                                                           \
	X(handshake_retx)                                                   \
	X(pauses)                                                           \
	X(batches)                                                          \
	X(batches_again) /* sent a second time */                           \
	X(batches_held)  /* a message of one released later than another */ \
	X(end_close)                                                        \
	X(end_close_last)                                                   \
	X(end_abort_tx)                                                     \
	X(end_stop_rx)                                                      \
	X(end_abort)                                                        \
	X(end_vanish)

struct sim_count {
#define FIELD(name) uint64_t name;
	SIM_TOTALS(FIELD)
	SIM_SOMETIMES(FIELD)
#undef FIELD
};

/**
 * Run one seed.
 * @return 0, or -1 after printing what went wrong and how to replay it.
 */
int sim_run(uint64_t seed, bool trace, struct sim_count *count);

/* How long it took, in virtual time. */
struct sim_result {
	uint64_t took_ns;  /* from the start to the last message */
	uint64_t srtt_ns;  /* of A, at the end */
	uint64_t *laps_ns; /* in: room for each message of A, or NULL;
			    * out: with `echo`, until the answer had come */
};

/** The same with a draw of one's own; the seed still says what happens. */
int sim_run_draw(uint64_t seed, const struct sim_draw *draw, bool trace,
		 struct sim_count *count, struct sim_result *result);

/** What a seed means. */
void sim_draw(uint64_t seed, struct sim_draw *draw);

/**
 * bounds.c: how long things take. Tails of a request and its answer; times to
 * complete per class of loss, against the table in times.inc, or printed as one.
 * @return how many are out of bounds.
 */
int sim_tails(void);
int sim_times(bool print_table);

#endif
