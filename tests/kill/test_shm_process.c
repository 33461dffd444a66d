/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What else can happen to a process that holds a link: it is stopped, forks,
 * executes another program, exits without a word. And how long it takes until
 * its peer knows that it is dead.
 */

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "shm_pair.h"
#include "side.h"

#define LEN 40u

/* Longer than any time limit of a link that is up, and of a listener. */
#define STOP_NS UINT64_C(1500000000)

#define DEATHS 15

/* Nobody stays longer, whatever becomes of the test. */
#define LIFE_S 120

/* What the other process says about itself. */
struct blackbox {
	_Atomic uint64_t committed;
	_Atomic uint64_t killed_ns;
	_Atomic uint32_t up;
	_Atomic uint32_t go; /* we say: do it, or: close, and end */
	_Atomic uint32_t child;
};

static struct blackbox *box;
static char endpoint[64];

static const struct weir_link_config config = {
	.size = sizeof(config),
	.tx_credits = 16,
	.msg_size_max = 256,
};

/* ---- the other process ------------------------------------------------------------ */

static pid_t
start(void (*life)(struct side *side), const struct weir_link_config *c)
{
	struct side side;
	pid_t pid;

	memset((void *)box, 0, sizeof(*box));
	pid = fork();
	assert_true(pid >= 0);
	if (pid != 0)
		return pid;
	alarm(LIFE_S);
	if (side_open(&side, endpoint, c, true) != 0)
		_exit(12);
	life(&side);
	_exit(13);
}

static bool
comes(const _Atomic uint32_t *flag)
{
	uint64_t give_up_ns = in_limit();

	while (atomic_load(flag) == 0 && weir_now_ns() < give_up_ns)
		nap_ns(100000);
	return atomic_load(flag) != 0;
}

