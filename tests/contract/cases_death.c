/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer whose process dies: an error, never the end; and never a message
 * after it. */

#include <errno.h>
#include <signal.h>

#include "fixture.h"

/* Where the kernel tells of it. Generous: 50 ms are usual. */
#define DEATH_LIMIT_MS 5000

/* Where only silence tells: so long, docs/wire.md 8.5. */
#define KEEPALIVE_NS UINT64_C(100000000)
#define DEAD_NS      UINT64_C(1000000000)
/* And a link that is half open lasts so long, 4 there. */
#define HALF_OPEN_NS UINT64_C(3000000000)

static void
need_a_process(struct fixture *f)
{
	if (!(f->v->flags & VARIANT_CHILD))
		case_skip(f, "the peer lives in this process: it cannot die "
			     "alone");
	if (f->v->flags & VARIANT_TRUSTED)
		case_skip(f, "memif is for trusted peers: its driver may crash "
			     "when the other side vanishes");
}

/* Deadlines of seconds, so that a silent peer is noticed in the limit. */
static struct fixture *
mortal_link(void **state)
{
	need_a_process(fixture_of(state));
	return link_up(state, CONFIG(.keepalive_ns = KEEPALIVE_NS,
				     .dead_timeout_ns = DEAD_NS));
}

/* ---- how long it takes ------------------------------------------------------ */

/*
 * From a death on. A survivor that was not running itself must not count that
 * time: silence of half a keepalive time in which nobody polled makes the count
 * begin again, so ours does, too, at half of that. Shorter such times delay
 * what is heard last, and what is found at the end.
 */
#define PAUSE_NS (KEEPALIVE_NS / 4)

static struct {
	uint64_t since_ns;
	uint64_t last_ns;
	uint64_t gap_ns; /* longest since */
} vigil;

static void
vigil_begin(void)
{
	vigil.since_ns = vigil.last_ns = weir_now_ns();
	vigil.gap_ns = 0;
}

/* As peer_pump(). */
static void
vigil_pump(void)
{
	uint64_t now_ns, gap_ns;

	peer_pump();
	now_ns = weir_now_ns();
	gap_ns = now_ns - vigil.last_ns;
	vigil.last_ns = now_ns;
	if (gap_ns > PAUSE_NS)
		vigil_begin();
	else if (gap_ns > vigil.gap_ns)
		vigil.gap_ns = gap_ns;
}

/* The time, a tenth of it, and what is our own. */
static void
must_be_within(uint64_t time_ns)
{
	uint64_t took_ns = vigil.last_ns - vigil.since_ns;
	uint64_t limit_ns =
		time_ns + peer_stretch(time_ns / 10) + 2 * vigil.gap_ns;

	if (took_ns > limit_ns)
		fail_msg("not noticed for %lu ms, with polls at least every "
			 "%lu; %lu ms are the time",
			 (unsigned long)(took_ns / 1000000),
			 (unsigned long)(vigil.gap_ns / 1000000),
			 (unsigned long)(time_ns / 1000000));
}

static void
kill_now(struct fixture *f)
{
	kill_b(f);
	f->b->busy = false;
	vigil_begin();
}

/* What a link that was asked for DEAD_NS takes: peers stretch it, too. */
static uint64_t
dead_ns(void)
{
	return peer_stretch(DEAD_NS);
}

/* Not too late. Only silence tells who polls; the kernel tells others. */
static void
death_must_be_noticed(struct fixture *f, uint64_t limit_ns)
{
	if (f->v->flags & VARIANT_POLLED)
		must_be_within(dead_ns());
	else if (weir_now_ns() > limit_ns)
		fail_msg("death was not noticed in time");
}

/* @return what recv says at last, in the limit; *n counts messages. */
static int
receive_till_death(struct fixture *f, uint64_t *n, uint32_t size)
{
	uint64_t limit_ns = limit_in_ms(DEATH_LIMIT_MS);
	struct weir_msg msg;
	char text[192];
	int rc;

	for (*n = 0;;) {
		rc = weir_rx_recv(f->rx, &msg);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			death_must_be_noticed(f, limit_ns);
			vigil_pump();
			continue;
		}
		if (!steps_compare(&msg, size, pattern_seed(SEED, *n), *n, text,
				   sizeof(text)))
			fail_msg("A: %s", text);
		weir_msg_release(&msg);
		++*n;
	}
}

