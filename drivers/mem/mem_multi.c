/* SPDX-License-Identifier: BSD-3-Clause */
/* mem: several threads send into one lane; drawn in mem_multi.h. */

#include <sched.h>

#include "doorbell.h"
#include "mem_multi.h"

#define WORD_BITS WEIR_CLAIM_WORD

/* At a half that is being closed, see is_quiet(). */
#define QUIET_LOOKS 64

/* State of a cell, its owner's; of a free one, what it was last. */
enum phase {
	CELL_IDLE, /* held by a permit, or the token of a larger slot */
	CELL_SLOT,
	CELL_OUT, /* and the token of a larger message */
};

static struct mem_multi *
multi_of(struct weir_tx *tx)
{
	return WEIR_CONTAINER_OF(tx, struct mem_multi, base.tx);
}

static void
count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static inline void
set_phase(struct mem_lane *lane, uint32_t cell, enum phase phase)
{
	/* Release: who sees OUT sees the mark's number taken. */
	atomic_store_explicit(&lane->state[cell], phase, memory_order_release);
}

/* ---- cells --------------------------------------------------------------------- */

static inline enum mem_class
class_for(const struct mem_lane *lane, uint32_t size)
{
	return size <= lane->small_size ? MEM_SMALL : MEM_LARGE;
}

static inline uint8_t *
cell_data(const struct mem_lane *lane, uint32_t cell)
{
	if (cell < lane->credits)
		return lane->cells[MEM_SMALL] + (size_t)cell * lane->small_size;
	return lane->cells[MEM_LARGE] +
	       (size_t)(cell - weir_mem_large_first(lane)) * lane->large_size;
}

static inline void
give(struct mem_lane *lane, uint32_t cell)
{
	weir_claim_give(&lane->returned[cell / WORD_BITS],
			UINT64_C(1) << cell % WORD_BITS);
}

/* The token last: it stands for the credit. */
static inline void
give_both(struct mem_lane *lane, uint32_t cookie)
{
	uint32_t token = (uint16_t)cookie, cell = cookie >> 16;

	if (cell != token)
		give(lane, cell);
	give(lane, token);
}

static uint32_t
class_words(const struct mem_lane *lane, enum mem_class class, uint32_t *first)
{
	uint32_t large = weir_mem_large_first(lane) / WORD_BITS;

	*first = class == MEM_SMALL ? 0 : large;
	if (class == MEM_SMALL)
		return (lane->credits + WORD_BITS - 1) / WORD_BITS;
	return (weir_mem_cell_limit(lane) + WORD_BITS - 1) / WORD_BITS - large;
}

static uint32_t
claim_class(struct mem_lane *lane, enum mem_class class, uint32_t times,
	    struct weir_permit *permits, uint32_t n)
{
	uint32_t first, words = class_words(lane, class, &first), from = 0;

	if (words == 0)
		return 0;
	/* Where the marks are too; anywhere else is as good. */
	if (class == MEM_SMALL)
		from = (uint32_t)atomic_load_explicit(&lane->seq,
						      memory_order_relaxed) &
		       (lane->credits - 1);
	return weir_claim_many(lane->returned, first, words, from, times,
			       permits, n);
}

static bool
class_has_room(const struct mem_lane *lane, enum mem_class class)
{
	uint32_t first, words = class_words(lane, class, &first);

	for (uint32_t w = first; w < first + words; w++)
		if (atomic_load(&lane->returned[w]) != 0)
			return true;
	return false;
}

/* Bit c: a permit of class c may be had. */
static uint32_t
room(const struct mem_lane *lane)
{
	if (!class_has_room(lane, MEM_SMALL))
		return 0;
	return 1u << MEM_SMALL | (uint32_t)class_has_room(lane, MEM_LARGE)
					 << MEM_LARGE;
}

/* ---- sleeping ------------------------------------------------------------------ */

static void
wake_all(struct mem_multi *mt)
{
	if (atomic_load(&mt->sleepers.wants) != 0)
		weir_doorbell_ring(mt->base.fd);
}

/* After giving: wake who sleeps, if one finds what it waits for. */
static inline void
wake_if_any(struct mem_multi *mt)
{
	uint32_t wants = atomic_load(&mt->sleepers.wants);

	if (__builtin_expect(wants != 0, 0) &&
	    ((room(mt->base.lane) & wants) != 0 ||
	     __atomic_load_n(&mt->base.tx.cancel, __ATOMIC_RELAXED) != 0))
		weir_doorbell_ring(mt->base.fd);
}

