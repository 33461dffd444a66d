/* SPDX-License-Identifier: BSD-3-Clause */
/* Sleeping: wake-ups by waits and by descriptors, none of them lost. */

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

/* One thread's use of A's halves. */
struct sleeper {
	struct fixture *f;
	uint64_t n;
	int epoll;
};

/* Sleep until the descriptor has something. @return NULL or the trouble. */
static const char *
sleep_on(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
	int rc;

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0 && errno != EEXIST)
		return "epoll_ctl failed";
	do {
		rc = epoll_wait(epoll, &event, 1,
				(int)peer_stretch(WAKE_LIMIT_MS));
	} while (rc < 0 && errno == EINTR);
	return rc == 1 ? NULL : "a wake-up was lost";
}

/* Receive one by descriptor. @return NULL or the trouble. */
static const char *
receive_by_fd(struct sleeper *s, struct weir_msg *msg)
{
	const char *trouble;
	int rc;

	while ((rc = weir_rx_recv(s->f->rx, msg)) == 0) {
		if (weir_rx_arm(s->f->rx) != 1)
			continue;
		trouble = sleep_on(s->epoll, weir_rx_fd(s->f->rx));
		if (trouble != NULL)
			return trouble;
	}
	return rc == 1 ? NULL : weir_strerror(rc);
}

static const char *
ping_by_fd(void *arg)
{
	struct sleeper *s = arg;
	uint8_t bytes[16];

	for (uint64_t i = 0; i < s->n; i++) {
		const char *trouble;
		struct weir_msg msg;

		pattern_fill(bytes, 16, pattern_seed(SEED, i));
		if (weir_tx_send(s->f->tx, bytes, 16) != 0)
			return "send failed";
		trouble = receive_by_fd(s, &msg);
		if (trouble != NULL)
			return trouble;
		if (msg.len != 16 ||
		    pattern_wrong(msg.data, 16, pattern_seed(SEED, i)) >= 0)
			return "not the message that was sent";
		weir_msg_release(&msg);
	}
	return NULL;
}

/* verifies link.wake: a receiver that arms and sleeps for each of thousands of
 * messages is woken for each */
static void
an_armed_receiver_misses_no_message(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct sleeper s = { f, repeats(f, 5000), epoll_create1(0) };
	struct user user;

	assert_true(s.epoll >= 0);
	peer_go(f->b, STEP_ECHO, .n = s.n);
	user_start(&user, ping_by_fd, &s);
	user_finish(&user);
	assert_int_equal(peer_finish(f->b).n, s.n);
	close(s.epoll);
	all_back(f);
}

static const char *
send_by_fd(void *arg)
{
	struct sleeper *s = arg;

	for (uint64_t i = 0; i < s->n; i++) {
		struct weir_permit permit;
		struct weir_slot slot;
		const char *trouble;
		int rc;

		while ((rc = weir_tx_reserve_burst(s->f->tx, 24, &permit, 1)) ==
		       0) {
			if (weir_tx_arm(s->f->tx, 24) != 1)
				continue;
			trouble = sleep_on(s->epoll, weir_tx_fd(s->f->tx));
			if (trouble != NULL)
				return trouble;
		}
		if (rc != 1 || weir_permit_alloc(&permit, 24, &slot) != 0)
			return "reserve or alloc failed";
		pattern_fill(slot.data, 24, pattern_seed(SEED, i));
		weir_slot_commit(&slot);
		weir_tx_flush(s->f->tx);
	}
	return NULL;
}

/* verifies link.wake: a sender that arms and sleeps whenever it runs dry is
 * woken by releases */
static void
an_armed_sender_misses_no_release(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 2));
	struct sleeper s = { f, repeats(f, 5000), epoll_create1(0) };
	struct user user;

	assert_true(s.epoll >= 0);
	user_start(&user, send_by_fd, &s);
	peer_do(f->b, STEP_RECV, .n = s.n, .size = 24, .seed = SEED);
	user_finish(&user);
	close(s.epoll);
	all_back(f);
}

