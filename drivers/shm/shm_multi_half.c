/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a send half that several threads use, beside its data path:
 * set-up, coming up, sleeping, statistics, close and destroy. */

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "doorbell.h"
#include "shm_multi.h"

void
weir_shm_multi_freeze(struct shm_multi *mt)
{
	while (atomic_exchange(&mt->collecting, 1) != 0)
		sched_yield();
}

/* ---- coming up ----------------------------------------------------------------- */

void
weir_shm_multi_attach(struct shm_tx *st)
{
	struct shm_multi *mt = shm_multi_of(&st->tx);
	struct shm_session *s = st->session;

	pthread_mutex_lock(&mt->life);
	if (atomic_load(&mt->stop) & SHM_STOP_DOWN) {
		atomic_store_explicit(&s->told_up, 1, memory_order_relaxed);
		st->peer = &s->peer.front->rx;
		st->groups = s->peer.front->groups;
		st->returns = s->peer.front->returns;
		st->fence = s->fence;
		st->peer_bell = s->peer_rx_bell;
		/* Release: who finds it clear finds all that. */
		atomic_fetch_and(&mt->stop, ~(uint32_t)SHM_STOP_DOWN);
	}
	pthread_mutex_unlock(&mt->life);
}

int
weir_shm_multi_progress(struct shm_multi *mt)
{
	int rc = weir_shm_session_progress(mt->base.session);

	if (rc == 1)
		weir_shm_multi_attach(&mt->base);
	return rc;
}

static bool
is_up(struct shm_multi *mt)
{
	return (atomic_load(&mt->stop) & SHM_STOP_DOWN) == 0 ||
	       weir_shm_multi_progress(mt) == 1;
}

/* ---- sleeping ------------------------------------------------------------------ */

static int
multi_fd(struct weir_tx *tx)
{
	struct shm_multi *mt = shm_multi_of(tx);
	int fd;

	pthread_mutex_lock(&mt->life);
	fd = weir_shm_sleep_fd(&mt->base.sleep, mt->base.session,
			       &mt->base.session->tx_bell);
	pthread_mutex_unlock(&mt->life);
	return fd;
}

static int
multi_arm(struct weir_tx *tx, uint32_t size)
{
	struct shm_multi *mt = shm_multi_of(tx);
	unsigned int k = shm_class_for(&mt->base, size);
	bool listed;
	int rc;

	pthread_mutex_lock(&mt->life);
	listed = weir_sleepers_add(&mt->sleepers, 1u << k);
	weir_doorbell_arm(&mt->base.session->own.front->tx.sleeping);
	pthread_mutex_unlock(&mt->life);
	if (multi_fd(tx) < 0 || !listed)
		return 0;
	rc = weir_shm_multi_progress(mt);
	if (rc != 1)
		return rc == 0;
	return weir_shm_multi_collect(mt, true) &&
	       (weir_shm_multi_room(mt) & 1u << k) == 0 &&
	       atomic_load(&mt->stop) == 0 && weir_shm_multi_peer(mt) == 0;
}

bool
weir_shm_multi_awake(struct shm_multi *mt)
{
	struct shm_session *s = mt->base.session;
	bool slept;

	pthread_mutex_lock(&mt->life);
	slept = weir_sleepers_remove(&mt->sleepers);
	if (slept && mt->sleepers.count == 0)
		weir_doorbell_disarm(&s->own.front->tx.sleeping);
	if (slept)
		weir_shm_bell_drain(&s->tx_bell);
	pthread_mutex_unlock(&mt->life);
	return slept;
}

void
weir_shm_multi_wake(struct shm_multi *mt)
{
	uint32_t wants = atomic_load(&mt->sleepers.wants);

	if (wants == 0 ||
	    ((weir_shm_multi_room(mt) & wants) == 0 &&
	     __atomic_load_n(&mt->base.tx.cancel, __ATOMIC_RELAXED) == 0))
		return;
	weir_shm_bell_wake(&mt->base.session->tx_bell);
}

void
weir_shm_multi_wake_all(struct shm_multi *mt)
{
	if (atomic_load(&mt->sleepers.wants) != 0)
		weir_shm_bell_wake(&mt->base.session->tx_bell);
}

static void
multi_wake(struct weir_tx *tx)
{
	weir_shm_bell_wake(&shm_multi_of(tx)->base.session->tx_bell);
}

/* ---- close --------------------------------------------------------------------- */

/* Who has the bodies of a class. */
struct use {
	uint32_t taken; /* not free */
	uint32_t slots; /* of these, open */
	uint32_t outstanding;
	uint64_t bytes; /* in outstanding messages */
};

