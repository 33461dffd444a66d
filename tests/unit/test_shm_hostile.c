/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer that lies in its own memory, which is all that it can write: one lie
 * per rule, then random ones by the thousand. The victim answers -EPROTO and
 * goes on doing so, reads nothing outside, and keeps its own books straight.
 */

#include <pthread.h>

#include "shm_pair.h"

/* A's rx is the victim; B lies through its own segment. */
struct liar {
	struct pair p;
	struct shm_tx *st;
	struct shm_rx *victim;
};

static void
liar_open_with(struct liar *l, uint32_t flags)
{
	const struct weir_link_config config = { .size = sizeof(config),
						 .msg_size_max = 1000,
						 .tx_credits = 8,
						 .flags = flags };

	pair_open(&l->p, &config);
	l->st = tx_inside(l->p.b_tx);
	l->victim = rx_inside(l->p.a_rx);
}

static void
liar_open(struct liar *l)
{
	liar_open_with(l, 0);
}

static void
liar_close(struct liar *l)
{
	pair_close(&l->p);
}

/* Announce a message as shm_commit() would. */
static void
announce(struct liar *l, uint32_t body, uint32_t generation, uint32_t len)
{
	struct shm_cell *cell = &l->st->cells[l->st->seq & l->st->mask];

	atomic_store(&cell->body, body);
	atomic_store(&cell->generation, generation);
	l->st->seq++;
	atomic_store(&cell->word, l->st->seq << 32 | len);
}

static void
caught(struct liar *l)
{
	struct weir_msg msg;

	for (int i = 0; i < 3; i++)
		assert_int_equal(weir_rx_recv(l->p.a_rx, &msg), -EPROTO);
	assert_int_equal(weir_link_status(l->p.a_link), -EPROTO);
	liar_close(l);
}

/* What follows is a lie only if this is none. */
static void
an_honest_message_passes(void **state)
{
	struct liar l;
	struct weir_msg msg;

	(void)state;
	liar_open(&l);
	announce(&l, 0, 1, 48);
	assert_int_equal(weir_rx_recv(l.p.a_rx, &msg), 1);
	weir_msg_release(&msg);
	announce(&l, l.st->classes[1].first, 1, 256);
	assert_int_equal(weir_rx_recv(l.p.a_rx, &msg), 1);
	weir_msg_release(&msg);
	announce(&l, 7, 1, 0); /* another cell's inline area */
	assert_int_equal(weir_rx_recv(l.p.a_rx, &msg), 1);
	weir_msg_release(&msg);
	assert_int_equal(weir_rx_recv(l.p.a_rx, &msg), 0);
	liar_close(&l);
}

static void
a_sequence_from_nowhere(void **state)
{
	const uint32_t wrong[] = { 2, 9, UINT32_MAX, 0x80000000u };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct liar l;

		liar_open(&l);
		atomic_store(&l.st->cells[0].word, (uint64_t)wrong[i] << 32);
		caught(&l);
	}
}

static void
a_length_over_its_class(void **state)
{
	struct liar l;

	(void)state;
	liar_open(&l);
	announce(&l, 0, 1, 49);
	caught(&l);
	liar_open(&l);
	announce(&l, l.st->classes[1].first, 1, 257);
	caught(&l);
}

static void
a_length_over_the_links(void **state)
{
	struct liar l;

	(void)state;
	liar_open(&l);
	/* The body has room for 1,024. */
	announce(&l, l.st->classes[2].first, 1, 1001);
	caught(&l);
	liar_open(&l);
	announce(&l, l.st->classes[2].first, 1, 0x80000010u);
	caught(&l);
}

static void
a_body_that_does_not_exist(void **state)
{
	const uint32_t wrong[] = {
		8,     63,      72,        127, 192, 200, SHM_BODIES_MAX,
		65536, 0x10000, UINT32_MAX
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct liar l;

		liar_open(&l);
		announce(&l, wrong[i], 1, 8);
		caught(&l);
	}
}

static void
a_generation_out_of_turn(void **state)
{
	const uint32_t wrong[] = { 0, 2, 65535 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct liar l;

		liar_open(&l);
		announce(&l, 0, wrong[i], 8);
		caught(&l);
	}
}