/* verifies link.rx.error: kill -9 is -ETIMEDOUT, and again the same */
static void
a_killed_peer_is_a_lasting_error(void **state)
{
	struct fixture *f = mortal_link(state);
	uint64_t n;

	kill_now(f);
	assert_int_equal(receive_till_death(f, &n, 0), -ETIMEDOUT);
	assert_int_equal(n, 0);
	assert_int_equal(expect_end(f), -ETIMEDOUT);
	assert_int_equal(peer_do(f->a, STEP_RESERVE_END).rc, -ETIMEDOUT);
	assert_int_equal(peer_do(f->a, STEP_STATUS_LAST).rc, -ETIMEDOUT);
}

/* verifies link.rx.error: what was committed is delivered before the error */
static void
committed_messages_come_before_the_error(void **state)
{
	struct fixture *f = mortal_link(state);
	uint64_t n;

	peer_do(f->b, STEP_SEND, .n = 200, .size = 100, .seed = SEED);
	if (f->v->flags & VARIANT_POLLED) /* they must have got here */
		for (uint64_t until_ns = in_ms(200); weir_now_ns() < until_ns;)
			peer_pump();
	kill_now(f);
	assert_int_equal(receive_till_death(f, &n, 100), -ETIMEDOUT);
	assert_int_equal(n, 200);
	assert_int_equal(expect_end(f), -ETIMEDOUT);
}

/* verifies link.rx.error: a message under construction was never sent */
static void
an_open_slot_dies_with_its_process(void **state)
{
	struct fixture *f = mortal_link(state);
	uint64_t n;

	peer_do(f->b, STEP_OPEN_SLOTS, .n = 4, .size = 100, .seed = SEED);
	peer_do(f->b, STEP_COMMIT, .k = 0);
	expect_one(f, 100, pattern_seed(SEED, 0));
	kill_now(f);
	assert_int_equal(receive_till_death(f, &n, 100), -ETIMEDOUT);
	assert_int_equal(n, 0);
}

/* verifies link.rx.error: a clean close before the death is the end */
static void
a_close_before_death_is_the_end(void **state)
{
	struct fixture *f = mortal_link(state);
	uint64_t n;

	peer_do(f->b, STEP_SEND, .n = 50, .size = 100, .seed = SEED);
	assert_int_equal(peer_do(f->b, STEP_TX_CLOSE).rc, 0);
	if (f->v->flags & VARIANT_POLLED)
		for (uint64_t until_ns = in_ms(200); weir_now_ns() < until_ns;)
			peer_pump();
	kill_now(f);
	assert_int_equal(receive_till_death(f, &n, 100), WEIR_EOF);
	assert_int_equal(n, 50);
	assert_int_equal(expect_end(f), WEIR_EOF);
}

/* verifies link.rx.recv: what is held stays readable when the peer is dead */
static void
held_messages_outlive_their_sender(void **state)
{
	struct fixture *f = mortal_link(state);
	uint64_t n;

	peer_go(f->b, STEP_SEND, .n = 100, .size = 1000, .seed = SEED);
	peer_do(f->a, STEP_HOLD, .n = 100, .size = 1000, .seed = SEED);
	peer_finish(f->b);
	kill_now(f);
	assert_int_equal(receive_till_death(f, &n, 0), -ETIMEDOUT);
	peer_do(f->a, STEP_CHECK);
	peer_do(f->a, STEP_RX_DESTROY);
	peer_do(f->a, STEP_CHECK);
	peer_do(f->a, STEP_RELEASE, .n = PEER_ALL);
}

struct mourner {
	struct fixture *f;
	int rc;
};

static const char *
wait_for_a_message(void *arg)
{
	struct mourner *m = arg;
	struct weir_msg msg;

	m->rc = recv_in(m->f->rx, DEATH_LIMIT_MS, &msg);
	return NULL;
}

static const char *
wait_for_a_permit(void *arg)
{
	struct mourner *m = arg;
	struct weir_permit permit;

	m->rc = reserve_in(m->f->tx, 16, DEATH_LIMIT_MS, &permit);
	return NULL;
}

/* verifies link.rx.error: a receiver that sleeps is woken by the death */
static void
a_sleeping_receiver_learns_of_the_death(void **state)
{
	struct fixture *f = mortal_link(state);
	struct mourner m = { .f = f };
	struct user user;

	user_start(&user, wait_for_a_message, &m);
	for (uint64_t until_ns = in_ms(20); weir_now_ns() < until_ns;)
		peer_pump();
	kill_now(f);
	user_finish(&user);
	assert_int_equal(m.rc, -ETIMEDOUT);
}

