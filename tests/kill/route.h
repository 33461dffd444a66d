/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KILL_ROUTE_H
#define KILL_ROUTE_H

/*
 * Where a stretch of a program leads: the address of each instruction, in the
 * order of execution. Who has been there once need not count steps the next time:
 * a breakpoint takes him to a place close before, steps the rest of the way.
 *
 *     at      10 14 18 10 14 18 10 14 18 1c 20
 *     passed   0  0  0  1  1  1  2  2  2  0  0   how often it was there before
 */

#include <stdbool.h>
#include <stdint.h>

struct route {
	uint64_t *at;
	uint32_t *passed;
	uint8_t *worth; /* see route_worth() */
	uint32_t count, room;
	uint64_t end; /* the address behind the last */
};

/* How to come to a place: pass the breakpoint so often, halt there the next
 * time, then step. */
struct route_way {
	uint64_t breakpoint;
	uint32_t passes;
	uint32_t steps;
};

/* Drops what it has when there is no memory. */
void route_add(struct route *route, uint64_t at);

/* All is added. */
void route_finish(struct route *route, uint64_t end);

/* The way with the fewest halts to where n instructions have been executed.
 * @return whether there is one better than n steps. */
bool route_way(const struct route *route, uint64_t n, struct route_way *way);

/* Is it worth while to go there, if one goes everywhere? Each instruction is
 * the first ROUNDS times, and some ROUNDS_MORE times of all after that. */
#define ROUNDS      128u
#define ROUNDS_MORE 16u

bool route_worth(const struct route *route, uint64_t n);

void route_free(struct route *route);

#endif /* KILL_ROUTE_H */
