/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The send half: reserve, alloc, commit, discard, and collecting what the
 * peer has released. No read-modify-write and no store to shared memory but
 * the message itself; the peer's memory is only looked at when room runs out,
 * save for one line that never changes while the peer is content.
 */

#include <stdlib.h>
#include <string.h>

#include "doorbell.h"
#include "shm_lane.h"

/* Permits given back unused between two looks for a dead peer. */
#define BACKED_OUT_LOOK 64u

static inline struct shm_tx *
shm_tx_of(struct weir_tx *tx)
{
	return WEIR_CONTAINER_OF(tx, struct shm_tx, tx);
}

static inline unsigned int
class_for(const struct shm_tx *st, uint32_t size)
{
	unsigned int k = 0;

	/* Ends: the last class takes msg_size_max. */
	while (size > st->class_size[k])
		k++;
	return k;
}

static inline uint32_t
room_of(const struct shm_tx *st, unsigned int k)
{
	uint32_t bodies = st->class_free[k];

	return bodies < st->free_credits ? bodies : st->free_credits;
}

/* ---- collect ----------------------------------------------------------------- */

static void
body_free(struct shm_tx *st, unsigned int k, uint32_t body)
{
	st->free_map[body / SHM_GROUP_SIZE] |= UINT64_C(1)
					       << body % SHM_GROUP_SIZE;
	st->class_free[k]++;
	st->free_credits++;
}

/* A body is back when the peer's return word names the generation that we
 * published last. So whatever a hostile peer writes there, the worst it can do
 * is to give up early what it still reads: only OUTSTANDING bodies are looked
 * at, each can come back once. */
static void
collect_group(struct shm_tx *st, uint32_t group)
{
	unsigned int k = st->group_class[group];

	for (uint64_t bits = st->out_map[group]; bits != 0; bits &= bits - 1) {
		uint32_t body = group * SHM_GROUP_SIZE +
				(uint32_t)__builtin_ctzll(bits);

		/* Acquire: the releaser's reads of the body are over before
		 * we write it again. Pairs with weir_shm_release(). */
		if (atomic_load_explicit(&st->returns[body],
					 memory_order_acquire) !=
		    st->generation[body])
			continue;
		st->out_map[group] &= ~(bits & -bits);
		body_free(st, k, body);
	}
}

/* all: also groups whose word has not changed. A word is the number of the
 * message released last, so it is the same again after 2^32 messages at the
 * earliest; who is about to sleep or idles long looks everywhere. */
static void
collect(struct shm_tx *st, bool all)
{
	for (uint32_t g = 0; g < st->group_count; g++) {
		/* Acquire: pairs with weir_shm_release(). */
		uint32_t word = atomic_load_explicit(&st->groups[g],
						     memory_order_acquire);

		if (word == st->groups_seen[g] && !all)
			continue;
		st->groups_seen[g] = word;
		collect_group(st, g);
	}
}

/* ---- reserve ----------------------------------------------------------------- */

/* From now on every reserve finds its peer gone. */
static void
peer_died(struct shm_tx *st)
{
	atomic_store_explicit(&st->dead.gone, 1, memory_order_relaxed);
	st->peer = &st->dead;
}

static __attribute__((cold)) int
peer_gone(struct shm_tx *st)
{
	const struct shm_rx_line *peer = &st->session->peer.front->rx;

	return atomic_load_explicit(&peer->gone, memory_order_relaxed) != 0
		       ? -ECONNRESET
		       : -ETIMEDOUT;
}

static __attribute__((cold, noinline)) void
awake(struct shm_tx *st)
{
	st->armed = false;
	weir_shm_sleep_over(&st->session->own.front->tx.sleeping,
			    st->session->tx_bell);
}

static inline int
grant(struct shm_tx *st, unsigned int k, struct weir_permit *permits,
      uint32_t n)
{
	st->class_free[k] -= n;
	st->free_credits -= n;
	permits[0].cookie = k;
	for (uint32_t i = 1; i < n; i++)
		permits[i].cookie = k;
	return (int)n;
}

/* Once per millisecond of having no room.
 * @return true: there may be room, or a dead peer now. */
static bool
look_around(struct shm_tx *st)
{
	int rc = weir_shm_session_watch(st->session, &st->watch);

	if (rc < 0)
		peer_died(st);
	else if (rc > 0)
		collect(st, true);
	return rc != 0;
}

/* Found too little room, or a peer that is gone. */
static __attribute__((noinline)) int
reserve_slowly(struct shm_tx *st, unsigned int k, struct weir_permit *permits,
	       uint32_t n)
{
	uint32_t room;

	if (st->armed)
		awake(st);
	if (atomic_load_explicit(&st->peer->gone, memory_order_relaxed) != 0)
		return peer_gone(st);
	if (room_of(st, k) < n)
		collect(st, false);
	room = room_of(st, k);
	if (room == 0) {
		st->reserve_waits++;
		if (!weir_shm_watch_due(&st->watch) || !look_around(st))
			return 0;
		if (st->peer == &st->dead)
			return peer_gone(st);
		room = room_of(st, k);
		if (room == 0)
			return 0;
	}
	return n == 0 ? 0 : grant(st, k, permits, room < n ? room : n);
}