/* verifies link.tx.reserve: a sender that sleeps is woken by the death */
static void
a_sleeping_sender_learns_of_the_death(void **state)
{
	struct fixture *f = mortal_link(state);
	struct mourner m = { .f = f };
	struct user user;

	send_until_dry(f, 16, SEED);
	user_start(&user, wait_for_a_permit, &m);
	for (uint64_t until_ns = in_ms(20); weir_now_ns() < until_ns;)
		peer_pump();
	kill_now(f);
	user_finish(&user);
	assert_int_equal(m.rc, -ETIMEDOUT);
}

/* verifies link.rx.error: in the middle of traffic, with permits and slots
 * out: alloc and commit go through, the identities hold, the next peer finds
 * a port that works */
static void
death_in_the_middle_of_traffic(void **state)
{
	struct fixture *f = mortal_link(state);
	struct weir_permit permits[4];
	struct weir_slot slots[4], slot;
	uint64_t n;

	for (int i = 0; i < 4; i++) {
		take_permit(f, 200, &permits[i]);
		open_filled(f, 200, 1, &slots[i]);
	}
	peer_go(f->b, STEP_SEND, .n = 1000000, .size = 100, .seed = SEED);
	for (uint64_t i = 0; i < 100; i++)
		expect_one(f, 100, pattern_seed(SEED, i));
	kill_now(f);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(weir_permit_alloc(&permits[i], 150, &slot), 0);
		pattern_fill(slot.data, 150, 1);
		weir_slot_commit(&slot);
		weir_slot_commit(&slots[i]);
		audit(f);
	}
	f->b->busy = false;
	for (n = 100;; n++) {
		struct weir_msg msg;
		int rc;

		pump_until((rc = weir_rx_recv(f->rx, &msg)) != 0);
		if (rc < 0) {
			assert_int_equal(rc, -ETIMEDOUT);
			break;
		}
		assert_int_equal(
			pattern_wrong(msg.data, msg.len, pattern_seed(SEED, n)),
			-1);
		weir_msg_release(&msg);
	}
	assert_int_equal(expect_end(f), -ETIMEDOUT);
	audit(f);
}

/* ---- in each phase of a link, and then back at once ------------------------- */

#define LARGE (4u << 20)

/* As in mortal_link(). */
static const struct weir_link_config mortal = {
	.size = sizeof(mortal),
	.msg_size_max = LARGE,
	.keepalive_ns = KEEPALIVE_NS,
	.dead_timeout_ns = DEAD_NS,
};

/* Nobody would miss its peer while the case lasts, however busy the machine. */
static const struct weir_link_config patient = {
	.size = sizeof(patient),
	.keepalive_ns = KEEPALIVE_NS,
	.dead_timeout_ns = UINT64_C(600000000000),
};

static struct fixture *
mortal_wire(void **state)
{
	struct fixture *f = fixture_of(state);

	need_a_process(f);
	if (!(f->v->flags & (VARIANT_VETH | VARIANT_NIC)))
		case_skip(f, "for peers that have an address and a port");
	return f;
}

/* Same address, same port, another process: link 1 comes up and works. */
static void
come_back(struct fixture *f)
{
	restart_b(f, &patient);
	link_open(f, 1, &patient, &patient);
	peer_go(f->b, STEP_SEND, .end = 1, .n = 50, .size = 100, .seed = SEED);
	peer_do(f->a, STEP_RECV, .end = 1, .n = 50, .size = 100, .seed = SEED);
	peer_finish(f->b);
	peer_go(f->a, STEP_SEND, .end = 1, .n = 50, .size = 100, .seed = SEED);
	peer_do(f->b, STEP_RECV, .end = 1, .n = 50, .size = 100, .seed = SEED);
	peer_finish(f->a);
}

/* How the link ends, within that time. */
static int
end_within(struct weir_link *link, uint64_t time_ns)
{
	int rc;

	while ((rc = weir_link_status(link)) == 0 || rc == -EINPROGRESS) {
		must_be_within(time_ns);
		vigil_pump();
	}
	return rc;
}

static uint32_t
links_of_a(struct fixture *f)
{
	struct weir_port_stats stats;

	weir_port_stats(f->as->ports[0], &stats, sizeof(stats));
	return stats.links;
}

/* B asks for a link and is killed when A has just agreed. Its confirmation may
 * be under way: then the link is up for as long as one misses a peer. */