/* The application still reads it. */
static void
a_body_that_is_still_held(void **state)
{
	struct weir_msg msg;
	struct liar l;

	(void)state;
	liar_open(&l);
	announce(&l, 5, 1, 8);
	assert_int_equal(weir_rx_recv(l.p.a_rx, &msg), 1);
	announce(&l, 5, 2, 8);
	for (int i = 0; i < 3; i++) {
		struct weir_msg other;

		assert_int_equal(weir_rx_recv(l.p.a_rx, &other), -EPROTO);
	}
	weir_msg_release(&msg);
	liar_close(&l);
}

static void
the_same_message_again(void **state)
{
	struct weir_msg msg;
	struct liar l;

	(void)state;
	liar_open(&l);
	announce(&l, 5, 1, 8);
	assert_int_equal(weir_rx_recv(l.p.a_rx, &msg), 1);
	weir_msg_release(&msg);
	announce(&l, 5, 1, 8);
	caught(&l);
}

/* The low bits alone would be fine. */
static void
a_number_is_not_cut_before_it_is_checked(void **state)
{
	const uint32_t bodies[] = { 0x10000, 0x10005, 0x20000, 0x80000000u,
				    0xffff0001u };
	const uint32_t lengths[] = { 0x10000008, 0x80000008u, 0x00010008 };
	struct liar l;

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		liar_open(&l);
		announce(&l, bodies[i], 1, 8);
		caught(&l);
	}
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		liar_open(&l);
		announce(&l, 0, 1, lengths[i]);
		caught(&l);
		liar_open(&l);
		announce(&l, l.st->classes[2].first, 1, lengths[i]);
		caught(&l);
	}
}

/* ---- what changes while it is looked at ------------------------------------------- */

/* Wholly within one body of its class. */
static void
is_inside(const struct liar *l, const struct weir_msg *msg)
{
	const struct shm_segment *peer = &l->victim->session->peer;
	const struct shm_class *c = peer->header.classes;
	uint32_t body = (uint16_t)msg->cookie;

	while (body - c->first >= c->count)
		assert_true(++c <
			    peer->header.classes + peer->header.class_count);
	assert_ptr_equal(msg->data,
			 peer->bytes + c->offset +
				 (uint64_t)c->stride * (body - c->first));
	assert_true(msg->len <= c->size && msg->len <= 1000);
}

struct flipper {
	struct liar *l;
	_Atomic int stop;
};

/* The first lap's cells are right, wrong, right, ... */
static void *
flip(void *arg)
{
	struct flipper *f = arg;
	const uint32_t other = f->l->st->classes[2].first;

	for (uint64_t n = 0; !atomic_load(&f->stop); n++) {
		uint64_t seq = n % 8;
		struct shm_cell *cell = &f->l->st->cells[seq];

		atomic_store(&cell->generation, 1);
		atomic_store(&cell->body, (uint32_t)seq);
		atomic_store(&cell->word, (seq + 1) << 32 | 48);
		atomic_store(&cell->word, (seq + 1) << 32 | 1000);
		atomic_store(&cell->body, n % 3 ? other + (uint32_t)seq
						: UINT32_MAX - (uint32_t)seq);
		atomic_store(&cell->generation, 1 + n / 8 % 2);
	}
	return NULL;
}

/* Whatever it looked at is what it uses: never the length of one moment with
 * the body of another. */
static void
words_that_flip_are_read_once(void **state)
{
	(void)state;
	for (int round = 0; round < 60; round++) {
		struct weir_msg msgs[8];
		struct liar l;
		struct flipper flipper = { .l = &l };
		pthread_t thread;
		int rc = 0, got = 0;

		liar_open(&l);
		assert_int_equal(pthread_create(&thread, NULL, flip, &flipper),
				 0);
		for (int i = 0; i < 2000 && rc >= 0 && got < 8; i++) {
			rc = weir_rx_recv_burst(l.p.a_rx, &msgs[got],
						round % 2 ? 1 : 8 - got);
			for (int k = got; k < got + rc; k++)
				is_inside(&l, &msgs[k]);
			got += rc > 0 ? rc : 0;
		}
		assert_true(rc >= 0 || rc == -EPROTO);
		atomic_store(&flipper.stop, 1);
		pthread_join(thread, NULL);
		while (got > 0)
			weir_msg_release(&msgs[--got]);
		liar_close(&l);
	}
}