/* @return true: the calling thread had armed, and what woke it is drained. */
static bool
awake(struct mem_multi *mt)
{
	bool slept;

	pthread_mutex_lock(&mt->life);
	slept = weir_sleepers_remove(&mt->sleepers);
	if (slept && mt->sleepers.count == 0)
		weir_doorbell_disarm(&mt->base.lane->tx_sleeping);
	if (slept)
		weir_doorbell_drain(mt->base.fd);
	pthread_mutex_unlock(&mt->life);
	return slept;
}

/* ---- coming up ----------------------------------------------------------------- */

void
weir_mem_multi_attach(struct mem_tx *base, struct mem_lane *lane)
{
	struct mem_multi *mt = multi_of(&base->tx);

	pthread_mutex_lock(&mt->life);
	if (atomic_load(&mt->stop) & MEM_STOP_DOWN) {
		mt->base.lane = lane;
		/* Release: who finds it clear finds the lane. */
		atomic_fetch_and(&mt->stop, ~(uint32_t)MEM_STOP_DOWN);
	}
	pthread_mutex_unlock(&mt->life);
}

/* @return 1 up; 0; negative. */
static int
progress(struct mem_multi *mt)
{
	struct mem_pair *pair = mt->base.pair;
	uint32_t state;

	if ((atomic_load(&mt->stop) & MEM_STOP_DOWN) == 0)
		return 1;
	state = weir_mem_pair_progress(pair);
	if (state == MEM_PAIR_FAILED)
		return pair->error;
	if (state != MEM_PAIR_UP)
		return 0;
	weir_mem_multi_attach(&mt->base, pair->lane[mt->base.side]);
	return 1;
}

/* ---- reserve ------------------------------------------------------------------- */

/* Is there anything to say but how much room there is?
 * @return 1 no; 0 nothing can be granted now; negative. */
static int
trouble(struct mem_multi *mt)
{
	uint32_t stop = atomic_load(&mt->stop);
	int rc;

	if (stop & MEM_STOP_CLOSED)
		return -EPIPE;
	rc = progress(mt);
	if (rc == 0)
		count(&mt->wait_down);
	if (rc != 1)
		return rc;
	if (atomic_load(&mt->base.lane->rx_end) != MEM_END_OPEN)
		return -ECONNRESET;
	return (stop & MEM_STOP_CLOSING) == 0;
}

/* These are permits now, whatever the cells were before. */
static inline uint32_t
granted(struct mem_lane *lane, const struct weir_permit *permits, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		set_phase(lane, (uint16_t)permits[i].cookie, CELL_IDLE);
		set_phase(lane, permits[i].cookie >> 16, CELL_IDLE);
	}
	/* Then we look whether somebody closes; he raises his flag, makes a
	 * barrier (see doorbell.h) and looks at the phases. */
	if (lane->fence)
		atomic_thread_fence(memory_order_seq_cst);
	else
		atomic_signal_fence(memory_order_seq_cst);
	return n;
}

static uint32_t
grant(struct mem_multi *mt, enum mem_class class, struct weir_permit *permits,
      uint32_t n)
{
	struct mem_lane *lane = mt->base.lane;
	uint32_t got;

	for (uint32_t i = 0; i < n; i++)
		permits[i].cookie = 0;
	if (class == MEM_SMALL)
		return granted(lane, permits,
			       claim_class(lane, MEM_SMALL, WEIR_CLAIM_BOTH,
					   permits, n));
	n = claim_class(lane, MEM_LARGE, WEIR_CLAIM_BODY, permits, n);
	got = claim_class(lane, MEM_SMALL, WEIR_CLAIM_TOKEN, permits, n);
	for (uint32_t i = got; i < n; i++)
		give(lane, permits[i].cookie >> 16);
	if (got < n)
		wake_if_any(mt); /* who looked meanwhile missed these */
	return granted(lane, permits, got);
}

/* A thread that closes the half looks who holds what after it has raised its
 * flag. We claim first and look for the flag then. */