static void
die_while_connecting(struct fixture *f)
{
	struct weir_link *link = NULL;

	order_at(f, f->a, *ORDER(.step = STEP_LISTEN, .config = mortal), true);
	order_at(f, f->b, *ORDER(.step = STEP_CONNECT, .config = patient),
		 false);
	pump_until(links_of_a(f) == 1);
	kill_now(f);
	while (weir_link_accept(f->as->listeners[0], &link) == 0 &&
	       links_of_a(f) != 0) {
		must_be_within(HALF_OPEN_NS);
		vigil_pump();
	}
	if (link == NULL)
		return;
	assert_int_equal(end_within(link, dead_ns()), -ETIMEDOUT);
	weir_link_destroy(link);
}

/* B listens, and is killed before A asks. */
static void
die_while_listening(struct fixture *f)
{
	struct weir_link_config hasty = mortal;

	hasty.connect_timeout_ns = DEAD_NS;
	order_at(f, f->b, *ORDER(.step = STEP_LISTEN, .config = mortal), true);
	kill_now(f);
	order_at(f, f->a, *ORDER(.step = STEP_CONNECT, .config = hasty), true);
	assert_int_equal(end_within(f->as->ends[0].carrier[0], DEAD_NS),
			 -ETIMEDOUT);
}

/* verifies link.setup: nothing is left of a handshake whose peer died,
 * and the next one from the same address succeeds */
static void
death_in_the_handshake(void **state)
{
	struct fixture *f = mortal_wire(state);

	if (listener_of(f) == f->a)
		die_while_connecting(f);
	else
		die_while_listening(f);
	come_back(f);
}

/* verifies link.rx.error: half of a message is none */
static void
death_in_a_large_message(void **state)
{
	struct fixture *f = mortal_wire(state);
	struct weir_link_stats stats;
	uint64_t before, n;

	link_open(f, 0, &mortal, &mortal);
	weir_link_stats(f->as->ends[0].link, &stats, sizeof(stats));
	before = stats.rx_packets;
	peer_go(f->b, STEP_SEND, .n = 1, .size = LARGE, .seed = SEED);
	/* No more than a window of its 3,000 packets is on the way. */
	pump_until((weir_link_stats(f->as->ends[0].link, &stats, sizeof(stats)),
		    stats.rx_packets > before + 100));
	kill_now(f);
	assert_int_equal(receive_till_death(f, &n, 0), -ETIMEDOUT);
	assert_int_equal(n, 0);
	assert_int_equal(end_within(f->as->ends[0].link, dead_ns()),
			 -ETIMEDOUT);
	come_back(f);
}

/* verifies link.status: A has closed, B has not said that it got it all */
static void
death_while_closing(void **state)
{
	struct fixture *f = mortal_wire(state);

	link_open(f, 0, &mortal, &mortal);
	peer_do(f->b, STEP_SEND, .n = 20, .size = 100, .seed = SEED);
	peer_do(f->a, STEP_RECV, .n = 20, .size = 100, .seed = SEED);
	kill_now(f);
	for (uint64_t i = 0; i < 20; i++)
		send_one(f, 100, pattern_seed(SEED, i));
	assert_int_equal(peer_do(f->a, STEP_TX_CLOSE).rc, 0);
	assert_int_equal(end_within(f->as->ends[0].link, dead_ns()),
			 -ETIMEDOUT);
	come_back(f);
}

/* verifies link.setup: a peer that is back does not wait until its
 * earlier life has been missed */
static void
back_before_it_was_missed(void **state)
{
	struct fixture *f = mortal_wire(state);

	link_open(f, 0, &patient, &patient);
	peer_do(f->b, STEP_SEND, .n = 20, .size = 100, .seed = SEED);
	peer_do(f->a, STEP_RECV, .n = 20, .size = 100, .seed = SEED);
	kill_now(f);
	come_back(f);
	/* Who opened it says so himself; a listener that is back knows of
	 * nothing, and anybody could claim to be it. */
	if (listener_of(f) == f->a)
		assert_int_equal(end_within(f->as->ends[0].link, dead_ns()),
				 -ETIMEDOUT);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_killed_peer_is_a_lasting_error),
	cmocka_unit_test(committed_messages_come_before_the_error),
	cmocka_unit_test(an_open_slot_dies_with_its_process),
	cmocka_unit_test(a_close_before_death_is_the_end),
	cmocka_unit_test(held_messages_outlive_their_sender),
	cmocka_unit_test(a_sleeping_receiver_learns_of_the_death),
	cmocka_unit_test(a_sleeping_sender_learns_of_the_death),
	cmocka_unit_test(death_in_the_middle_of_traffic),
	cmocka_unit_test(death_in_the_handshake),
	cmocka_unit_test(death_in_a_large_message),
	cmocka_unit_test(death_while_closing),
	cmocka_unit_test(back_before_it_was_missed),
};

CASE_LIST(cases_death, tests);