/* Its bytes are the peer's to change, nothing else of it is. */
static void
what_a_message_is_does_not_change(void **state)
{
	struct weir_msg msg, next;
	struct shm_segment *own;
	struct liar l;

	(void)state;
	liar_open(&l);
	own = &l.st->session->own;
	announce(&l, l.st->classes[1].first, 1, 200);
	assert_int_equal(weir_rx_recv(l.p.a_rx, &msg), 1);
	memset(own->bytes, 0xff, sizeof(struct shm_header));
	memset(&l.st->cells[0], 0xff, sizeof(l.st->cells[0]));
	assert_int_equal(msg.len, 200);
	is_inside(&l, &msg);
	weir_msg_release(&msg);
	/* And its body is free again, by the number that it had. */
	announce(&l, l.st->classes[1].first, 2, 100);
	assert_int_equal(weir_rx_recv(l.p.a_rx, &next), 1);
	weir_msg_release(&next);
	liar_close(&l);
}

static void
an_end_with_the_wrong_count(void **state)
{
	const uint64_t wrong[] = {
		(uint64_t)SHM_END_CLOSED << 32 | 1,
		(uint64_t)SHM_END_CLOSED << 32 | UINT32_MAX,
		(uint64_t)SHM_END_ABORTED << 32 | 7,
		UINT64_C(3) << 32,
		UINT64_C(0xffffffff) << 32,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct liar l;

		liar_open(&l);
		atomic_store(&l.st->session->own.front->tx.end, wrong[i]);
		caught(&l);
	}
}

/* The header was copied: what becomes of it later does not matter. */
static void
a_header_that_changes(void **state)
{
	struct weir_msg msg;
	struct liar l;

	(void)state;
	liar_open(&l);
	memset(&l.st->session->own.front->header, 0xff,
	       sizeof(struct shm_header));
	announce(&l, l.st->classes[1].first, 1, 100);
	assert_int_equal(weir_rx_recv(l.p.a_rx, &msg), 1);
	weir_msg_release(&msg);
	liar_close(&l);
}

/* Whoever hears it first, it is the last word. */
static void
who_was_gone_does_not_come_back(void **state)
{
	struct weir_permit permit;
	struct shm_front *front;
	struct liar l;

	(void)state;
	for (int closes = 0; closes < 2; closes++) {
		liar_open(&l);
		front = l.st->session->own.front;
		atomic_store(&front->rx.gone, 1);
		if (closes)
			assert_int_equal(weir_tx_close(l.p.a_tx), -ECONNRESET);
		else
			assert_int_equal(weir_tx_reserve(l.p.a_tx, &permit),
					 -ECONNRESET);
		atomic_store(&front->rx.gone, 0);
		assert_int_equal(weir_tx_reserve(l.p.a_tx, &permit),
				 -ECONNRESET);
		assert_int_equal(weir_tx_close(l.p.a_tx), -ECONNRESET);
		liar_close(&l);
	}
}

/* ---- forged returns: B receives, and lies about what it released ---------------- */

static int
send_and_audit(struct weir_tx *tx, uint32_t len, unsigned int seed)
{
	struct weir_permit permit;
	struct weir_slot slot;
	int rc = weir_tx_reserve_burst(tx, len, &permit, 1);

	audit(tx);
	if (rc != 1)
		return rc;
	assert_int_equal(weir_permit_alloc(&permit, len, &slot), 0);
	memset(slot.data, (int)seed, len);
	audit(tx);
	weir_slot_commit(&slot);
	audit(tx);
	return rc;
}