static void
count_one(const struct shm_multi *mt, uint32_t body, struct use *use)
{
	/* Acquire: pairs with weir_shm_multi_commit(). */
	uint64_t state =
		atomic_load_explicit(&mt->state[body], memory_order_acquire);

	use->slots += shm_state_phase(state) == SHM_BODY_SLOT;
	use->outstanding += shm_state_phase(state) == SHM_BODY_OUT;
	use->bytes += shm_state_len(state);
}

static struct use
use_of(const struct shm_multi *mt, unsigned int k)
{
	const struct shm_tx_class *c = &mt->base.classes[k];
	struct use use = { .taken = c->total };

	for (uint32_t g = c->word_first; g < c->word_first + c->word_count;
	     g++) {
		uint64_t unused = atomic_load(&mt->map[g]);

		use.taken -= (uint32_t)__builtin_popcountll(unused);
		for (uint64_t bits = ~unused; bits != 0; bits &= bits - 1)
			count_one(mt,
				  g * SHM_GROUP_SIZE +
					  (uint32_t)__builtin_ctzll(bits),
				  &use);
	}
	return use;
}

/* Has every commit that has a number come to its end? Of a cell, the last one
 * is the one to look at. Acquire: it is seen by who sees the end of ours. */
static bool
all_published(const struct shm_multi *mt)
{
	uint64_t seq = atomic_load(&mt->seq);
	uint64_t cells = (uint64_t)mt->base.mask + 1;

	for (uint64_t i = seq > cells ? seq - cells : 0; i < seq; i++)
		if ((uint32_t)(atomic_load_explicit(
				       &mt->base.cells[i & mt->base.mask].word,
				       memory_order_acquire) >>
			       32) != (uint32_t)(i + 1))
			return false;
	return true;
}

/*
 * Does nobody hold a permit or slot, and is nobody inside commit? Frozen, and
 * stopped: so tokens only go back and outstanding messages only grow. If the
 * tokens, counted second, are as many as the messages, counted first, then
 * each belongs to one, and it stays like that. When nothing is taken, all was
 * published, unless the peer gave back what it had not received yet: then two
 * threads may have written a cell in the wrong order, and it stays so for ever.
 */
static bool
is_quiet(const struct shm_multi *mt)
{
	uint32_t outstanding = 0, taken;

	for (unsigned int k = 0; k < mt->base.class_count; k++)
		outstanding += use_of(mt, k).outstanding;
	taken = use_of(mt, 0).taken;
	return taken == outstanding && (taken == 0 || all_published(mt));
}

/* Under life. @return as weir_tx_close(). */
static int
close_now(struct shm_multi *mt)
{
	bool quiet;
	int rc;

	if (atomic_load(&mt->stop) & SHM_STOP_CLOSED)
		return -EALREADY;
	rc = weir_shm_multi_peer(mt);
	if (rc != 0)
		return rc;
	atomic_fetch_or(&mt->stop, SHM_STOP_CLOSING);
	weir_shm_multi_freeze(mt);
	quiet = is_quiet(mt);
	weir_shm_multi_thaw(mt);
	if (quiet) {
		atomic_fetch_or(&mt->stop, SHM_STOP_CLOSED);
		weir_shm_end_sending(mt->base.session, SHM_END_CLOSED,
				     atomic_load(&mt->seq));
	}
	atomic_fetch_and(&mt->stop, ~(uint32_t)SHM_STOP_CLOSING);
	return quiet ? 0 : -EBUSY;
}

static int
multi_close(struct weir_tx *tx)
{
	struct shm_multi *mt = shm_multi_of(tx);
	int rc = weir_shm_multi_progress(mt);

	/* One that is not up yet will have been closed from the start. */
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&mt->life);
	rc = close_now(mt);
	pthread_mutex_unlock(&mt->life);
	weir_shm_multi_wake_all(mt);
	return rc;
}

static void
multi_destroy(struct weir_tx *tx)
{
	struct shm_multi *mt = shm_multi_of(tx);

	if ((atomic_load(&mt->stop) & SHM_STOP_CLOSED) == 0)
		weir_shm_end_sending(mt->base.session, SHM_END_ABORTED,
				     atomic_load(&mt->seq));
	weir_shm_sleep_close(&mt->base.sleep);
	pthread_mutex_destroy(&mt->life);
	free(mt->block);
	free(mt->base.block);
	weir_shm_session_half_gone(mt->base.session, true);
}

/* ---- statistics ---------------------------------------------------------------- */

