/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem: reserve, alloc, commit, recv, release. The model of what every driver
 * does; the lane is drawn in mem_lane.h.
 */

#include "doorbell.h"
#include "mem_pair.h"

#define WORD_BITS 64u

/* Far below any number of releases: marks that the receive half is gone. */
#define BALANCE_ORPHAN (INT64_MIN / 2)

static struct mem_tx *
mem_tx_of(struct weir_tx *tx)
{
	return WEIR_CONTAINER_OF(tx, struct mem_tx, tx);
}

static struct mem_rx *
mem_rx_of(struct weir_rx *rx)
{
	return WEIR_CONTAINER_OF(rx, struct mem_rx, rx);
}

/* ---- send half ------------------------------------------------------------ */

/* Collect what the receiver has released. Slow path of reserve. */
static void
mem_harvest(struct mem_tx *mt)
{
	struct mem_lane *lane = mt->lane;
	uint32_t cells = lane->credits + lane->large_count;

	for (uint32_t w = 0; w * WORD_BITS < cells; w++) {
		uint64_t bits = atomic_load_explicit(&lane->returned[w],
						     memory_order_relaxed);

		if (bits == 0)
			continue;
		/* Acquire: the releaser's reads of the cell are over before we
		 * write it again. Pairs with mem_release(). */
		bits = atomic_exchange_explicit(&lane->returned[w], 0,
						memory_order_acquire);
		for (; bits != 0; bits &= bits - 1) {
			uint32_t cell =
				w * WORD_BITS + (uint32_t)__builtin_ctzll(bits);
			enum mem_class c = cell < lane->credits ? MEM_SMALL
								: MEM_LARGE;

			mt->free[c][mt->free_count[c]++] = cell;
			mt->free_credits++;
		}
	}
}

static uint32_t
mem_room(const struct mem_tx *mt, enum mem_class class)
{
	uint32_t cells = mt->free_count[class] - mt->pledged[class];

	return cells < mt->free_credits ? cells : mt->free_credits;
}

static enum mem_class
mem_class_for(const struct mem_lane *lane, uint32_t size)
{
	return size <= lane->small_size ? MEM_SMALL : MEM_LARGE;
}

/* Take the lane if the link has come up. @return 0 or why it failed. */
static int
mem_tx_progress(struct mem_tx *mt)
{
	uint32_t state = weir_mem_pair_progress(mt->pair);

	if (state == MEM_PAIR_FAILED)
		return mt->pair->error;
	if (state == MEM_PAIR_UP && mt->lane == NULL)
		weir_mem_tx_attach(mt, mt->pair->lane[mt->side]);
	return 0;
}

/* For calls that may come before the first reserve. @return lane or NULL. */
static struct mem_lane *
mem_tx_lane(struct mem_tx *mt)
{
	if (mt->lane == NULL)
		mem_tx_progress(mt);
	return mt->lane;
}

/* Not up yet, or a peer that takes no more. @return 0 or negative. */
static int
mem_tx_trouble(struct mem_tx *mt)
{
	if (mt->lane == NULL)
		return mem_tx_progress(mt);
	return atomic_load_explicit(&mt->lane->rx_end, memory_order_relaxed) ==
			       MEM_END_OPEN
		       ? 0
		       : -ECONNRESET;
}

static void
mem_count_wait(struct weir_tx_stats *counters, uint64_t *why)
{
	counters->reserve_waits++;
	++*why;
}

static int
mem_reserve_short(struct mem_tx *mt, enum mem_class class, uint16_t n)
{
	uint32_t room;

	mem_harvest(mt);
	room = mem_room(mt, class);
	if (room == 0)
		mem_count_wait(&mt->counters,
			       mt->free_count[class] != mt->pledged[class]
				       ? &mt->counters.reserve_wait_credit
			       : class == MEM_SMALL
				       ? &mt->counters.reserve_wait_small
				       : &mt->counters.reserve_wait_large);
	return (int)(room < n ? room : n);
}

static int
mem_reserve(struct weir_tx *tx, uint32_t size, struct weir_permit *permits,
	    uint16_t n)
{
	struct mem_tx *mt = mem_tx_of(tx);
	enum mem_class class;
	int count = n;

	if (mt->armed) {
		mt->armed = false;
		weir_doorbell_disarm(&mt->lane->tx_sleeping);
		weir_doorbell_drain(mt->lane->tx_fd);
	}
	if (mt->lane == NULL ||
	    atomic_load_explicit(&mt->lane->rx_end, memory_order_relaxed) !=
		    MEM_END_OPEN) {
		count = mem_tx_trouble(mt);
		if (count == 0 && mt->lane == NULL)
			mem_count_wait(&mt->counters,
				       &mt->counters.reserve_wait_down);
		if (count < 0 || mt->lane == NULL)
			return count;
		count = n;
	}
	class = mem_class_for(mt->lane, size);
	if (mem_room(mt, class) < n)
		count = mem_reserve_short(mt, class, n);
	for (int i = 0; i < count; i++)
		permits[i].cookie = class;
	mt->pledged[class] += (uint32_t)count;
	mt->free_credits -= (uint32_t)count;
	mt->permits += (uint32_t)count;
	return count;
}

