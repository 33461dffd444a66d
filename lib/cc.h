/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Congestion control: how many packets may be in flight at once, and how far
 * apart they leave. One controller per direction, chosen when the link is made.
 *
 *      acknowledged, how long it took, how many marked --> cc_on_ack()
 *      a loss, first of its round trip  ----------------> cc_on_loss()
 *      the retransmission timer ran out ----------------> cc_on_timeout()
 *                                                            |
 *                          cwnd (whole packets), gap_ns <----+
 *
 *      fixed    a constant window, for a path that nobody else uses
 *      newreno  RFC 9002 section 7 (RFC 5681, RFC 6582)
 *      dctcp    RFC 8257: newreno whose cuts follow the share of marks
 *      swift    delay against a target (Kumar et al., SIGCOMM 2020)
 *
 * Integers only. `fixed` is never asked: its window follows from the send
 * window alone, see arq_tx.c.
 */
#ifndef WEIR_CC_H
#define WEIR_CC_H

#include <stdbool.h>
#include <stdint.h>

enum cc_kind {
	CC_FIXED,
	CC_NEWRENO,
	CC_DCTCP,
	CC_SWIFT,
	CC_KINDS,
};

#define CC_START  10                  /* packets at the start: RFC 6928 */
#define CC_LEAST  2                   /* after cuts; swift goes lower */
#define CC_ONE    (UINT64_C(1) << 16) /* one packet in swift's fraction */
#define CC_TINY   (CC_ONE / 100)      /* the least of swift: a 100th */
#define CC_ALPHA  (1u << 20)          /* dctcp: all packets are marked */
#define CC_TARGET UINT64_C(25000)     /* swift: queueing, in ns */

/* So many packets may leave at once when they are spaced, since polls are not
 * punctual: no more than at the start (RFC 9002 section 7.7). */
#define CC_BURST CC_START

struct cc {
	enum cc_kind kind;
	uint32_t cwnd;   /* packets that may be in flight, at least 1 */
	uint32_t window; /* and at most */
	uint64_t gap_ns; /* between two packets; 0: none is wanted */
	bool cut;        /* since the window was full last */
	bool marking;    /* packets are to leave as ECT(0) */

	uint32_t threshold; /* slow start below it */
	uint32_t grown;     /* acknowledged since cwnd grew last */
	uint64_t round_end; /* sequence number that ends this round trip */

	/* dctcp */
	uint32_t alpha; /* share of marked packets, of CC_ALPHA */
	uint32_t round_acked;
	uint32_t round_marked;

	/* swift */
	uint64_t fraction;  /* cwnd in units of 1 / CC_ONE */
	uint64_t target_ns; /* beyond the smallest round trip */
	uint64_t cut_ns;    /* when it was cut last */
};

/* What one acknowledgement says. */
struct cc_ack {
	uint32_t acked;  /* packets newly known to have arrived */
	uint32_t marked; /* and of all packets, so many more with a CE mark */
	bool limited;    /* the window kept us from sending */
	uint64_t una;    /* next sequence number to be acknowledged */
	uint64_t nxt;    /* next one to be sent */
	uint64_t rtt_ns; /* newest sample; 0: none came */
	uint64_t srtt_ns;
	uint64_t min_ns; /* smallest round trip lately */
	uint64_t now_ns;
};

/** window: most packets in flight, at least 1; target_ns: of swift. */
void weir_cc_init(struct cc *cc, enum cc_kind kind, uint32_t window,
		  uint64_t target_ns);

/** News from the peer. cwnd and gap_ns may change. */
void weir_cc_on_ack(struct cc *cc, const struct cc_ack *ack);

/**
 * A packet was lost that had been sent after the last cut: the caller counts
 * one loss per round trip. nxt: the next sequence number to be sent.
 */
void weir_cc_on_loss(struct cc *cc, uint64_t nxt, uint64_t srtt_ns,
		     uint64_t now_ns);

/**
 * Nothing came back for a retransmission time-out. again: nor since the last
 * one; what the path was good for is remembered from the first.
 */
void weir_cc_on_timeout(struct cc *cc, uint64_t nxt, bool again);

/** The peer counts more marks than we sent packets that can be marked: he is
 * not to be believed, and marks are not listened to any more. */
void weir_cc_no_marks(struct cc *cc);

/** @return the lower-case name, or NULL. */
const char *weir_cc_name(enum cc_kind kind);

#endif
