/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The halves' side of a dpdk link: reserve, alloc, commit, recv, release.
 * Runs on the threads of the halves; nothing here touches the device, a
 * mempool or the connection. The rings are drawn in dpdk_flow.h.
 */

#include "dpdk_counters.h"
#include "dpdk_flow.h"
#include "dpdk_multi.h"
#include "dpdk_poison.h"
#include "dpdk_port.h"
#include "doorbell.h"
#include "retring.h"

#include <unistd.h>

static inline struct dpdk_tx *
dpdk_tx_of(struct weir_tx *tx)
{
	return WEIR_CONTAINER_OF(tx, struct dpdk_tx, tx);
}

static inline struct dpdk_rx *
dpdk_rx_of(struct weir_rx *rx)
{
	return WEIR_CONTAINER_OF(rx, struct dpdk_rx, rx);
}

/* ---- descriptors to sleep on ------------------------------------------- */

/* Made on first use; the flow closes it, since the port may ring late. */
int
weir_dpdk_half_fd(_Atomic int32_t *fd)
{
	int made = atomic_load_explicit(fd, memory_order_relaxed);

	if (made >= 0)
		return made;
	made = weir_doorbell_open();
	if (made >= 0)
		atomic_store_explicit(fd, made, memory_order_release);
	return made;
}

void
weir_dpdk_half_wake(_Atomic int32_t *fd)
{
	/* Sequential: after the store of the cancel flag, see
	 * weir_wait_sleep(). */
	int made = atomic_load_explicit(fd, memory_order_seq_cst);

	if (made >= 0)
		weir_doorbell_ring(made);
}

static void
half_disarm(_Atomic uint32_t *sleeping, _Atomic int32_t *fd)
{
	weir_doorbell_disarm(sleeping);
	weir_doorbell_drain(atomic_load_explicit(fd, memory_order_relaxed));
}

/* ---- send half ----------------------------------------------------------- */

/*
 * Take back the places of acknowledged messages. Always, not only when short:
 * the one that came back last is still in the cache.
 */
static inline void
tx_harvest(struct dpdk_tx *dt)
{
	struct dpdk_flow *flow = dt->flow;
	const uint32_t mask = flow->back_q.consumer_mask;
	const uint32_t count = weir_spsc_ready(&flow->back_q);
	const uint32_t at = weir_spsc_head(&flow->back_q, 0);
	uint32_t small = dt->small_count;

	if (count == 0)
		return;
	for (uint32_t i = 0; i < count; i++) {
		struct dpdk_free place = flow->back[(at + i) & mask];

		if (__builtin_expect(place.index < dt->small_total, 1)) {
			dt->small[small++] = place;
		} else {
			dt->large[dt->large_count++] = place;
			dt->large_harvested++;
		}
	}
	dt->small_count = small;
	weir_spsc_pop(&flow->back_q, count);
	dt->harvested += count;
}

/* The link has just come up, or not. @return false: not yet. */
static bool
tx_begin(struct dpdk_tx *dt)
{
	struct dpdk_flow *flow = dt->flow;

	/* Acquire: pairs with weir_dpdk_flow_up(). */
	if (!atomic_load_explicit(&flow->up, memory_order_acquire))
		return false;
	dt->frag_size = flow->frag_size;
	dt->small_total = flow->tx_capacity;
	if (dt->tx.msg_size_max > flow->msg_size_max)
		dt->tx.msg_size_max = flow->msg_size_max;
	dt->small = flow->tx_free;
	dt->large = flow->tx_free + dt->small_total;
	dt->up = true;
	return true;
}

void
weir_dpdk_tx_settle(struct weir_tx *tx)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);

	if (dt->flow->multi != NULL)
		weir_dpdk_multi_begin(dt);
	else if (!dt->up)
		tx_begin(dt);
}

/* Out of credits, as far as known: look again. */
static uint32_t
tx_credits(struct dpdk_tx *dt)
{
	/* Acquire: pairs with the port's store, after places came back. */
	dt->limit_seen =
		atomic_load_explicit(&dt->flow->tx_limit, memory_order_acquire);
	return dt->limit_seen - dt->committed - dt->out;
}