static void
mem_drop(struct weir_tx *tx, const struct weir_permit *permit)
{
	struct mem_tx *mt = mem_tx_of(tx);

	mt->pledged[permit->cookie]--;
	mt->permits--;
	mt->free_credits++;
}

static void
mem_alloc(struct weir_tx *tx, const struct weir_permit *permit, uint32_t len,
	  struct weir_slot *slot)
{
	struct mem_tx *mt = mem_tx_of(tx);
	struct mem_lane *lane = mt->lane;
	enum mem_class class = mem_class_for(lane, len);
	uint32_t cell;

	/* The pledge goes back whole, the smallest class that fits is taken:
	 * free small cells are never fewer than credits held by permits. */
	mt->pledged[permit->cookie]--;
	mt->permits--;
	mt->slots++;
	mt->used[class]++;
	cell = mt->free[class][--mt->free_count[class]];
	slot->cookie = cell;
	if (class == MEM_SMALL)
		slot->data = lane->cells[MEM_SMALL] +
			     (size_t)cell * lane->small_size;
	else
		slot->data = lane->cells[MEM_LARGE] +
			     (size_t)(cell - lane->credits) * lane->large_size;
}

static void
mem_slot_done(struct mem_tx *mt, const struct weir_slot *slot)
{
	mt->slots--;
	mt->used[slot->cookie < mt->lane->credits ? MEM_SMALL : MEM_LARGE]--;
}

static void
mem_commit(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct mem_tx *mt = mem_tx_of(tx);
	struct mem_lane *lane = mt->lane;
	struct mem_desc *desc = &lane->ring[mt->tail & (lane->credits - 1)];

	/* A descriptor for every credit, so the ring cannot be full. */
	desc->cell = (uint32_t)slot->cookie;
	desc->len = slot->len;
	mem_slot_done(mt, slot);
	mt->counters.messages++;
	mt->counters.payload_bytes += slot->len;
	mt->tail++;
	/* Release: publishes the cell and the descriptor. Pairs with
	 * mem_recv(). */
	atomic_store_explicit(&lane->tail, mt->tail, memory_order_release);
	if (weir_doorbell_wanted(&lane->rx_sleeping, lane->fence)) {
		weir_doorbell_ring(lane->rx_fd);
		mt->counters.doorbells++;
	}
}

static void
mem_discard(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct mem_tx *mt = mem_tx_of(tx);
	uint32_t cell = (uint32_t)slot->cookie;
	enum mem_class class = cell < mt->lane->credits ? MEM_SMALL : MEM_LARGE;

	mem_slot_done(mt, slot);
	mt->free[class][mt->free_count[class]++] = cell;
	mt->free_credits++;
	mt->counters.discarded++;
}

static void
mem_flush(struct weir_tx *tx)
{
	(void)tx; /* commit has published already */
}

/* Say how this end went, and wake a peer that sleeps. */
void
weir_mem_end(_Atomic uint32_t *end, enum mem_end how, struct mem_lane *lane,
	     _Atomic uint32_t *sleeping, int fd)
{
	/* Release: orders every commit before the mark. Pairs with the
	 * loads of the mark in mem_recv() and mem_reserve(). */
	atomic_store_explicit(end, how, memory_order_release);
	if (weir_doorbell_wanted(sleeping, lane->fence))
		weir_doorbell_ring(fd);
}

static int
mem_close(struct weir_tx *tx)
{
	struct mem_tx *mt = mem_tx_of(tx);
	int rc;

	if (mt->lane == NULL) {
		rc = weir_mem_pair_close_early(mt->pair, mt->side);
		if (rc <= 0)
			return rc;
		mem_tx_progress(mt); /* it came up meanwhile */
	}
	weir_mem_end(&mt->lane->tx_end, MEM_END_CLOSED, mt->lane,
		     &mt->lane->rx_sleeping, mt->lane->rx_fd);
	return 0;
}

static uint32_t
mem_capacity(struct weir_tx *tx, uint32_t size)
{
	struct mem_lane *lane = mem_tx_lane(mem_tx_of(tx));

	if (lane == NULL)
		return 0;
	if (mem_class_for(lane, size) == MEM_SMALL)
		return lane->credits;
	return lane->large_count < lane->credits ? lane->large_count
						 : lane->credits;
}

