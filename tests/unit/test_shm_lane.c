/* SPDX-License-Identifier: BSD-3-Clause */
/* Lanes: identities after every step, order, classes, wrap-around, releases
 * from many threads, and handles that outlive everything. */

#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "shm_pair.h"

#define RELEASERS 4

static const struct weir_link_config small = {
	.size = sizeof(small),
	.msg_size_max = 5000,
	.tx_credits = 32,
};

static void
fill(void *data, uint32_t len, uint32_t number)
{
	for (uint32_t i = 0; i < len; i++)
		((uint8_t *)data)[i] = (uint8_t)(number * 31 + i);
}

static bool
intact(const struct weir_msg *msg, uint32_t number)
{
	for (uint32_t i = 0; i < msg->len; i++)
		if (((const uint8_t *)msg->data)[i] !=
		    (uint8_t)(number * 31 + i))
			return false;
	return true;
}

static void
send_one(struct weir_tx *tx, uint32_t len, uint32_t number)
{
	struct weir_permit permit;
	struct weir_slot slot;

	assert_int_equal(weir_tx_reserve_burst(tx, len, &permit, 1), 1);
	assert_int_equal(weir_permit_alloc(&permit, len, &slot), 0);
	fill(slot.data, len, number);
	weir_slot_commit(&slot);
}

/* ---- everything at random, checked after every step ---------------------------- */

struct walk {
	struct pair p;
	unsigned int seed;
	struct weir_permit permits[32];
	struct weir_slot slots[32];
	uint32_t numbers[32]; /* of the slots */
	struct weir_msg held[64];
	uint32_t held_numbers[64];
	uint32_t permit_count, slot_count, held_count;
	uint32_t made, expected[4096]; /* in commit order */
	uint64_t committed, received;
};

static uint32_t
draw(struct walk *w, uint32_t n)
{
	return (uint32_t)rand_r(&w->seed) % n;
}

static uint32_t
draw_size(struct walk *w)
{
	static const uint32_t edges[] = { 0,    1,    47,   48,   49,   255,
					  256,  257,  1023, 1024, 1025, 4095,
					  4096, 4097, 4999, 5000 };

	return edges[draw(w, sizeof(edges) / sizeof(edges[0]))];
}

static void
walk_reserve(struct walk *w)
{
	uint32_t room = 32 - w->permit_count - w->slot_count;
	int rc;

	if (room == 0)
		return;
	rc = weir_tx_reserve_burst(w->p.a_tx, draw_size(w),
				   &w->permits[w->permit_count],
				   (uint16_t)(1 + draw(w, room)));
	assert_true(rc >= 0);
	w->permit_count += (uint32_t)rc;
}

static void
walk_alloc(struct walk *w)
{
	struct weir_permit *permit;
	uint32_t len;

	if (w->permit_count == 0)
		return;
	permit = &w->permits[--w->permit_count];
	if (draw(w, 4) == 0) {
		weir_permit_drop(permit);
		return;
	}
	len = draw_size(w) % (permit->size + 1);
	assert_int_equal(
		weir_permit_alloc(permit, len, &w->slots[w->slot_count]), 0);
	w->numbers[w->slot_count] = w->made++;
	fill(w->slots[w->slot_count].data, len, w->numbers[w->slot_count]);
	w->slot_count++;
}

/* All permits become slots at once; small ones often, so that they lie in
 * cells in a row. Sometimes one length is too long for its permit. */
static void
walk_alloc_burst(struct walk *w)
{
	uint32_t n = w->permit_count, lens[32];
	bool tiny = draw(w, 2) == 0, fits = draw(w, 16) != 0;

	for (uint32_t i = 0; i < n; i++)
		lens[i] = draw_size(w) % (w->permits[i].size + 1) %
			  (tiny ? 49 : UINT32_MAX);
	if (n > 0 && !fits)
		lens[n - 1] = w->permits[n - 1].size + 1;
	w->permit_count = 0;
	assert_int_equal(weir_permit_alloc_burst(w->permits, lens,
						 &w->slots[w->slot_count],
						 (uint16_t)n),
			 fits || n == 0 ? 0 : -EMSGSIZE);
	for (uint32_t i = 0; i < n; i++) {
		struct weir_slot *slot = &w->slots[w->slot_count];

		assert_null(w->permits[i].tx);
		if (!fits) {
			assert_null(slot[i].tx);
			continue;
		}
		assert_int_equal(slot->len, lens[i]);
		w->numbers[w->slot_count] = w->made++;
		fill(slot->data, slot->len, w->numbers[w->slot_count++]);
	}
}

