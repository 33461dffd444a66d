/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_DOORBELL_H
#define WEIR_DOORBELL_H

/*
 * Doorbell: wake a sleeper without costing the publisher anything while
 * nobody sleeps.
 *
 *     sleeper                              publisher
 *     weir_doorbell_arm: sleeping = 1      publish (release store)
 *     barrier                              barrier
 *     look again; nothing there?           weir_doorbell_wanted: sleeping?
 *     poll(fd)                             weir_doorbell_ring(fd)
 *
 * One of the two must see the other's store (Dekker), so both need a full
 * barrier between their store and their load. A fence costs the publisher
 * some 20 ns per message. membarrier(2) moves all of that to the sleeper, who
 * is about to enter the kernel anyway: it makes every running thread of the
 * registered processes execute a barrier, and for the publisher a compiler
 * barrier is enough. It works when the publisher's process has registered and
 * the sleeper may make the call; across processes both facts are exchanged at
 * set-up, and `fence` says that a real fence is needed.
 *
 * The word is written by the sleeper alone and may lie in memory that the
 * publisher only reads; the eventfd is shared.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Register this process, once. @return true if membarrier can be used by it,
 * both as publisher and as sleeper. */
bool weir_doorbell_setup(void);

/* Sleeper: what it looks at after this call is what it may sleep on. */
void weir_doorbell_arm(_Atomic uint32_t *sleeping);

/* Sleeper: the barrier of weir_doorbell_arm(), for whoever sets words of many
 * publishers first and wants one barrier for all of them. */
void weir_doorbell_barrier(void);

/* Make fd readable. Signal-safe; a full counter is as good. */
void weir_doorbell_ring(int fd);

/* Sleeper: forget the rings so far. Returns at once. */
void weir_doorbell_drain(int fd);

/* A new eventfd. @return descriptor or -errno. */
int weir_doorbell_open(void);

static inline void
weir_doorbell_disarm(_Atomic uint32_t *sleeping)
{
	/* A ring that comes late only makes the next sleep a short one. */
	atomic_store_explicit(sleeping, 0, memory_order_relaxed);
}

/* Publisher, right after its release store. */
static inline bool
weir_doorbell_wanted(const _Atomic uint32_t *sleeping, bool fence)
{
	if (fence)
		atomic_thread_fence(memory_order_seq_cst);
	else
		atomic_signal_fence(memory_order_seq_cst);
	return atomic_load_explicit(sleeping, memory_order_relaxed) != 0;
}

#endif /* WEIR_DOORBELL_H */