/* Only one return is worth anything: that of what is out, once. */
static void
a_forged_return_gives_nothing_extra(void **state)
{
	struct shm_front *front;
	struct weir_permit permits[16];
	struct weir_slot slot;
	struct liar l;

	(void)state;
	liar_open(&l);
	front = l.st->session->own.front;
	/* One open slot, seven messages out: no credit left. */
	assert_int_equal(weir_tx_reserve_burst(l.p.a_tx, 8, permits, 16), 8);
	assert_int_equal(weir_permit_alloc(&permits[0], 8, &slot), 0);
	for (int i = 1; i < 8; i++) {
		struct weir_slot other;

		assert_int_equal(weir_permit_alloc(&permits[i], 8, &other), 0);
		weir_slot_commit(&other);
	}
	/* "All bodies there are, the open slot's too, were released." */
	for (uint32_t b = 0; b < 8; b++)
		atomic_store(&front->returns[b], 1);
	atomic_store(&front->groups[0], 1);
	assert_int_equal(weir_tx_reserve_burst(l.p.a_tx, 8, permits, 16), 7);
	audit(l.p.a_tx);
	/* "And again, and the next generation too." */
	for (uint32_t b = 0; b < 8; b++)
		atomic_store(&front->returns[b], 2);
	atomic_store(&front->groups[0], 2);
	assert_int_equal(weir_tx_reserve_burst(l.p.a_tx, 8, &permits[7], 9), 0);
	audit(l.p.a_tx);
	weir_slot_discard(&slot);
	audit(l.p.a_tx);
	for (int i = 0; i < 7; i++)
		weir_permit_drop(&permits[i]);
	liar_close(&l);
}

static void
random_returns_never_break_the_books(void **state)
{
	unsigned int seed = 7;

	(void)state;
	for (int round = 0; round < 50; round++) {
		struct shm_front *front;
		struct liar l;

		liar_open_with(&l, round % 2 ? WEIR_LINK_MULTI_PRODUCER : 0);
		front = l.st->session->own.front;
		for (int i = 0; i < 4000; i++) {
			uint32_t b = (uint32_t)rand_r(&seed) % 192;

			atomic_store(&front->returns[b],
				     (uint16_t)(rand_r(&seed) % 300));
			atomic_store(&front->groups[rand_r(&seed) % 8],
				     (uint32_t)rand_r(&seed));
			assert_true(
				send_and_audit(l.p.a_tx,
					       (uint32_t)rand_r(&seed) % 1001,
					       seed) >= 0);
		}
		liar_close(&l);
	}
}

/* ---- what a peer gets and what it costs ------------------------------------------- */

/* From either side, once the link is up: with descriptors, until there is no
 * room for more. */
static void
hellos_after_the_hello_cost_nothing(void **state)
{
	struct liar l;
	int fds, segments;

	(void)state;
	liar_open(&l);
	fds = fd_count();
	segments = segment_count();
	for (int side = 0; side < 2; side++) {
		struct shm_session *s = side ? l.st->session
					     : l.victim->session;
		struct shm_hello hello = { .magic = SHM_HELLO_MAGIC,
					   .version = SHM_VERSION };
		int some[SHM_FDS] = { s->peer_tx_bell, s->peer_rx_bell,
				      s->tx_bell.rings };

		for (hello.type = SHM_HELLO; hello.type <= SHM_REFUSE;
		     hello.type++)
			for (int i = 0; i < 20; i++)
				(void)weir_shm_send(s->sock, &hello, some);
	}
	for (int i = 0; i < 100; i++) {
		struct weir_msg msg;

		assert_int_equal(weir_link_status(l.p.a_link), 0);
		assert_int_equal(weir_link_status(l.p.b_link), 0);
		assert_int_equal(weir_tx_send(l.p.a_tx, "on", 2), 0);
		assert_int_equal(weir_rx_recv(l.p.b_rx, &msg), 1);
		weir_msg_release(&msg);
	}
	assert_int_equal(fd_count(), fds);
	assert_int_equal(segment_count(), segments);
	liar_close(&l);
	assert_true(fd_count() < fds);
	assert_int_equal(segment_count(), 0);
}

#define SECRET "for nobody else to read"

