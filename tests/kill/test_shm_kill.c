/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SIGKILL at random moments, traffic of random sizes in both directions, each
 * side polling or asleep: what the dead had committed arrives intact and in
 * order, then -ETIMEDOUT for both halves; nothing is left; the next start on
 * the same name works at once.
 *
 * WEIR_KILLS=n sets how often (default 200); a seed is printed and can be
 * given back with WEIR_SEED=n.
 */

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "shm_pair.h"
#include "side.h"

#define KILLS_DEFAULT 200
#define HELD          4u

/* What one does that finds nothing to receive, or no room. */
enum habit {
	POLLS_BOTH,
	SLEEPS_RECEIVING,
	SLEEPS_SENDING,
	HABITS,
};

/* What the victim says about itself. */
struct blackbox {
	_Atomic uint64_t committed; /* at least */
	_Atomic uint32_t up;
};

struct end {
	struct side side;
	enum habit habit;
	int tx_rc, rx_rc;
	struct weir_msg held[HELD];
	uint64_t held_number[HELD];
};

static struct blackbox *box;
static char endpoint[64];

/* Random, but both sides know it: mostly small, some up to the limit. */
static uint32_t
size_of(uint64_t number)
{
	uint64_t random = (number + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
	static const uint32_t limits[] = { 48,  48,  48,  48,   64,   300,
					   300, 600, 600, 5000, 5000, 65536 };

	return (uint32_t)(random / 16) %
	       (limits[random % (sizeof(limits) / sizeof(limits[0]))] + 1);
}

/* Short enough for both directions to go on. */
static uint64_t
a_moment(void)
{
	return weir_now_ns() + 1000000;
}

static void
send_one(struct end *e)
{
	uint32_t len = size_of(e->side.sent);
	struct weir_permit permit;

	e->tx_rc = e->habit == SLEEPS_SENDING
			   ? weir_tx_reserve_wait(e->side.tx, len, a_moment(),
						  &permit)
			   : weir_tx_reserve_burst(e->side.tx, len, &permit, 1);
	if (e->tx_rc == 1)
		side_fill(&e->side, &permit, len);
}

/* Keeps the last few, so that a death always finds some held. */
static void
receive_one(struct end *e)
{
	uint64_t number = e->side.received;
	struct weir_msg msg;

	e->rx_rc = e->habit == SLEEPS_RECEIVING
			   ? weir_rx_recv_wait(e->side.rx, a_moment(), &msg)
			   : weir_rx_recv(e->side.rx, &msg);
	if (e->rx_rc != 1)
		return;
	side_check(&e->side, &msg);
	e->side.torn |= msg.len != size_of(number);
	if (e->held[number % HELD].store != NULL)
		weir_msg_release(&e->held[number % HELD]);
	e->held[number % HELD] = msg;
	e->held_number[number % HELD] = number;
}

/* Both ways as fast as it goes, until killed. */
static void
victim(bool listens, enum habit habit)
{
	struct end e = { .habit = habit };

	if (side_open(&e.side, endpoint, NULL, listens) != 0)
		_exit(12);
	atomic_store(&box->up, 1);
	for (uint32_t turn = 0;; turn++) {
		send_one(&e);
		atomic_store_explicit(&box->committed, e.side.sent,
				      memory_order_release);
		receive_one(&e);
		if (e.rx_rc < 0 || e.tx_rc < 0 || e.side.torn)
			_exit(13);
		if (turn % 64 == 0)
			sched_yield();
	}
}

/* Traffic until the random moment, the kill, then on to the end. */
static void
survive(struct end *e, pid_t pid, uint64_t kill_ns)
{
	uint64_t give_up_ns = in_limit();
	bool alive = true;

	for (uint32_t turn = 0;; turn++) {
		if (e->rx_rc >= 0)
			receive_one(e);
		if (e->tx_rc >= 0)
			send_one(e);
		if (e->rx_rc < 0 && e->tx_rc < 0)
			break;
		if (turn % 16 != 0)
			continue;
		assert_true(weir_now_ns() < give_up_ns);
		if (alive && weir_now_ns() >= kill_ns) {
			assert_int_equal(kill(pid, SIGKILL), 0);
			alive = false;
		}
		if (turn % 64 == 0)
			sched_yield();
	}
}

static void
check_held(const struct end *e)
{
	for (unsigned int i = 0; i < HELD; i++)
		if (e->held[i].store != NULL)
			assert_true(pattern_ok(e->held[i].data, e->held[i].len,
					       e->held_number[i]));
}

static void
check_dead(struct end *e)
{
	struct weir_permit permit;
	struct weir_msg msg;

	assert_false(e->side.torn);
	assert_int_equal(e->rx_rc, -ETIMEDOUT);
	assert_int_equal(e->tx_rc, -ETIMEDOUT);
	assert_int_equal(weir_link_status(e->side.link), -ETIMEDOUT);
	assert_int_equal(weir_rx_recv(e->side.rx, &msg), -ETIMEDOUT);
	assert_int_equal(weir_tx_reserve(e->side.tx, &permit), -ETIMEDOUT);
	assert_true(e->side.received >= atomic_load(&box->committed));
	audit(e->side.tx);
}

static void
leave(struct end *e)
{
	assert_int_equal(side_close(&e->side), 0);
	check_held(e);
	for (unsigned int i = 0; i < HELD; i++)
		if (e->held[i].store != NULL)
			weir_msg_release(&e->held[i]);
}

static pid_t
start_victim(bool listens, enum habit habit)
{
	pid_t pid;

	atomic_store(&box->committed, 0);
	atomic_store(&box->up, 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		victim(listens, habit);
	return pid;
}

static void
one_kill(unsigned int number, uint64_t after_ns)
{
	struct end e = { .habit = number / 2 % HABITS };
	bool we_listen = number % 2 == 0;
	int status;
	pid_t pid = start_victim(!we_listen, number / 2 / HABITS % HABITS);

	assert_int_equal(side_open(&e.side, endpoint, NULL, we_listen), 0);
	survive(&e, pid, weir_now_ns() + after_ns);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	check_dead(&e);
	leave(&e);
}

static unsigned int
seed(void)
{
	const char *given = getenv("WEIR_SEED");
	unsigned int s = given != NULL ? (unsigned int)strtoul(given, NULL, 0)
				       : (unsigned int)weir_now_ns();

	print_message("WEIR_SEED=%u\n", s);
	return s;
}

static uint64_t
kills(void)
{
	const char *given = getenv("WEIR_KILLS");

	return given != NULL ? strtoul(given, NULL, 0) : KILLS_DEFAULT;
}

static void
a_kill_under_load_is_survived(void **state)
{
	int fds = fd_count(), segments = segment_count();
	unsigned int s = seed();
	uint64_t n = kills();

	(void)state;
	for (uint64_t i = 0; i < n; i++)
		one_kill((unsigned int)i, (uint64_t)rand_r(&s) % 8000000);
	print_message("%lu kills survived\n", (unsigned long)n);
	assert_int_equal(fd_count(), fds);
	assert_int_equal(segment_count(), segments);
}

/* The victim dies at any point of its start: either there is no link, or one
 * whose peer is dead. Never a hang, never a leak, and the next one works. */
static void
a_kill_during_set_up_is_survived(void **state)
{
	int fds = fd_count(), segments = segment_count(), no_link = 0;
	struct weir_link_config config = {
		.size = sizeof(config),
		.connect_timeout_ns = 20000000,
	};
	unsigned int s = seed();
	struct weir_port *port;

	(void)state;
	assert_int_equal(weir_port_open(endpoint, NULL, &port), 0);
	for (uint64_t i = 0; i < kills() / 4; i++) {
		pid_t pid = start_victim(true, POLLS_BOTH);
		struct weir_link *link;
		int rc;

		assert_int_equal(
			weir_link_connect(port, endpoint, &config, &link), 0);
		nap_ns((uint64_t)rand_r(&s) % 6000000);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		rc = weir_link_wait(link, in_limit());
		if (rc == 1)
			while ((rc = weir_link_status(link)) == 0)
				sched_yield();
		assert_true(rc == -ECONNREFUSED || rc == -ETIMEDOUT);
		no_link += rc == -ECONNREFUSED;
		weir_link_destroy(link);
	}
	print_message("%d of %lu died before there was a link\n", no_link,
		      (unsigned long)(kills() / 4));
	assert_int_equal(weir_port_close(port), 0);
	assert_int_equal(fd_count(), fds);
	assert_int_equal(segment_count(), segments);
	one_kill(0, 1000000);
}

/* Both waits can only end by death: it is stopped, and full up. */
static void
drain_and_fill(struct end *e)
{
	struct weir_msg msg;
	int rc;

	while ((rc = weir_rx_recv(e->side.rx, &msg)) == 1)
		weir_msg_release(&msg);
	assert_int_equal(rc, 0);
	do
		send_one(e);
	while (e->tx_rc == 1);
	assert_int_equal(e->tx_rc, 0);
}

/* Death wakes who sleeps, in both directions. */
static void
a_kill_wakes_a_sleeper(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct end e = { .habit = POLLS_BOTH };
		struct weir_permit permit;
		struct weir_msg msg;
		pid_t pid = start_victim(false, POLLS_BOTH);

		assert_int_equal(side_open(&e.side, endpoint, NULL, true), 0);
		while (atomic_load(&box->up) == 0)
			sched_yield();
		assert_int_equal(kill(pid, SIGSTOP), 0);
		assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
		drain_and_fill(&e);
		if (fork() == 0) {
			nap_ns(3000000);
			kill(pid, SIGKILL);
			_exit(0);
		}
		if (i % 2 == 0)
			assert_int_equal(
				weir_rx_recv_wait(e.side.rx, in_limit(), &msg),
				-ETIMEDOUT);
		else
			assert_int_equal(
				weir_tx_reserve_wait(e.side.tx,
						     size_of(e.side.sent),
						     in_limit(), &permit),
				-ETIMEDOUT);
		while (waitpid(-1, NULL, 0) > 0)
			;
		leave(&e);
	}
}

static int
prepare(void **state)
{
	(void)state;
	snprintf(endpoint, sizeof(endpoint), "shm:kill-%d", getpid());
	box = shared_page();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kill_under_load_is_survived),
		cmocka_unit_test(a_kill_during_set_up_is_survived),
		cmocka_unit_test(a_kill_wakes_a_sleeper),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
