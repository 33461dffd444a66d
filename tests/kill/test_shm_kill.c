/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SIGKILL at random moments, traffic in both directions: what the dead had
 * committed arrives intact and in order, then -ETIMEDOUT for both halves;
 * nothing is left; the next start on the same name works at once.
 *
 * WEIR_KILLS=n sets how often (default 200); a seed is printed and can be
 * given back with WEIR_SEED=n.
 */

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "shm_pair.h"

#define KILLS_DEFAULT 200
#define TIME_LIMIT_S  5

/* What the victim says about itself. */
struct blackbox {
	_Atomic uint64_t committed; /* at least */
	_Atomic uint32_t up;
};

struct end {
	struct weir_tx *tx;
	struct weir_rx *rx;
	uint64_t sent, received;
	int tx_rc, rx_rc;
	bool torn;
	struct weir_msg held[4];
	uint64_t held_number[4];
};

static struct blackbox *box;
static char endpoint[64];

static uint32_t
size_of(uint64_t number)
{
	static const uint32_t sizes[] = { 8, 48,   49, 16, 256,  300,
					  8, 1500, 32, 8,  5000, 40 };

	return sizes[number % (sizeof(sizes) / sizeof(sizes[0]))];
}

static bool
intact(const struct weir_msg *msg, uint64_t number)
{
	const uint8_t *bytes = msg->data;

	if (msg->len != size_of(number))
		return false;
	for (uint32_t i = 0; i < msg->len; i++)
		if (bytes[i] != (uint8_t)(number * 7 + i))
			return false;
	return true;
}

static void
send_one(struct end *e)
{
	uint32_t len = size_of(e->sent);
	struct weir_permit permit;
	struct weir_slot slot;

	e->tx_rc = weir_tx_reserve_burst(e->tx, len, &permit, 1);
	if (e->tx_rc != 1 || weir_permit_alloc(&permit, len, &slot) != 0)
		return;
	for (uint32_t i = 0; i < len; i++)
		((uint8_t *)slot.data)[i] = (uint8_t)(e->sent * 7 + i);
	weir_slot_commit(&slot);
	e->sent++;
}

/* Keeps the last few, so that a death always finds some held. */
static void
receive_one(struct end *e)
{
	uint64_t i = e->received % 4;
	struct weir_msg msg;

	e->rx_rc = weir_rx_recv(e->rx, &msg);
	if (e->rx_rc != 1)
		return;
	e->torn |= !intact(&msg, e->received);
	if (e->held[i].store != NULL)
		weir_msg_release(&e->held[i]);
	e->held[i] = msg;
	e->held_number[i] = e->received++;
}

static void
end_init(struct end *e, struct weir_link *link)
{
	memset(e, 0, sizeof(*e));
	if (weir_link_split(link, &e->tx, &e->rx) != 0)
		_exit(10);
}

static struct weir_link *
meet(struct weir_port *port, bool listens)
{
	struct weir_listener *listener;
	struct weir_link *link = NULL;

	if (!listens) {
		if (weir_link_connect(port, endpoint, NULL, &link) != 0 ||
		    weir_link_wait(link, in_seconds(TIME_LIMIT_S)) != 1)
			return NULL;
		return link;
	}
	if (weir_listener_open(port, endpoint, NULL, &listener) != 0)
		return NULL;
	if (weir_link_accept_wait(listener, in_seconds(TIME_LIMIT_S), &link) !=
	    1)
		link = NULL;
	weir_listener_close(listener);
	return link;
}

/* Both ways as fast as it goes, until killed. */
static void
victim(bool listens)
{
	struct weir_port *port;
	struct weir_link *link;
	struct end e;

	if (weir_port_open(endpoint, NULL, &port) != 0)
		_exit(11);
	link = meet(port, listens);
	if (link == NULL)
		_exit(12);
	end_init(&e, link);
	atomic_store(&box->up, 1);
	for (uint32_t turn = 0;; turn++) {
		send_one(&e);
		atomic_store_explicit(&box->committed, e.sent,
				      memory_order_release);
		receive_one(&e);
		if (e.rx_rc < 0 || e.tx_rc < 0 || e.torn)
			_exit(13);
		if (turn % 64 == 0)
			sched_yield();
	}
}

static void
nap(uint64_t ns)
{
	struct timespec t = { .tv_sec = 0, .tv_nsec = (long)ns };

	nanosleep(&t, NULL);
}