static void
tell_secrets(const struct pair *p)
{
	char text[900];
	struct weir_msg msg;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = SECRET[i % sizeof(SECRET)];
	for (uint32_t len = 30; len <= sizeof(text); len += 290) {
		assert_int_equal(weir_tx_send(p->a_tx, text, len), 0);
		assert_int_equal(weir_rx_recv(p->b_rx, &msg), 1);
		weir_msg_release(&msg);
	}
}

static void
knows_nothing(const struct pair *p)
{
	const struct shm_segment *a = &tx_inside(p->a_tx)->session->own;
	const struct shm_segment *b = &tx_inside(p->b_tx)->session->own;

	assert_null(memmem(a->bytes, a->size, SECRET, sizeof(SECRET)));
	assert_null(memmem(b->bytes, b->size, SECRET, sizeof(SECRET)));
}

/* Each has a segment of its own, made of fresh pages. */
static void
a_segment_holds_nothing_of_another_link(void **state)
{
	const struct shm_segment *told;
	struct liar first, second;

	(void)state;
	liar_open(&first);
	tell_secrets(&first.p);
	told = &tx_inside(first.p.a_tx)->session->own;
	assert_non_null(
		memmem(told->bytes, told->size, SECRET, sizeof(SECRET)));
	liar_open(&second);
	knows_nothing(&second.p);
	liar_close(&first);
	liar_close(&second);
	liar_open(&second);
	knows_nothing(&second.p);
	liar_close(&second);
}

static volatile uint8_t read_sink;

/* Scribble over all that the liar may write while the victim works. ASan and
 * the kernel see to it that nothing outside is touched. */
static void
random_scribbles_end_in_an_error(void **state)
{
	unsigned int seed = 11;
	int errors = 0;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct shm_segment *own;
		struct weir_msg msg;
		struct liar l;
		int rc = 0;

		liar_open(&l);
		own = &l.st->session->own;
		for (int i = 0; i < 2000 && rc >= 0; i++) {
			uint32_t at = (uint32_t)rand_r(&seed) % 8;
			struct shm_cell *cell = &l.st->cells[at];
			uint64_t next = l.victim->seq + 1;

			atomic_store(&cell->body,
				     (uint32_t)rand_r(&seed) % 260);
			atomic_store(&cell->generation,
				     (uint32_t)rand_r(&seed) % 3);
			atomic_store(&cell->word,
				     next << 32 |
					     (uint32_t)rand_r(&seed) % 1100);
			memset(own->bytes + 0x1000, rand_r(&seed) % 2 * 0xff,
			       i % 100 == 99 ? 0x100 : 0);
			rc = weir_rx_recv(l.p.a_rx, &msg);
			if (rc == 1) {

				for (uint32_t k = 0; k < msg.len; k++)
					read_sink +=
						((const uint8_t *)msg.data)[k];
				weir_msg_release(&msg);
			}
			if (send_and_audit(l.p.a_tx, at * 100, seed) < 0)
				break;
		}
		errors += rc == -EPROTO;
		liar_close(&l);
	}
	assert_true(errors > 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_honest_message_passes),
		cmocka_unit_test(a_sequence_from_nowhere),
		cmocka_unit_test(a_length_over_its_class),
		cmocka_unit_test(a_length_over_the_links),
		cmocka_unit_test(a_body_that_does_not_exist),
		cmocka_unit_test(a_generation_out_of_turn),
		cmocka_unit_test(a_body_that_is_still_held),
		cmocka_unit_test(the_same_message_again),
		cmocka_unit_test(a_number_is_not_cut_before_it_is_checked),
		cmocka_unit_test(words_that_flip_are_read_once),
		cmocka_unit_test(what_a_message_is_does_not_change),
		cmocka_unit_test(an_end_with_the_wrong_count),
		cmocka_unit_test(a_header_that_changes),
		cmocka_unit_test(who_was_gone_does_not_come_back),
		cmocka_unit_test(a_forged_return_gives_nothing_extra),
		cmocka_unit_test(random_returns_never_break_the_books),
		cmocka_unit_test(hellos_after_the_hello_cost_nothing),
		cmocka_unit_test(a_segment_holds_nothing_of_another_link),
		cmocka_unit_test(random_scribbles_end_in_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