static const char *
ping_by_wait(void *arg)
{
	struct sleeper *s = arg;
	struct weir_msg msg;

	for (uint64_t i = 0; i < s->n; i++) {
		int rc;

		if (weir_tx_send(s->f->tx, &i, sizeof(i)) != 0)
			return "send failed";
		rc = recv_in(s->f->rx, WAKE_LIMIT_MS, &msg);
		if (rc == 0)
			return "a wake-up was lost";
		if (rc != 1)
			return weir_strerror(rc);
		if (msg.len != sizeof(i) || memcmp(msg.data, &i, sizeof(i)))
			return "not the message that was sent";
		weir_msg_release(&msg);
	}
	return NULL;
}

/* verifies link.wake: the waiting receive, thousands of times */
static void
a_waiting_receiver_misses_no_message(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct sleeper s = { f, repeats(f, 5000), -1 };
	struct user user;

	peer_go(f->b, STEP_ECHO, .n = s.n);
	user_start(&user, ping_by_wait, &s);
	user_finish(&user);
	assert_int_equal(peer_finish(f->b).n, s.n);
	all_back(f);
}

static const char *
wait_for_the_end(void *arg)
{
	struct sleeper *s = arg;
	struct weir_msg msg;
	int rc = recv_in(s->f->rx, WAKE_LIMIT_MS, &msg);

	return rc == WEIR_EOF ? NULL : "woken by something else";
}

/* verifies link.wake: a close wakes the receiver that sleeps */
static void
a_close_wakes_the_receiver(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct sleeper s = { f, 0, -1 };
	struct user user;

	user_start(&user, wait_for_the_end, &s);
	for (uint64_t until_ns = in_ms(20); weir_now_ns() < until_ns;)
		peer_pump();
	assert_int_equal(peer_do(f->b, STEP_TX_CLOSE).rc, 0);
	user_finish(&user);
}

static const char *
wait_for_the_reset(void *arg)
{
	struct sleeper *s = arg;
	struct weir_permit permit;
	int rc = reserve_in(s->f->tx, 16, WAKE_LIMIT_MS, &permit);

	return rc == -ECONNRESET ? NULL : "woken by something else";
}

/* verifies link.wake: the peer's receiver going away wakes the sender */
static void
a_reset_wakes_the_sender(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 4));
	struct sleeper s = { f, 0, -1 };
	struct user user;

	send_until_dry(f, 16, SEED);
	user_start(&user, wait_for_the_reset, &s);
	for (uint64_t until_ns = in_ms(20); weir_now_ns() < until_ns;)
		peer_pump();
	peer_do(f->b, STEP_RX_DESTROY);
	user_finish(&user);
}

/* verifies link.wake: arm says 0 when there is something already */
static void
arm_says_when_there_is_something(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 16));
	struct weir_msg msg;

	assert_int_equal(weir_tx_arm(f->tx, 16), 0);
	peer_do(f->b, STEP_SEND, .n = 1, .size = 5, .seed = SEED);
	pump_until(weir_rx_arm(f->rx) == 0);
	assert_int_equal(weir_rx_arm(f->rx), 0);
	take_msg(f, &msg);
	weir_msg_release(&msg);
	assert_int_equal(weir_rx_arm(f->rx), 1);
	send_until_dry(f, 16, SEED);
	assert_int_equal(weir_tx_arm(f->tx, 16), 1);
	peer_do(f->b, STEP_RECV, .n = 16, .size = 16, .seed = SEED);
	pump_until(weir_tx_arm(f->tx, 16) == 0);
	all_back(f);
}

static bool
readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* verifies link.wake: the descriptor of an armed, idle half stays quiet and
 * becomes readable with the message; level-triggered until recv */
static void
descriptors_are_level_triggered(void **state)
{
	struct fixture *f = link_up(state, NULL);
	int fd = weir_rx_fd(f->rx);

	assert_true(fd >= 0);
	for (uint64_t i = 0; i < 50; i++) {
		struct weir_msg msg;

		assert_int_equal(weir_rx_recv(f->rx, &msg), 0);
		pump_until(weir_rx_arm(f->rx) == 1 && !readable(fd));
		peer_do(f->b, STEP_SEND, .n = 1, .size = 5, .seed = SEED,
			.k = i);
		pump_until(readable(fd));
		for (int look = 0; look < 3; look++)
			assert_true(readable(fd));
		expect_one(f, 5, pattern_seed(SEED, i));
	}
}

