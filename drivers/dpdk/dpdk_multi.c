/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads on the send half of a dpdk link; drawn in dpdk_multi.h. As
 * in dpdk_half.c nothing here touches the device, a mempool or the connection.
 */

#include "dpdk_counters.h"
#include "dpdk_multi.h"
#include "dpdk_poison.h"
#include "dpdk_port.h"
#include "doorbell.h"

#include <sched.h>

#include <rte_mbuf.h>

/* At a half that is being closed: how often to look for quiet. */
#define QUIET_LOOKS 64

enum place_class {
	PLACE_SMALL,
	PLACE_LARGE,
};

static inline struct dpdk_tx *
tx_of(struct weir_tx *tx)
{
	return WEIR_CONTAINER_OF(tx, struct dpdk_tx, tx);
}

static inline uint32_t
min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline int
tx_ended(const struct dpdk_tx *dt)
{
	return atomic_load(&dt->flow->tx_end);
}

static inline void
count_wait(struct dpdk_tx *dt, enum dpdk_wait why)
{
	__atomic_fetch_add(&dt->flow->tx_waits[why], 1, __ATOMIC_RELAXED);
}

/* ---- places -------------------------------------------------------------- */

static inline enum place_class
class_for(const struct dpdk_tx *dt, uint32_t size)
{
	return size <= dt->frag_size ? PLACE_SMALL : PLACE_LARGE;
}

static inline uint32_t
bit_of(const struct dpdk_tx *dt, uint32_t index)
{
	return index < dt->small_total
		       ? index
		       : index - dt->small_total + dt->flow->multi->large_first;
}

static inline uint32_t
index_of(const struct dpdk_tx *dt, uint32_t bit)
{
	uint32_t first = dt->flow->multi->large_first;

	return bit < first ? bit : bit - first + dt->small_total;
}

static inline void
set_phase(struct dpdk_tx *dt, uint32_t index, enum dpdk_place_phase phase)
{
	__atomic_store_n(&dt->flow->places[index].phase, (uint8_t)phase,
			 __ATOMIC_RELAXED);
}

static inline void
give_place(struct dpdk_tx *dt, uint32_t bit)
{
	weir_claim_give(&dt->flow->multi->map[bit / WEIR_CLAIM_WORD],
			UINT64_C(1) << bit % WEIR_CLAIM_WORD);
}

static uint32_t
class_words(const struct dpdk_tx *dt, enum place_class class, uint32_t *first)
{
	uint32_t small = dt->flow->multi->large_first / WEIR_CLAIM_WORD;

	*first = class == PLACE_SMALL ? 0 : small;
	if (class == PLACE_SMALL)
		return small;
	return (dt->flow->large_count + WEIR_CLAIM_WORD - 1) / WEIR_CLAIM_WORD;
}

/* The bits go into the cookies, which are 0. @return how many. */
static uint32_t
claim_places(struct dpdk_tx *dt, enum place_class class,
	     struct weir_permit *permits, uint32_t n)
{
	uint32_t first, words = class_words(dt, class, &first);

	if (words == 0)
		return 0;
	return weir_claim_many(dt->flow->multi->map, first, words, 0,
			       WEIR_CLAIM_TOKEN, permits, n);
}

static bool
has_place(const struct dpdk_tx *dt, enum place_class class)
{
	uint32_t first, words = class_words(dt, class, &first);

	for (uint32_t w = first; w < first + words; w++)
		if (atomic_load(&dt->flow->multi->map[w]) != 0)
			return true;
	return false;
}

/* Everything that came back, into the map. */
static void
collect_all(struct dpdk_tx *dt)
{
	struct dpdk_flow *flow = dt->flow;
	uint32_t count = weir_spsc_ready(&flow->back_q);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t index =
			flow->back[weir_spsc_head(&flow->back_q, i)].index;

		set_phase(dt, index, DPDK_PLACE_IDLE);
		give_place(dt, bit_of(dt, index));
	}
	weir_spsc_pop(&flow->back_q, count);
	__atomic_store_n(&dt->harvested, dt->harvested + count,
			 __ATOMIC_RELAXED);
}

/* Take back the places of acknowledged messages.
 * @return false: another thread is at it. */
