/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path of a send half that several threads use: see shm_multi.h for
 * what a message holds. Per small message there are two read-modify-writes, a
 * claim and the sequence number; in bursts each is one for many.
 */

#include "doorbell.h"
#include "shm_multi.h"

/* Permits given back unused between two looks for a dead peer. */
#define BACKED_OUT_LOOK 64u

/* ---- giving back --------------------------------------------------------------- */

static inline void
give_body(struct shm_multi *mt, uint32_t body)
{
	weir_claim_give(&mt->map[body / SHM_GROUP_SIZE],
			UINT64_C(1) << body % SHM_GROUP_SIZE);
}

/* The token last: it stands for the credit. */
static inline void
give_both(struct shm_multi *mt, uint32_t cookie)
{
	uint32_t token = (uint16_t)cookie, body = cookie >> 16;

	if (body != token)
		give_body(mt, body);
	give_body(mt, token);
}

static inline void
wake_if_any(struct shm_multi *mt)
{
	/* After giving: one of us sees the other, see sleepers.h. */
	if (__builtin_expect(atomic_load(&mt->sleepers.wants) != 0, 0))
		weir_shm_multi_wake(mt);
}

/* Permits that were not handed out. */
static __attribute__((noinline)) void
give_all(struct shm_multi *mt, const struct weir_permit *permits, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		give_both(mt, permits[i].cookie);
	if (n != 0)
		wake_if_any(mt);
}

/* ---- collect ------------------------------------------------------------------- */

static bool
try_freeze(struct shm_multi *mt)
{
	return atomic_load_explicit(&mt->collecting, memory_order_relaxed) ==
		       0 &&
	       atomic_exchange(&mt->collecting, 1) == 0;
}

void
weir_shm_multi_thaw(struct shm_multi *mt)
{
	atomic_store(&mt->collecting, 0);
}

/* A body is back when the peer's return word names the generation that was
 * committed last; see collect_group() of shm_tx.c. It is outstanding until we
 * say otherwise, so nobody else writes its state now. */
static uint64_t
take_back(struct shm_multi *mt, uint32_t body)
{
	uint64_t state =
		atomic_load_explicit(&mt->state[body], memory_order_acquire);
	uint32_t token = shm_state_token(state);

	/* Acquire: the releaser's reads of the body are over before anybody
	 * writes it again. Pairs with weir_shm_release(). */
	if (shm_state_phase(state) != SHM_BODY_OUT ||
	    atomic_load_explicit(&mt->base.returns[body],
				 memory_order_acquire) !=
		    shm_state_generation(state))
		return 0;
	atomic_store_explicit(
		&mt->state[body],
		shm_state(SHM_BODY_IDLE, shm_state_generation(state), 0, 0),
		memory_order_relaxed);
	mt->payload_returned += shm_state_len(state);
	if (token != body)
		give_body(mt, token);
	return UINT64_C(1) << body % SHM_GROUP_SIZE;
}

static void
collect_group(struct shm_multi *mt, uint32_t group)
{
	uint64_t back = 0;

	for (uint64_t bits = ~atomic_load_explicit(&mt->map[group],
						   memory_order_relaxed);
	     bits != 0; bits &= bits - 1)
		back |= take_back(mt, group * SHM_GROUP_SIZE +
					      (uint32_t)__builtin_ctzll(bits));
	if (back != 0)
		weir_claim_give(&mt->map[group], back);
}

/* Frozen. all: also groups whose word has not changed, as in shm_tx.c. */
static void
collect(struct shm_multi *mt, bool all)
{
	struct shm_tx *st = &mt->base;

	for (uint32_t g = 0; g < st->group_count; g++) {
		/* Acquire: pairs with weir_shm_release(). */
		uint32_t word = atomic_load_explicit(&st->groups[g],
						     memory_order_acquire);

		if (word == st->groups_seen[g] && !all)
			continue;
		st->groups_seen[g] = word;
		collect_group(mt, g);
	}
}

bool
weir_shm_multi_collect(struct shm_multi *mt, bool all)
{
	if (!try_freeze(mt))
		return false;
	collect(mt, all);
	weir_shm_multi_thaw(mt);
	return true;
}

/* ---- reserve ------------------------------------------------------------------- */

static uint32_t
claim_many(struct shm_multi *mt, const struct shm_tx_class *c, uint32_t from,
	   uint32_t times, struct weir_permit *permits, uint32_t n)
{
	return weir_claim_many(mt->map, c->word_first, c->word_count, from,
			       times, permits, n);
}

/* Where the cell of the next commit is: a small message's body goes there, so
 * that it is one cache line, unless other threads are quicker. */
static inline uint32_t
next_cell(const struct shm_multi *mt)
{
	return (uint32_t)atomic_load_explicit(&mt->seq, memory_order_relaxed) &
	       mt->base.mask;
}

