/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receive half: look at the sequence word of the next cell, check what it
 * says, hand the bytes out where they lie. Nothing that the peer wrote is
 * read twice or used unchecked.
 */

#include "doorbell.h"
#include "shm_lane.h"

static inline struct shm_rx *
shm_rx_of(struct weir_rx *rx)
{
	return WEIR_CONTAINER_OF(rx, struct shm_rx, rx);
}

static inline uint64_t
next_word(const struct shm_rx *sr)
{
	/* Acquire: the header and the body come with it. Pairs with
	 * shm_commit(). */
	return atomic_load_explicit(&sr->cells[sr->seq & sr->mask].word,
				    memory_order_acquire);
}

static inline bool
is_next(const struct shm_rx *sr, uint64_t word)
{
	return (uint32_t)(word >> 32) == (uint32_t)(sr->seq + 1);
}

/* The link's status says so too. */
static __attribute__((cold, noinline)) int
broke(const struct shm_rx *sr)
{
	atomic_store_explicit(&sr->session->broken, 1, memory_order_relaxed);
	return -EPROTO;
}

/* ---- one message ---------------------------------------------------------------- */

/*
 * A sender takes the bodies of a class one after the other, so the place of the
 * next one can be told before its header is there: ask for its lines together
 * with the header, instead of one far miss after the other. But only two lines:
 * who asks while the sender has a line but has not yet written it takes it away
 * again, and the more lines the surer that happens.
 */
#define AHEAD_BYTES (2u * WEIR_CACHE_LINE)

static inline void
look_ahead(const struct shm_rx *sr)
{
	__builtin_prefetch(sr->ahead);
	__builtin_prefetch(sr->ahead + WEIR_CACHE_LINE);
}

/* A body elsewhere than behind its header. @return NULL: there is none such. */
static __attribute__((noinline)) const uint8_t *
body_elsewhere(struct shm_rx *sr, uint32_t body, uint32_t len)
{
	const struct shm_session *s = sr->session;
	const struct shm_class *c;
	const uint8_t *data;
	unsigned int k;

	if (body >= sr->body_limit)
		return NULL;
	k = s->group_class[body / SHM_GROUP_SIZE];
	if (k >= s->peer.header.class_count)
		return NULL; /* between two classes */
	c = &s->peer.header.classes[k];
	if (body - c->first >= c->count || len > c->size)
		return NULL;
	data = weir_shm_body(&s->peer, k, body);
	sr->ahead = len <= AHEAD_BYTES ? data + c->stride
				       : (const uint8_t *)sr->cells;
	return data;
}

/* May this body carry a new message? It must be the generation after the one
 * received last, which must have been released. */
static inline bool
is_new(const struct shm_track *t, uint32_t generation)
{
	uint16_t last = atomic_load_explicit(&t->last, memory_order_relaxed);
	uint16_t done = atomic_load_explicit(&t->done, memory_order_relaxed);

	return generation == (uint16_t)(last + 1) && done == last;
}

/*
 * The same, and why not.
 *
 * @return 0; -EAGAIN its releaser has published the release but is not out of
 *         weir_shm_release() yet: a thread that was interrupted in a window of
 *         a few instructions, for so long that the sender has used the body
 *         again. Waiting for it keeps the session's end provable, see
 *         shm_orphan.c; -EPROTO.
 */
static inline int
track_check(const struct shm_rx *sr, uint32_t body, uint32_t generation)
{
	const struct shm_track *t = &sr->track[body];
	uint16_t last = atomic_load_explicit(&t->last, memory_order_relaxed);

	if (__builtin_expect(is_new(t, generation), 1))
		return 0;
	if (generation == (uint16_t)(last + 1) &&
	    atomic_load_explicit(&sr->session->returns[body],
				 memory_order_relaxed) == last)
		return -EAGAIN;
	return -EPROTO;
}

static inline void
hand_out(struct shm_rx *sr, uint32_t body, uint32_t generation, uint32_t len,
	 const uint8_t *data, struct weir_msg *msg)
{
	atomic_store_explicit(&sr->track[body].last, (uint16_t)generation,
			      memory_order_relaxed);
	sr->seq++;
	sr->payload_bytes += len;
	msg->data = data;
	msg->store = &sr->session->store;
	msg->cookie = sr->seq << 32 | generation << 16 | body;
	msg->len = len;
}

static inline int
take(struct shm_rx *sr, const struct shm_cell *cell, uint64_t word,
     struct weir_msg *msg)
{
	uint32_t body = atomic_load_explicit(&cell->body, memory_order_relaxed);
	uint32_t generation =
		atomic_load_explicit(&cell->generation, memory_order_relaxed);
	uint32_t len = (uint32_t)word; /* flags make it too long */
	const uint8_t *data = cell->data;
	int rc;

