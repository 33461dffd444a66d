/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a send half beside its data path: set-up, the wait for the link
 * to come up, sleeping, statistics, close and destroy. */

#include <stdlib.h>

#include "doorbell.h"
#include "shm_tx.h"

/* ---- while the link is up ------------------------------------------------------- */

void
weir_shm_end_sending(struct shm_session *s, enum shm_end how, uint64_t messages)
{
	/* Release: orders every commit before the end. Pairs with the load
	 * in shm_recv(). */
	atomic_store_explicit(&s->own.front->tx.end,
			      (uint64_t)how << 32 | (uint32_t)messages,
			      memory_order_release);
	if (weir_shm_session_is_up(s) &&
	    weir_doorbell_wanted(&s->peer.front->rx.sleeping, s->fence))
		weir_shm_bell_ring(s->peer_rx_bell);
}

static int
shm_close(struct weir_tx *tx)
{
	struct shm_tx *st = shm_tx_of(tx);

	if (atomic_load_explicit(&st->peer->gone, memory_order_relaxed) != 0)
		return weir_shm_peer_gone(st);
	weir_shm_end_sending(st->session, SHM_END_CLOSED, st->seq);
	return 0;
}

static uint32_t
shm_capacity(struct weir_tx *tx, uint32_t size)
{
	struct shm_tx *st = shm_tx_of(tx);
	uint32_t total = st->classes[shm_class_for(st, size)].total;

	return total < st->mask + 1 ? total : st->mask + 1;
}

static int
shm_tx_fd(struct weir_tx *tx)
{
	struct shm_tx *st = shm_tx_of(tx);

	return weir_shm_sleep_fd(&st->sleep, st->session,
				 &st->session->tx_bell);
}

static int
shm_tx_arm(struct weir_tx *tx, uint32_t size)
{
	struct shm_tx *st = shm_tx_of(tx);

	st->armed = true;
	weir_shm_sleep_fd(&st->sleep, st->session, &st->session->tx_bell);
	weir_doorbell_arm(&st->session->own.front->tx.sleeping);
	weir_shm_collect(st, true);
	return shm_room_of(st, shm_class_for(st, size)) == 0 &&
	       atomic_load_explicit(&st->peer->gone, memory_order_relaxed) == 0;
}

static void
shm_tx_wake(struct weir_tx *tx)
{
	weir_shm_bell_wake(&shm_tx_of(tx)->session->tx_bell);
}

static uint32_t
count_bits(const uint64_t *map, const struct shm_tx_class *c)
{
	uint32_t count = 0;

	for (uint32_t w = 0; w < c->word_count; w++)
		count += (uint32_t)__builtin_popcountll(map[c->word_first + w]);
	return count;
}

static void
class_stats(const struct shm_tx *st, unsigned int k,
	    struct weir_class_stats *stats)
{
	const struct shm_tx_class *c = &st->classes[k];
	uint32_t unused = count_bits(st->free_map, c);

	*stats = (struct weir_class_stats){
		.size = st->class_size[k],
		.total = c->total,
		.free = st->class_free[k],
		.pledged = unused - st->class_free[k],
		.outstanding = count_bits(st->out_map, c),
	};
	stats->allocated = c->total - unused - stats->outstanding;
}

static void
count_waits(const struct shm_tx *st, struct weir_tx_stats *stats)
{
	stats->reserve_wait_down = st->wait_down;
	stats->reserve_wait_credit = st->wait_credit;
	stats->reserve_wait_small = st->wait_small;
	stats->reserve_wait_large = st->wait_large;
	stats->reserve_waits = st->wait_down + st->wait_credit +
			       st->wait_small + st->wait_large;
}

static void
shm_tx_stats(struct weir_tx *tx, struct weir_tx_stats *stats)
{
	struct shm_tx *st = shm_tx_of(tx);

	stats->messages = st->seq;
	stats->payload_bytes = st->payload_bytes;
	count_waits(st, stats);
	stats->discarded = st->discarded;
	stats->doorbells = st->doorbells;
	stats->capacity = st->mask + 1;
	stats->free = st->free_credits;
	stats->allocated = (uint32_t)(st->cursor - st->seq);
	stats->class_count = st->class_count;
	for (unsigned int k = 0; k < st->class_count; k++) {
		class_stats(st, k, &stats->classes[k]);
		stats->outstanding += stats->classes[k].outstanding;
	}
	stats->permitted = stats->capacity - stats->free - stats->allocated -
			   stats->outstanding;
}

static void
shm_tx_destroy(struct weir_tx *tx)
{
	struct shm_tx *st = shm_tx_of(tx);

	if (tx->status != -EPIPE)
		weir_shm_end_sending(st->session, SHM_END_ABORTED, st->seq);
	weir_shm_sleep_close(&st->sleep);
	free(st->block);
	weir_shm_session_half_gone(st->session, true);
}

const struct weir_tx_ops weir_shm_tx_ops = {
	.reserve = weir_shm_reserve,
	.drop = weir_shm_drop,
	.alloc = weir_shm_alloc,
	.commit = weir_shm_commit,
	.discard = weir_shm_discard,
	.flush = weir_shm_flush,
	.close = shm_close,
	.capacity = shm_capacity,
	.fd = shm_tx_fd,
	.arm = shm_tx_arm,
	.wake = shm_tx_wake,
	.stats = shm_tx_stats,
	.destroy = shm_tx_destroy,
	.commit_burst = weir_shm_commit_burst,
	.alloc_burst = weir_shm_alloc_burst,
};

/* ---- before the link is up ----------------------------------------------------- */

