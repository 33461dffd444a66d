/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The send half: reserve, alloc, commit, discard, and collecting what the
 * peer has released. No read-modify-write and no store to shared memory but
 * the message itself; the peer's memory is only looked at when room runs out,
 * save for one line that never changes while the peer is content.
 */

#include "doorbell.h"
#include "shm_tx.h"

/* Permits given back unused between two looks for a dead peer. */
#define BACKED_OUT_LOOK 64u

/* Cells that are claimed at once, a power of two. Fewer overlap less; more,
 * or cells farther ahead, are read again by the receiver's prefetcher before
 * they are written. */
#define CLAIM_CELLS 16u

/* The same at the end of a burst, at most. */
#define CLAIM_BURST 32u

/* Of a body; bounds what commit takes: 1,024 lines of 16 ns at worst. */
#define CLAIM_BYTES 65536u

/* From here on it pays to look whether the next body has come back: there are
 * few of that size, and what they cost is their bytes. */
#define LOOK_BYTES 8192u

/* ---- collect ----------------------------------------------------------------- */

/* Bodies of one group; a bit each. */
static void
bodies_free(struct shm_tx *st, uint32_t group, uint64_t bits)
{
	uint32_t count = (uint32_t)__builtin_popcountll(bits);

	st->free_map[group] |= bits;
	st->class_free[st->group_class[group]] += count;
	st->free_credits += count;
}

/* A body is back when the peer's return word names the generation that we
 * published last. So whatever a hostile peer writes there, the worst it can do
 * is to give up early what it still reads: only OUTSTANDING bodies are looked
 * at, each can come back once. */
static void
collect_group(struct shm_tx *st, uint32_t group)
{
	const _Atomic uint16_t *returns = &st->returns[group * SHM_GROUP_SIZE];
	const uint16_t *generation = &st->generation[group * SHM_GROUP_SIZE];
	uint64_t out = st->out_map[group], back = 0;

	for (uint64_t bits = out; bits != 0; bits &= bits - 1) {
		int i = __builtin_ctzll(bits);

		/* Acquire: the releaser's reads of the body are over before
		 * we write it again. Pairs with weir_shm_release(). */
		if (atomic_load_explicit(&returns[i], memory_order_acquire) ==
		    generation[i])
			back |= bits & -bits;
	}
	st->out_map[group] = out & ~back;
	bodies_free(st, group, back);
}

/* n bits of a word, from bit `first` on. */
static inline uint64_t
bits_from(uint32_t first, uint32_t n)
{
	return (n < SHM_GROUP_SIZE ? (UINT64_C(1) << n) - 1 : UINT64_MAX)
	       << first;
}

/* Of n cells from `first` on, those in the same word of a bitmap and before
 * the end of the ring. */
static inline uint32_t
cells_run(const struct shm_tx *st, uint32_t first, uint32_t n)
{
	uint32_t left = SHM_GROUP_SIZE - first % SHM_GROUP_SIZE;

	if (left > st->mask + 1 - first)
		left = st->mask + 1 - first;
	return n < left ? n : left;
}

/*
 * The cells that the next messages want, n at most, as far as they are out and
 * have come back one after the other: one line of return words for 32 of them,
 * and no look at the group words. The usual case with small messages: a
 * receiver that keeps the order.
 */
static void
collect_next(struct shm_tx *st, uint32_t n)
{
	uint32_t at = (uint32_t)st->cursor & st->mask, back = 0;
	uint32_t group = at / SHM_GROUP_SIZE;
	uint64_t out = st->out_map[group] >> at % SHM_GROUP_SIZE;

	n = cells_run(st, at, n);
	/* Acquire: as in collect_group(). */
	while (back < n && (out >> back & 1) != 0 &&
	       atomic_load_explicit(&st->returns[at + back],
				    memory_order_acquire) ==
		       st->generation[at + back])
		back++;
	if (back == 0)
		return;
	out = bits_from(at % SHM_GROUP_SIZE, back);
	st->out_map[group] &= ~out;
	bodies_free(st, group, out);
}

/* all: also groups whose word has not changed. A word is the number of the
 * message released last, so it is the same again after 2^32 messages at the
 * earliest; who is about to sleep or idles long looks everywhere. */
void
weir_shm_collect(struct shm_tx *st, bool all)
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

__attribute__((cold)) int
weir_shm_peer_gone(struct shm_tx *st)
{
	const struct shm_rx_line *peer = &st->session->peer.front->rx;

	return atomic_load_explicit(&peer->gone, memory_order_relaxed) != 0
		       ? -ECONNRESET
		       : -ETIMEDOUT;
}