/* The usual: one small permit, and the cell of the next commit is free. */
static inline uint32_t
grant_one(struct shm_multi *mt, struct weir_permit *permit)
{
	uint32_t cell = next_cell(mt), group = cell / SHM_GROUP_SIZE;
	uint64_t bit = weir_claim(&mt->map[group],
				  UINT64_MAX << cell % SHM_GROUP_SIZE, 1);

	permit->cookie = 0;
	if (__builtin_expect(bit == 0, 0))
		return claim_many(mt, &mt->base.classes[0], cell,
				  WEIR_CLAIM_BOTH, permit, 1);
	permit->cookie =
		(group * SHM_GROUP_SIZE + (uint32_t)__builtin_ctzll(bit)) *
		WEIR_CLAIM_BOTH;
	return 1;
}

/*
 * The receiver has read these cells, so the first store to each has to wait for
 * its line; see claim_ahead() of shm_tx.c. In a burst the cells are known: one
 * word of each that nobody reads, one after the other, and they come together.
 */
static void
claim_lines(struct shm_multi *mt, const struct weir_permit *permits, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		atomic_store_explicit(
			&mt->base.cells[(uint16_t)permits[i].cookie].claim, 0,
			memory_order_relaxed);
}

/* Permits of class k, as many as there are. */
static uint32_t
grant(struct shm_multi *mt, unsigned int k, struct weir_permit *permits,
      uint32_t n)
{
	const struct shm_tx_class *cells = &mt->base.classes[0];
	uint32_t got;

	if (k == 0 && n == 1)
		return grant_one(mt, permits);
	for (uint32_t i = 0; i < n; i++)
		permits[i].cookie = 0;
	if (k == 0) {
		got = claim_many(mt, cells, next_cell(mt), WEIR_CLAIM_BOTH,
				 permits, n);
		claim_lines(mt, permits, got);
		return got;
	}
	n = claim_many(mt, &mt->base.classes[k], 0, WEIR_CLAIM_BODY, permits,
		       n);
	got = claim_many(mt, cells, next_cell(mt), WEIR_CLAIM_TOKEN, permits,
			 n);
	if (got == n)
		return got;
	for (uint32_t i = got; i < n; i++)
		give_body(mt, permits[i].cookie >> 16);
	wake_if_any(mt); /* who looked meanwhile missed these */
	return got;
}

static bool
class_has_room(const struct shm_multi *mt, const struct shm_tx_class *c)
{
	for (uint32_t w = 0; w < c->word_count; w++)
		if (atomic_load(&mt->map[c->word_first + w]) != 0)
			return true;
	return false;
}

uint32_t
weir_shm_multi_room(const struct shm_multi *mt)
{
	uint32_t room = 0;

	if (class_has_room(mt, &mt->base.classes[0]))
		for (unsigned int k = 0; k < mt->base.class_count; k++)
			room |= (uint32_t)class_has_room(mt,
							 &mt->base.classes[k])
				<< k;
	return room;
}

/* The largest of several classes is large, all others are small. */
static void
count_wait(struct shm_multi *mt, unsigned int k)
{
	if (class_has_room(mt, &mt->base.classes[k]))
		shm_multi_count(&mt->wait_credit);
	else if (k != 0 && k == mt->base.class_count - 1)
		shm_multi_count(&mt->wait_large);
	else
		shm_multi_count(&mt->wait_small);
}

/* Once per millisecond of having no room, by one of those who have none. */
static void
look_around(struct shm_multi *mt)
{
	int rc = 0;

	if (!try_freeze(mt))
		return;
	if (weir_shm_watch_due(&mt->base.watch))
		rc = weir_shm_session_watch(mt->base.session, &mt->base.watch);
	if (rc < 0)
		atomic_fetch_or(&mt->stop, SHM_STOP_DEAD);
	else if (rc > 0)
		collect(mt, true);
	weir_shm_multi_thaw(mt);
}

int
weir_shm_multi_peer(const struct shm_multi *mt)
{
	/* Relaxed: flags alone. */
	if (atomic_load_explicit(&mt->base.peer->gone, memory_order_relaxed) !=
	    0)
		return -ECONNRESET;
	return atomic_load_explicit(&mt->stop, memory_order_relaxed) &
			       SHM_STOP_DEAD
		       ? -ETIMEDOUT
		       : 0;
}

/* Is there anything to say but how much room there is?
 * @return 1 no; 0 nothing can be granted now; negative. */
static int
trouble(struct shm_multi *mt)
{
	uint32_t stop = atomic_load(&mt->stop);
	int rc;

	if (stop & SHM_STOP_DOWN) {
		rc = weir_shm_multi_progress(mt);
		if (rc == 0)
			shm_multi_count(&mt->wait_down);
		if (rc != 1)
			return rc;
		stop = atomic_load(&mt->stop);
	}
	if (stop & SHM_STOP_CLOSED)
		return -EPIPE;
	rc = weir_shm_multi_peer(mt);
	if (rc != 0)
		return rc;
	return (stop & SHM_STOP_CLOSING) == 0;
}

