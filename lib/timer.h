/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One deadline per purpose, and a wake-up that is never later than the
 * earliest of them.
 *
 *      at[ACK] at[LOSS] at[ALIVE] ...      wake <= min(at[])
 *
 * The data path moves deadlines all the time, nearly always later. So a
 * deadline that moves later or goes away leaves `wake` alone: the owner
 * wakes once for nothing, asks again and calls timers_settle(). That costs one
 * early call per wake-up instead of a search per packet.
 */
#ifndef WEIR_TIMER_H
#define WEIR_TIMER_H

#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

enum timer_id {
	TIMER_HELLO,  /* repeat INIT or ACCEPT */
	TIMER_GIVEUP, /* connect_timeout; later: unsent messages of an abort */
	TIMER_ACK,    /* delayed acknowledgement */
	TIMER_PACE,   /* the next packet may leave */
	TIMER_LOSS,   /* reordering, tail-loss probe, retransmission */
	TIMER_PROBE,  /* zero window, and repetition of STOP */
	TIMER_ALIVE,  /* keepalive and dead peer */
	TIMER_LINGER, /* the end */
	TIMERS,
};

struct timers {
	uint64_t at[TIMERS];
	uint64_t wake;
};

static inline void
timers_init(struct timers *t)
{
	for (int i = 0; i < TIMERS; i++)
		t->at[i] = TIMER_NEVER;
	t->wake = TIMER_NEVER;
}

static inline void
timer_set(struct timers *t, enum timer_id id, uint64_t at_ns)
{
	t->at[id] = at_ns;
	if (at_ns < t->wake)
		t->wake = at_ns;
}

static inline void
timer_clear(struct timers *t, enum timer_id id)
{
	t->at[id] = TIMER_NEVER;
}

static inline int
timer_due(const struct timers *t, enum timer_id id, uint64_t now_ns)
{
	return t->at[id] <= now_ns;
}

/** Find the earliest again; the owner has looked at all that were due. */
static inline void
timers_settle(struct timers *t)
{
	uint64_t wake = TIMER_NEVER;

	for (int i = 0; i < TIMERS; i++)
		if (t->at[i] < wake)
			wake = t->at[i];
	t->wake = wake;
}

#endif