__attribute__((cold, noinline)) void
weir_shm_tx_awake(struct shm_tx *st)
{
	st->armed = false;
	weir_doorbell_disarm(&st->session->own.front->tx.sleeping);
	weir_shm_bell_drain(&st->session->tx_bell);
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
		weir_shm_collect(st, true);
	return rc != 0;
}

/* The largest of several classes is large, all others are small. */
static void
count_wait(struct shm_tx *st, unsigned int k)
{
	if (st->class_free[k] != 0)
		st->wait_credit++;
	else if (k != 0 && k == st->class_count - 1)
		st->wait_large++;
	else
		st->wait_small++;
}

/* Found too little room, or a peer that is gone. */
static __attribute__((noinline)) int
reserve_slowly(struct shm_tx *st, unsigned int k, struct weir_permit *permits,
	       uint32_t n)
{
	uint32_t room;

	if (st->armed)
		weir_shm_tx_awake(st);
	if (atomic_load_explicit(&st->peer->gone, memory_order_relaxed) != 0)
		return weir_shm_peer_gone(st);
	if (shm_room_of(st, k) < n) {
		if (n > 1)
			collect_next(st, n);
		if (shm_room_of(st, k) < n)
			weir_shm_collect(st, false);
	}
	room = shm_room_of(st, k);
	if (room == 0) {
		count_wait(st, k);
		if (!weir_shm_watch_due(&st->watch) || !look_around(st))
			return 0;
		if (st->peer == &st->dead)
			return weir_shm_peer_gone(st);
		room = shm_room_of(st, k);
		if (room == 0)
			return 0;
	}
	return n == 0 ? 0 : grant(st, k, permits, room < n ? room : n);
}