static uint32_t
grant_unless_stopped(struct mem_multi *mt, enum mem_class class,
		     struct weir_permit *permits, uint32_t n)
{
	uint32_t got = grant(mt, class, permits, n);

	if (__builtin_expect(atomic_load(&mt->stop) == 0, 1))
		return got;
	while (got > 0)
		give_both(mt->base.lane, permits[--got].cookie);
	wake_if_any(mt);
	return 0;
}

static void
count_wait(struct mem_multi *mt, enum mem_class class)
{
	if (class_has_room(mt->base.lane, class))
		count(&mt->wait_credit);
	else
		count(class == MEM_SMALL ? &mt->wait_small : &mt->wait_large);
}

static __attribute__((noinline)) int
reserve_slowly(struct mem_multi *mt, uint32_t size, struct weir_permit *permits,
	       uint32_t n)
{
	bool slept = atomic_load(&mt->sleepers.wants) != 0 && awake(mt);
	enum mem_class class;
	int rc = trouble(mt);

	if (rc < 0)
		wake_all(mt);
	if (rc == 1) {
		class = class_for(mt->base.lane, size);
		rc = (int)grant_unless_stopped(mt, class, permits, n);
		if (rc == 0 && n != 0)
			count_wait(mt, class);
	}
	if (slept && rc >= 0)
		wake_if_any(mt); /* we drained what was meant for all */
	return rc;
}

static int
multi_reserve(struct weir_tx *tx, uint32_t size, struct weir_permit *permits,
	      uint16_t n)
{
	struct mem_multi *mt = multi_of(tx);
	uint32_t got;

	/* Stop first: there is a lane when it is 0. */
	if (__builtin_expect(atomic_load(&mt->stop) != 0, 0) ||
	    __builtin_expect(
		    atomic_load(&mt->base.lane->rx_end) != MEM_END_OPEN, 0) ||
	    __builtin_expect(atomic_load(&mt->sleepers.wants) != 0, 0))
		return reserve_slowly(mt, size, permits, n);
	got = grant_unless_stopped(mt, class_for(mt->base.lane, size), permits,
				   n);
	if (__builtin_expect(got == 0, 0))
		return reserve_slowly(mt, size, permits, n);
	return (int)got;
}

static void
multi_drop(struct weir_tx *tx, const struct weir_permit *permit)
{
	struct mem_multi *mt = multi_of(tx);

	give_both(mt->base.lane, permit->cookie);
	wake_if_any(mt);
}

/* ---- alloc, commit ------------------------------------------------------------- */

static void
multi_alloc(struct weir_tx *tx, const struct weir_permit *permit, uint32_t len,
	    struct weir_slot *slot)
{
	struct mem_multi *mt = multi_of(tx);
	struct mem_lane *lane = mt->base.lane;
	uint32_t token = (uint16_t)permit->cookie, cell = permit->cookie >> 16;

	/* A small message fits its token; the large cell goes back. */
	if (cell != token && class_for(lane, len) == MEM_SMALL) {
		give(lane, cell);
		wake_if_any(mt);
		cell = token;
	}
	set_phase(lane, cell, CELL_SLOT);
	slot->cookie = (uintptr_t)cell << 16 | token;
	slot->data = cell_data(lane, cell);
}

static void
multi_commit(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct mem_multi *mt = multi_of(tx);
	struct mem_lane *lane = mt->base.lane;
	uint64_t seq = atomic_fetch_add(&lane->seq, 1);
	struct mem_mark *mark = &lane->marks[seq & (lane->credits - 1)];

	atomic_fetch_add_explicit(&lane->payload_bytes, slot->len,
				  memory_order_relaxed);
	mark->cell = (uint32_t)(slot->cookie >> 16);
	mark->token = (uint16_t)slot->cookie;
	set_phase(lane, mark->cell, CELL_OUT);
	if (mark->token != mark->cell)
		set_phase(lane, mark->token, CELL_OUT);
	/* Release: publishes the mark and the cell. Pairs with
	 * next_is_there(). */
	atomic_store_explicit(&mark->word, (seq + 1) << 32 | slot->len,
			      memory_order_release);
	if (weir_doorbell_wanted(&lane->rx_sleeping, lane->fence)) {
		weir_doorbell_ring(lane->rx_fd);
		count(&mt->doorbells);
	}
}