static int
mem_tx_fd(struct weir_tx *tx)
{
	return mem_tx_of(tx)->fd;
}

static int
mem_tx_arm(struct weir_tx *tx, uint32_t size)
{
	struct mem_tx *mt = mem_tx_of(tx);

	if (mt->lane == NULL)
		return 0; /* nothing wakes us before the link is up */
	mt->armed = true;
	weir_doorbell_arm(&mt->lane->tx_sleeping);
	mem_harvest(mt);
	return mem_room(mt, mem_class_for(mt->lane, size)) == 0 &&
	       mem_tx_trouble(mt) == 0;
}

static void
mem_tx_wake(struct weir_tx *tx)
{
	weir_doorbell_ring(mem_tx_of(tx)->fd);
}

static void
mem_tx_stats(struct weir_tx *tx, struct weir_tx_stats *stats)
{
	struct mem_tx *mt = mem_tx_of(tx);
	struct mem_lane *lane = mem_tx_lane(mt);

	*stats = mt->counters;
	if (lane == NULL)
		return;
	stats->capacity = lane->credits;
	stats->free = mt->free_credits;
	stats->permitted = mt->permits;
	stats->allocated = mt->slots;
	stats->outstanding =
		lane->credits - mt->free_credits - mt->permits - mt->slots;
	stats->class_count = lane->large_count != 0 ? 2 : 1;
	for (uint32_t c = 0; c < stats->class_count; c++) {
		struct weir_class_stats *class = &stats->classes[c];

		class->size = c == MEM_SMALL ? lane->small_size
					     : lane->large_size;
		class->total = c == MEM_SMALL ? lane->credits
					      : lane->large_count;
		class->pledged = mt->pledged[c];
		class->free = mt->free_count[c] - mt->pledged[c];
		class->allocated = mt->used[c];
		class->outstanding =
			class->total - mt->free_count[c] - mt->used[c];
	}
}

static void
mem_tx_destroy(struct weir_tx *tx)
{
	struct mem_tx *mt = mem_tx_of(tx);
	struct mem_lane *lane = mt->lane;

	if (lane == NULL)
		lane = weir_mem_pair_leave(mt->pair, mt->side);
	if (lane != NULL) {
		if (atomic_load_explicit(&lane->tx_end, memory_order_relaxed) ==
		    MEM_END_OPEN)
			weir_mem_end(&lane->tx_end, MEM_END_ABORTED, lane,
				     &lane->rx_sleeping, lane->rx_fd);
		weir_mem_lane_unref(lane);
	}
	weir_mem_pair_unref(mt->pair);
}

const struct weir_tx_ops weir_mem_tx_ops = {
	.reserve = mem_reserve,
	.drop = mem_drop,
	.alloc = mem_alloc,
	.commit = mem_commit,
	.discard = mem_discard,
	.flush = mem_flush,
	.close = mem_close,
	.capacity = mem_capacity,
	.fd = mem_tx_fd,
	.arm = mem_tx_arm,
	.wake = mem_tx_wake,
	.stats = mem_tx_stats,
	.destroy = mem_tx_destroy,
};

/* ---- receive half ---------------------------------------------------------- */

static const uint8_t *
mem_cell(const struct mem_lane *lane, uint32_t cell)
{
	if (cell < lane->credits)
		return lane->cells[MEM_SMALL] + (size_t)cell * lane->small_size;
	return lane->cells[MEM_LARGE] +
	       (size_t)(cell - lane->credits) * lane->large_size;
}

/* Nothing there. @return messages that came just now, or why there are none. */
static int
mem_recv_empty(struct mem_rx *mr, uint32_t *ready)
{
	struct mem_lane *lane = mr->lane;
	uint32_t end, state;

	if (lane == NULL) {
		state = weir_mem_pair_progress(mr->pair);
		if (state == MEM_PAIR_FAILED)
			return mr->pair->error;
		if (state != MEM_PAIR_UP)
			return 0;
		lane = mr->pair->lane[!mr->side];
		weir_mem_rx_attach(mr, lane);
		if (lane->multi)
			return 0; /* the next call is another function */
	}
	/* The mark before the tail: if it is set, this tail is the last. */
	end = atomic_load_explicit(&lane->tx_end, memory_order_acquire);
	*ready = atomic_load_explicit(&lane->tail, memory_order_acquire) -
		 mr->head;
	if (*ready != 0 || end == MEM_END_OPEN)
		return 0;
	return end == MEM_END_CLOSED ? WEIR_EOF : -ECONNRESET;
}