static void
finish(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Sends as much as there is room for and receives all there is. */
static int
chat(struct side *side)
{
	struct weir_msg msg;
	int rc = side_send(side, LEN);

	if (rc < 0)
		return rc;
	rc = side_receive(side, &msg);
	if (rc == 1)
		weir_msg_release(&msg);
	return rc;
}

static void
chats_until_told(struct side *side)
{
	while (atomic_load(&box->go) == 0) {
		if (chat(side) < 0 || side->torn)
			_exit(14);
		atomic_store(&box->committed, side->sent);
		sched_yield();
	}
	if (weir_tx_close(side->tx) != 0)
		_exit(15);
	while (weir_link_status(side->link) != WEIR_EOF)
		(void)chat(side);
	_exit(side_close(side));
}

static void
does_nothing(struct side *side)
{
	(void)side;
	for (;;)
		pause();
}

/* As many of the longest messages as there is room for. */
static void
uses_its_memory(struct side *side)
{
	while (side_send(side, weir_tx_msg_size_max(side->tx)) == 1)
		;
	atomic_store(&box->up, 1);
	for (;;)
		pause();
}

/* ---- our side --------------------------------------------------------------------- */

static void
join(struct side *side, const struct weir_link_config *c)
{
	assert_int_equal(side_open(side, endpoint, c, false), 0);
}

/* Both are up: let it do what it is here for. */
static void
join_and_go(struct side *side)
{
	join(side, &config);
	atomic_store(&box->go, 1);
}

/* All that there is. @return recv's last answer. */
static int
receive_all(struct side *side)
{
	uint64_t give_up_ns = in_limit();
	struct weir_msg msg;
	int rc;

	while ((rc = side_receive(side, &msg)) >= 0) {
		if (rc == 1)
			weir_msg_release(&msg);
		assert_true(weir_now_ns() < give_up_ns);
	}
	assert_false(side->torn);
	return rc;
}

static void
expect_death(struct side *side)
{
	uint64_t give_up_ns = in_limit();
	int rc;

	assert_int_equal(receive_all(side), -ETIMEDOUT);
	while ((rc = side_send(side, LEN)) >= 0)
		assert_true(weir_now_ns() < give_up_ns);
	assert_int_equal(rc, -ETIMEDOUT);
}

/* The peer closed: everything, then the end. */
static void
expect_end(struct side *side)
{
	assert_int_equal(receive_all(side), WEIR_EOF);
	assert_true(side->received == atomic_load(&box->committed));
	assert_int_equal(weir_tx_close(side->tx), 0);
}

static void
chat_for(struct side *side, uint64_t ns)
{
	uint64_t until_ns = weir_now_ns() + ns;

	while (weir_now_ns() < until_ns)
		assert_true(chat(side) >= 0);
}

/* ---- stopped ---------------------------------------------------------------------- */

static void
a_stopped_peer_is_not_dead(void **state)
{
	struct side side;
	struct weir_msg msg;
	pid_t pid = start(chats_until_told, &config);

	(void)state;
	join(&side, &config);
	chat_for(&side, 5000000);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	/* Awake, then asleep: nobody calls it dead. */
	chat_for(&side, STOP_NS / 2);
	assert_int_equal(
		weir_rx_recv_wait(side.rx, weir_now_ns() + STOP_NS / 2, &msg),
		0);
	assert_int_equal(weir_link_status(side.link), 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	chat_for(&side, 5000000);
	atomic_store(&box->go, 1);
	expect_end(&side);
	finish(pid);
	assert_int_equal(side_close(&side), 0);
}

/* ---- fork --------------------------------------------------------------------------- */

/* The last it does before what it is here for. */
static void
sends_three(struct side *side)
{
	for (int i = 0; i < 3; i++)
		(void)side_send(side, LEN);
	if (!comes(&box->go))
		_exit(17);
}

static __attribute__((noreturn)) void
stay(void)
{
	alarm(LIFE_S);
	for (;;)
		pause();
}

/* A child that outlives us. It says itself when it is out of fork(). */
static void
leave_a_child(void)
{
	if (fork() == 0) {
		atomic_store(&box->child, (uint32_t)getpid());
		stay();
	}
	if (!comes(&box->child))
		_exit(18);
}

static void
forks_and_dies(struct side *side)
{
	leave_a_child();
	sends_three(side);
	kill(getpid(), SIGKILL);
}

/* No handler of pthread_atfork(3) runs: it has copies of everything. */
static void
clones_and_dies(struct side *side)
{
	long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		stay();
	atomic_store(&box->child, (uint32_t)pid);
	sends_three(side);
	kill(getpid(), SIGKILL);
}

static void
a_death_with_a_child_left(void (*life)(struct side *side), bool name_is_free)
{
	struct weir_listener *listener;
	struct side side;
	pid_t pid = start(life, &config);

	join_and_go(&side);
	expect_death(&side);
	assert_int_equal(side.received, 3);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(kill((pid_t)atomic_load(&box->child), 0), 0);
	if (name_is_free) {
		assert_int_equal(weir_listener_open(side.port, endpoint, NULL,
						    &listener),
				 0);
		weir_listener_close(listener);
	}
	assert_int_equal(kill((pid_t)atomic_load(&box->child), SIGKILL), 0);
	assert_int_equal(side_close(&side), 0);
}

static void
a_child_left_behind_hides_no_death(void **state)
{
	(void)state;
	a_death_with_a_child_left(forks_and_dies, true);
}

static void
a_child_with_copies_of_everything_hides_no_death(void **state)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	(void)state;
	if (pidfd < 0)
		skip();
	close(pidfd);
	a_death_with_a_child_left(clones_and_dies, false);
}

static void
listens_forks_and_dies(struct side *side)
{
	struct weir_listener *listener;
	char other[80];

	snprintf(other, sizeof(other), "%s-too", endpoint);
	if (weir_listener_open(side->port, other, NULL, &listener) != 0)
		_exit(16);
	leave_a_child();
	if (!comes(&box->go))
		_exit(17);
	kill(getpid(), SIGKILL);
}

static void
a_child_left_behind_keeps_no_name(void **state)
{
	struct weir_listener *listener;
	struct side side;
	char other[80];
	pid_t pid = start(listens_forks_and_dies, &config);

	(void)state;
	snprintf(other, sizeof(other), "%s-too", endpoint);
	join_and_go(&side);
	expect_death(&side);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(kill((pid_t)atomic_load(&box->child), 0), 0);
	assert_int_equal(weir_listener_open(side.port, other, NULL, &listener),
			 0);
	weir_listener_close(listener);
	assert_int_equal(kill((pid_t)atomic_load(&box->child), SIGKILL), 0);
	assert_int_equal(side_close(&side), 0);
}

/* All that a child should not do with its parent's link. */
static void
misbehave(struct side *side, struct weir_msg *held)
{
	for (int i = 0; i < 8; i++)
		(void)chat(side);
	weir_msg_release(held);
	(void)weir_tx_close(side->tx);
	(void)side_close(side);
}

static void
a_child_does_not_disturb_its_parents_link(void **state)
{
	struct side side;
	struct weir_msg held;
	uint64_t give_up_ns = in_limit(), number;
	pid_t pid = start(chats_until_told, &config), child;
	int rc;

	(void)state;
	join(&side, &config);
	chat_for(&side, 2000000);
	number = side.received;
	while ((rc = side_receive(&side, &held)) == 0)
		assert_true(weir_now_ns() < give_up_ns);
	assert_int_equal(rc, 1);
	for (int i = 0; i < 3; i++) {
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			misbehave(&side, &held);
			_exit(0);
		}
		chat_for(&side, 2000000);
		finish(child);
		assert_true(pattern_ok(held.data, held.len, number));
		audit(side.tx);
	}
	chat_for(&side, 2000000);
	assert_int_equal(weir_link_status(side.link), 0);
	weir_msg_release(&held);
	atomic_store(&box->go, 1);
	expect_end(&side);
	finish(pid);
	assert_int_equal(side_close(&side), 0);
}