static inline uint32_t
min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Reserve found no room: for which reason? The port may read meanwhile. */
static void
tx_waited(struct dpdk_tx *dt, enum dpdk_wait why)
{
	uint64_t *count = &dt->flow->tx_waits[why];

	__atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
}

/* The smaller of two limits let nobody in: whose was it? */
static enum dpdk_wait
tx_limit_of(const struct dpdk_tx *dt)
{
	const struct dpdk_flow *flow = dt->flow;
	uint64_t acked = dt->harvested - dt->small_total - flow->large_count;
	uint64_t queued = dt->messages - acked;

	return queued + dt->out >= flow->config.tx_credits ? DPDK_WAIT_QUEUE
							   : DPDK_WAIT_CREDIT;
}

/* No room, @return 0. */
static __attribute__((noinline)) int
reserve_nothing(struct dpdk_tx *dt, bool large)
{
	if (large && dt->large_count == dt->large_pledged)
		tx_waited(dt, DPDK_WAIT_LARGE);
	else if (!large && dt->small_count == dt->small_pledged)
		tx_waited(dt, DPDK_WAIT_SMALL);
	else
		tx_waited(dt, tx_limit_of(dt));
	return 0;
}

static int
dpdk_reserve(struct weir_tx *tx, uint32_t size, struct weir_permit *permits,
	     uint16_t n)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);
	uint32_t count = n, credits;
	bool large;
	int32_t end;

	if (__builtin_expect(dt->armed, 0)) {
		dt->armed = false;
		half_disarm(&dt->flow->tx_sleeping, &dt->flow->tx_fd);
	}
	/* Relaxed: a lone fact, nothing else is read because of it. */
	end = atomic_load_explicit(&dt->flow->tx_end, memory_order_relaxed);
	if (__builtin_expect(end != 0, 0))
		return end;
	if (__builtin_expect(!dt->up, 0) &&
	    (!tx_begin(dt) || size > tx->msg_size_max)) {
		tx_waited(dt, DPDK_WAIT_DOWN);
		return 0;
	}
	tx_harvest(dt);
	large = size > dt->frag_size;
	count = min_u32(count, large ? dt->large_count - dt->large_pledged
				     : dt->small_count - dt->small_pledged);
	credits = dt->limit_seen - dt->committed - dt->out;
	if (__builtin_expect(credits < count, 0))
		credits = tx_credits(dt);
	count = min_u32(count, credits);
	if (count == 0)
		return n == 0 ? 0 : reserve_nothing(dt, large);
	for (uint32_t i = 0; i < count; i++)
		permits[i].cookie = large;
	if (large)
		dt->large_pledged += count;
	else
		dt->small_pledged += count;
	dt->out += count;
	return (int)count;
}

static inline void
tx_unpledge(struct dpdk_tx *dt, const struct weir_permit *permit)
{
	if (permit->cookie)
		dt->large_pledged--;
	else
		dt->small_pledged--;
}

static void
dpdk_drop(struct weir_tx *tx, const struct weir_permit *permit)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);

	tx_unpledge(dt, permit);
	dt->out--;
}

static void
dpdk_alloc(struct weir_tx *tx, const struct weir_permit *permit, uint32_t len,
	   struct weir_slot *slot)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);
	struct dpdk_free *place;

	/* The smallest class that fits; a pledge of the large one is kept only
	 * if every small place is promised to others. */
	tx_unpledge(dt, permit);
	if (len <= dt->frag_size &&
	    (!permit->cookie || dt->small_count > dt->small_pledged)) {
		place = &dt->small[--dt->small_count];
		dt->small_allocated++;
	} else {
		place = &dt->large[--dt->large_count];
		dt->large_allocated++;
	}
	slot->data = place->data;
	slot->cookie = place->index;
	dpdk_unpoison(place->data, len);
}

/* The places that were free last, as if all may lie in small ones. @return that
 * they may, as promised; else nothing is taken. */
static bool
small_places(const struct dpdk_tx *dt, const struct weir_permit *permits,
	     struct weir_slot *slots, uint32_t n)
{
	const struct dpdk_free *place = dt->small + dt->small_count;
	const uint32_t frag_size = dt->frag_size;
	uint64_t other = 0;