/* The last ones, as many as may be; those before them stay open. */
static void
walk_commit_burst(struct walk *w)
{
	uint32_t n = draw(w, w->slot_count + 1);
	uint32_t first = w->slot_count - n;

	for (uint32_t i = 0; i < n; i++)
		w->expected[w->committed++ % 4096] = w->numbers[first + i];
	weir_slot_commit_burst(&w->slots[first], (uint16_t)n);
	w->slot_count = first;
}

static void
walk_commit(struct walk *w)
{
	uint32_t i;

	if (w->slot_count == 0)
		return;
	i = draw(w, w->slot_count);
	if (draw(w, 4) == 0) {
		weir_slot_discard(&w->slots[i]);
	} else {
		w->expected[w->committed++ % 4096] = w->numbers[i];
		weir_slot_commit(&w->slots[i]);
	}
	w->slot_count--;
	w->slots[i] = w->slots[w->slot_count];
	w->numbers[i] = w->numbers[w->slot_count];
}

static void
walk_recv(struct walk *w)
{
	int rc;

	if (w->held_count == 64)
		return;
	rc = weir_rx_recv(w->p.b_rx, &w->held[w->held_count]);
	assert_int_equal(rc, w->received < w->committed);
	if (rc == 0)
		return;
	w->held_numbers[w->held_count] = w->expected[w->received++ % 4096];
	assert_true(intact(&w->held[w->held_count],
			   w->held_numbers[w->held_count]));
	w->held_count++;
}

static void
walk_recv_burst(struct walk *w)
{
	uint32_t n = draw(w, 64 - w->held_count + 1), there;
	int rc;

	there = (uint32_t)(w->committed - w->received);
	rc = weir_rx_recv_burst(w->p.b_rx, &w->held[w->held_count],
				(uint16_t)n);
	assert_int_equal(rc, n < there ? n : there);
	for (int i = 0; i < rc; i++, w->held_count++) {
		w->held_numbers[w->held_count] =
			w->expected[w->received++ % 4096];
		assert_true(intact(&w->held[w->held_count],
				   w->held_numbers[w->held_count]));
	}
}

/* The last ones, as many as may be. */
static void
walk_release_burst(struct walk *w)
{
	uint32_t n = draw(w, w->held_count + 1);
	uint32_t first = w->held_count - n;

	for (uint32_t i = 0; i < n; i++)
		assert_true(intact(&w->held[first + i],
				   w->held_numbers[first + i]));
	weir_msg_release_burst(&w->held[first], (uint16_t)n);
	for (uint32_t i = 0; i < n; i++)
		assert_null(w->held[first + i].store);
	w->held_count = first;
}

static void
walk_release(struct walk *w)
{
	uint32_t i;

	if (w->held_count == 0)
		return;
	i = draw(w, w->held_count);
	/* Nobody has touched it since. */
	assert_true(intact(&w->held[i], w->held_numbers[i]));
	weir_msg_release(&w->held[i]);
	w->held_count--;
	w->held[i] = w->held[w->held_count];
	w->held_numbers[i] = w->held_numbers[w->held_count];
}