static inline bool
collect(struct dpdk_tx *dt)
{
	struct dpdk_multi *m = dt->flow->multi;
	struct weir_spsc *q = &dt->flow->back_q;

	if (atomic_load_explicit(&q->tail, memory_order_relaxed) ==
	    atomic_load_explicit(&q->head, memory_order_relaxed))
		return true;
	if (atomic_exchange(&m->collecting, 1) != 0)
		return false;
	collect_all(dt);
	/* Release: the ring's head is the next one's. */
	atomic_store(&m->collecting, 0);
	return true;
}

/* ---- credits ------------------------------------------------------------- */

/* Who took them saw a limit before, so we see that one or a later one: it is
 * read after `taken`. */
static inline uint32_t
credits(const struct dpdk_tx *dt, uint32_t taken)
{
	return atomic_load(&dt->flow->tx_limit) - taken;
}

static uint32_t
take_credits(struct dpdk_tx *dt, uint32_t n)
{
	struct dpdk_multi *m = dt->flow->multi;
	uint32_t got, taken = atomic_load(&m->taken);

	do {
		got = min_u32(n, credits(dt, taken));
		if (got == 0)
			return 0;
	} while (!atomic_compare_exchange_weak(&m->taken, &taken, taken + got));
	return got;
}

/* Bit c: a permit of class c may be had. */
static uint32_t
room(const struct dpdk_tx *dt)
{
	if (credits(dt, atomic_load(&dt->flow->multi->taken)) == 0)
		return 0;
	return (uint32_t)has_place(dt, PLACE_SMALL) << PLACE_SMALL |
	       (uint32_t)has_place(dt, PLACE_LARGE) << PLACE_LARGE;
}

/* ---- sleeping ------------------------------------------------------------ */

static void
wake_all(struct dpdk_tx *dt)
{
	if (atomic_load(&dt->flow->multi->sleepers.wants) != 0)
		weir_dpdk_half_wake(&dt->flow->tx_fd);
}

/* After giving: wake who sleeps, if one finds what it waits for. */
static inline void
wake_if_any(struct dpdk_tx *dt)
{
	uint32_t wants = atomic_load(&dt->flow->multi->sleepers.wants);

	if (__builtin_expect(wants != 0, 0) &&
	    ((room(dt) & wants) != 0 ||
	     __atomic_load_n(&dt->tx.cancel, __ATOMIC_RELAXED) != 0))
		weir_dpdk_half_wake(&dt->flow->tx_fd);
}

/* @return true: the calling thread had armed, and what woke it is drained. */
static bool
awake(struct dpdk_tx *dt)
{
	struct dpdk_multi *m = dt->flow->multi;
	bool slept;

	pthread_mutex_lock(&m->life);
	slept = weir_sleepers_remove(&m->sleepers);
	if (slept && m->sleepers.count == 0)
		weir_doorbell_disarm(&dt->flow->tx_sleeping);
	if (slept)
		weir_doorbell_drain(atomic_load_explicit(&dt->flow->tx_fd,
							 memory_order_relaxed));
	pthread_mutex_unlock(&m->life);
	return slept;
}

/* ---- coming up ----------------------------------------------------------- */

/* Under life. */
static void
begin_now(struct dpdk_tx *dt)
{
	struct dpdk_flow *flow = dt->flow;
	struct dpdk_multi *m = flow->multi;

	dt->frag_size = flow->frag_size;
	dt->small_total = flow->tx_capacity;
	m->large_first = (dt->small_total + WEIR_CLAIM_WORD - 1) &
			 ~(WEIR_CLAIM_WORD - 1);
	if (dt->tx.msg_size_max > flow->msg_size_max)
		__atomic_store_n(&dt->tx.msg_size_max, flow->msg_size_max,
				 __ATOMIC_RELAXED);
	/* Release: who finds it clear finds all that. */
	atomic_fetch_and(&m->stop, ~(uint32_t)DPDK_STOP_DOWN);
}

