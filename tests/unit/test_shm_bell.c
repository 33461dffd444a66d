/* SPDX-License-Identifier: BSD-3-Clause */
/* Bells, rung by honest peers, and by such as try to jam them. Whatever blocks
 * is ended by an alarm. */

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "shm_pair.h"

static int
is_rung(const struct shm_bell *bell)
{
	struct pollfd fds[2] = { { .fd = bell->rings, .events = POLLIN },
				 { .fd = bell->self, .events = POLLIN } };

	return poll(fds, 2, 0);
}

/* As after the handshake. */
struct belfry {
	struct shm_bell bell;
	int door; /* the peer's */
	int fds;
};

static struct belfry
belfry_open(void)
{
	struct belfry b = { .fds = fd_count() };

	alarm(20);
	assert_int_equal(weir_shm_bell_open(&b.bell), 0);
	assert_true(weir_shm_bell_ok(b.bell.door));
	b.door = dup(b.bell.door);
	assert_true(weir_shm_bell_same(b.door, b.bell.door));
	assert_false(weir_shm_bell_same(b.door, b.bell.rings));
	weir_shm_bell_passed(&b.bell);
	assert_int_equal(is_rung(&b.bell), 0);
	return b;
}

/* Still good for us, and quiet otherwise. */
static void
belfry_close(struct belfry *b)
{
	for (int i = 0; i < 2; i++) {
		weir_shm_bell_drain(&b->bell);
		assert_int_equal(is_rung(&b->bell), 0);
		weir_shm_bell_wake(&b->bell);
		assert_int_equal(is_rung(&b->bell), 1);
	}
	weir_shm_bell_close(&b->bell);
	if (b->door >= 0)
		close(b->door);
	assert_int_equal(fd_count(), b->fds);
	alarm(0);
}

static void
a_ring_is_heard_until_drained(void **state)
{
	struct belfry b = belfry_open();

	(void)state;
	for (int i = 0; i < 3; i++) {
		weir_shm_bell_ring(b.door);
		assert_int_equal(is_rung(&b.bell), 1);
		assert_int_equal(is_rung(&b.bell), 1);
		weir_shm_bell_drain(&b.bell);
		assert_int_equal(is_rung(&b.bell), 0);
		weir_shm_bell_drain(&b.bell);
		weir_shm_bell_wake(&b.bell);
		weir_shm_bell_ring(b.door);
		assert_int_equal(is_rung(&b.bell), 2);
		weir_shm_bell_drain(&b.bell);
		assert_int_equal(is_rung(&b.bell), 0);
	}
	belfry_close(&b);
}

/* However many: an honest peer's all go in one drain. */
static void
many_rings_are_one(void **state)
{
	struct belfry b = belfry_open();

	(void)state;
	for (int i = 0; i < 10000; i++) {
		errno = 77;
		weir_shm_bell_ring(b.door);
		assert_int_equal(errno, 77);
	}
	assert_int_equal(is_rung(&b.bell), 1);
	weir_shm_bell_drain(&b.bell);
	belfry_close(&b);
}

/* The flag is of the file, which is the peer's as well. */
static void
a_file_that_blocks_does_not_hold_us_up(void **state)
{
	struct belfry b = belfry_open();

	(void)state;
	assert_int_equal(fcntl(b.door, F_SETFL, 0), 0);
	weir_shm_bell_drain(&b.bell);
	for (int i = 0; i < 10000; i++)
		weir_shm_bell_ring(b.door);
	belfry_close(&b);
}

static void
a_door_that_is_shut_is_quiet(void **state)
{
	struct belfry b = belfry_open();

	(void)state;
	shutdown(b.door, SHUT_RDWR);
	weir_shm_bell_ring(b.door);
	assert_int_equal(is_rung(&b.bell), 0);
	belfry_close(&b);
	b = belfry_open();
	close(b.door);
	b.door = -1;
	assert_int_equal(is_rung(&b.bell), 0);
	belfry_close(&b);
}

static void
a_door_that_leads_elsewhere_is_quiet(void **state)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(to.sun_family);
	struct belfry b = belfry_open();
	int other = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)state;
	/* The kernel chooses a name. */
	assert_int_equal(bind(other, (struct sockaddr *)&to, len), 0);
	len = sizeof(to);
	assert_int_equal(getsockname(other, (struct sockaddr *)&to, &len), 0);
	weir_shm_bell_ring(b.door);
	assert_int_equal(connect(b.door, (struct sockaddr *)&to, len), 0);
	for (int i = 0; i < 1000; i++)
		weir_shm_bell_ring(b.door);
	weir_shm_bell_drain(&b.bell);
	assert_int_equal(is_rung(&b.bell), 0);
	close(other);
	belfry_close(&b);
}

