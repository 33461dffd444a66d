/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SHM_MULTI_H
#define WEIR_SHM_MULTI_H

/*
 * A send half that several threads use at once: the data path (shm_tx_multi.c)
 * and the rest of its life (shm_multi_half.c). What goes over the boundary is
 * the same as with one thread, and so is the receiver.
 *
 * Every number of a body is a bit of map, see claim.h. A message holds two
 * numbers: its token, which is a cell and stands for the credit, and the body
 * that its bytes lie in; for a small message both are the same cell.
 *
 *      permit           slot              message          what it holds
 *      reserve -------> alloc ----------> commit           token, body
 *         |               |                 |
 *       drop           discard           collect           gives both back
 *
 * So reserve takes all that commit will need, and alloc and commit find
 * nothing missing, whatever other threads do: commit is one fetch_add on seq
 * and stores to what is the thread's own. Nobody waits for a thread that was
 * interrupted; only the receiver does, for one interrupted inside commit.
 */

#include "claim.h"
#include "shm_tx.h"
#include "sleepers.h"

/* Bits of stop: why reserve grants nothing. */
enum shm_multi_stop {
	SHM_STOP_DOWN = 1u << 0,    /* the link is not up yet */
	SHM_STOP_CLOSING = 1u << 1, /* close is looking who holds what */
	SHM_STOP_CLOSED = 1u << 2,
	SHM_STOP_DEAD = 1u << 3, /* the peer's process is gone */
};

struct shm_multi {
	struct shm_tx base; /* geometry, session, sleep; its counters unused */

	/* Looked at by every call, seldom written. */
	_Alignas(WEIR_CACHE_LINE) _Atomic uint32_t stop;
	_Atomic uint64_t *map;   /* of free bodies, as base.free_map */
	_Atomic uint64_t *state; /* of each body, see below; its owner's */
	struct weir_sleepers sleepers;

	_Alignas(WEIR_CACHE_LINE) _Atomic uint64_t seq; /* next commit's */

	/* Whoever sets it owns groups_seen, watch and the next field. */
	_Alignas(WEIR_CACHE_LINE) _Atomic uint32_t collecting;
	uint64_t payload_returned; /* bytes in messages that came back */

	_Alignas(WEIR_CACHE_LINE) _Atomic uint32_t backed_out;
	_Atomic uint64_t wait_down;
	_Atomic uint64_t wait_credit;
	_Atomic uint64_t wait_small;
	_Atomic uint64_t wait_large;
	_Atomic uint64_t discarded;
	_Atomic uint64_t doorbells;

	pthread_mutex_t life; /* coming up, arming, close; not the data path */
	void *block;
};

/*
 * State of a body, written by whoever owns it: who has claimed it, and from
 * commit until it came back the collector.
 */
enum shm_phase {
	SHM_BODY_IDLE, /* free, or held by a permit, or a larger one's token */
	SHM_BODY_SLOT,
	SHM_BODY_OUT,
};

static inline uint64_t
shm_state(enum shm_phase phase, uint32_t generation, uint32_t token,
	  uint32_t len)
{
	return (uint64_t)len << 34 | (uint64_t)phase << 32 | token << 16 |
	       (uint16_t)generation;
}

static inline enum shm_phase
shm_state_phase(uint64_t state)
{
	return (enum shm_phase)(state >> 32 & 3);
}

static inline uint32_t
shm_state_token(uint64_t state)
{
	return (uint32_t)state >> 16;
}

static inline uint16_t
shm_state_generation(uint64_t state)
{
	return (uint16_t)state;
}

static inline uint32_t
shm_state_len(uint64_t state)
{
	return (uint32_t)(state >> 34);
}

static inline struct shm_multi *
shm_multi_of(struct weir_tx *tx)
{
	return WEIR_CONTAINER_OF(tx, struct shm_multi, base.tx);
}

/* One more for statistics. */
static inline void
shm_multi_count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

int weir_shm_multi_reserve(struct weir_tx *tx, uint32_t size,
			   struct weir_permit *permits, uint16_t n);
void weir_shm_multi_drop(struct weir_tx *tx, const struct weir_permit *permit);
void weir_shm_multi_alloc(struct weir_tx *tx, const struct weir_permit *permit,
			  uint32_t len, struct weir_slot *slot);
void weir_shm_multi_commit(struct weir_tx *tx, const struct weir_slot *slot);
void weir_shm_multi_commit_burst(struct weir_tx *tx,
				 const struct weir_slot *slots, uint16_t n);
void weir_shm_multi_discard(struct weir_tx *tx, const struct weir_slot *slot);

/* Take back what the peer has released, unless another thread is at it.
 * @return false: it is. */
bool weir_shm_multi_collect(struct shm_multi *mt, bool all);

/* To look at what only the collector writes; the first waits for a thread
 * that collects. */
void weir_shm_multi_freeze(struct shm_multi *mt);
void weir_shm_multi_thaw(struct shm_multi *mt);

/* Bit k: a permit of class k may be had. */
uint32_t weir_shm_multi_room(const struct shm_multi *mt);

/* Is the peer gone? @return 0; negative. */
int weir_shm_multi_peer(const struct shm_multi *mt);

/* ---- shm_multi_half.c ---- */

/* Get on with the set-up. @return 1 up; 0; negative. */
int weir_shm_multi_progress(struct shm_multi *mt);

/* The calling thread is awake. @return true: it had armed, and what woke it
 * is drained. */
bool weir_shm_multi_awake(struct shm_multi *mt);

/* Wake who sleeps, if one finds what it waits for. After giving room. */
void weir_shm_multi_wake(struct shm_multi *mt);

/* Wake all who sleep: there is something to say. */
void weir_shm_multi_wake_all(struct shm_multi *mt);

#endif /* WEIR_SHM_MULTI_H */