bool
weir_dpdk_multi_begin(struct dpdk_tx *dt)
{
	struct dpdk_multi *m = dt->flow->multi;

	if ((atomic_load(&m->stop) & DPDK_STOP_DOWN) == 0)
		return true;
	/* Acquire: pairs with weir_dpdk_flow_up(). */
	if (!atomic_load_explicit(&dt->flow->up, memory_order_acquire))
		return false;
	pthread_mutex_lock(&m->life);
	if (atomic_load(&m->stop) & DPDK_STOP_DOWN)
		begin_now(dt);
	pthread_mutex_unlock(&m->life);
	return true;
}

/* ---- reserve ------------------------------------------------------------- */

/* Is there anything to say but how much room there is?
 * @return 1 no; 0 nothing can be granted now; negative. */
static int
trouble(struct dpdk_tx *dt, uint32_t size)
{
	struct dpdk_multi *m = dt->flow->multi;
	int end = tx_ended(dt);

	if (atomic_load(&m->stop) & DPDK_STOP_CLOSED)
		return -EPIPE;
	if (end != 0)
		return end;
	/* Over a limit that was learnt just now: the next call says so. */
	if (!weir_dpdk_multi_begin(dt) ||
	    size > __atomic_load_n(&dt->tx.msg_size_max, __ATOMIC_RELAXED)) {
		count_wait(dt, DPDK_WAIT_DOWN);
		return 0;
	}
	return (atomic_load(&m->stop) & DPDK_STOP_CLOSING) == 0;
}

static void
refund(struct dpdk_tx *dt, uint32_t n)
{
	atomic_fetch_sub(&dt->flow->multi->taken, n);
	wake_if_any(dt);
}

static uint32_t
grant(struct dpdk_tx *dt, enum place_class class, struct weir_permit *permits,
      uint32_t n)
{
	uint32_t got;

	(void)collect(dt);
	n = take_credits(dt, n);
	for (uint32_t i = 0; i < n; i++)
		permits[i].cookie = 0;
	got = n != 0 ? claim_places(dt, class, permits, n) : 0;
	if (__builtin_expect(got != n, 0))
		refund(dt, n - got);
	return got;
}

/* A thread that closes the half raises its flag and counts credits then. We
 * take credits first and look for the flag then. */
static uint32_t
grant_unless_stopped(struct dpdk_tx *dt, enum place_class class,
		     struct weir_permit *permits, uint32_t n)
{
	uint32_t got = grant(dt, class, permits, n);

	if (__builtin_expect(atomic_load(&dt->flow->multi->stop) == 0, 1))
		return got;
	for (uint32_t i = 0; i < got; i++)
		give_place(dt, (uint32_t)permits[i].cookie);
	if (got != 0)
		refund(dt, got);
	return 0;
}

/* The smaller of two limits let nobody in: whose was it? */
static void
count_no_room(struct dpdk_tx *dt, enum place_class class)
{
	uint32_t acked =
		(uint32_t)__atomic_load_n(&dt->harvested, __ATOMIC_RELAXED) -
		dt->small_total - dt->flow->large_count;
	uint32_t queued = atomic_load(&dt->flow->multi->taken) - acked;

	if (!has_place(dt, class))
		count_wait(dt, class == PLACE_SMALL ? DPDK_WAIT_SMALL
						    : DPDK_WAIT_LARGE);
	else if (queued >= dt->flow->config.tx_credits)
		count_wait(dt, DPDK_WAIT_QUEUE);
	else
		count_wait(dt, DPDK_WAIT_CREDIT);
}

static __attribute__((noinline)) int
reserve_slowly(struct dpdk_tx *dt, uint32_t size, struct weir_permit *permits,
	       uint32_t n)
{
	bool slept = atomic_load(&dt->flow->multi->sleepers.wants) != 0 &&
		     awake(dt);
	int rc = trouble(dt, size);

	if (rc < 0)
		wake_all(dt);
	if (rc == 1) {
		enum place_class class = class_for(dt, size);

		rc = (int)grant_unless_stopped(dt, class, permits, n);
		if (rc == 0 && n != 0)
			count_no_room(dt, class);
	}
	if (slept && rc >= 0)
		wake_if_any(dt); /* we drained what was meant for all */
	return rc;
}

