/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controllers. Each runs per acknowledgement, not per packet, and none
 * runs on a link with cc=fixed.
 */
#include <stddef.h>
#include "cc.h"

static const char *const names[CC_KINDS] = {
	[CC_FIXED] = "fixed",
	[CC_NEWRENO] = "newreno",
	[CC_DCTCP] = "dctcp",
	[CC_SWIFT] = "swift",
};

const char *
weir_cc_name(enum cc_kind kind)
{
	return (unsigned int)kind < CC_KINDS ? names[kind] : NULL;
}

static uint32_t
between(uint64_t value, uint32_t least, uint32_t most)
{
	if (value < least)
		value = least;
	return value > most ? most : (uint32_t)value;
}

static void
set_window(struct cc *cc, uint64_t packets)
{
	cc->cwnd = between(packets, 1, cc->window);
	if (cc->cwnd == cc->window)
		cc->cut = false;
}

/* RFC 9002 section 7.7 with N = 1: what is in flight leaves evenly over a
 * round trip. Not before the first cut, since bursts are harmless until then.
 */
static void
set_gap(struct cc *cc, uint64_t srtt_ns)
{
	if (!cc->cut)
		cc->gap_ns = 0;
	else if (cc->kind == CC_SWIFT)
		cc->gap_ns = srtt_ns * CC_ONE / cc->fraction;
	else
		cc->gap_ns = srtt_ns / cc->cwnd;
}

void
weir_cc_init(struct cc *cc, enum cc_kind kind, uint32_t window,
	     uint64_t target_ns)
{
	*cc = (struct cc){
		.kind = kind,
		.window = window,
		.cwnd = kind == CC_FIXED ? window
					 : between(CC_START, 1, window),
		.marking = kind == CC_DCTCP,
		.threshold = UINT32_MAX,
		.alpha = CC_ALPHA, /* RFC 8257 section 4.2: careful at first */
		.target_ns = target_ns,
	};
	cc->fraction = cc->cwnd * CC_ONE;
}

/* --- newreno, and what dctcp shares with it ----------------------------- */

/* RFC 9002 sections 7.3.1 and 7.3.3; without a division. */
static void
grow(struct cc *cc, const struct cc_ack *ack)
{
	uint64_t cwnd = cc->cwnd;

	if (!ack->limited || cwnd == cc->window)
		return;
	if (cwnd < cc->threshold) {
		set_window(cc, cwnd + ack->acked);
		return;
	}
	cc->grown += ack->acked;
	if (cc->grown >= cwnd) {
		cc->grown -= (uint32_t)cwnd;
		set_window(cc, cwnd + 1);
	}
}

static void
cut_to(struct cc *cc, uint64_t packets, uint64_t nxt)
{
	uint32_t least = cc->window < CC_LEAST ? cc->window : CC_LEAST;

	cc->cut = true;
	cc->cwnd = between(packets, least, cc->window);
	cc->threshold = cc->cwnd;
	cc->grown = 0;
	cc->round_end = nxt;
}

/* --- dctcp ---------------------------------------------------------------- */

/* RFC 8257 section 3.3, once per round trip; the gain is a 16th. */
static void
dctcp_round(struct cc *cc, const struct cc_ack *ack)
{
	uint32_t share = 0;
	bool marked = cc->round_marked != 0;

	if (cc->round_acked != 0)
		share = between((uint64_t)cc->round_marked * CC_ALPHA /
					cc->round_acked,
				0, CC_ALPHA);
	cc->alpha = cc->alpha - cc->alpha / 16 + share / 16;
	cc->round_acked = 0;
	cc->round_marked = 0;
	cc->round_end = ack->nxt;
	if (marked)
		cut_to(cc,
		       cc->cwnd -
			       (uint64_t)cc->cwnd * cc->alpha / (2 * CC_ALPHA),
		       ack->nxt);
}