	if (n > dt->small_count)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		place--;
		other |= permits[i].cookie | (slots[i].len > frag_size);
		slots[i].data = place->data;
		slots[i].cookie = place->index;
		dpdk_unpoison(place->data, slots[i].len);
	}
	return other == 0;
}

static void
dpdk_alloc_burst(struct weir_tx *tx, const struct weir_permit *permits,
		 struct weir_slot *slots, uint16_t n)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);

	if (__builtin_expect(!small_places(dt, permits, slots, n), 0)) {
		for (uint32_t i = 0; i < n; i++)
			dpdk_alloc(tx, &permits[i], slots[i].len, &slots[i]);
		return;
	}
	dt->small_count -= n;
	dt->small_pledged -= n;
	dt->small_allocated += n;
}

static inline void
tx_unallocate(struct dpdk_tx *dt, uint32_t index)
{
	if (index < dt->small_total)
		dt->small_allocated--;
	else
		dt->large_allocated--;
	dt->out--;
}

static void
dpdk_commit(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);
	struct dpdk_flow *flow = dt->flow;

	/* Headers go in front of it, a trailer perhaps behind it. */
	if (slot->cookie < dt->small_total)
		dpdk_unpoison_room(flow->places[slot->cookie].mbuf);
	/* There is room: the ring has more entries than there are places. */
	flow->commit[weir_spsc_tail(&flow->commit_q, 0)] =
		(struct dpdk_commit){ (uint32_t)slot->cookie, slot->len };
	weir_spsc_push(&flow->commit_q, 1);
	dpdk_flow_news(flow);
	tx_unallocate(dt, (uint32_t)slot->cookie);
	dt->large_committed += slot->cookie >= dt->small_total;
	dt->committed++;
	dt->messages++;
	dt->payload_bytes += slot->len;
}

static void
dpdk_commit_burst(struct weir_tx *tx, const struct weir_slot *slots, uint16_t n)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);
	struct dpdk_flow *flow = dt->flow;
	struct dpdk_commit *commits = flow->commit;
	const uint32_t mask = flow->commit_q.producer_mask;
	const uint32_t at = weir_spsc_tail(&flow->commit_q, 0);
	const uint32_t small = dt->small_total;
	uint32_t large = 0;
	uint64_t bytes = 0;

	/* As in dpdk_commit(). */
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = (uint32_t)slots[i].cookie;

		if (index < small)
			dpdk_unpoison_room(flow->places[index].mbuf);
		large += index >= small;
		commits[(at + i) & mask] =
			(struct dpdk_commit){ index, slots[i].len };
		bytes += slots[i].len;
	}
	weir_spsc_push(&flow->commit_q, n);
	dpdk_flow_news(flow);
	dt->small_allocated -= n - large;
	dt->large_allocated -= large;
	dt->large_committed += large;
	dt->out -= n;
	dt->committed += n;
	dt->messages += n;
	dt->payload_bytes += bytes;
}

static void
dpdk_discard(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);
	struct dpdk_place *at = &dt->flow->places[slot->cookie];
	struct dpdk_free place = { slot->data, (uint32_t)slot->cookie, 0 };

	if (__builtin_expect(at->wrapped, 0)) {
		rte_pktmbuf_free(weir_dpdk_place_unwrap(dt->flow, at));
		place.data = at->data;
	}
	dpdk_poison(place.data, slot->len);
	if (place.index < dt->small_total)
		dt->small[dt->small_count++] = place;
	else
		dt->large[dt->large_count++] = place;
	tx_unallocate(dt, place.index);
	dt->discarded++;
}

static void
dpdk_tx_flush(struct weir_tx *tx)
{
	if (weir_port_is_owner(tx->port))
		weir_dpdk_flush(dpdk_port_of(tx->port), dpdk_tx_of(tx)->flow);
}

/* The last word on the commit ring; there is always room for it. */
static void
tx_last_word(struct dpdk_flow *flow, uint32_t word)
{
	flow->commit[weir_spsc_tail(&flow->commit_q, 0)] =
		(struct dpdk_commit){ word, 0 };
	weir_spsc_push(&flow->commit_q, 1);
	dpdk_flow_news(flow);
}