static int
multi_reserve(struct weir_tx *tx, uint32_t size, struct weir_permit *permits,
	      uint16_t n)
{
	struct dpdk_tx *dt = tx_of(tx);
	uint32_t got;

	/* Stop first: sizes are settled when it is 0. */
	if (__builtin_expect(atomic_load(&dt->flow->multi->stop) != 0, 0) ||
	    __builtin_expect(tx_ended(dt) != 0, 0) ||
	    __builtin_expect(size > tx->msg_size_max, 0) ||
	    __builtin_expect(atomic_load(&dt->flow->multi->sleepers.wants) != 0,
			     0))
		return reserve_slowly(dt, size, permits, n);
	got = grant_unless_stopped(dt, class_for(dt, size), permits, n);
	if (__builtin_expect(got == 0, 0))
		return reserve_slowly(dt, size, permits, n);
	return (int)got;
}

static void
multi_drop(struct weir_tx *tx, const struct weir_permit *permit)
{
	struct dpdk_tx *dt = tx_of(tx);

	give_place(dt, (uint32_t)permit->cookie);
	refund(dt, 1);
}

/* ---- alloc, commit ------------------------------------------------------- */

/* A small message of a large permit: a small place if there is one. */
static uint32_t
exchange_large(struct dpdk_tx *dt, uint32_t large_bit)
{
	struct weir_permit small = { 0 };

	if (claim_places(dt, PLACE_SMALL, &small, 1) == 0)
		return large_bit;
	give_place(dt, large_bit);
	wake_if_any(dt);
	return (uint32_t)small.cookie;
}

static void
multi_alloc(struct weir_tx *tx, const struct weir_permit *permit, uint32_t len,
	    struct weir_slot *slot)
{
	struct dpdk_tx *dt = tx_of(tx);
	uint32_t index, bit = (uint32_t)permit->cookie;

	if (__builtin_expect(bit >= dt->flow->multi->large_first, 0) &&
	    len <= dt->frag_size)
		bit = exchange_large(dt, bit);
	index = index_of(dt, bit);
	set_phase(dt, index, DPDK_PLACE_SLOT);
	slot->data = dt->flow->places[index].data;
	slot->cookie = index;
	dpdk_unpoison(slot->data, len);
}

/* Move the tail over all entries that are stamped. */
static void
publish(struct dpdk_flow *flow)
{
	const _Atomic uint32_t *stamps = flow->multi->stamps;
	uint32_t mask = flow->commit_q.producer_mask;
	uint32_t tail = atomic_load(&flow->commit_q.tail);

	for (;;) {
		uint32_t end = tail;

		/* Acquire: the entry was written. */
		while (atomic_load(&stamps[end & mask]) == end + 1)
			end++;
		if (end == tail)
			return;
		/* Release: all of them; pairs with weir_spsc_ready(). */
		if (atomic_compare_exchange_strong(&flow->commit_q.tail, &tail,
						   end))
			tail = end;
	}
}

/* There is room: the ring has more entries than there are places. */
static inline void
put_entry(struct dpdk_flow *flow, uint32_t number, struct dpdk_commit entry)
{
	uint32_t at = number & flow->commit_q.producer_mask;

	flow->commit[at] = entry;
	atomic_store(&flow->multi->stamps[at], number + 1);
	publish(flow);
	dpdk_flow_news(flow);
}

static void
multi_commit(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct dpdk_tx *dt = tx_of(tx);
	struct dpdk_flow *flow = dt->flow;
	uint32_t index = (uint32_t)slot->cookie;

	/* Headers go in front of it, a trailer perhaps behind it. */
	if (index < dt->small_total)
		dpdk_unpoison_room(flow->places[index].mbuf);
	set_phase(dt, index, DPDK_PLACE_OUT);
	__atomic_fetch_add(&dt->payload_bytes, slot->len, __ATOMIC_RELAXED);
	put_entry(flow,
		  (uint32_t)__atomic_fetch_add(&dt->messages, 1,
					       __ATOMIC_SEQ_CST),
		  (struct dpdk_commit){ index, slot->len });
}

static void
multi_discard(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct dpdk_tx *dt = tx_of(tx);
	uint32_t index = (uint32_t)slot->cookie;
	struct dpdk_place *place = &dt->flow->places[index];
	uint8_t *data = slot->data;

	if (__builtin_expect(place->wrapped, 0)) {
		rte_pktmbuf_free(weir_dpdk_place_unwrap(dt->flow, place));
		data = place->data;
	}
	dpdk_poison(data, slot->len);
	set_phase(dt, index, DPDK_PLACE_IDLE);
	__atomic_fetch_add(&dt->discarded, 1, __ATOMIC_RELAXED);
	give_place(dt, bit_of(dt, index));
	refund(dt, 1);
}