	if (body != (sr->seq & sr->mask) || len > SHM_INLINE_SIZE)
		data = body_elsewhere(sr, body, len);
	if (__builtin_expect(len > sr->msg_size_max || data == NULL, 0))
		return -EPROTO;
	rc = track_check(sr, body, generation);
	if (__builtin_expect(rc != 0, 0))
		return rc;
	hand_out(sr, body, generation, len, data, msg);
	return 0;
}

/* All that is not as plain as can be. @return as shm_recv(). */
static __attribute__((noinline)) int
take_slowly(struct shm_rx *sr, const struct shm_cell *cell, uint64_t word,
	    struct weir_msg *msg)
{
	int rc = take(sr, cell, word, msg);

	return rc == 0 ? 1 : rc == -EAGAIN ? 0 : broke(sr);
}

/* One small message behind its header, a few instructions. A hostile peer may
 * have changed the header when the slow path loads it again; that path checks
 * what it loads. */
static inline int
take_inline(struct shm_rx *sr, const struct shm_cell *cell, uint32_t at,
	    uint64_t word, struct weir_msg *msg)
{
	uint32_t body = atomic_load_explicit(&cell->body, memory_order_relaxed);
	uint32_t generation =
		atomic_load_explicit(&cell->generation, memory_order_relaxed);
	uint32_t len = (uint32_t)word;

	if (__builtin_expect(body != at || len > sr->inline_size_max, 0) ||
	    __builtin_expect(!is_new(&sr->track[at], generation), 0))
		return take_slowly(sr, cell, word, msg);
	hand_out(sr, at, generation, len, cell->data, msg);
	return 1;
}

/* ---- nothing there ---------------------------------------------------------------- */

/*
 * The end says how many messages came before it, so it cannot overtake them:
 * it counts only when we have received that many.
 *
 * @return 0: a message came meanwhile.
 */
static __attribute__((cold)) int
ended(const struct shm_rx *sr, uint64_t end)
{
	if ((uint32_t)end == (uint32_t)sr->seq) {
		if (end >> 32 == SHM_END_CLOSED)
			return WEIR_EOF;
		if (end >> 32 == SHM_END_ABORTED)
			return -ECONNRESET;
		return broke(sr);
	}
	/* What was committed before the end is visible with it. */
	return is_next(sr, next_word(sr)) ? 0 : broke(sr);
}

/*
 * Threads of the peer that commit at the same time take a number each and then
 * publish. One that died in between leaves a hole that nobody will fill, and
 * what lies behind it was committed.
 */
static __attribute__((cold)) bool
skip_hole(struct shm_rx *sr)
{
	uint64_t first = sr->seq;

	for (uint32_t i = 0; i < sr->mask; i++) {
		sr->seq++;
		if (is_next(sr, next_word(sr))) {
			sr->holes += sr->seq - first;
			return true;
		}
	}
	sr->seq = first;
	return false;
}

/* All that a dead peer had published is visible by now: look again, once. */
static __attribute__((cold)) int
died(struct shm_rx *sr)
{
	uint64_t end;

	if (is_next(sr, next_word(sr)) || skip_hole(sr))
		return 0;
	end = atomic_load_explicit(&sr->peer->end, memory_order_acquire);
	return end >> 32 != SHM_END_OPEN ? ended(sr, end) : -ETIMEDOUT;
}

/* A cell that is not ours to read holds what it held one lap ago. */
static inline bool
is_stale(const struct shm_rx *sr, uint64_t word)
{
	uint64_t cells = (uint64_t)sr->mask + 1;

	return (uint32_t)(word >> 32) ==
	       (sr->seq < cells ? 0 : (uint32_t)(sr->seq + 1 - cells));
}

/*
 * Who is woken by a message has it before the bell is drained, which takes
 * longer than all the rest: that is done when there is nothing to receive, or
 * before the next sleep. A ring that is drained was for a message that is
 * there by now, so look after draining.
 */
static void
drain(struct shm_rx *sr)
{
	if (!sr->rung)
		return;
	sr->rung = false;
	weir_shm_bell_drain(&sr->session->rx_bell);
}

static __attribute__((noinline)) int
idle_slowly(struct shm_rx *sr, uint64_t end, uint64_t word)
{
	if (end >> 32 != SHM_END_OPEN)
		return ended(sr, end);
	if (!is_stale(sr, word))
		return broke(sr);
	drain(sr); /* whoever arms looks again */
	return weir_shm_session_watch(sr->session, &sr->watch) < 0 ? died(sr)
								   : 0;
}