static int
shm_reserve(struct weir_tx *tx, uint32_t size, struct weir_permit *permits,
	    uint16_t n)
{
	struct shm_tx *st = shm_tx_of(tx);
	unsigned int k = class_for(st, size);

	/* Relaxed: a flag alone. The line stays in our cache. */
	if (__builtin_expect(atomic_load_explicit(&st->peer->gone,
						  memory_order_relaxed) != 0,
			     0) ||
	    __builtin_expect(st->armed, 0) || __builtin_expect(n == 0, 0) ||
	    __builtin_expect(room_of(st, k) < n, 0))
		return reserve_slowly(st, k, permits, n);
	return grant(st, k, permits, n);
}

/* Who only reserves and backs out never runs out of room, and has to hear of
 * a dead peer all the same. */
static inline void
backed_out(struct shm_tx *st)
{
	if (++st->backed_out % BACKED_OUT_LOOK == 0 &&
	    weir_shm_session_watch(st->session, &st->watch) < 0)
		peer_died(st);
}

static void
shm_drop(struct weir_tx *tx, const struct weir_permit *permit)
{
	struct shm_tx *st = shm_tx_of(tx);

	st->class_free[permit->cookie]++;
	st->free_credits++;
	backed_out(st);
}

/* ---- alloc ------------------------------------------------------------------- */

/* Any free body of the class; its counts say that there is one. */
static inline uint32_t
take_any(struct shm_tx *st, struct shm_tx_class *c)
{
	uint64_t *word;

	while (*(word = &st->free_map[c->word_first + c->word_hint]) == 0)
		c->word_hint = c->word_hint + 1 == c->word_count
				       ? 0
				       : c->word_hint + 1;
	uint32_t bit = (uint32_t)__builtin_ctzll(*word);

	*word &= *word - 1;
	return (c->word_first + c->word_hint) * SHM_GROUP_SIZE + bit;
}

/* The smallest class that fits and has a body that nobody was promised; else
 * the pledged one. What the pledge was more goes back at once. */
static inline unsigned int
settle(struct shm_tx *st, unsigned int pledged, uint32_t len)
{
	unsigned int k = class_for(st, len);

	if (k == pledged)
		return k;
	while (k != pledged && st->class_free[k] == 0)
		k++;
	st->class_free[pledged]++;
	st->class_free[k]--;
	return k;
}

static __attribute__((noinline)) void
alloc_any(struct shm_tx *st, unsigned int k, struct weir_slot *slot)
{
	struct shm_tx_class *c = &st->classes[k];
	uint32_t body = take_any(st, c);

	slot->cookie = body;
	slot->data = c->bytes + (uint64_t)(body - c->first) * c->stride;
}

/* A small message goes into the inline area behind the header that it will
 * probably get, so that it is one cache line. */
static void
shm_alloc(struct weir_tx *tx, const struct weir_permit *permit, uint32_t len,
	  struct weir_slot *slot)
{
	struct shm_tx *st = shm_tx_of(tx);
	unsigned int k = settle(st, permit->cookie, len);
	uint32_t body = (uint32_t)st->cursor++ & st->mask;
	uint64_t *word = &st->free_map[body / SHM_GROUP_SIZE];
	uint64_t bit = UINT64_C(1) << body % SHM_GROUP_SIZE;

	if (__builtin_expect(k != 0 || (*word & bit) == 0, 0)) {
		alloc_any(st, k, slot);
		return;
	}
	*word &= ~bit;
	slot->cookie = body;
	slot->data = st->cells[body].data;
}

/* ---- commit ------------------------------------------------------------------- */

static __attribute__((cold, noinline)) void
ring_peer(struct shm_tx *st)
{
	st->doorbells++;
	weir_doorbell_ring(st->peer_bell);
}

/*
 * The header of cell (seq mod N) is free, N being the number of credits:
 * - At most N - 1 messages are outstanding, since this one has a credit too.
 *   Those not yet received are the last ones committed, so message seq - N
 *   has been received.
 * - Its header has been read for good before we write here: of the seq
 *   messages committed, at least seq - N + 1 came back, and so at least one
 *   that is not older than seq - N. The receiver reads headers in order, and
 *   we have acquired that one's return.
 */
static void
shm_commit(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct shm_tx *st = shm_tx_of(tx);
	uint64_t seq = st->seq;
	uint32_t body = (uint32_t)slot->cookie, len = slot->len;
	struct shm_cell *cell = &st->cells[seq & st->mask];

	st->out_map[body / SHM_GROUP_SIZE] |= UINT64_C(1)
					      << body % SHM_GROUP_SIZE;
	atomic_store_explicit(&cell->body, body, memory_order_relaxed);
	atomic_store_explicit(&cell->generation, ++st->generation[body],
			      memory_order_relaxed);
	/* Release: publishes header and body. Pairs with shm_recv(). */
	atomic_store_explicit(&cell->word, (seq + 1) << 32 | len,
			      memory_order_release);
	st->seq = seq + 1;
	st->payload_bytes += len;
	if (__builtin_expect(
		    weir_doorbell_wanted(&st->peer->sleeping, st->fence), 0))
		ring_peer(st);
}