static void
multi_flush(struct weir_tx *tx)
{
	if (weir_port_is_owner(tx->port))
		weir_dpdk_flush(dpdk_port_of(tx->port), tx_of(tx)->flow);
}

/* ---- not on the data path ------------------------------------------------ */

static uint64_t
commits(const struct dpdk_tx *dt)
{
	return __atomic_load_n(&dt->messages, __ATOMIC_SEQ_CST);
}

/*
 * Does nobody hold a permit or slot? Stopped: credits that are taken now go
 * back, and none of them is committed. Credits first, commits second: if they
 * are as many, each credit belongs to a commit, and it stays like that.
 */
static bool
is_quiet(const struct dpdk_tx *dt)
{
	uint32_t taken = atomic_load(&dt->flow->multi->taken);

	return taken == (uint32_t)commits(dt);
}

/* Under life. A commit under way has its number: the last word comes after. */
static int
close_now(struct dpdk_tx *dt)
{
	struct dpdk_multi *m = dt->flow->multi;
	int end = tx_ended(dt);
	bool quiet;

	if (atomic_load(&m->stop) & DPDK_STOP_CLOSED)
		return -EALREADY;
	if (end != 0)
		return end;
	atomic_fetch_or(&m->stop, DPDK_STOP_CLOSING);
	for (int i = 0; !(quiet = is_quiet(dt)) && i < QUIET_LOOKS; i++)
		sched_yield();
	if (quiet) {
		atomic_fetch_or(&m->stop, DPDK_STOP_CLOSED);
		put_entry(dt->flow, (uint32_t)commits(dt),
			  (struct dpdk_commit){ DPDK_COMMIT_CLOSE, 0 });
	}
	atomic_fetch_and(&m->stop, ~(uint32_t)DPDK_STOP_CLOSING);
	return quiet ? 0 : -EBUSY;
}

static int
multi_close(struct weir_tx *tx)
{
	struct dpdk_tx *dt = tx_of(tx);
	int rc;

	pthread_mutex_lock(&dt->flow->multi->life);
	rc = close_now(dt);
	pthread_mutex_unlock(&dt->flow->multi->life);
	wake_all(dt);
	return rc;
}

static uint32_t
multi_capacity(struct weir_tx *tx, uint32_t size)
{
	struct dpdk_tx *dt = tx_of(tx);

	if (!weir_dpdk_multi_begin(dt))
		return 0;
	if (class_for(dt, size) == PLACE_SMALL)
		return dt->small_total;
	return min_u32(dt->small_total, dt->flow->large_count);
}

static int
multi_fd(struct weir_tx *tx)
{
	struct dpdk_flow *flow = tx_of(tx)->flow;
	int fd;

	pthread_mutex_lock(&flow->multi->life);
	fd = weir_dpdk_half_fd(&flow->tx_fd);
	pthread_mutex_unlock(&flow->multi->life);
	return fd;
}

static int
multi_arm(struct weir_tx *tx, uint32_t size)
{
	struct dpdk_tx *dt = tx_of(tx);
	struct dpdk_multi *m = dt->flow->multi;
	enum place_class class;
	bool listed;

	if (multi_fd(tx) < 0)
		return 0; /* cannot sleep: try again */
	class = weir_dpdk_multi_begin(dt) ? class_for(dt, size) : PLACE_SMALL;
	pthread_mutex_lock(&m->life);
	listed = weir_sleepers_add(&m->sleepers, 1u << class);
	weir_doorbell_arm(&dt->flow->tx_sleeping);
	pthread_mutex_unlock(&m->life);
	if (!listed || tx_ended(dt) != 0)
		return 0; /* reserve says what there is */
	if (atomic_load(&m->stop) == DPDK_STOP_DOWN)
		return !weir_dpdk_multi_begin(dt);
	return collect(dt) && (room(dt) & 1u << class) == 0 &&
	       atomic_load(&m->stop) == 0;
}