static void
multi_discard(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct mem_multi *mt = multi_of(tx);

	set_phase(mt->base.lane, (uint32_t)(slot->cookie >> 16), CELL_IDLE);
	give_both(mt->base.lane, (uint32_t)slot->cookie);
	count(&mt->discarded);
	wake_if_any(mt);
}

static void
multi_flush(struct weir_tx *tx)
{
	(void)tx; /* commit has published already */
}

/* ---- receive ------------------------------------------------------------------- */

static inline bool
next_is_there(const struct mem_lane *lane, uint32_t head, uint64_t *word)
{
	/* Acquire: pairs with multi_commit(). */
	*word = atomic_load_explicit(
		&lane->marks[head & (lane->credits - 1)].word,
		memory_order_acquire);
	return (uint32_t)(*word >> 32) == head + 1;
}

/* @return 0: a message came just now, or nothing yet. */
static int
multi_recv_empty(struct mem_rx *mr)
{
	uint32_t end =
		atomic_load_explicit(&mr->lane->tx_end, memory_order_acquire);
	uint64_t word;

	/* The mark of the end first: all messages are there if it is set. */
	if (end == MEM_END_OPEN || next_is_there(mr->lane, mr->head, &word))
		return 0;
	return end == MEM_END_CLOSED ? WEIR_EOF : -ECONNRESET;
}

static int
multi_recv(struct weir_rx *rx, struct weir_msg *msgs, uint16_t n)
{
	struct mem_rx *mr = WEIR_CONTAINER_OF(rx, struct mem_rx, rx);
	struct mem_lane *lane = mr->lane;
	uint64_t word;
	uint16_t got;

	if (mr->armed) {
		mr->armed = false;
		weir_doorbell_disarm(&lane->rx_sleeping);
		weir_doorbell_drain(lane->rx_fd);
	}
	for (got = 0; got < n && next_is_there(lane, mr->head, &word); got++) {
		const struct mem_mark *mark =
			&lane->marks[mr->head++ & (lane->credits - 1)];

		msgs[got].data = cell_data(lane, mark->cell);
		msgs[got].len = (uint32_t)word;
		msgs[got].cookie = (uintptr_t)mark->cell << 16 | mark->token;
		msgs[got].store = &lane->store;
		mr->counters.payload_bytes += (uint32_t)word;
	}
	mr->counters.messages += got;
	return got != 0 || n == 0 ? got : multi_recv_empty(mr);
}

static int
multi_rx_arm(struct weir_rx *rx)
{
	struct mem_rx *mr = WEIR_CONTAINER_OF(rx, struct mem_rx, rx);
	uint64_t word;

	mr->armed = true;
	weir_doorbell_arm(&mr->lane->rx_sleeping);
	return multi_recv_empty(mr) == 0 &&
	       !next_is_there(mr->lane, mr->head, &word);
}

/* Any thread; the half may be gone. */
static void
multi_release(struct weir_store *store, const struct weir_msg *msg)
{
	struct mem_lane *lane =
		WEIR_CONTAINER_OF(store, struct mem_lane, store);

	/* It stays out until it is free: see is_quiet(). */
	give_both(lane, (uint32_t)msg->cookie);
	if (weir_doorbell_wanted(&lane->tx_sleeping, lane->fence))
		weir_doorbell_ring(lane->tx_fd);
	weir_mem_released(lane);
}

/* ---- not on the data path ------------------------------------------------------ */

/* Who has the cells of a class. */
struct use {
	uint32_t taken; /* not free */
	uint32_t slots; /* of these, open */
	uint32_t outstanding;
};

static struct use
use_of(const struct mem_lane *lane, enum mem_class class)
{
	uint32_t first = class == MEM_SMALL ? 0 : weir_mem_large_first(lane);
	uint32_t total = class == MEM_SMALL ? lane->credits : lane->large_count;
	struct use use = { 0 };

	/* The bit first: a release under way looks taken, and out. */
	for (uint32_t cell = first; cell < first + total; cell++) {
		bool unused = atomic_load(&lane->returned[cell / WORD_BITS]) >>
				      cell % WORD_BITS &
			      1;
		uint64_t phase = atomic_load(&lane->state[cell]);

		use.taken += !unused;
		use.slots += !unused && phase == CELL_SLOT;
		use.outstanding += !unused && phase == CELL_OUT;
	}
	return use;
}