static uint32_t
multi_capacity(struct weir_tx *tx, uint32_t size)
{
	struct shm_multi *mt = shm_multi_of(tx);
	const struct shm_tx_class *classes = mt->base.classes;
	uint32_t total;

	if (!is_up(mt))
		return 0;
	total = classes[shm_class_for(&mt->base, size)].total;
	return total < classes[0].total ? total : classes[0].total;
}

static void
class_stats(const struct shm_multi *mt, unsigned int k, const struct use *use,
	    struct weir_class_stats *stats)
{
	*stats = (struct weir_class_stats){
		.size = mt->base.class_size[k],
		.total = mt->base.classes[k].total,
		.allocated = use->slots,
		.outstanding = use->outstanding,
	};
	/* Other threads may have been at work meanwhile. */
	if (use->taken > use->slots + use->outstanding)
		stats->pledged = use->taken - use->slots - use->outstanding;
	stats->free = stats->total - stats->pledged - stats->allocated -
		      stats->outstanding;
}

static void
sum_classes(const struct shm_multi *mt, struct weir_tx_stats *stats)
{
	struct use small = use_of(mt, 0);

	stats->payload_bytes = mt->payload_returned + small.bytes;
	for (unsigned int k = 1; k < mt->base.class_count; k++) {
		struct use use = use_of(mt, k);

		class_stats(mt, k, &use, &stats->classes[k]);
		stats->payload_bytes += use.bytes;
		/* Tokens of larger ones count there. */
		small.taken -= use.taken < small.taken ? use.taken
						       : small.taken;
	}
	class_stats(mt, 0, &small, &stats->classes[0]);
	for (unsigned int k = 0; k < mt->base.class_count; k++) {
		stats->permitted += stats->classes[k].pledged;
		stats->allocated += stats->classes[k].allocated;
		stats->outstanding += stats->classes[k].outstanding;
	}
}

static uint64_t
value_of(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
multi_stats(struct weir_tx *tx, struct weir_tx_stats *stats)
{
	struct shm_multi *mt = shm_multi_of(tx);
	uint32_t used;

	weir_shm_multi_freeze(mt);
	stats->messages = atomic_load(&mt->seq);
	stats->reserve_wait_down = value_of(&mt->wait_down);
	stats->reserve_wait_credit = value_of(&mt->wait_credit);
	stats->reserve_wait_small = value_of(&mt->wait_small);
	stats->reserve_wait_large = value_of(&mt->wait_large);
	stats->reserve_waits =
		stats->reserve_wait_down + stats->reserve_wait_credit +
		stats->reserve_wait_small + stats->reserve_wait_large;
	stats->discarded = value_of(&mt->discarded);
	stats->doorbells = value_of(&mt->doorbells);
	stats->capacity = mt->base.mask + 1;
	stats->class_count = mt->base.class_count;
	sum_classes(mt, stats);
	used = stats->permitted + stats->allocated + stats->outstanding;
	stats->free = used < stats->capacity ? stats->capacity - used : 0;
	weir_shm_multi_thaw(mt);
}

/* ---- set-up -------------------------------------------------------------------- */

static const struct weir_tx_ops multi_ops = {
	.reserve = weir_shm_multi_reserve,
	.drop = weir_shm_multi_drop,
	.alloc = weir_shm_multi_alloc,
	.commit = weir_shm_multi_commit,
	.discard = weir_shm_multi_discard,
	.flush = weir_shm_flush,
	.close = multi_close,
	.capacity = multi_capacity,
	.fd = multi_fd,
	.arm = multi_arm,
	.wake = multi_wake,
	.stats = multi_stats,
	.destroy = multi_destroy,
	.commit_burst = weir_shm_multi_commit_burst,
};

int
weir_shm_multi_init(struct shm_tx *st)
{
	struct shm_multi *mt = shm_multi_of(&st->tx);
	size_t groups = st->group_count;
	size_t words = groups + groups * SHM_GROUP_SIZE;
	size_t size = (words * sizeof(uint64_t) + WEIR_CACHE_LINE - 1) &
		      ~(size_t)(WEIR_CACHE_LINE - 1);

	mt->block = aligned_alloc(WEIR_CACHE_LINE, size);
	if (mt->block == NULL)
		return weir_fail(-ENOMEM, "shm: out of memory; free some");
	memset(mt->block, 0, size);
	mt->map = mt->block;
	mt->state = mt->map + groups;
	for (size_t g = 0; g < groups; g++)
		atomic_init(&mt->map[g], st->free_map[g]);
	atomic_init(&mt->stop, SHM_STOP_DOWN);
	pthread_mutex_init(&mt->life, NULL);
	st->tx.ops = &multi_ops;
	return 0;
}