static int
dpdk_tx_close(struct weir_tx *tx)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);
	int32_t end =
		atomic_load_explicit(&dt->flow->tx_end, memory_order_relaxed);

	if (end != 0)
		return end;
	tx_last_word(dt->flow, DPDK_COMMIT_CLOSE);
	dt->closed = true;
	return 0;
}

static uint32_t
dpdk_capacity(struct weir_tx *tx, uint32_t size)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);
	struct dpdk_flow *flow = dt->flow;

	if (!dt->up && !tx_begin(dt))
		return 0;
	if (size <= dt->frag_size)
		return dt->small_total;
	return min_u32(dt->small_total, flow->large_count);
}

static int
dpdk_tx_fd(struct weir_tx *tx)
{
	return weir_dpdk_half_fd(&dpdk_tx_of(tx)->flow->tx_fd);
}

/* Could reserve say anything but 0? */
static int
tx_has_news(struct dpdk_tx *dt, uint32_t size)
{
	int32_t end =
		atomic_load_explicit(&dt->flow->tx_end, memory_order_relaxed);
	uint32_t places;

	if (end != 0)
		return end;
	if (!dt->up && !tx_begin(dt))
		return 0;
	tx_harvest(dt);
	places = size > dt->frag_size ? dt->large_count - dt->large_pledged
				      : dt->small_count - dt->small_pledged;
	return places != 0 && tx_credits(dt) != 0;
}

static int
dpdk_tx_arm(struct weir_tx *tx, uint32_t size)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);
	struct dpdk_flow *flow = dt->flow;
	int rc = weir_dpdk_half_fd(&flow->tx_fd);

	if (rc < 0)
		return 0; /* cannot sleep: try again */
	dt->armed = true; /* the next reserve disarms */
	weir_doorbell_arm(&flow->tx_sleeping);
	rc = tx_has_news(dt, size);
	if (rc == 0)
		return 1;
	return rc < 0 ? rc : 0;
}

static void
dpdk_tx_wake(struct weir_tx *tx)
{
	weir_dpdk_half_wake(&dpdk_tx_of(tx)->flow->tx_fd);
}

/* Outstanding is counted, not what is left over: a lost place shows. */
static void
tx_class_stats(const struct dpdk_tx *dt, struct weir_tx_stats *stats)
{
	uint64_t small_harvested = dt->harvested - dt->large_harvested;
	uint64_t small_committed = dt->messages - dt->large_committed;
	uint32_t large_total = dt->flow->large_count;

	stats->class_count = large_total != 0 ? 2 : 1;
	stats->classes[0] = (struct weir_class_stats){
		.size = dt->frag_size,
		.total = dt->small_total,
		.free = dt->small_count - dt->small_pledged,
		.pledged = dt->small_pledged,
		.allocated = dt->small_allocated,
		.outstanding = (uint32_t)(dt->small_total + small_committed -
					  small_harvested),
	};
	stats->classes[1] = (struct weir_class_stats){
		.size = large_total != 0 ? dt->tx.msg_size_max : 0,
		.total = large_total,
		.free = dt->large_count - dt->large_pledged,
		.pledged = dt->large_pledged,
		.allocated = dt->large_allocated,
		.outstanding = (uint32_t)(large_total + dt->large_committed -
					  dt->large_harvested),
	};
}

static void
dpdk_tx_stats(struct weir_tx *tx, struct weir_tx_stats *stats)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);
	struct dpdk_flow *flow = dt->flow;

	stats->messages = dt->messages;
	stats->payload_bytes = dt->payload_bytes;
	weir_dpdk_count_waits(flow->tx_waits, stats);
	stats->discarded = dt->discarded;
	stats->copied_bytes =
		__atomic_load_n(&flow->tx_copied, __ATOMIC_RELAXED);
	stats->doorbells =
		__atomic_load_n(&flow->tx_doorbells, __ATOMIC_RELAXED);
	if (!dt->up && !tx_begin(dt))
		return;
	tx_harvest(dt);
	stats->capacity = dt->small_total;
	stats->free = tx_credits(dt);
	stats->allocated = dt->small_allocated + dt->large_allocated;
	stats->permitted = dt->out - stats->allocated;
	/* What was committed, less what the limit has grown since. */
	stats->outstanding = dt->committed - (dt->limit_seen - dt->small_total);
	tx_class_stats(dt, stats);
}

