/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_PERF_PARTS_H
#define WEIR_PERF_PARTS_H

/* A dpdk link over net_ring on one thread, and the parts of a message's way
 * over it; parts.c says which. */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "ticks.h"
#include "weir.h"

#if defined(__x86_64__) || defined(__i386__)
#define PARTS_FENCE() __builtin_ia32_lfence()
#else
#define PARTS_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

#define PARTS_MSGS  64
#define PARTS_COUNT 7

struct parts {
	const char *endpoint;
	struct weir_port *a; /* sends */
	struct weir_port *b;
	struct weir_listener *listener;
	struct weir_link *link[2];
	struct weir_tx *tx;
	struct weir_rx *rx;
	struct weir_link **idle; /* of both ends; count */
	uint32_t idle_count;
	struct weir_msg msgs[PARTS_MSGS];
	int count;
	uint16_t burst; /* at most 32 */
	uint64_t sent;  /* messages */
	uint64_t received;
	/* One each: or the compiler makes one function of two. */
	int64_t transmit_events;
	int64_t receive_events;
	int64_t answer_events;
	int64_t ack_events;
};

/* Exits with the reason if it cannot. Some rounds are behind it. */
void parts_open(struct parts *p, bool coalesce, uint32_t flags);
void parts_round(struct parts *p);
void parts_close(struct parts *p);

/* The clock, when all before it is done and nothing after it begun. */
static inline uint64_t
parts_clock(void)
{
	uint64_t ticks;

	PARTS_FENCE();
	ticks = weir_ticks();
	PARTS_FENCE();
	return ticks;
}

/* As parts_round(), and the clock is read around each part.
 * @param ticks what each took, in the order of parts.c. */
void parts_round_timed(struct parts *p, uint64_t ticks[PARTS_COUNT]);

/* So many links more, of which nothing is used; and until none of them is
 * looked at by polls any more. They go with the ports. */
void parts_idle(struct parts *p, uint32_t links);

/* Packets that b has received. */
uint64_t parts_packets(const struct parts *p);

#endif /* WEIR_PERF_PARTS_H */