static void
identities_hold_after_every_step(void **state)
{
	static void (*const steps[])(struct walk *) = {
		walk_reserve,    walk_alloc,         walk_alloc,
		walk_commit,     walk_commit,        walk_recv,
		walk_recv,       walk_release,       walk_release,
		walk_reserve,    walk_alloc_burst,   walk_commit_burst,
		walk_recv_burst, walk_release_burst,
	};
	struct walk *w = calloc(1, sizeof(*w));
	struct weir_tx_stats t;
	struct weir_rx_stats r;

	(void)state;
	w->seed = 42;
	pair_open(&w->p, &small);
	for (int i = 0; i < 300000; i++) {
		steps[draw(w, sizeof(steps) / sizeof(steps[0]))](w);
		audit(w->p.a_tx);
	}
	while (w->permit_count > 0)
		weir_permit_drop(&w->permits[--w->permit_count]);
	while (w->slot_count > 0)
		weir_slot_discard(&w->slots[--w->slot_count]);
	while (w->received < w->committed || w->held_count > 0) {
		walk_recv(w);
		walk_release(w);
	}
	/* With everything back, all there was can be had again. */
	assert_int_equal(weir_tx_reserve_burst(w->p.a_tx, 1, w->permits, 32),
			 32);
	for (int i = 0; i < 32; i++)
		weir_permit_drop(&w->permits[i]);
	audit(w->p.a_tx);
	weir_tx_stats(w->p.a_tx, &t, sizeof(t));
	weir_rx_stats(w->p.b_rx, &r, sizeof(r));
	assert_int_equal(t.free, 32);
	assert_int_equal(t.messages, w->committed);
	assert_int_equal(r.messages, w->committed);
	assert_int_equal(r.released, w->committed);
	assert_int_equal(r.payload_bytes, t.payload_bytes);
	assert_true(w->committed > 30000);
	assert_int_equal(t.doorbells, 0);
	assert_int_equal(r.doorbells, 0);
	pair_close(&w->p);
	free(w);
}

/* ---- classes --------------------------------------------------------------------- */

static void
a_large_pledge_goes_back_at_once(void **state)
{
	struct weir_permit permits[64];
	struct weir_slot slot;
	struct weir_tx_stats t;
	struct pair p;
	int n;

	(void)state;
	pair_open(&p, NULL);
	n = weir_tx_reserve_burst(p.a_tx, 65536, permits, 64);
	assert_int_equal(n, weir_tx_capacity(p.a_tx, 65536));
	assert_int_equal(weir_tx_reserve_burst(p.a_tx, 65536, &permits[n], 1),
			 0);
	assert_int_equal(weir_permit_alloc(&permits[0], 10, &slot), 0);
	weir_tx_stats(p.a_tx, &t, sizeof(t));
	assert_int_equal(t.classes[0].allocated, 1);
	assert_int_equal(t.classes[5].free, 1);
	assert_int_equal(weir_tx_reserve_burst(p.a_tx, 65536, &permits[0], 1),
			 1);
	weir_slot_discard(&slot);
	for (int i = 0; i < n; i++)
		weir_permit_drop(&permits[i]);
	audit(p.a_tx);
	pair_close(&p);
}

/* A small class that is used up, or promised away, is never overdrawn: the
 * message goes where its pledge is. */
static void
a_promised_body_is_not_taken_by_another(void **state)
{
	struct weir_permit small_ones[16], large;
	struct weir_link_config config = { .size = sizeof(config),
					   .msg_size_max = 1024,
					   .tx_credits = 16 };
	struct weir_slot slot[16], big;
	struct pair p;

	(void)state;
	pair_open(&p, &config);
	assert_int_equal(weir_tx_reserve_burst(p.a_tx, 1024, &large, 1), 1);
	assert_int_equal(weir_tx_reserve_burst(p.a_tx, 200, small_ones, 15),
			 15);
	/* One body of 256 bytes is left, nobody's: it may take that one. */
	assert_int_equal(weir_permit_alloc(&large, 200, &big), 0);
	for (int i = 0; i < 15; i++) {
		assert_int_equal(
			weir_permit_alloc(&small_ones[i], 200, &slot[i]), 0);
		assert_ptr_not_equal(slot[i].data, big.data);
		audit(p.a_tx);
	}
	for (int i = 0; i < 15; i++)
		weir_slot_discard(&slot[i]);
	weir_slot_discard(&big);
	audit(p.a_tx);
	pair_close(&p);
}

static void
a_large_message_is_one_piece(void **state)
{
	struct weir_link_config config = { .size = sizeof(config),
					   .msg_size_max = 3u << 20,
					   .tx_credits = 8,
					   .large_count = 3 };
	struct weir_msg msgs[3];
	struct pair p;

	(void)state;
	pair_open(&p, &config);
	assert_int_equal(weir_tx_capacity(p.a_tx, 3u << 20), 3);
	for (uint32_t i = 0; i < 3; i++)
		send_one(p.a_tx, 3u << 20, i);
	audit(p.a_tx);
	assert_int_equal(weir_rx_recv_burst(p.b_rx, msgs, 3), 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(msgs[i].len, 3u << 20);
		assert_true(intact(&msgs[i], i));
		weir_msg_release(&msgs[i]);
	}
	pair_close(&p);
}