static void
dpdk_tx_destroy(struct weir_tx *tx)
{
	struct dpdk_tx *dt = dpdk_tx_of(tx);
	struct dpdk_flow *flow = dt->flow;

	if (!dt->closed)
		tx_last_word(flow, DPDK_COMMIT_ABORT);
	/* Release: the port takes over what this half had. */
	atomic_fetch_or_explicit(&flow->gone, DPDK_GONE_TX,
				 memory_order_release);
	dpdk_flow_news(flow);
	weir_dpdk_flow_put(flow);
}

const struct weir_tx_ops weir_dpdk_tx_ops = {
	.reserve = dpdk_reserve,
	.drop = dpdk_drop,
	.alloc = dpdk_alloc,
	.commit = dpdk_commit,
	.discard = dpdk_discard,
	.flush = dpdk_tx_flush,
	.close = dpdk_tx_close,
	.capacity = dpdk_capacity,
	.fd = dpdk_tx_fd,
	.arm = dpdk_tx_arm,
	.wake = dpdk_tx_wake,
	.stats = dpdk_tx_stats,
	.destroy = dpdk_tx_destroy,
	.commit_burst = dpdk_commit_burst,
	.alloc_burst = dpdk_alloc_burst,
};

/* ---- receive half -------------------------------------------------------- */

/* Nothing was ready: is that for good? @return entries ready, or the end. */
static int
rx_end(struct dpdk_flow *flow)
{
	/* Acquire: every message was pushed before; pairs with rx_finish(). */
	int32_t end = atomic_load_explicit(&flow->rx_end, memory_order_acquire);
	uint32_t count;

	if (end == 0)
		return 0;
	count = weir_spsc_ready(&flow->ready_q);
	return count != 0 ? (int)count : end;
}

static int
dpdk_recv(struct weir_rx *rx, struct weir_msg *msgs, uint16_t n)
{
	struct dpdk_rx *dr = dpdk_rx_of(rx);
	struct dpdk_flow *flow = dr->flow;
	uint32_t count;
	uint64_t bytes = 0;

	if (__builtin_expect(dr->armed, 0)) {
		dr->armed = false;
		half_disarm(&flow->rx_sleeping, &flow->rx_fd);
	}
	count = weir_spsc_ready(&flow->ready_q);
	if (count == 0) {
		int end = rx_end(flow);

		if (end <= 0)
			return end;
		count = (uint32_t)end;
	}
	count = min_u32(count, n);
	for (uint32_t i = 0; i < count; i++) {
		struct dpdk_ready entry =
			flow->ready[weir_spsc_head(&flow->ready_q, i)];

		msgs[i].data = entry.data;
		msgs[i].store = &flow->store;
		msgs[i].cookie = entry.index;
		msgs[i].len = entry.len;
		bytes += entry.len;
	}
	weir_spsc_pop(&flow->ready_q, count);
	dr->messages += count;
	dr->payload_bytes += bytes;
	return (int)count;
}

/* Nobody reads it any more; but on net_ring its sender may still need it. */
static inline void
message_poison(const struct dpdk_flow *flow, const struct weir_msg *msg)
{
#ifdef DPDK_POISON
	const struct rte_mbuf *m = flow->held[msg->cookie].mbuf;

	if (m == NULL && flow->held[msg->cookie].large == DPDK_HELD_TAKEN)
		return;
	if (m == NULL || rte_mbuf_refcnt_read(m) == 1)
		dpdk_poison(msg->data, msg->len);
#else
	(void)flow;
	(void)msg;
#endif
}