static int
mem_recv(struct weir_rx *rx, struct weir_msg *msgs, uint16_t n)
{
	struct mem_rx *mr = mem_rx_of(rx);
	struct mem_lane *lane = mr->lane;
	uint32_t ready = 0;
	int rc;

	if (mr->armed) {
		mr->armed = false;
		weir_doorbell_disarm(&lane->rx_sleeping);
		weir_doorbell_drain(lane->rx_fd);
	}
	if (lane != NULL)
		/* Acquire: pairs with mem_commit(). */
		ready = atomic_load_explicit(&lane->tail,
					     memory_order_acquire) -
			mr->head;
	if (ready == 0) {
		rc = mem_recv_empty(mr, &ready);
		if (ready == 0)
			return rc;
		lane = mr->lane;
	}
	if (ready < n)
		n = (uint16_t)ready;
	for (uint16_t i = 0; i < n; i++) {
		const struct mem_desc *desc =
			&lane->ring[mr->head++ & (lane->credits - 1)];

		msgs[i].data = mem_cell(lane, desc->cell);
		msgs[i].len = desc->len;
		msgs[i].cookie = desc->cell;
		msgs[i].store = &lane->store;
		mr->counters.payload_bytes += desc->len;
	}
	mr->counters.messages += n;
	return n;
}

void
weir_mem_released(struct mem_lane *lane)
{
	if (atomic_fetch_add_explicit(&lane->balance, 1, memory_order_acq_rel) +
		    1 ==
	    BALANCE_ORPHAN)
		weir_mem_lane_unref(lane);
}

/* Any thread; the half may be gone. */
static void
mem_release(struct weir_store *store, const struct weir_msg *msg)
{
	struct mem_lane *lane =
		WEIR_CONTAINER_OF(store, struct mem_lane, store);
	uint64_t bit = UINT64_C(1) << (msg->cookie % WORD_BITS);

	/* Release: our reads of the cell come first. Pairs with
	 * mem_harvest(). */
	atomic_fetch_or_explicit(&lane->returned[msg->cookie / WORD_BITS], bit,
				 memory_order_release);
	if (weir_doorbell_wanted(&lane->tx_sleeping, lane->fence))
		weir_doorbell_ring(lane->tx_fd);
	weir_mem_released(lane);
}

int
weir_mem_rx_fd(struct weir_rx *rx)
{
	return mem_rx_of(rx)->fd;
}

static int
mem_rx_arm(struct weir_rx *rx)
{
	struct mem_rx *mr = mem_rx_of(rx);
	uint32_t ready = 0;

	if (mr->lane == NULL)
		return 0; /* nothing wakes us before the link is up */
	mr->armed = true;
	weir_doorbell_arm(&mr->lane->rx_sleeping);
	return mem_recv_empty(mr, &ready) == 0 && ready == 0;
}

void
weir_mem_rx_wake(struct weir_rx *rx)
{
	weir_doorbell_ring(mem_rx_of(rx)->fd);
}

void
weir_mem_rx_stats(struct weir_rx *rx, struct weir_rx_stats *stats)
{
	struct mem_rx *mr = mem_rx_of(rx);

	*stats = mr->counters;
	if (mr->lane != NULL)
		stats->released = (uint64_t)atomic_load_explicit(
			&mr->lane->balance, memory_order_relaxed);
}

void
weir_mem_rx_destroy(struct weir_rx *rx)
{
	struct mem_rx *mr = mem_rx_of(rx);
	struct mem_lane *lane = mr->lane;
	int64_t change = BALANCE_ORPHAN - (int64_t)mr->counters.messages;

	if (lane == NULL)
		lane = weir_mem_pair_leave(mr->pair, !mr->side);
	if (lane != NULL) {
		weir_mem_end(&lane->rx_end, MEM_END_ABORTED, lane,
			     &lane->tx_sleeping, lane->tx_fd);
		/* Handles that are out keep the lane: the last one frees it. */
		if (atomic_fetch_add_explicit(&lane->balance, change,
					      memory_order_acq_rel) +
			    change ==
		    BALANCE_ORPHAN)
			weir_mem_lane_unref(lane);
	}
	weir_mem_pair_unref(mr->pair);
}

const struct weir_rx_ops weir_mem_rx_ops = {
	.recv = mem_recv,
	.fd = weir_mem_rx_fd,
	.arm = mem_rx_arm,
	.wake = weir_mem_rx_wake,
	.stats = weir_mem_rx_stats,
	.destroy = weir_mem_rx_destroy,
};

void
weir_mem_lane_init(struct mem_lane *lane)
{
	lane->store.release = mem_release;
	if (lane->multi)
		weir_mem_multi_lane_init(lane);
}