/* verifies link.wake: a half has one descriptor, of its own */
static void
descriptors_belong_to_their_halves(void **state)
{
	struct fixture *f = link_up(state, NULL);
	int rx_fd = weir_rx_fd(f->rx), tx_fd = weir_tx_fd(f->tx);

	assert_true(rx_fd >= 0);
	assert_true(tx_fd >= 0);
	assert_int_not_equal(rx_fd, tx_fd);
	assert_int_equal(weir_rx_fd(f->rx), rx_fd);
	assert_int_equal(weir_tx_fd(f->tx), tx_fd);
}

/* ---- abandoned receives --------------------------------------------------------- */

/* verifies link.rx.cancel-safe: deadline and cancel; nothing is lost by it */
static void
a_receive_that_is_abandoned_loses_nothing(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_msg msg;

	for (uint64_t i = 0; i < 20; i++) {
		uint64_t deadline_ns = in_ms(2);

		assert_int_equal(weir_rx_recv_wait(f->rx, deadline_ns, &msg),
				 0);
		assert_true(weir_now_ns() >= deadline_ns);
		assert_null(msg.store);
		weir_rx_cancel(f->rx);
		assert_int_equal(weir_rx_recv(f->rx, &msg), 0);
		assert_int_equal(weir_rx_recv_wait(f->rx,
						   limit_in_ms(WAKE_LIMIT_MS),
						   &msg),
				 -ECANCELED);
		assert_int_equal(weir_rx_recv_wait(f->rx, in_ms(1), &msg), 0);
		peer_do(f->b, STEP_SEND, .n = 1, .size = 30, .seed = i);
		expect_one(f, 30, pattern_seed(i, 0));
	}
}

struct receiver {
	struct fixture *f;
	atomic_int at;
	int rounds;
	int wanted;
};

static const char *
wait_for_messages(void *arg)
{
	struct receiver *r = arg;
	struct weir_msg msg;

	for (int i = 1; i <= r->rounds; i++) {
		int rc;

		atomic_store(&r->at, i);
		rc = weir_rx_recv_wait(r->f->rx, limit_in_ms(WAKE_LIMIT_MS),
				       &msg);
		if (rc != r->wanted)
			return rc == 1 ? "a message out of nothing"
				       : weir_strerror(rc);
	}
	return NULL;
}

static void
pump_for_us(uint64_t us)
{
	uint64_t until_ns = weir_now_ns() + us * 1000;

	while (weir_now_ns() < until_ns)
		peer_pump();
}

/* verifies link.rx.cancel-safe: cancel from another thread, at any moment */
static void
a_cancel_from_another_thread_wakes_the_receive(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct receiver r = { .f = f, .rounds = 100, .wanted = -ECANCELED };
	struct user user;

	user_start(&user, wait_for_messages, &r);
	for (int i = 1; i <= r.rounds; i++) {
		pump_until(atomic_load(&r.at) == i || atomic_load(&user.done));
		pump_for_us((uint64_t)(i * 37 % 300));
		weir_rx_cancel(f->rx);
	}
	user_finish(&user);
	peer_do(f->b, STEP_SEND, .n = 1, .size = 30, .seed = SEED);
	expect_one(f, 30, pattern_seed(SEED, 0));
}

static struct weir_rx *volatile canceled_rx;

static void
cancel_in_handler(int number)
{
	(void)number;
	weir_rx_cancel(canceled_rx);
}

/* verifies link.rx.cancel-safe: cancel is safe in a signal handler, and a
 * signal alone is -EINTR */
static void
a_signal_handler_may_cancel(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct sigaction action = { .sa_handler = cancel_in_handler };
	struct itimerspec in = { .it_value.tv_nsec = 5000000 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGUSR2 };
	struct weir_msg msg;
	timer_t timer;
	int rc;

	canceled_rx = f->rx;
	assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(timer_settime(timer, 0, &in, NULL), 0);
		rc = weir_rx_recv_wait(f->rx, limit_in_ms(WAKE_LIMIT_MS), &msg);
		/* The sleep ends by the signal, the flag ends the next wait. */
		if (rc == -EINTR)
			rc = weir_rx_recv_wait(
				f->rx, limit_in_ms(WAKE_LIMIT_MS), &msg);
		assert_int_equal(rc, -ECANCELED);
	}
	timer_delete(timer);
	peer_do(f->b, STEP_SEND, .n = 1, .size = 30, .seed = SEED);
	expect_one(f, 30, pattern_seed(SEED, 0));
}