/* Traffic until the random moment, the kill, then on to the end. */
static void
survive(struct end *e, pid_t pid, uint64_t kill_ns)
{
	uint64_t give_up_ns = in_seconds(TIME_LIMIT_S);
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
check_dead(struct weir_link *link, struct end *e)
{
	struct weir_permit permit;
	struct weir_msg msg;

	assert_false(e->torn);
	assert_int_equal(e->rx_rc, -ETIMEDOUT);
	assert_int_equal(e->tx_rc, -ETIMEDOUT);
	assert_int_equal(weir_link_status(link), -ETIMEDOUT);
	assert_int_equal(weir_rx_recv(e->rx, &msg), -ETIMEDOUT);
	assert_int_equal(weir_tx_reserve(e->tx, &permit), -ETIMEDOUT);
	assert_true(e->received >= atomic_load(&box->committed));
	audit(e->tx);
	for (int i = 0; i < 4; i++)
		if (e->held[i].store != NULL)
			assert_true(intact(&e->held[i], e->held_number[i]));
}

static void
leave(struct weir_port *port, struct weir_link *link, struct end *e)
{
	weir_link_destroy(link);
	weir_tx_destroy(e->tx);
	weir_rx_destroy(e->rx);
	assert_int_equal(weir_port_close(port), 0);
	for (int i = 0; i < 4; i++)
		if (e->held[i].store != NULL)
			weir_msg_release(&e->held[i]);
}

static pid_t
start_victim(bool listens)
{
	pid_t pid;

	atomic_store(&box->committed, 0);
	atomic_store(&box->up, 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		victim(listens);
	return pid;
}

static void
one_kill(bool we_listen, uint64_t after_ns)
{
	struct weir_port *port;
	struct weir_link *link;
	struct end e;
	int status;
	pid_t pid = start_victim(!we_listen);

	assert_int_equal(weir_port_open(endpoint, NULL, &port), 0);
	link = meet(port, we_listen);
	assert_non_null(link);
	end_init(&e, link);
	survive(&e, pid, weir_now_ns() + after_ns);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	check_dead(link, &e);
	leave(port, link, &e);
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
		one_kill(i % 2 == 0, (uint64_t)rand_r(&s) % 8000000);
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
		pid_t pid = start_victim(true);
		struct weir_link *link;
		int rc;

		assert_int_equal(
			weir_link_connect(port, endpoint, &config, &link), 0);
		nap((uint64_t)rand_r(&s) % 6000000);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		rc = weir_link_wait(link, in_seconds(TIME_LIMIT_S));
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
	one_kill(true, 1000000);
}

/* Death wakes who sleeps, in both directions. */
static void
a_kill_wakes_a_sleeper(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct weir_port *port;
		struct weir_link *link;
		struct weir_msg msg;
		struct end e;
		pid_t pid = start_victim(false);
		int rc;

		assert_int_equal(weir_port_open(endpoint, NULL, &port), 0);
		link = meet(port, true);
		assert_non_null(link);
		end_init(&e, link);
		/* Stopped and full up: both waits can only end by death. */
		while (atomic_load(&box->up) == 0)
			sched_yield();
		assert_int_equal(kill(pid, SIGSTOP), 0);
		assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
		while ((rc = weir_rx_recv(e.rx, &msg)) == 1)
			weir_msg_release(&msg);
		assert_int_equal(rc, 0);
		do
			send_one(&e);
		while (e.tx_rc == 1);
		assert_int_equal(e.tx_rc, 0);
		assert_int_equal(
			weir_rx_recv_wait(e.rx, weir_now_ns() + 2000000, &msg),
			0);
		if (fork() == 0) {
			nap(3000000);
			kill(pid, SIGKILL);
			_exit(0);
		}
		if (i % 2 == 0) {
			assert_int_equal(
				weir_rx_recv_wait(
					e.rx, in_seconds(TIME_LIMIT_S), &msg),
				-ETIMEDOUT);
		} else {
			struct weir_permit permit;

			assert_int_equal(
				weir_tx_reserve_wait(e.tx, size_of(e.sent),
						     in_seconds(TIME_LIMIT_S),
						     &permit),
				-ETIMEDOUT);
		}
		while (waitpid(-1, NULL, 0) > 0)
			;
		leave(port, link, &e);
	}
}

static int
prepare(void **state)
{
	(void)state;
	snprintf(endpoint, sizeof(endpoint), "shm:kill-%d", getpid());
	box = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return box == MAP_FAILED ? -1 : 0;
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