static void
dctcp_ack(struct cc *cc, const struct cc_ack *ack)
{
	if (cc->marking) {
		cc->round_acked += ack->acked;
		cc->round_marked += ack->marked;
		if (ack->una >= cc->round_end)
			dctcp_round(cc, ack);
	}
	/* Marks end slow start at once; what they cost is known later. */
	if (ack->marked != 0)
		cc->threshold = cc->cwnd;
	else
		grow(cc, ack);
}

/* --- swift ------------------------------------------------------------------ */

static void
swift_set(struct cc *cc, uint64_t fraction)
{
	uint64_t most = cc->window * CC_ONE;

	if (fraction < CC_TINY)
		fraction = CC_TINY;
	cc->fraction = fraction > most ? most : fraction;
	set_window(cc, cc->fraction / CC_ONE);
}

static void
swift_cut(struct cc *cc, uint64_t keep, uint64_t of, uint64_t now_ns)
{
	cc->cut = true;
	cc->threshold = 0;
	cc->cut_ns = now_ns;
	swift_set(cc, cc->fraction * keep / of);
}

/* Below one packet every arrival is news; without a division. */
static void
swift_grow(struct cc *cc, uint32_t acked)
{
	if (cc->cwnd < cc->threshold || cc->fraction < CC_ONE) {
		swift_set(cc, cc->fraction + acked * CC_ONE);
		return;
	}
	cc->grown += acked;
	if (cc->grown >= cc->cwnd) {
		cc->grown -= cc->cwnd;
		swift_set(cc, cc->fraction + CC_ONE);
	}
}

/* Section 3.1 of the paper: one more per round trip below the target; above
 * it less by 0.8 times the excess, at most by half, once per round trip. */
static void
swift_ack(struct cc *cc, const struct cc_ack *ack)
{
	uint64_t target_ns = ack->min_ns + cc->target_ns;
	uint64_t excess;

	if (ack->rtt_ns == 0)
		return;
	if (ack->rtt_ns <= target_ns) {
		if (!ack->limited)
			return;
		swift_grow(cc, ack->acked);
		return;
	}
	if (ack->now_ns - cc->cut_ns < ack->srtt_ns)
		return;
	/* In 1024ths, so that nothing overflows. */
	excess = (ack->rtt_ns - target_ns) * 1024 / ack->rtt_ns * 4 / 5;
	swift_cut(cc, excess > 512 ? 512 : 1024 - excess, 1024, ack->now_ns);
}

/* --- all ---------------------------------------------------------------------- */

void
weir_cc_on_ack(struct cc *cc, const struct cc_ack *ack)
{
	switch (cc->kind) {
	case CC_NEWRENO:
		grow(cc, ack);
		break;
	case CC_DCTCP:
		dctcp_ack(cc, ack);
		break;
	case CC_SWIFT:
		swift_ack(cc, ack);
		break;
	default:
		return;
	}
	set_gap(cc, ack->srtt_ns);
}

void
weir_cc_on_loss(struct cc *cc, uint64_t nxt, uint64_t srtt_ns, uint64_t now_ns)
{
	if (cc->kind == CC_SWIFT)
		swift_cut(cc, 1, 2, now_ns);
	else
		cut_to(cc, cc->cwnd / 2, nxt);
	set_gap(cc, srtt_ns);
}

void
weir_cc_on_timeout(struct cc *cc, uint64_t nxt, bool again)
{
	uint32_t half = again ? cc->threshold : cc->cwnd / 2;

	/* RFC 5681 section 3.1: from there on slow start, up to the half. */
	cut_to(cc, CC_LEAST, nxt);
	cc->threshold = half < CC_LEAST ? CC_LEAST : half;
	if (cc->kind == CC_SWIFT)
		cc->fraction = cc->cwnd * CC_ONE;
	/* Two packets at once do no harm, and the round trip is not known. */
	cc->gap_ns = 0;
}

void
weir_cc_no_marks(struct cc *cc)
{
	cc->marking = false;
}