/* ---- the owner of a port ------------------------------------------------------- */

/* A link on a port that has a descriptor, or the case is skipped. */
static struct fixture *
sleepy_port(void **state)
{
	/* No keepalive may wake the owner instead of what should have. */
	struct fixture *f =
		link_up(state, CONFIG(.keepalive_ns = 60000000000,
				      .dead_timeout_ns = 180000000000));

	if (weir_port_fd(f->as->ports[0]) < 0)
		case_skip(f, "the port has no descriptor to sleep on");
	return f;
}

static uint64_t
thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* verifies link.wake: who waits for a message on a port of his own takes next
 * to no processor */
static void
an_idle_owner_takes_no_processor(void **state)
{
	struct fixture *f = sleepy_port(state);
	uint64_t before_ns = thread_cpu_ns();
	struct weir_msg msg;

	assert_int_equal(weir_rx_recv_wait(f->rx, in_ms(400), &msg), 0);
	assert_true(thread_cpu_ns() - before_ns < UINT64_C(100000000));
}

/* Sleep on the port until there is something to do. */
static void
owner_sleeps(struct weir_port *port)
{
	struct pollfd pfd = { .fd = weir_port_fd(port), .events = POLLIN };
	uint64_t deadline_ns, now_ns, limit_ns = in_ms(2 * WAKE_LIMIT_MS);
	struct timespec left;

	if (weir_port_arm(port, &deadline_ns) == 1) {
		if (deadline_ns > limit_ns)
			deadline_ns = limit_ns;
		now_ns = weir_now_ns();
		if (now_ns < deadline_ns) {
			now_ns = deadline_ns - now_ns;
			left.tv_sec = (time_t)(now_ns / 1000000000u);
			left.tv_nsec = (long)(now_ns % 1000000000u);
			ppoll(&pfd, 1, &left, NULL);
		}
	}
	weir_port_poll(port);
}

/* Each time long after the last, when no timer is left that could wake the
 * owner in place of what should. */
static const char *
ping_after_pauses(void *arg)
{
	struct sleeper *s = arg;
	struct sleeper one = { s->f, 1, s->epoll };
	const char *trouble = NULL;

	for (int i = 0; i < 3 && trouble == NULL; i++) {
		usleep(200000);
		trouble = ping_by_fd(&one);
	}
	return trouble;
}

/* verifies link.wake: the owner sleeps whenever it may, while another thread
 * sends and receives; what either end sends wakes it */
static void
a_sleeping_owner_serves_other_threads(void **state)
{
	struct fixture *f = sleepy_port(state);
	struct sleeper s = { f, repeats(f, 5000), epoll_create1(0) };
	struct user user;

	assert_true(s.epoll >= 0);
	peer_go(f->b, STEP_ECHO, .n = s.n + 3);
	for (unsigned int i = 0; i < 2; i++) {
		user_start(&user, i == 0 ? ping_by_fd : ping_after_pauses, &s);
		while (!atomic_load_explicit(&user.done, memory_order_acquire))
			owner_sleeps(f->as->ports[0]);
		user_finish(&user);
	}
	assert_int_equal(peer_finish(f->b).n, s.n + 3);
	close(s.epoll);
	/* The last credit comes back with a keepalive: not waited for. */
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(an_armed_receiver_misses_no_message),
	cmocka_unit_test(an_armed_sender_misses_no_release),
	cmocka_unit_test(a_waiting_receiver_misses_no_message),
	cmocka_unit_test(a_close_wakes_the_receiver),
	cmocka_unit_test(a_reset_wakes_the_sender),
	cmocka_unit_test(arm_says_when_there_is_something),
	cmocka_unit_test(descriptors_are_level_triggered),
	cmocka_unit_test(descriptors_belong_to_their_halves),
	cmocka_unit_test(a_receive_that_is_abandoned_loses_nothing),
	cmocka_unit_test(a_cancel_from_another_thread_wakes_the_receive),
	cmocka_unit_test(a_signal_handler_may_cancel),
	cmocka_unit_test(an_idle_owner_takes_no_processor),
	cmocka_unit_test(a_sleeping_owner_serves_other_threads),
};

CASE_LIST(cases_wait, tests);