/* ---- exec, exit ------------------------------------------------------------------ */

static void
executes_another(struct side *side)
{
	sends_three(side);
	execlp("sleep", "sleep", "60", (char *)NULL);
}

static void
an_exec_is_a_death(void **state)
{
	struct side side;
	int status;
	pid_t pid = start(executes_another, &config);

	(void)state;
	join_and_go(&side);
	expect_death(&side);
	assert_int_equal(side.received, 3);
	/* It lives; and has none of our descriptors. */
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(side_close(&side), 0);
}

static void
exits(struct side *side)
{
	sends_three(side);
	_exit(0);
}

static void
an_exit_without_a_word_is_a_death(void **state)
{
	struct side side;
	pid_t pid = start(exits, &config);

	(void)state;
	join_and_go(&side);
	expect_death(&side);
	assert_int_equal(side.received, 3);
	assert_int_equal(weir_link_status(side.link), -ETIMEDOUT);
	finish(pid);
	assert_int_equal(side_close(&side), 0);
}

/* ---- in the middle of a commit ------------------------------------------------- */

/* As if another thread, between taking number 2 and publishing it, had died
 * with the one whose commits of 3 and 4 returned. */
static void
dies_with_a_hole(struct side *side)
{
	if (!comes(&box->go))
		_exit(19);
	for (int i = 0; i < 5; i++)
		(void)side_send(side, LEN);
	atomic_store(&tx_inside(side->tx)->cells[2].word, 0);
	kill(getpid(), SIGKILL);
}

static void
a_thread_that_dies_in_a_commit_hides_no_others(void **state)
{
	static const uint64_t numbers[] = { 0, 1, 3, 4 };
	uint64_t give_up_ns = in_limit();
	struct weir_rx_stats stats;
	struct side side;
	struct weir_msg msg;
	int rc;
	pid_t pid = start(dies_with_a_hole, &config);

	(void)state;
	join_and_go(&side);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	for (int i = 0; i < 4; i++) {
		while ((rc = weir_rx_recv(side.rx, &msg)) == 0)
			assert_true(weir_now_ns() < give_up_ns);
		assert_int_equal(rc, 1);
		assert_true(pattern_ok(msg.data, msg.len, numbers[i]));
		weir_msg_release(&msg);
	}
	while ((rc = weir_rx_recv(side.rx, &msg)) == 0)
		assert_true(weir_now_ns() < give_up_ns);
	assert_int_equal(rc, -ETIMEDOUT);
	weir_rx_stats(side.rx, &stats, sizeof(stats));
	assert_int_equal(stats.messages, 4);
	assert_int_equal(stats.released, 4);
	assert_int_equal(side_close(&side), 0);
}

/* ---- how soon ------------------------------------------------------------------- */

static void
kill_at_once(pid_t pid)
{
	atomic_store(&box->killed_ns, weir_now_ns());
	assert_int_equal(kill(pid, SIGKILL), 0);
}