static __attribute__((noinline)) int
idle(struct shm_rx *sr, uint64_t word)
{
	/* Acquire: pairs with end_sending(). */
	uint64_t end =
		atomic_load_explicit(&sr->peer->end, memory_order_acquire);

	if (__builtin_expect(end >> 32 == SHM_END_OPEN, 1) &&
	    __builtin_expect(is_stale(sr, word), 1) &&
	    __builtin_expect(!weir_shm_watch_due(&sr->watch), 1))
		return 0;
	return idle_slowly(sr, end, word);
}

static __attribute__((cold, noinline)) void
awake(struct shm_rx *sr)
{
	sr->armed = false;
	weir_doorbell_disarm(&sr->session->own.front->rx.sleeping);
	sr->rung = true;
	sr->watch.every = 0; /* idle_slowly() is to see it */
}

/*
 * Small messages behind their headers, as many of n as come in a row: what
 * take_inline() does, with all that changes from one to the next in registers.
 */
static inline uint32_t
take_cells(struct shm_rx *sr, struct weir_msg *msgs, uint32_t n)
{
	uint32_t at = (uint32_t)sr->seq & sr->mask, i;
	const struct shm_cell *cell = &sr->cells[at];
	uint64_t seq = sr->seq, bytes = 0;

	if (n > sr->mask + 1 - at)
		n = sr->mask + 1 - at;
	for (i = 0; i < n; i++, at++) {
		/* Acquire: as next_word(). */
		uint64_t word = atomic_load_explicit(&cell[i].word,
						     memory_order_acquire);
		uint32_t body = atomic_load_explicit(&cell[i].body,
						     memory_order_relaxed);
		uint32_t generation = atomic_load_explicit(
			&cell[i].generation, memory_order_relaxed);
		uint32_t len = (uint32_t)word;

		if ((uint32_t)(word >> 32) != (uint32_t)(seq + 1) ||
		    body != at || len > sr->inline_size_max ||
		    !is_new(&sr->track[at], generation))
			break;
		atomic_store_explicit(&sr->track[at].last, (uint16_t)generation,
				      memory_order_relaxed);
		seq++;
		bytes += len;
		msgs[i].data = cell[i].data;
		msgs[i].store = &sr->session->store;
		msgs[i].cookie = seq << 32 | generation << 16 | at;
		msgs[i].len = len;
	}
	sr->seq = seq;
	sr->payload_bytes += bytes;
	return i;
}

/* Several messages, or one that is not where it usually is. */
static __attribute__((noinline)) int
recv_many(struct shm_rx *sr, struct weir_msg *msgs, uint32_t n)
{
	uint32_t count = 0;
	int rc = 0;

	while (count < n) {
		uint64_t word;

		count += take_cells(sr, &msgs[count], n - count);
		if (count == n)
			break;
		word = next_word(sr);
		if (!is_next(sr, word))
			break;
		rc = take(sr, &sr->cells[sr->seq & sr->mask], word,
			  &msgs[count]);
		if (__builtin_expect(rc != 0, 0))
			break;
		count++;
	}
	return count > 0 || rc != -EPROTO ? (int)count : broke(sr);
}

static int shm_recv(struct weir_rx *rx, struct weir_msg *msgs, uint16_t n);

/* The first call after arming. */
static __attribute__((cold, noinline)) int
recv_awake(struct shm_rx *sr, struct weir_msg *msgs, uint16_t n)
{
	awake(sr);
	return shm_recv(&sr->rx, msgs, n);
}

/* All that is not a small message at once is a tail call: nothing is saved. */
static int
shm_recv(struct weir_rx *rx, struct weir_msg *msgs, uint16_t n)
{
	struct shm_rx *sr = shm_rx_of(rx);
	uint32_t at = (uint32_t)sr->seq & sr->mask;
	const struct shm_cell *cell = &sr->cells[at];
	uint64_t word;

	if (__builtin_expect(sr->armed, 0))
		return recv_awake(sr, msgs, n);
	/* Acquire: as next_word(). */
	word = atomic_load_explicit(&cell->word, memory_order_acquire);
	look_ahead(sr);
	if (!is_next(sr, word))
		return idle(sr, word);
	if (n != 1)
		return recv_many(sr, msgs, n);
	return take_inline(sr, cell, at, word, msgs);
}

/* ---- not on the data path -------------------------------------------------------- */

static int
shm_rx_fd(struct weir_rx *rx)
{
	struct shm_rx *sr = shm_rx_of(rx);

	return weir_shm_sleep_fd(&sr->sleep, sr->session,
				 &sr->session->rx_bell);
}