/* Take what the set-up has come to. @return 1 up, and the half is too; 0;
 * negative. */
static int
early_look(struct shm_tx *st)
{
	int rc = weir_shm_session_progress(st->session);

	if (rc == 1)
		weir_shm_tx_attach(st);
	return rc;
}

static int
early_reserve(struct weir_tx *tx, uint32_t size, struct weir_permit *permits,
	      uint16_t n)
{
	struct shm_tx *st = shm_tx_of(tx);
	int rc;

	(void)size;
	(void)permits;
	(void)n;
	if (st->armed)
		weir_shm_tx_awake(st);
	rc = early_look(st);
	if (rc >= 0)
		st->wait_down++;
	return rc < 0 ? rc : 0;
}

static int
early_close(struct weir_tx *tx)
{
	struct shm_tx *st = shm_tx_of(tx);
	int rc = early_look(st);

	if (rc < 0)
		return rc;
	weir_shm_end_sending(st->session, SHM_END_CLOSED, st->seq);
	return 0;
}

static uint32_t
early_capacity(struct weir_tx *tx, uint32_t size)
{
	return early_look(shm_tx_of(tx)) == 1 ? shm_capacity(tx, size) : 0;
}

static int
early_arm(struct weir_tx *tx, uint32_t size)
{
	struct shm_tx *st = shm_tx_of(tx);
	int rc = early_look(st);

	(void)size;
	st->armed = true;
	return rc == 0 && weir_shm_sleep_fd(&st->sleep, st->session,
					    &st->session->tx_bell) >= 0;
}

const struct weir_tx_ops weir_shm_tx_ops_early = {
	.reserve = early_reserve,
	.drop = weir_shm_drop,
	.alloc = weir_shm_alloc,
	.commit = weir_shm_commit,
	.discard = weir_shm_discard,
	.flush = weir_shm_flush,
	.close = early_close,
	.capacity = early_capacity,
	.fd = shm_tx_fd,
	.arm = early_arm,
	.wake = shm_tx_wake,
	.stats = shm_tx_stats,
	.destroy = shm_tx_destroy,
	.commit_burst = weir_shm_commit_burst,
	.alloc_burst = weir_shm_alloc_burst,
};

/* ---- set-up --------------------------------------------------------------------- */

static void
class_init(struct shm_tx *st, unsigned int k)
{
	const struct shm_segment *own = &st->session->own;
	const struct shm_class *from = &own->header.classes[k];
	struct shm_tx_class *c = &st->classes[k];

	st->class_free[k] = from->count;
	st->class_size[k] = from->size < own->header.msg_size_max
				    ? from->size
				    : own->header.msg_size_max;
	*c = (struct shm_tx_class){
		.bytes = own->bytes + from->offset,
		.first = from->first,
		.stride = from->stride,
		.total = from->count,
		.word_first = from->first / SHM_GROUP_SIZE,
		.word_count =
			(from->count + SHM_GROUP_SIZE - 1) / SHM_GROUP_SIZE,
	};
	for (uint32_t w = 0; w < c->word_count; w++) {
		uint32_t left = from->count - w * SHM_GROUP_SIZE;

		st->group_class[c->word_first + w] = (uint8_t)k;
		st->free_map[c->word_first + w] =
			left >= SHM_GROUP_SIZE ? UINT64_MAX
					       : (UINT64_C(1) << left) - 1;
	}
}

int
weir_shm_tx_init(struct shm_tx *st, struct shm_session *session)
{
	const struct shm_header *h = &session->own.header;
	uint32_t groups = h->body_limit / SHM_GROUP_SIZE;
	uint8_t *at = calloc(groups, 8 + 8 + 4 + 1 + 2 * SHM_GROUP_SIZE);
	int rc;

	if (at == NULL)
		return weir_fail(-ENOMEM, "shm: out of memory; free some");
	st->session = session;
	st->block = at;
	st->group_count = groups;
	st->free_map = (void *)at;
	at += groups * sizeof(*st->free_map);
	st->out_map = (void *)at;
	at += groups * sizeof(*st->out_map);
	st->groups_seen = (void *)at;
	at += groups * sizeof(*st->groups_seen);
	st->generation = (void *)at;
	at += groups * SHM_GROUP_SIZE * sizeof(*st->generation);
	st->group_class = at;
	st->class_count = h->class_count;
	for (unsigned int k = 0; k < h->class_count; k++)
		class_init(st, k);
	st->cells = (void *)(session->own.bytes + h->cells_offset);
	st->mask = h->cell_count - 1;
	st->free_credits = h->cell_count;
	st->peer = &st->dead; /* not gone, not asleep */
	st->sleep = (struct shm_sleep){ .epoll = -1, .timer = -1 };
	st->tx.ops = &weir_shm_tx_ops_early;
	if (!st->tx.shared)
		return 0;
	rc = weir_shm_multi_init(st);
	if (rc != 0)
		free(st->block);
	return rc;
}

void
weir_shm_tx_attach(struct shm_tx *st)
{
	struct shm_session *s = st->session;

	atomic_store_explicit(&s->told_up, 1, memory_order_relaxed);
	if (st->tx.shared) {
		weir_shm_multi_attach(st);
		return;
	}
	st->peer = &s->peer.front->rx;
	st->groups = s->peer.front->groups;
	st->returns = s->peer.front->returns;
	st->fence = s->fence;
	st->peer_bell = s->peer_rx_bell;
	st->tx.ops = &weir_shm_tx_ops;
	/* Rung to say that the link is up. */
	weir_shm_bell_drain(&s->tx_bell);
}