/* The header and a small body share a cache line, at the peer too. */
static void
a_small_message_is_one_cache_line(void **state)
{
	const struct shm_cell *cell;
	struct weir_msg msg;
	struct pair p;

	(void)state;
	pair_open(&p, &small);
	for (uint32_t i = 0; i < 100; i++) {
		cell = &rx_inside(p.b_rx)->cells[i % 32];
		send_one(p.a_tx, 48, i);
		assert_int_equal(weir_rx_recv(p.b_rx, &msg), 1);
		assert_ptr_equal(msg.data, cell->data);
		weir_msg_release(&msg);
	}
	pair_close(&p);
}

/* ---- wrap-around ------------------------------------------------------------------ */

/* As if that many messages had passed. */
static void
age(struct shm_tx *st, struct shm_rx *sr, uint64_t seq)
{
	for (uint64_t s = seq - st->mask - 1; s < seq; s++)
		atomic_store(&st->cells[s & st->mask].word, (s + 1) << 32);
	st->seq = st->cursor = seq;
	sr->seq = seq;
}

static void
sequence_and_generations_wrap(void **state)
{
	struct weir_link_config config = { .size = sizeof(config),
					   .msg_size_max = 48,
					   .tx_credits = 4 };
	struct weir_msg msg;
	struct pair p;

	(void)state;
	pair_open(&p, &config);
	age(tx_inside(p.a_tx), rx_inside(p.b_rx), UINT32_MAX - 100000);
	/* Each of the 4 bodies is used 75,000 times: 16 bits wrap as well. */
	for (uint32_t i = 0; i < 300000; i++) {
		assert_int_equal(weir_rx_recv(p.b_rx, &msg), 0);
		send_one(p.a_tx, 8, i);
		assert_int_equal(weir_rx_recv(p.b_rx, &msg), 1);
		assert_true(intact(&msg, i));
		weir_msg_release(&msg);
	}
	audit(p.a_tx);
	assert_true(tx_inside(p.a_tx)->seq > UINT32_MAX);
	assert_int_equal(weir_tx_close(p.a_tx), 0);
	assert_int_equal(weir_rx_recv(p.b_rx, &msg), WEIR_EOF);
	pair_close(&p);
}

/* ---- releases from many threads --------------------------------------------------- */

struct heap {
	pthread_mutex_t lock;
	struct weir_msg msgs[256];
	uint32_t count;
	bool stop;
};

static void *
release_all(void *arg)
{
	struct heap *heap = arg;
	struct weir_msg msg;
	bool have, stop;

	do {
		pthread_mutex_lock(&heap->lock);
		have = heap->count > 0;
		if (have)
			msg = heap->msgs[--heap->count];
		stop = heap->stop;
		pthread_mutex_unlock(&heap->lock);
		if (have)
			weir_msg_release(&msg);
		else
			sched_yield();
	} while (have || !stop);
	return NULL;
}

static void
any_thread_may_release(void **state)
{
	struct weir_link_config config = { .size = sizeof(config),
					   .msg_size_max = 300,
					   .tx_credits = 128 };
	struct heap heap = { .lock = PTHREAD_MUTEX_INITIALIZER };
	uint64_t give_up_ns = in_seconds(30);
	struct weir_permit permit;
	struct weir_slot slot;
	pthread_t threads[RELEASERS];
	struct weir_msg msg;
	struct pair p;
	uint32_t sent = 0, got = 0;
	int rc;

	(void)state;
	pair_open(&p, &config);
	for (int i = 0; i < RELEASERS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, release_all, &heap),
			0);
	while (got < 100000 && weir_now_ns() < give_up_ns) {
		uint32_t len = sent % 7 == 0 ? 200 : sent % 49;

		rc = weir_tx_reserve_burst(p.a_tx, len, &permit, 1);
		if (rc == 1) {
			assert_int_equal(weir_permit_alloc(&permit, len, &slot),
					 0);
			fill(slot.data, len, sent++);
			weir_slot_commit(&slot);
		}
		rc = weir_rx_recv(p.b_rx, &msg);
		assert_true(rc >= 0);
		if (rc == 0) {
			sched_yield();
			continue;
		}
		assert_true(intact(&msg, got++));
		pthread_mutex_lock(&heap.lock);
		heap.msgs[heap.count++] = msg;
		pthread_mutex_unlock(&heap.lock);
	}
	pthread_mutex_lock(&heap.lock);
	heap.stop = true;
	pthread_mutex_unlock(&heap.lock);
	for (int i = 0; i < RELEASERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(got, 100000);
	pair_close(&p);
}