/* Has every commit that has a number come to its end? */
static bool
all_published(const struct mem_lane *lane)
{
	uint64_t seq = atomic_load(&lane->seq), word;

	for (uint64_t i = seq > lane->credits ? seq - lane->credits : 0;
	     i < seq; i++)
		if (!next_is_there(lane, (uint32_t)i, &word))
			return false;
	return true;
}

/*
 * Does nobody hold a permit or slot, and is nobody inside commit? Whatever is
 * held has a token, and that of a message is out until it is free. A thread that
 * takes one now finds the half stopped and gives it back: until then it may look
 * as if it was out, which it was last, or like a permit: look again then.
 */
static bool
is_quiet(const struct mem_lane *lane)
{
	struct use tokens = use_of(lane, MEM_SMALL);

	return tokens.taken == tokens.outstanding && all_published(lane);
}

/* Under life. */
static int
close_now(struct mem_multi *mt)
{
	struct mem_lane *lane = mt->base.lane;
	bool quiet;

	if (atomic_load(&mt->stop) & MEM_STOP_CLOSED)
		return -EALREADY;
	if (atomic_load(&lane->rx_end) != MEM_END_OPEN)
		return -ECONNRESET;
	atomic_fetch_or(&mt->stop, MEM_STOP_CLOSING);
	weir_doorbell_barrier();
	for (int i = 0; !(quiet = is_quiet(lane)) && i < QUIET_LOOKS; i++)
		sched_yield();
	if (quiet) {
		atomic_fetch_or(&mt->stop, MEM_STOP_CLOSED);
		weir_mem_end(&lane->tx_end, MEM_END_CLOSED, lane,
			     &lane->rx_sleeping, lane->rx_fd);
	}
	atomic_fetch_and(&mt->stop, ~(uint32_t)MEM_STOP_CLOSING);
	return quiet ? 0 : -EBUSY;
}

static int
multi_close(struct weir_tx *tx)
{
	struct mem_multi *mt = multi_of(tx);
	int rc = progress(mt);

	if (rc == 0) {
		rc = weir_mem_pair_close_early(mt->base.pair, mt->base.side);
		if (rc == 0) {
			atomic_fetch_or(&mt->stop, MEM_STOP_CLOSED);
			return 0;
		}
		if (rc == 1)
			rc = progress(mt); /* it came up meanwhile */
	}
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&mt->life);
	rc = close_now(mt);
	pthread_mutex_unlock(&mt->life);
	wake_all(mt);
	return rc;
}

static uint32_t
multi_capacity(struct weir_tx *tx, uint32_t size)
{
	struct mem_multi *mt = multi_of(tx);
	const struct mem_lane *lane;

	if (progress(mt) != 1)
		return 0;
	lane = mt->base.lane;
	if (class_for(lane, size) == MEM_SMALL)
		return lane->credits;
	return lane->large_count < lane->credits ? lane->large_count
						 : lane->credits;
}

static int
multi_fd(struct weir_tx *tx)
{
	return multi_of(tx)->base.fd;
}

static int
multi_arm(struct weir_tx *tx, uint32_t size)
{
	struct mem_multi *mt = multi_of(tx);
	enum mem_class class;
	bool listed;

	if (progress(mt) != 1)
		return 0; /* nothing wakes us before the link is up */
	class = class_for(mt->base.lane, size);
	pthread_mutex_lock(&mt->life);
	listed = weir_sleepers_add(&mt->sleepers, 1u << class);
	weir_doorbell_arm(&mt->base.lane->tx_sleeping);
	pthread_mutex_unlock(&mt->life);
	return listed && (room(mt->base.lane) & 1u << class) == 0 &&
	       atomic_load(&mt->stop) == 0 &&
	       atomic_load(&mt->base.lane->rx_end) == MEM_END_OPEN;
}

static void
multi_wake(struct weir_tx *tx)
{
	weir_doorbell_ring(multi_of(tx)->base.fd);
}