void
weir_dpdk_release(struct weir_store *store, const struct weir_msg *msg)
{
	struct dpdk_flow *flow =
		WEIR_CONTAINER_OF(store, struct dpdk_flow, store);
	uint64_t ticket;

	message_poison(flow, msg);
	/* Relaxed: the entry itself publishes that we are done reading. */
	ticket = atomic_fetch_add_explicit(&flow->tickets, 1,
					   memory_order_relaxed);

	if (__builtin_expect((ticket & DPDK_ORPHAN) != 0, 0)) {
		weir_dpdk_flow_orphan_release(flow, (uint32_t)msg->cookie);
		return;
	}
	/* Before the entry: right after it the flow may be gone. With the ticket
	 * drawn the port waits for what follows. */
	dpdk_flow_news(flow);
	weir_retring_put(flow->returns, flow->return_mask, (uint32_t)ticket,
			 (uint32_t)msg->cookie);
	/* The flow may be gone already: do not look at it again. */
}

/* With one locked instruction for all. Until the last entry is put, the flow
 * stays. */
void
weir_dpdk_release_burst(struct weir_store *store, const struct weir_msg *msgs,
			uint16_t n)
{
	struct dpdk_flow *flow =
		WEIR_CONTAINER_OF(store, struct dpdk_flow, store);
	_Atomic uint64_t *returns = flow->returns;
	uint32_t mask = flow->return_mask;
	uint64_t ticket;

	for (uint32_t i = 0; i < n; i++)
		message_poison(flow, &msgs[i]);
	/* As above. */
	ticket = atomic_fetch_add_explicit(&flow->tickets, n,
					   memory_order_relaxed);
	if (__builtin_expect((ticket & DPDK_ORPHAN) != 0, 0)) {
		for (uint32_t i = 0; i < n; i++)
			weir_dpdk_flow_orphan_release(flow,
						      (uint32_t)msgs[i].cookie);
		return;
	}
	dpdk_flow_news(flow);
	for (uint32_t i = 0; i < n; i++)
		weir_retring_put(returns, mask, (uint32_t)ticket + i,
				 (uint32_t)msgs[i].cookie);
}

static int
dpdk_rx_fd(struct weir_rx *rx)
{
	return weir_dpdk_half_fd(&dpdk_rx_of(rx)->flow->rx_fd);
}

static int
dpdk_rx_arm(struct weir_rx *rx)
{
	struct dpdk_rx *dr = dpdk_rx_of(rx);
	struct dpdk_flow *flow = dr->flow;
	int rc = weir_dpdk_half_fd(&flow->rx_fd);

	if (rc < 0)
		return 0;
	dr->armed = true; /* the next recv disarms */
	weir_doorbell_arm(&flow->rx_sleeping);
	rc = weir_spsc_ready(&flow->ready_q) != 0 ? 1 : rx_end(flow);
	if (rc == 0)
		return 1;
	return rc < 0 ? rc : 0;
}

static void
dpdk_rx_wake(struct weir_rx *rx)
{
	weir_dpdk_half_wake(&dpdk_rx_of(rx)->flow->rx_fd);
}

static void
dpdk_rx_stats(struct weir_rx *rx, struct weir_rx_stats *stats)
{
	struct dpdk_rx *dr = dpdk_rx_of(rx);
	struct dpdk_flow *flow = dr->flow;

	stats->messages = dr->messages;
	stats->payload_bytes = dr->payload_bytes;
	stats->released =
		atomic_load_explicit(&flow->tickets, memory_order_relaxed) &
		~DPDK_ORPHAN;
	stats->copied_bytes =
		__atomic_load_n(&flow->rx_copied, __ATOMIC_RELAXED);
	stats->doorbells =
		__atomic_load_n(&flow->rx_doorbells, __ATOMIC_RELAXED);
}

static void
dpdk_rx_destroy(struct weir_rx *rx)
{
	struct dpdk_flow *flow = dpdk_rx_of(rx)->flow;

	/* Release: the port reads the ready ring from where we stopped. */
	atomic_fetch_or_explicit(&flow->gone, DPDK_GONE_RX,
				 memory_order_release);
	dpdk_flow_news(flow);
	weir_dpdk_flow_put(flow);
}

const struct weir_rx_ops weir_dpdk_rx_ops = {
	.recv = dpdk_recv,
	.fd = dpdk_rx_fd,
	.arm = dpdk_rx_arm,
	.wake = dpdk_rx_wake,
	.stats = dpdk_rx_stats,
	.destroy = dpdk_rx_destroy,
};