/* ---- the end after the end ------------------------------------------------------- */

static void
handles_outlive_everything(void **state)
{
	struct heap heap = { .lock = PTHREAD_MUTEX_INITIALIZER, .stop = true };
	int fds = fd_count(), segments = segment_count();
	pthread_t threads[RELEASERS];
	struct pair p;

	(void)state;
	pair_open(&p, NULL);
	for (uint32_t i = 0; i < 200; i++)
		send_one(p.a_tx, i * 20, i);
	assert_int_equal(weir_rx_recv_burst(p.b_rx, heap.msgs, 200), 200);
	pair_close(&p);
	assert_true(segment_count() > segments);
	for (uint32_t i = 0; i < 200; i++)
		assert_true(intact(&heap.msgs[i], i));
	heap.count = 200;
	for (int i = 0; i < RELEASERS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, release_all, &heap),
			0);
	for (int i = 0; i < RELEASERS; i++)
		pthread_join(threads[i], NULL);
	/* The last release took all of it down. */
	assert_int_equal(segment_count(), segments);
	assert_int_equal(fd_count(), fds);
}

/* The receive half goes while other threads release: whoever is last frees,
 * exactly once. A leak shows as a segment, a double free under ASan. */
static void
the_last_release_races_with_the_end(void **state)
{
	int segments = segment_count();
	struct weir_link_config config = { .size = sizeof(config),
					   .msg_size_max = 48,
					   .tx_credits = 8 };

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct heap heap = { .lock = PTHREAD_MUTEX_INITIALIZER,
				     .stop = true };
		pthread_t thread;
		struct pair p;

		pair_open(&p, &config);
		for (uint32_t i = 0; i < 8; i++)
			send_one(p.a_tx, 8, i);
		assert_int_equal(weir_rx_recv_burst(p.b_rx, heap.msgs, 8), 8);
		heap.count = 8;
		assert_int_equal(
			pthread_create(&thread, NULL, release_all, &heap), 0);
		for (int spin = 0; spin < round * 10; spin++)
			__asm__ volatile("" ::: "memory");
		pair_close(&p);
		pthread_join(thread, NULL);
		assert_int_equal(segment_count(), segments);
	}
}

static const struct weir_link_config tiny = {
	.size = sizeof(tiny),
	.msg_size_max = 48,
	.tx_credits = 4,
};

static void
exchange(struct pair *p, uint32_t number)
{
	struct weir_msg msg;

	send_one(p->a_tx, 4, number);
	send_one(p->b_tx, 4, number + 1);
	assert_int_equal(weir_rx_recv(p->b_rx, &msg), 1);
	assert_true(intact(&msg, number));
	weir_msg_release(&msg);
	assert_int_equal(weir_rx_recv(p->a_rx, &msg), 1);
	assert_true(intact(&msg, number + 1));
	weir_msg_release(&msg);
}

/* Bytes of all mapped segments. */
static uint64_t
segment_bytes(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	uint64_t from, to, bytes = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps) != NULL)
		if (strstr(line, "/memfd:weir") != NULL &&
		    sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) == 2)
			bytes += to - from;
	fclose(maps);
	return bytes;
}