static void
shm_discard(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct shm_tx *st = shm_tx_of(tx);
	uint32_t body = (uint32_t)slot->cookie;

	body_free(st, st->group_class[body / SHM_GROUP_SIZE], body);
	st->cursor--;
	st->discarded++;
	backed_out(st);
}

static void
shm_flush(struct weir_tx *tx)
{
	(void)tx; /* commit has published already */
}

/* ---- not on the data path -------------------------------------------------------- */

/* Tell how our sending ended. Before the link is up the peer finds it later. */
static void
end_sending(struct shm_tx *st, enum shm_end how)
{
	struct shm_session *s = st->session;

	/* Release: orders every commit before the end. Pairs with the load
	 * in shm_recv(). */
	atomic_store_explicit(&s->own.front->tx.end,
			      (uint64_t)how << 32 | (uint32_t)st->seq,
			      memory_order_release);
	if (weir_shm_session_is_up(s) &&
	    weir_doorbell_wanted(&s->peer.front->rx.sleeping, s->fence))
		weir_doorbell_ring(s->peer_rx_bell);
}

static int
shm_close(struct weir_tx *tx)
{
	struct shm_tx *st = shm_tx_of(tx);

	if (atomic_load_explicit(&st->peer->gone, memory_order_relaxed) != 0)
		return peer_gone(st);
	end_sending(st, SHM_END_CLOSED);
	return 0;
}

static uint32_t
shm_capacity(struct weir_tx *tx, uint32_t size)
{
	struct shm_tx *st = shm_tx_of(tx);
	uint32_t total = st->classes[class_for(st, size)].total;

	return total < st->mask + 1 ? total : st->mask + 1;
}

static int
shm_tx_fd(struct weir_tx *tx)
{
	struct shm_tx *st = shm_tx_of(tx);

	return weir_shm_sleep_fd(&st->sleep, st->session, st->session->tx_bell);
}

static int
shm_tx_arm(struct weir_tx *tx, uint32_t size)
{
	struct shm_tx *st = shm_tx_of(tx);

	st->armed = true;
	weir_shm_sleep_fd(&st->sleep, st->session, st->session->tx_bell);
	weir_doorbell_arm(&st->session->own.front->tx.sleeping);
	collect(st, true);
	return room_of(st, class_for(st, size)) == 0 &&
	       atomic_load_explicit(&st->peer->gone, memory_order_relaxed) == 0;
}

static void
shm_tx_wake(struct weir_tx *tx)
{
	weir_doorbell_ring(shm_tx_of(tx)->session->tx_bell);
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
shm_tx_stats(struct weir_tx *tx, struct weir_tx_stats *stats)
{
	struct shm_tx *st = shm_tx_of(tx);

	stats->messages = st->seq;
	stats->payload_bytes = st->payload_bytes;
	stats->reserve_waits = st->reserve_waits;
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
		end_sending(st, SHM_END_ABORTED);
	weir_shm_sleep_close(&st->sleep);
	free(st->block);
	weir_shm_session_half_gone(st->session, true);
}

const struct weir_tx_ops weir_shm_tx_ops = {
	.reserve = shm_reserve,
	.drop = shm_drop,
	.alloc = shm_alloc,
	.commit = shm_commit,
	.discard = shm_discard,
	.flush = shm_flush,
	.close = shm_close,
	.capacity = shm_capacity,
	.fd = shm_tx_fd,
	.arm = shm_tx_arm,
	.wake = shm_tx_wake,
	.stats = shm_tx_stats,
	.destroy = shm_tx_destroy,
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
		awake(st);
	rc = early_look(st);
	return rc < 0 ? rc : 0;
}

static int
early_close(struct weir_tx *tx)
{
	struct shm_tx *st = shm_tx_of(tx);
	int rc = early_look(st);

	if (rc < 0)
		return rc;
	end_sending(st, SHM_END_CLOSED);
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
					    st->session->tx_bell) >= 0;
}

const struct weir_tx_ops weir_shm_tx_ops_early = {
	.reserve = early_reserve,
	.drop = shm_drop,
	.alloc = shm_alloc,
	.commit = shm_commit,
	.discard = shm_discard,
	.flush = shm_flush,
	.close = early_close,
	.capacity = early_capacity,
	.fd = shm_tx_fd,
	.arm = early_arm,
	.wake = shm_tx_wake,
	.stats = shm_tx_stats,
	.destroy = shm_tx_destroy,
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
	return 0;
}

void
weir_shm_tx_attach(struct shm_tx *st)
{
	struct shm_session *s = st->session;

	st->peer = &s->peer.front->rx;
	st->groups = s->peer.front->groups;
	st->returns = s->peer.front->returns;
	st->fence = s->fence;
	st->peer_bell = s->peer_rx_bell;
	st->tx.ops = &weir_shm_tx_ops;
	/* Rung to say that the link is up. */
	weir_doorbell_drain(s->tx_bell);
}