/* From the call of kill() until recv says so. */
static uint64_t
one_death_ns(const struct weir_link_config *c, bool asleep)
{
	struct side side;
	struct weir_msg msg;
	uint64_t told_ns;
	pid_t killer = 0, pid = start(uses_its_memory, c);

	join(&side, c);
	assert_true(comes(&box->up));
	while (weir_rx_recv(side.rx, &msg) == 1)
		weir_msg_release(&msg);
	if (asleep) {
		killer = fork();
		assert_true(killer >= 0);
		if (killer == 0) {
			nap_ns(2000000);
			kill_at_once(pid);
			_exit(0);
		}
		assert_int_equal(weir_rx_recv_wait(side.rx, in_limit(), &msg),
				 -ETIMEDOUT);
	} else {
		kill_at_once(pid);
		while (weir_rx_recv(side.rx, &msg) == 0)
			;
		assert_int_equal(weir_rx_recv(side.rx, &msg), -ETIMEDOUT);
	}
	told_ns = weir_now_ns();
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	if (asleep)
		finish(killer);
	assert_int_equal(side_close(&side), 0);
	return told_ns - atomic_load(&box->killed_ns);
}

static int
by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Weir takes huge pages if there are any. */
static bool
huge_pages(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128];
	unsigned long count = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "HugePages_Free: %lu", &count) == 1)
			break;
	fclose(file);
	return count > 128;
}

static void
median_death(const struct weir_link_config *c, bool asleep, const char *what)
{
	uint64_t ns[DEATHS];

	for (int i = 0; i < DEATHS; i++)
		ns[i] = one_death_ns(c, asleep);
	qsort(ns, DEATHS, sizeof(ns[0]), by_size);
	print_message("death known after %.2f ms (median; %.2f to %.2f)%s, "
		      "survivor %s\n",
		      (double)ns[DEATHS / 2] / 1e6, (double)ns[0] / 1e6,
		      (double)ns[DEATHS - 1] / 1e6,
		      huge_pages() ? ", huge pages" : "", what);
	assert_true(ns[DEATHS / 2] < UINT64_C(5000000000));
}

/* Every other millisecond, say, a look at the link: then the first one after a
 * death that finds nothing knows of it. */
static void
a_slow_poller_knows_as_soon(void **state)
{
	struct side side;
	struct weir_msg msg;
	pid_t pid = start(does_nothing, &config);
	int rc, polls = 0;

	(void)state;
	join(&side, &config);
	for (int i = 0; i < 100; i++)
		assert_int_equal(weir_rx_recv(side.rx, &msg), 0);
	for (int i = 0; i < 70; i++) {
		nap_ns(1200000);
		assert_int_equal(weir_rx_recv(side.rx, &msg), 0);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	do {
		nap_ns(1200000);
		rc = weir_rx_recv(side.rx, &msg);
		polls++;
	} while (rc == 0 && polls < 1000);
	assert_int_equal(rc, -ETIMEDOUT);
	assert_true(polls <= 4);
	assert_int_equal(side_close(&side), 0);
}

/* A lot of memory, every page of it used: the kernel takes longer. */
static const struct weir_link_config large_config = {
	.size = sizeof(large_config),
	.msg_size_max = 16u << 20,
	.large_count = 4,
};

static void
a_death_is_known_soon(void **state)
{
	(void)state;
	median_death(NULL, false, "spins");
	median_death(NULL, true, "sleeps");
	median_death(&large_config, true,
		     "sleeps, 64 MiB of the dead's pages used");
}

/* ------------------------------------------------------------------------------------ */

static int
prepare(void **state)
{
	(void)state;
	snprintf(endpoint, sizeof(endpoint), "shm:process-%d", getpid());
	box = shared_page();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stopped_peer_is_not_dead),
		cmocka_unit_test(a_child_left_behind_hides_no_death),
		cmocka_unit_test(
			a_child_with_copies_of_everything_hides_no_death),
		cmocka_unit_test(a_child_left_behind_keeps_no_name),
		cmocka_unit_test(a_child_does_not_disturb_its_parents_link),
		cmocka_unit_test(an_exec_is_a_death),
		cmocka_unit_test(an_exit_without_a_word_is_a_death),
		cmocka_unit_test(
			a_thread_that_dies_in_a_commit_hides_no_others),
		cmocka_unit_test(a_slow_poller_knows_as_soon),
		cmocka_unit_test(a_death_is_known_soon),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