/* As the table in docs/drivers/shm.md says, for both ends together. */
static void
a_link_costs_what_the_documents_say(void **state)
{
	const struct weir_link_config config = { .size = sizeof(config),
						 .msg_size_max = 48,
						 .tx_credits = 16 };
	int fds = fd_count(), segments = segment_count();
	uint64_t bytes = segment_bytes();
	struct pair p;

	(void)state;
	pair_open(&p, &config);
	exchange(&p, 0);
	assert_in_range(fd_count() - fds, 1, 14);
	assert_int_equal(segment_count() - segments, 4);
	assert_int_equal(segment_bytes() - bytes, 4 * 80 * 1024);
	/* Two more who can sleep at each end. */
	assert_true(weir_rx_fd(p.a_rx) >= 0 && weir_rx_fd(p.b_rx) >= 0);
	assert_true(weir_tx_fd(p.a_tx) >= 0 && weir_tx_fd(p.b_tx) >= 0);
	assert_in_range(fd_count() - fds, 1, 20);
	pair_close(&p);
	assert_int_equal(fd_count(), fds);
	assert_int_equal(segment_bytes(), bytes);
}

/* Under a sanitizer there is nothing in this heap; it has its own ways. */
static void
many_links_leave_nothing(void **state)
{
	uint32_t count = getenv("WEIR_CHECK_LONG") != NULL ? 10000 : 1000;
	int fds = fd_count(), segments = segment_count();
	size_t heap = 0;

	(void)state;
	for (uint32_t i = 0; i <= count; i++) {
		struct pair p;

		pair_open(&p, &tiny);
		exchange(&p, i);
		pair_close(&p);
		if (i == 0)
			heap = mallinfo2().uordblks;
	}
	assert_int_equal(segment_count(), segments);
	assert_int_equal(fd_count(), fds);
	assert_in_range(mallinfo2().uordblks, 0, heap + count - 1);
}

/* More than a listener has places for, before it looks for the first time. */
static void
who_comes_with_many_is_let_in(void **state)
{
	struct weir_link *out[40], *in[40];
	struct weir_listener *listener;
	struct weir_port *port;
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "shm:many-%d", (int)getpid());
	assert_int_equal(weir_port_open(name, NULL, &port), 0);
	assert_int_equal(weir_listener_open(port, name, &tiny, &listener), 0);
	for (int i = 0; i < 40; i++)
		assert_int_equal(weir_link_connect(port, name, &tiny, &out[i]),
				 0);
	for (int i = 0; i < 40; i++)
		assert_int_equal(
			weir_link_accept_wait(
				listener, weir_now_ns() + 5000000000u, &in[i]),
			1);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(weir_link_status(out[i]), 0);
		weir_link_destroy(out[i]);
		weir_link_destroy(in[i]);
	}
	weir_listener_close(listener);
	assert_int_equal(weir_port_close(port), 0);
}

/* Both ends of each in this process, which takes 14 descriptors. */
static void
a_thousand_links_fit_in_a_process(void **state)
{
	struct rlimit limit;
	struct pair *pairs;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_max < 15000) {
		print_message("skipped: the hard limit of open files is %lu\n",
			      (unsigned long)limit.rlim_max);
		skip();
	}
	limit.rlim_cur = 15000;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	pairs = calloc(1000, sizeof(*pairs));
	assert_non_null(pairs);
	for (uint32_t i = 0; i < 1000; i++)
		pair_open(&pairs[i], &tiny);
	for (uint32_t i = 0; i < 1000; i++)
		exchange(&pairs[i], i);
	for (uint32_t i = 0; i < 1000; i++)
		pair_close(&pairs[i]);
	free(pairs);
	assert_int_equal(segment_count(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identities_hold_after_every_step),
		cmocka_unit_test(a_large_pledge_goes_back_at_once),
		cmocka_unit_test(a_promised_body_is_not_taken_by_another),
		cmocka_unit_test(a_large_message_is_one_piece),
		cmocka_unit_test(a_small_message_is_one_cache_line),
		cmocka_unit_test(sequence_and_generations_wrap),
		cmocka_unit_test(any_thread_may_release),
		cmocka_unit_test(handles_outlive_everything),
		cmocka_unit_test(the_last_release_races_with_the_end),
		cmocka_unit_test(a_link_costs_what_the_documents_say),
		cmocka_unit_test(many_links_leave_nothing),
		cmocka_unit_test(who_comes_with_many_is_let_in),
		cmocka_unit_test(a_thousand_links_fit_in_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