static int
shm_rx_arm(struct weir_rx *rx)
{
	struct shm_rx *sr = shm_rx_of(rx);
	uint64_t end;
	bool none;

	sr->armed = true;
	drain(sr);
	weir_shm_sleep_fd(&sr->sleep, sr->session, &sr->session->rx_bell);
	weir_doorbell_arm(&sr->session->own.front->rx.sleeping);
	end = atomic_load_explicit(&sr->peer->end, memory_order_acquire);
	/* A dead peer is seen by the descriptor. */
	none = end >> 32 == SHM_END_OPEN && is_stale(sr, next_word(sr));
	return none;
}

static void
shm_rx_wake(struct weir_rx *rx)
{
	weir_shm_bell_wake(&shm_rx_of(rx)->session->rx_bell);
}

static void
shm_rx_stats(struct weir_rx *rx, struct weir_rx_stats *stats)
{
	struct shm_rx *sr = shm_rx_of(rx);

	stats->messages = stats->released = sr->seq - sr->holes;
	stats->payload_bytes = sr->payload_bytes;
	stats->copied_bytes = sr->copied_bytes;
	stats->doorbells = atomic_load_explicit(&sr->session->release_bells,
						memory_order_relaxed);
	for (uint32_t b = 0; b < sr->body_limit; b++)
		if (atomic_load_explicit(&sr->track[b].last,
					 memory_order_relaxed) !=
		    atomic_load_explicit(&sr->track[b].done,
					 memory_order_relaxed))
			stats->released--;
}

static void
shm_rx_destroy(struct weir_rx *rx)
{
	struct shm_rx *sr = shm_rx_of(rx);
	struct shm_session *s = sr->session;

	atomic_store_explicit(&s->own.front->rx.gone, 1, memory_order_release);
	if (weir_shm_session_is_up(s) &&
	    weir_doorbell_wanted(&s->peer_tx->sleeping, s->fence))
		weir_shm_bell_ring(s->peer_tx_bell);
	weir_shm_sleep_close(&sr->sleep);
	weir_shm_session_half_gone(s, false);
	weir_shm_orphan(s);
}

const struct weir_rx_ops weir_shm_rx_ops = {
	.recv = shm_recv,
	.fd = shm_rx_fd,
	.arm = shm_rx_arm,
	.wake = shm_rx_wake,
	.stats = shm_rx_stats,
	.destroy = shm_rx_destroy,
};

/* ---- before the link is up ----------------------------------------------------- */

static int
early_recv(struct weir_rx *rx, struct weir_msg *msgs, uint16_t n)
{
	struct shm_rx *sr = shm_rx_of(rx);
	int rc = weir_shm_session_progress(sr->session);

	if (sr->armed)
		awake(sr);
	if (rc != 1)
		return rc;
	weir_shm_rx_attach(sr);
	return rx->ops->recv(rx, msgs, n);
}

static int
early_arm(struct weir_rx *rx)
{
	struct shm_rx *sr = shm_rx_of(rx);
	int rc;

	sr->armed = true;
	drain(sr);
	rc = weir_shm_session_progress(sr->session);
	return rc == 0 && shm_rx_fd(rx) >= 0;
}

static void
early_stats(struct weir_rx *rx, struct weir_rx_stats *stats)
{
	(void)rx;
	(void)stats; /* all zero */
}

const struct weir_rx_ops weir_shm_rx_ops_early = {
	.recv = early_recv,
	.fd = shm_rx_fd,
	.arm = early_arm,
	.wake = shm_rx_wake,
	.stats = early_stats,
	.destroy = shm_rx_destroy,
};

void
weir_shm_rx_attach(struct shm_rx *sr)
{
	struct shm_session *s = sr->session;
	const struct shm_header *h = &s->peer.header;

	atomic_store_explicit(&s->told_up, 1, memory_order_relaxed);
	sr->cells = (const void *)(s->peer.bytes + h->cells_offset);
	sr->ahead = (const uint8_t *)sr->cells;
	sr->mask = h->cell_count - 1;
	sr->body_limit = h->body_limit;
	sr->msg_size_max = h->msg_size_max;
	sr->inline_size_max = h->msg_size_max < SHM_INLINE_SIZE
				      ? h->msg_size_max
				      : SHM_INLINE_SIZE;
	sr->track = s->track;
	sr->peer = s->peer_tx;
	sr->rx.ops = &weir_shm_rx_ops;
	if (s->places != NULL)
		weir_shm_rx_distrust(sr);
	/* Rung to say that the link is up. */
	weir_shm_bell_drain(&s->rx_bell);
}