static uint32_t
least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void
class_stats(const struct mem_lane *lane, enum mem_class class,
	    const struct use *use, struct weir_class_stats *stats)
{
	bool small = class == MEM_SMALL;

	*stats = (struct weir_class_stats){
		.size = small ? lane->small_size : lane->large_size,
		.total = small ? lane->credits : lane->large_count,
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
count_waits(const struct mem_multi *mt, struct weir_tx_stats *stats)
{
	stats->reserve_wait_down = atomic_load(&mt->wait_down);
	stats->reserve_wait_credit = atomic_load(&mt->wait_credit);
	stats->reserve_wait_small = atomic_load(&mt->wait_small);
	stats->reserve_wait_large = atomic_load(&mt->wait_large);
	stats->reserve_waits =
		stats->reserve_wait_down + stats->reserve_wait_credit +
		stats->reserve_wait_small + stats->reserve_wait_large;
}

static void
multi_stats(struct weir_tx *tx, struct weir_tx_stats *stats)
{
	struct mem_multi *mt = multi_of(tx);
	const struct mem_lane *lane;
	struct use use, large;
	uint32_t used;

	count_waits(mt, stats);
	stats->discarded = atomic_load(&mt->discarded);
	stats->doorbells = atomic_load(&mt->doorbells);
	if (progress(mt) != 1)
		return;
	lane = mt->base.lane;
	stats->messages = atomic_load(&lane->seq);
	stats->payload_bytes = atomic_load(&lane->payload_bytes);
	stats->capacity = lane->credits;
	stats->class_count = lane->large_count != 0 ? 2 : 1;
	use = use_of(lane, MEM_SMALL);
	large = use_of(lane, MEM_LARGE);
	/* Tokens of large ones count there. */
	use.taken -= least(large.taken, use.taken);
	use.outstanding -= least(large.outstanding, use.outstanding);
	class_stats(lane, MEM_SMALL, &use, &stats->classes[MEM_SMALL]);
	class_stats(lane, MEM_LARGE, &large, &stats->classes[MEM_LARGE]);
	for (int c = 0; c < MEM_CLASSES; c++) {
		stats->permitted += stats->classes[c].pledged;
		stats->allocated += stats->classes[c].allocated;
		stats->outstanding += stats->classes[c].outstanding;
	}
	used = stats->permitted + stats->allocated + stats->outstanding;
	stats->free = used < stats->capacity ? stats->capacity - used : 0;
}

static void
multi_destroy(struct weir_tx *tx)
{
	struct mem_multi *mt = multi_of(tx);
	struct mem_lane *lane = mt->base.lane;

	if (lane == NULL)
		lane = weir_mem_pair_leave(mt->base.pair, mt->base.side);
	if (lane != NULL) {
		if ((atomic_load(&mt->stop) & MEM_STOP_CLOSED) == 0)
			weir_mem_end(&lane->tx_end, MEM_END_ABORTED, lane,
				     &lane->rx_sleeping, lane->rx_fd);
		weir_mem_lane_unref(lane);
	}
	weir_mem_pair_unref(mt->base.pair);
	pthread_mutex_destroy(&mt->life);
}

/* ---- set-up -------------------------------------------------------------------- */

static const struct weir_tx_ops multi_tx_ops = {
	.reserve = multi_reserve,
	.drop = multi_drop,
	.alloc = multi_alloc,
	.commit = multi_commit,
	.discard = multi_discard,
	.flush = multi_flush,
	.close = multi_close,
	.capacity = multi_capacity,
	.fd = multi_fd,
	.arm = multi_arm,
	.wake = multi_wake,
	.stats = multi_stats,
	.destroy = multi_destroy,
};

const struct weir_rx_ops weir_mem_multi_rx_ops = {
	.recv = multi_recv,
	.fd = weir_mem_rx_fd,
	.arm = multi_rx_arm,
	.wake = weir_mem_rx_wake,
	.stats = weir_mem_rx_stats,
	.destroy = weir_mem_rx_destroy,
};

void
weir_mem_multi_init(struct mem_tx *base)
{
	struct mem_multi *mt = multi_of(&base->tx);

	atomic_init(&mt->stop, MEM_STOP_DOWN);
	pthread_mutex_init(&mt->life, NULL);
	mt->base.tx.ops = &multi_tx_ops;
}

void
weir_mem_multi_lane_init(struct mem_lane *lane)
{
	uint32_t large = weir_mem_large_first(lane);

	for (uint32_t cell = 0; cell < lane->credits; cell++)
		give(lane, cell);
	for (uint32_t i = 0; i < lane->large_count; i++)
		give(lane, large + i);
	lane->store.release = multi_release;
}
