/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SHM_TX_H
#define WEIR_SHM_TX_H

/* The send half: what the data path (shm_tx.c) and the rest of its life
 * (shm_tx_half.c) share. */

#include "shm_lane.h"

static inline struct shm_tx *
shm_tx_of(struct weir_tx *tx)
{
	return WEIR_CONTAINER_OF(tx, struct shm_tx, tx);
}

static inline unsigned int
shm_class_for(const struct shm_tx *st, uint32_t size)
{
	unsigned int k = 0;

	/* Ends: the last class takes msg_size_max. */
	while (size > st->class_size[k])
		k++;
	return k;
}

static inline uint32_t
shm_room_of(const struct shm_tx *st, unsigned int k)
{
	uint32_t bodies = st->class_free[k];

	return bodies < st->free_credits ? bodies : st->free_credits;
}

int weir_shm_reserve(struct weir_tx *tx, uint32_t size,
		     struct weir_permit *permits, uint16_t n);
void weir_shm_drop(struct weir_tx *tx, const struct weir_permit *permit);
void weir_shm_alloc(struct weir_tx *tx, const struct weir_permit *permit,
		    uint32_t len, struct weir_slot *slot);
void weir_shm_commit(struct weir_tx *tx, const struct weir_slot *slot);
void weir_shm_alloc_burst(struct weir_tx *tx, const struct weir_permit *permits,
			  struct weir_slot *slots, uint16_t n);
void weir_shm_commit_burst(struct weir_tx *tx, const struct weir_slot *slots,
			   uint16_t n);
void weir_shm_discard(struct weir_tx *tx, const struct weir_slot *slot);
void weir_shm_flush(struct weir_tx *tx);

/* Take back what the peer has released. all: look everywhere. */
void weir_shm_collect(struct shm_tx *st, bool all);

/* Tell how our sending ended, after so many messages. Before the link is up
 * the peer finds it later. */
void weir_shm_end_sending(struct shm_session *s, enum shm_end how,
			  uint64_t messages);

/* Why a peer that is gone is gone. */
int weir_shm_peer_gone(struct shm_tx *st);

/* The first call after arming. */
void weir_shm_tx_awake(struct shm_tx *st);

#endif /* WEIR_SHM_TX_H */