static void
multi_wake(struct weir_tx *tx)
{
	weir_dpdk_half_wake(&tx_of(tx)->flow->tx_fd);
}

static void
multi_destroy(struct weir_tx *tx)
{
	struct dpdk_tx *dt = tx_of(tx);
	struct dpdk_flow *flow = dt->flow;

	if ((atomic_load(&flow->multi->stop) & DPDK_STOP_CLOSED) == 0)
		put_entry(flow, (uint32_t)commits(dt),
			  (struct dpdk_commit){ DPDK_COMMIT_ABORT, 0 });
	pthread_mutex_destroy(&flow->multi->life);
	/* Release: the port takes over what this half had. */
	atomic_fetch_or_explicit(&flow->gone, DPDK_GONE_TX,
				 memory_order_release);
	dpdk_flow_news(flow);
	weir_dpdk_flow_put(flow);
}

/* ---- statistics ---------------------------------------------------------- */

/* One class, by what its places are at. Other threads may be at work. */
static void
class_stats(const struct dpdk_tx *dt, uint32_t from, uint32_t total,
	    struct weir_class_stats *stats)
{
	stats->total = total;
	for (uint32_t index = from; index < from + total; index++) {
		uint32_t bit = bit_of(dt, index);
		/* The bit first: what is given back is still out by then. */
		uint64_t word = atomic_load(
			&dt->flow->multi->map[bit / WEIR_CLAIM_WORD]);
		uint8_t phase = __atomic_load_n(&dt->flow->places[index].phase,
						__ATOMIC_RELAXED);

		if (word >> bit % WEIR_CLAIM_WORD & 1)
			stats->free++;
		else if (phase == DPDK_PLACE_SLOT)
			stats->allocated++;
		else if (phase == DPDK_PLACE_OUT)
			stats->outstanding++;
		else
			stats->pledged++;
	}
}

static void
room_stats(struct dpdk_tx *dt, struct weir_tx_stats *stats)
{
	uint32_t taken = atomic_load(&dt->flow->multi->taken), out;

	stats->capacity = dt->small_total;
	stats->free = credits(dt, taken);
	stats->class_count = dt->flow->large_count != 0 ? 2 : 1;
	stats->classes[0].size = dt->frag_size;
	if (stats->class_count == 2)
		stats->classes[1].size = dt->tx.msg_size_max;
	class_stats(dt, 0, dt->small_total, &stats->classes[0]);
	class_stats(dt, dt->small_total, dt->flow->large_count,
		    &stats->classes[1]);
	stats->allocated =
		stats->classes[0].allocated + stats->classes[1].allocated;
	out = taken - (uint32_t)stats->messages;
	stats->permitted = out > stats->allocated ? out - stats->allocated : 0;
	/* What was committed, less what the limit has grown since. */
	stats->outstanding = stats->capacity - stats->free - out;
}

static void
multi_stats(struct weir_tx *tx, struct weir_tx_stats *stats)
{
	struct dpdk_tx *dt = tx_of(tx);
	struct dpdk_flow *flow = dt->flow;

	stats->messages = commits(dt);
	stats->payload_bytes =
		__atomic_load_n(&dt->payload_bytes, __ATOMIC_RELAXED);
	stats->discarded = __atomic_load_n(&dt->discarded, __ATOMIC_RELAXED);
	weir_dpdk_count_waits(flow->tx_waits, stats);
	stats->copied_bytes =
		__atomic_load_n(&flow->tx_copied, __ATOMIC_RELAXED);
	stats->doorbells =
		__atomic_load_n(&flow->tx_doorbells, __ATOMIC_RELAXED);
	if (!weir_dpdk_multi_begin(dt))
		return;
	(void)collect(dt);
	room_stats(dt, stats);
}

/* ---- set-up -------------------------------------------------------------- */

const struct weir_tx_ops weir_dpdk_multi_ops = {
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

void
weir_dpdk_multi_init(struct dpdk_tx *dt)
{
	atomic_init(&dt->flow->multi->stop, DPDK_STOP_DOWN);
	pthread_mutex_init(&dt->flow->multi->life, NULL);
	dt->tx.ops = &weir_dpdk_multi_ops;
}