/* A thread that closes the half looks who holds what after it has raised its
 * flag. We claim first and look for the flag then. */
static inline uint32_t
unless_stopped(struct shm_multi *mt, const struct weir_permit *permits,
	       uint32_t got)
{
	if (__builtin_expect(atomic_load(&mt->stop) == 0, 1))
		return got;
	give_all(mt, permits, got);
	return 0;
}

/* As much as there is besides `got`, also if the peer has to be looked at. */
static uint32_t
grant_slowly(struct shm_multi *mt, unsigned int k, struct weir_permit *permits,
	     uint32_t got, uint32_t n)
{
	got += grant(mt, k, permits + got, n - got);
	if (got < n && weir_shm_multi_collect(mt, false))
		got += grant(mt, k, permits + got, n - got);
	if (got == 0 && n != 0) {
		look_around(mt);
		got = grant(mt, k, permits, n);
	}
	if (got == 0 && n != 0)
		count_wait(mt, k);
	return unless_stopped(mt, permits, got);
}

/* We drained what was meant for all, and it may have been for what nobody has
 * collected yet. Who collects at this moment may have looked before that. */
static void
pass_on(struct shm_multi *mt)
{
	if (atomic_load(&mt->sleepers.wants) == 0)
		return;
	if (weir_shm_multi_collect(mt, false))
		weir_shm_multi_wake(mt);
	else
		weir_shm_multi_wake_all(mt);
}

/* Has `got` permits and wants n. */
static __attribute__((noinline)) int
reserve_slowly(struct shm_multi *mt, unsigned int k,
	       struct weir_permit *permits, uint32_t got, uint32_t n)
{
	bool slept = atomic_load(&mt->sleepers.wants) != 0 &&
		     weir_shm_multi_awake(mt);
	int rc = trouble(mt);

	if (rc == 1)
		rc = (int)grant_slowly(mt, k, permits, got, n);
	else
		give_all(mt, permits, got);
	if (rc == 0)
		rc = weir_shm_multi_peer(mt); /* news of look_around() */
	if (rc < 0)
		weir_shm_multi_wake_all(mt);
	else if (slept)
		pass_on(mt);
	return rc;
}

int
weir_shm_multi_reserve(struct weir_tx *tx, uint32_t size,
		       struct weir_permit *permits, uint16_t n)
{
	struct shm_multi *mt = shm_multi_of(tx);
	unsigned int k = shm_class_for(&mt->base, size);
	uint32_t got;

	/* Stop first: the peer is known when it is 0. */
	if (__builtin_expect(atomic_load(&mt->stop) != 0, 0) ||
	    __builtin_expect(atomic_load(&mt->base.peer->gone) != 0, 0) ||
	    __builtin_expect(atomic_load(&mt->sleepers.wants) != 0, 0))
		return reserve_slowly(mt, k, permits, 0, n);
	got = grant(mt, k, permits, n);
	if (__builtin_expect(got < n || n == 0, 0))
		return reserve_slowly(mt, k, permits, got, n);
	return (int)unless_stopped(mt, permits, got);
}

/* Who only reserves and backs out never runs out of room, and has to hear of
 * a dead peer all the same. */
static inline void
backed_out(struct shm_multi *mt)
{
	uint32_t count = atomic_fetch_add_explicit(&mt->backed_out, 1,
						   memory_order_relaxed);

	wake_if_any(mt);
	if (count % BACKED_OUT_LOOK != 0 || !try_freeze(mt))
		return;
	if (weir_shm_session_watch(mt->base.session, &mt->base.watch) < 0)
		atomic_fetch_or(&mt->stop, SHM_STOP_DEAD);
	weir_shm_multi_thaw(mt);
}

void
weir_shm_multi_drop(struct weir_tx *tx, const struct weir_permit *permit)
{
	struct shm_multi *mt = shm_multi_of(tx);

	give_both(mt, permit->cookie);
	backed_out(mt);
}

/* ---- alloc --------------------------------------------------------------------- */

/* A body of a smaller class than the permit's, if there is one free; what the
 * permit held more goes back. @return the body to use. */
static __attribute__((noinline)) uint32_t
settle(struct shm_multi *mt, uint32_t cookie, unsigned int k)
{
	uint32_t token = (uint16_t)cookie, pledged = cookie >> 16;
	unsigned int most = mt->base.group_class[pledged / SHM_GROUP_SIZE];
	struct weir_permit smaller = { 0 };

	if (k == 0) {
		smaller.cookie = token;
	} else {
		while (k < most &&
		       claim_many(mt, &mt->base.classes[k], 0, WEIR_CLAIM_TOKEN,
				  &smaller, 1) == 0)
			k++;
		if (k == most)
			return pledged;
	}
	give_body(mt, pledged);
	wake_if_any(mt);
	return smaller.cookie;
}