int
weir_shm_reserve(struct weir_tx *tx, uint32_t size, struct weir_permit *permits,
		 uint16_t n)
{
	struct shm_tx *st = shm_tx_of(tx);
	unsigned int k = shm_class_for(st, size);

	/* Relaxed: a flag alone. The line stays in our cache. */
	if (__builtin_expect(atomic_load_explicit(&st->peer->gone,
						  memory_order_relaxed) != 0,
			     0) ||
	    __builtin_expect(st->armed, 0) || __builtin_expect(n == 0, 0) ||
	    __builtin_expect(shm_room_of(st, k) < n, 0))
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

void
weir_shm_drop(struct weir_tx *tx, const struct weir_permit *permit)
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
	unsigned int k = shm_class_for(st, len);

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
void
weir_shm_alloc(struct weir_tx *tx, const struct weir_permit *permit,
	       uint32_t len, struct weir_slot *slot)
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

/* The next cells in a row, as many of n as are free and in one word. */
static inline uint32_t
take_cells(struct shm_tx *st, uint32_t n)
{
	uint32_t at = (uint32_t)st->cursor & st->mask;
	uint64_t *word = &st->free_map[at / SHM_GROUP_SIZE];
	uint64_t bits;

	n = cells_run(st, at, n);
	bits = bits_from(at % SHM_GROUP_SIZE, n);
	if (__builtin_expect((*word & bits) != bits, 0))
		return 0;
	*word &= ~bits;
	st->cursor += n;
	return n;
}

static inline bool
all_small(const struct shm_tx *st, const struct weir_permit *permits,
	  const struct weir_slot *slots, uint32_t n)
{
	uint32_t pledged = 0, longest = 0;

	for (uint32_t i = 0; i < n; i++) {
		pledged |= permits[i].cookie;
		longest = slots[i].len > longest ? slots[i].len : longest;
	}
	return pledged == 0 && longest <= st->class_size[0];
}

void
weir_shm_alloc_burst(struct weir_tx *tx, const struct weir_permit *permits,
		     struct weir_slot *slots, uint16_t n)
{
	struct shm_tx *st = shm_tx_of(tx);
	bool small = all_small(st, permits, slots, n);

	/* What commit will look at, far away until then. */
	if (st->free_credits < CLAIM_BURST)
		__builtin_prefetch((const void *)&st->returns[(st->cursor + n) &
							      st->mask]);
	for (uint32_t done = 0, run; done < n;) {
		uint32_t at = (uint32_t)st->cursor & st->mask;

		run = small ? take_cells(st, n - done) : 0;
		for (uint32_t i = 0; i < run; i++) {
			slots[done + i].cookie = at + i;
			slots[done + i].data = st->cells[at + i].data;
		}
		done += run;
		if (__builtin_expect(run == 0, 0)) {
			weir_shm_alloc(tx, &permits[done], slots[done].len,
				       &slots[done]);
			done++;
		}
	}
}

/* ---- commit ------------------------------------------------------------------- */

/*
 * The receiver has read the cells of the last lap, so the first store to each
 * has to wait until its cache has let go of the line: 45 to 160 ns. Stores
 * leave a processor in order, and one message makes so many that no two cells
 * are among those that it looks ahead at: every message would pay that in
 * full. So once in a while store to the next cells, one word each, one after
 * the other: now they overlap. (A prefetch for writing does not help where it
 * takes a line that it can read for a hit.)
 *
 * Nobody reads that word, so it does not matter what else the cell holds. But
 * without room to spare they may be cells that the receiver has not read yet,
 * and then he is the slower one anyway.
 */
static inline void
claim_ahead(struct shm_tx *st)
{
	if (st->free_credits < CLAIM_CELLS)
		return;
	for (uint64_t i = 0; i < CLAIM_CELLS; i++)
		atomic_store_explicit(
			&st->cells[(st->seq + i) & st->mask].claim, 0,
			memory_order_relaxed);
}

/* Where the next body of a class is looked for first. */
static inline uint32_t
next_group(const struct shm_tx_class *c)
{
	return c->word_first + c->word_hint;
}

static inline const struct shm_tx_class *
class_of(const struct shm_tx *st, uint32_t body)
{
	return &st->classes[st->group_class[body / SHM_GROUP_SIZE]];
}

/* Lines of a free body, the lowest of these of a group. */
static inline void
claim_lowest(const struct shm_tx_class *c, uint64_t free, uint32_t len)
{
	uint32_t body = next_group(c) * SHM_GROUP_SIZE +
			(uint32_t)__builtin_ctzll(free);
	volatile uint8_t *bytes =
		c->bytes + (uint64_t)(body - c->first) * c->stride;

	for (uint32_t at = 0; at < len; at += WEIR_CACHE_LINE)
		bytes[at] = 0;
}

/*
 * The same for a message with a body of its own: the body that alloc will
 * probably take next is free, so its bytes are ours to write.
 */
static inline void
claim_body(struct shm_tx *st, uint32_t body, uint32_t len)
{
	const struct shm_tx_class *c = class_of(st, body);
	uint64_t free = st->free_map[next_group(c)];

	if (free != 0)
		claim_lowest(c, free, len < CLAIM_BYTES ? len : CLAIM_BYTES);
}

/* With a look at what has come back. */
static __attribute__((noinline)) void
claim_slowly(struct shm_tx *st, uint32_t body, uint32_t len)
{
	if (st->free_credits < CLAIM_CELLS)
		collect_next(st, SHM_GROUP_SIZE);
	if (st->seq % CLAIM_CELLS == 0)
		claim_ahead(st);
	if (body <= st->mask)
		return;
	if (len >= LOOK_BYTES)
		collect_group(st, next_group(class_of(st, body)));
	claim_body(st, body, len);
}

static inline bool
has_to_look(const struct shm_tx *st, uint32_t body, uint32_t len)
{
	return (st->seq % CLAIM_CELLS == 0 && st->free_credits < CLAIM_CELLS) ||
	       (len >= LOOK_BYTES &&
		st->free_map[next_group(class_of(st, body))] == 0);
}

/*
 * What is left to do once the message is published. Neither this nor commit
 * saves a register, since those would be stores too, between the ones whose
 * misses are to overlap: 256 B one way near 14 instead of 19 M/s. So all that
 * calls is a tail call.
 */
static __attribute__((noinline)) void
claim(struct shm_tx *st, uint32_t body, uint32_t len)
{
	if (__builtin_expect(has_to_look(st, body, len), 0)) {
		claim_slowly(st, body, len);
		return;
	}
	if (st->seq % CLAIM_CELLS == 0)
		claim_ahead(st);
	if (body > st->mask)
		claim_body(st, body, len);
}

/* For a burst of n, of which the last one with a body of its own has this. */
static __attribute__((noinline)) void
claim_bodies(struct shm_tx *st, uint32_t body, uint32_t len, uint32_t n)
{
	const struct shm_tx_class *c = class_of(st, body);
	uint64_t free;

	if (st->free_map[next_group(c)] == 0)
		collect_group(st, next_group(c));
	free = st->free_map[next_group(c)];
	if (len > CLAIM_BYTES / n)
		len = CLAIM_BYTES / n;
	for (; n > 0 && free != 0; n--, free &= free - 1)
		claim_lowest(c, free, len);
}

static __attribute__((cold, noinline)) void
ring(struct shm_tx *st)
{
	st->doorbells++;
	weir_shm_bell_ring(st->peer_bell);
}

static __attribute__((cold, noinline)) void
ring_and_claim(struct shm_tx *st, uint32_t body, uint32_t len)
{
	ring(st);
	claim(st, body, len);
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
static inline void
publish_one(struct shm_tx *st, const struct weir_slot *slot)
{
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
}

void
weir_shm_commit(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct shm_tx *st = shm_tx_of(tx);
	uint32_t body = (uint32_t)slot->cookie, len = slot->len;

	publish_one(st, slot);
	if (__builtin_expect(
		    weir_doorbell_wanted(&st->peer->sleeping, st->fence), 0))
		ring_and_claim(st, body, len);
	else if (st->seq % CLAIM_CELLS == 0 || body > st->mask)
		claim(st, body, len);
}

/* Small messages that lie behind their headers, as many of n as follow each
 * other in the ring. @return how many; 0 the first one does not. */
static inline uint32_t
publish_cells(struct shm_tx *st, const struct weir_slot *slots, uint32_t n)
{
	uint32_t at = (uint32_t)st->seq & st->mask, i;
	uint64_t number = (st->seq + 1) << 32, bytes = 0;
	uint16_t *generation = &st->generation[at];
	struct shm_cell *cell = &st->cells[at];

	n = cells_run(st, at, n);
	for (i = 0; i < n && slots[i].cookie == at + i; i++) {
		atomic_store_explicit(&cell[i].body, at + i,
				      memory_order_relaxed);
		atomic_store_explicit(&cell[i].generation, ++generation[i],
				      memory_order_relaxed);
		/* Release: as in publish_one(). */
		atomic_store_explicit(&cell[i].word, number | slots[i].len,
				      memory_order_release);
		number += UINT64_C(1) << 32;
		bytes += slots[i].len;
	}
	if (i != 0)
		st->out_map[at / SHM_GROUP_SIZE] |=
			bits_from(at % SHM_GROUP_SIZE, i);
	st->seq += i;
	st->payload_bytes += bytes;
	return i;
}

/* The cells of the next burst if this one had n, see claim_ahead(): fewer at
 * once than there overlap less. */
static inline void
claim_burst(struct shm_tx *st, uint32_t n)
{
	uint32_t at = (uint32_t)st->seq & st->mask;

	if (n < CLAIM_CELLS && st->seq % CLAIM_CELLS >= n)
		return;
	n = n < CLAIM_CELLS ? CLAIM_CELLS : n < CLAIM_BURST ? n : CLAIM_BURST;
	if (st->free_credits < n)
		collect_next(st, n);
	if (st->free_credits < n)
		return;
	n = n < st->mask + 1 - at ? n : st->mask + 1 - at;
	for (uint32_t i = 0; i < n; i++)
		atomic_store_explicit(&st->cells[at + i].claim, 0,
				      memory_order_relaxed);
}

/* A sleeper is rung once, after the last one. */
void
weir_shm_commit_burst(struct weir_tx *tx, const struct weir_slot *slots,
		      uint16_t n)
{
	const struct weir_slot *large = NULL;
	struct shm_tx *st = shm_tx_of(tx);
	uint32_t run;

	for (uint32_t done = 0; done < n; done += run) {
		run = publish_cells(st, &slots[done], n - done);
		if (run == 0) {
			publish_one(st, &slots[done]);
			run = 1;
			if (slots[done].cookie > st->mask)
				large = &slots[done];
		}
	}
	if (__builtin_expect(
		    weir_doorbell_wanted(&st->peer->sleeping, st->fence), 0))
		ring(st);
	claim_burst(st, n);
	if (large != NULL)
		claim_bodies(st, (uint32_t)large->cookie, large->len, n);
}

void
weir_shm_discard(struct weir_tx *tx, const struct weir_slot *slot)
{
	struct shm_tx *st = shm_tx_of(tx);
	uint32_t body = (uint32_t)slot->cookie;

	bodies_free(st, body / SHM_GROUP_SIZE,
		    UINT64_C(1) << body % SHM_GROUP_SIZE);
	st->cursor--;
	st->discarded++;
	backed_out(st);
}

void
weir_shm_flush(struct weir_tx *tx)
{
	(void)tx; /* commit has published already */
}