/* A queue of the peer's making: each drain returns, and some of them do. */
static void
a_long_queue_is_drained_in_bounded_steps(void **state)
{
	static const char block[1000];
	struct belfry b = belfry_open();
	int size = 1 << 20, sent = 0, drains = 0;

	(void)state;
	(void)setsockopt(b.door, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	while (send(b.door, block, sent % 1000, MSG_DONTWAIT) >= 0)
		sent++;
	assert_true(sent > 20);
	for (; is_rung(&b.bell); drains++)
		weir_shm_bell_drain(&b.bell);
	assert_true(drains > 1);
	assert_true(drains <= sent);
	belfry_close(&b);
}

static void
descriptors_are_thrown_away(void **state)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = "", .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct belfry b = belfry_open();
	int before = fd_count(), on = 1;

	(void)state;
	/* Where the kernel refuses to pass any on our behalf, let it. */
	if (setsockopt(b.bell.rings, SOL_SOCKET, 83, &on, sizeof(on)) == 0)
		print_message("SO_PASSRIGHTS switched on for this test\n");
	control.align.cmsg_level = SOL_SOCKET;
	control.align.cmsg_type = SCM_RIGHTS;
	control.align.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.align), &b.door, sizeof(int));
	for (int i = 0; i < 50; i++) {
		assert_int_equal(sendmsg(b.door, &msg, MSG_DONTWAIT), 1);
		weir_shm_bell_drain(&b.bell);
	}
	assert_int_equal(fd_count(), before);
	belfry_close(&b);
}

/* ---- inside a link ---------------------------------------------------------------- */

static void
take_one(struct weir_rx *rx)
{
	struct weir_msg msg;

	assert_int_equal(weir_rx_recv(rx, &msg), 1);
	weir_msg_release(&msg);
}

/* B says for ever that it sleeps, lets the files of all bells block, and never
 * listens to its own. A sleeps, sends, receives and releases none the less. */
static void
a_link_is_not_held_up(void **state)
{
	const struct weir_link_config config = { .size = sizeof(config),
						 .msg_size_max = 48,
						 .tx_credits = 8 };
	struct shm_session *a, *b;
	struct weir_msg msg;
	struct pair p;

	(void)state;
	alarm(20);
	pair_open(&p, &config);
	a = tx_inside(p.a_tx)->session;
	b = tx_inside(p.b_tx)->session;
	assert_int_equal(fcntl(a->peer_tx_bell, F_SETFL, 0), 0);
	assert_int_equal(fcntl(a->peer_rx_bell, F_SETFL, 0), 0);
	assert_int_equal(fcntl(b->peer_tx_bell, F_SETFL, 0), 0);
	assert_int_equal(fcntl(b->peer_rx_bell, F_SETFL, 0), 0);
	atomic_store(&b->own.front->tx.sleeping, 1);
	atomic_store(&b->own.front->rx.sleeping, 1);
	for (int i = 0; i < 5000; i++) {
		assert_int_equal(weir_rx_arm(p.a_rx), 1);
		assert_int_equal(weir_rx_recv(p.a_rx, &msg), 0);
		assert_int_equal(weir_tx_send(p.a_tx, "there", 5), 0);
		take_one(p.b_rx);
		assert_int_equal(weir_tx_send(p.b_tx, "back", 4), 0);
		take_one(p.a_rx);
	}
	assert_true(tx_inside(p.a_tx)->doorbells == 5000);
	weir_rx_cancel(p.a_rx);
	assert_int_equal(weir_rx_recv_wait(p.a_rx, in_seconds(5), &msg),
			 -ECANCELED);
	pair_close(&p);
	alarm(0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_is_heard_until_drained),
		cmocka_unit_test(many_rings_are_one),
		cmocka_unit_test(a_file_that_blocks_does_not_hold_us_up),
		cmocka_unit_test(a_door_that_is_shut_is_quiet),
		cmocka_unit_test(a_door_that_leads_elsewhere_is_quiet),
		cmocka_unit_test(a_long_queue_is_drained_in_bounded_steps),
		cmocka_unit_test(descriptors_are_thrown_away),
		cmocka_unit_test(a_link_is_not_held_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
