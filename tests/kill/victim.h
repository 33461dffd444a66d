/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef KILL_VICTIM_H
#define KILL_VICTIM_H

/*
 * The operations of the crash matrix, as the victim performs them:
 *
 *     open the link
 *     send one small and one large message, which the survivor will hold
 *     operation's prepare()
 *     stand still for the tracer
 *     operation's act()          <-- killed at one of these instructions
 *
 * The survivor has sent INBOUND messages of the operation's size before the
 * victim is traced, and is put into the operation's `posture`.
 */

#include "side.h"
#include "step.h"

#define CREDITS 64u
#define SMALL   48u    /* behind its header */
#define LARGE   264u   /* not there */
#define HUGE    65536u /* in a body of the largest of the usual classes */
#define INBOUND 8u
#define OPENING 2u /* sent first, by the victim */

/* What the survivor does before the victim acts. */
enum posture {
	SURVIVOR_SPINS,
	SURVIVOR_RELEASES,       /* received and released some */
	SURVIVOR_SLEEPS_RECEIVE, /* armed, nothing there */
	SURVIVOR_SLEEPS_SEND,    /* armed, no room */
};

/* What the operation ends, and so what may be told of it instead of death. */
enum ending {
	ENDS_NOTHING = 0,
	ENDS_CLOSED = 1,  /* our sending, properly */
	ENDS_ABORTED = 2, /* our sending */
	ENDS_GONE = 4,    /* our receiving */
};

/* Written by the victim: calls that began, calls that returned. */
struct blackbox {
	_Atomic uint32_t mark; /* enum step_mark */
	_Atomic uint64_t commits_begun, commits;
	_Atomic uint64_t releases_begun, releases;
};

struct victim {
	struct side side;
	struct blackbox *box;
	uint32_t size; /* of the operation's messages */
	struct weir_permit permits[INBOUND];
	struct weir_slot slots[INBOUND];
	struct weir_msg msgs[INBOUND];
};

struct operation {
	const char *name;
	void (*prepare)(struct victim *v); /* may be NULL */
	void (*act)(struct victim *v);
	enum posture posture;
	unsigned int ends; /* enum ending */
	bool one_size;     /* its size does not matter */
};

extern const struct operation operations[];
extern const unsigned int operation_count;

/* Length of the message of that number from the victim. */
static inline uint32_t
victims_len(uint64_t number, uint32_t size)
{
	return number == 0 ? SMALL : number < OPENING ? LARGE : size;
}

/* Before the first victim: what its messages of HUGE bytes are copied from, by
 * one system call and so in one step; the operation "write" writes them itself.
 * @return 0; -1. */
int victims_bytes(void);

/* The victim's whole life. Does not return. */
void victim_run(const struct operation *op, uint32_t size, const char *endpoint,
		const struct weir_link_config *config, bool listens,
		struct blackbox *box) __attribute__((noreturn));

#endif /* KILL_VICTIM_H */