void
weir_shm_multi_alloc(struct weir_tx *tx, const struct weir_permit *permit,
		     uint32_t len, struct weir_slot *slot)
{
	struct shm_multi *mt = shm_multi_of(tx);
	unsigned int k = shm_class_for(&mt->base, len);
	uint32_t token = (uint16_t)permit->cookie, body = permit->cookie >> 16;
	const struct shm_tx_class *c;
	_Atomic uint64_t *state;

	if (k != mt->base.group_class[body / SHM_GROUP_SIZE])
		body = settle(mt, permit->cookie, k);
	/* Relaxed: its owner reads and writes it. */
	state = &mt->state[body];
	atomic_store_explicit(state,
			      shm_state(SHM_BODY_SLOT,
					(uint32_t)atomic_load_explicit(
						state, memory_order_relaxed),
					token, 0),
			      memory_order_relaxed);
	slot->cookie = body << 16 | token;
	c = &mt->base.classes[mt->base.group_class[body / SHM_GROUP_SIZE]];
	slot->data = c->bytes + (uint64_t)(body - c->first) * c->stride;
}

/* ---- commit -------------------------------------------------------------------- */

static __attribute__((cold, noinline)) void
ring_peer(struct shm_multi *mt)
{
	shm_multi_count(&mt->doorbells);
	weir_shm_bell_ring(mt->base.peer_bell);
}

/*
 * The header of cell (seq mod N) is free, N being the number of tokens, and
 * what has been done with it before happened before:
 * - Of the seq + 1 commits that have a number now, each took a token before.
 *   So seq + 1 - N tokens or more had come back by then, of messages that are
 *   older than seq; at least one of them is not older than seq - N.
 * - The receiver reads headers in order: when that one came back, it had read
 *   the header of seq - N for good.
 * - All of that happened before our fetch_add: a token comes back with a
 *   claim_give, is taken with a claim, and who took it has its number before
 *   ours; each of these is a read-modify-write that acquires and releases.
 * No other thread writes this header before ours has come back.
 */
static inline void
publish_as(struct shm_multi *mt, const struct weir_slot *slot, uint64_t seq)
{
	uint32_t token = (uint16_t)slot->cookie;
	uint32_t body = (uint32_t)(slot->cookie >> 16), len = slot->len;
	struct shm_cell *cell = &mt->base.cells[seq & mt->base.mask];
	_Atomic uint64_t *state = &mt->state[body];
	uint16_t generation =
		(uint16_t)(atomic_load_explicit(state, memory_order_relaxed) +
			   1);

	/* From here on it is the collector's, as soon as the peer says so. */
	atomic_store_explicit(state,
			      shm_state(SHM_BODY_OUT, generation, token, len),
			      memory_order_release);
	atomic_store_explicit(&cell->body, body, memory_order_relaxed);
	atomic_store_explicit(&cell->generation, generation,
			      memory_order_relaxed);
	/* Release: publishes header and body. Pairs with shm_recv(). */
	atomic_store_explicit(&cell->word, (seq + 1) << 32 | len,
			      memory_order_release);
}

static inline void
ring_if_wanted(struct shm_multi *mt)
{
	if (__builtin_expect(weir_doorbell_wanted(&mt->base.peer->sleeping,
						  mt->base.fence),
			     0))
		ring_peer(mt);
}

void
weir_shm_multi_commit(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct shm_multi *mt = shm_multi_of(tx);

	uint64_t seq = atomic_fetch_add(&mt->seq, 1);

	publish_as(mt, slot, seq);
	ring_if_wanted(mt);
}

/* One number for all: what other threads commit comes before or after. A
 * sleeper is rung once, after the last one. */
void
weir_shm_multi_commit_burst(struct weir_tx *tx, const struct weir_slot *slots,
			    uint16_t n)
{
	struct shm_multi *mt = shm_multi_of(tx);
	uint64_t seq = atomic_fetch_add(&mt->seq, n);

	for (uint32_t i = 0; i < n; i++)
		publish_as(mt, &slots[i], seq + i);
	ring_if_wanted(mt);
}

void
weir_shm_multi_discard(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct shm_multi *mt = shm_multi_of(tx);
	_Atomic uint64_t *state = &mt->state[slot->cookie >> 16];

	atomic_store_explicit(state,
			      shm_state(SHM_BODY_IDLE,
					(uint32_t)atomic_load_explicit(
						state, memory_order_relaxed),
					0, 0),
			      memory_order_relaxed);
	give_both(mt, (uint32_t)slot->cookie);
	shm_multi_count(&mt->discarded);
	backed_out(mt);
}
