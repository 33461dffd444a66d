/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SHM_BELL_H
#define WEIR_SHM_BELL_H

/*
 * Bell: what a half sleeps on, and what the peer, whom we do not trust, rings.
 *
 *     peer --send--> door ===datagrams===> rings   ours, nobody else has it
 *     we ---write-----------------------> self     likewise
 *
 * An eventfd would be simpler, but it is one file for both processes: who
 * clears its O_NONBLOCK blocks the other one in read() or write() for ever.
 * Of a pair of datagram sockets only the ringing end is given away. Every call
 * says MSG_DONTWAIT itself, whatever the flags of the file. The peer may shut
 * down its end, connect it elsewhere or fill it: it only loses its own rings.
 * Datagram sockets know no hang-up, so that an end that is closed wakes
 * nobody again and again. For the same reasons we do not ring ourselves by the
 * door but by an eventfd that never leaves the process.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct shm_bell {
	int rings;
	int self;
	int door; /* until passed on */
	_Atomic uint32_t woken;
};

#define SHM_BELL_NONE                               \
	(struct shm_bell)                           \
	{                                           \
		.rings = -1, .self = -1, .door = -1 \
	}

/* @return 0; negative errno, and there is nothing to close. */
int weir_shm_bell_open(struct shm_bell *bell);
void weir_shm_bell_close(struct shm_bell *bell);

/* The peer has its copy of the door: close ours. */
void weir_shm_bell_passed(struct shm_bell *bell);

/* Ring ourselves. Signal-safe. */
void weir_shm_bell_wake(struct shm_bell *bell);

/* Forget the rings so far, or so many that a sleeper who comes back soon has
 * them all. Returns at once. */
void weir_shm_bell_drain(struct shm_bell *bell);

/* ---- the peer's, by its door ---------------------------------------------- */

/* Signal-safe; returns at once. A full queue is as good, a dead peer too. */
void weir_shm_bell_ring(int door);

/* Can it be rung without harm? */
bool weir_shm_bell_ok(int door);

/* Two descriptors of one socket. */
bool weir_shm_bell_same(int door, int other);

#endif /* WEIR_SHM_BELL_H */
