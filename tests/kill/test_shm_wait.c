/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What waiting costs, and that it ends: who is awake makes no system call per
 * message, who sleeps takes no processor, and whatever happens while somebody
 * falls asleep wakes him.
 *
 *     we: turn = k, recv 0, arm, poll      the other process: sees turn k,
 *                                          lets a while pass that differs
 *                                          from k to k, and does it
 *
 * Nothing here is a matter of speed: races go on for so long, however many
 * that are.
 */

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "shm_pair.h"
#include "side.h"
#include "step.h"

#define LEN 40u

/* Races per test: until so many, or for so long. */
#define RACES    20000u
#define RACES_NS UINT64_C(500000000)

#define MESSAGES       5000u
#define MESSAGES_ARMED 500u

#define IDLE_NS UINT64_C(200000000)

/* An empty look in so many gives the processor away: not a call to count. */
#define LOOKS_PER_YIELD 4096u

#define LIFE_S 120

struct blackbox {
	_Atomic uint32_t mark; /* enum step_mark */
	_Atomic uint32_t over;
	_Atomic uint64_t turn;
	_Atomic uint64_t ns;
};

static struct blackbox *box;
static char endpoint[64];

static const struct weir_link_config config = {
	.size = sizeof(config),
	.tx_credits = 16,
	.msg_size_max = 256,
};

static pid_t
start(void (*life)(void))
{
	pid_t pid;

	memset((void *)box, 0, sizeof(*box));
	pid = fork();
	assert_true(pid >= 0);
	if (pid != 0)
		return pid;
	alarm(LIFE_S);
	life();
	_exit(0);
}

static void
finish(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
look_again(uint32_t *looks)
{
	if (++*looks % LOOKS_PER_YIELD == 0)
		sched_yield();
}

/* In a child, where nothing can be asserted. */
static void
must(bool holds, int code)
{
	if (!holds)
		_exit(code);
}

/* ---- awake: calls are counted ------------------------------------------------------- */

/* Every system call between the marks but the yields. @return -1: it ended. */
static int64_t
count_calls(pid_t pid)
{
	struct __ptrace_syscall_info info;
	int64_t calls = 0;
	int status;

	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		   (void *)(intptr_t)(PTRACE_O_EXITKILL |
				      PTRACE_O_TRACESYSGOOD)) != 0)
		return -1;
	while (atomic_load(&box->mark) != STEP_DONE) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) != 0 ||
		    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			return -1;
		if (atomic_load(&box->mark) == STEP_BEGUN &&
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info),
			   &info) > 0 &&
		    info.op == PTRACE_SYSCALL_INFO_ENTRY &&
		    info.entry.nr != SYS_sched_yield)
			calls++;
	}
	return ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0 ? calls : -1;
}

/* One message there and back, by looking. */
static void
go_round(struct side *side, bool arms)
{
	struct weir_msg msg;
	uint32_t looks = 0;
	int rc;

	while ((rc = side_send(side, LEN)) == 0)
		look_again(&looks);
	must(rc == 1, 20);
	if (arms)
		must(weir_rx_arm(side->rx) >= 0, 21);
	while ((rc = side_receive(side, &msg)) == 0)
		look_again(&looks);
	must(rc == 1 && !side->torn, 22);
	weir_msg_release(&msg);
}

static void
go_round_and_round(struct side *side, uint32_t n, bool arms)
{
	uint64_t start_ns;

	for (int i = 0; i < 64; i++) /* what is done once is done */
		go_round(side, arms);
	step_wait_for_tracer();
	start_ns = weir_now_ns();
	atomic_store(&box->mark, STEP_BEGUN);
	for (uint32_t i = 0; i < n; i++)
		go_round(side, arms);
	atomic_store(&box->mark, STEP_DONE);
	atomic_store(&box->ns, weir_now_ns() - start_ns);
	must(weir_tx_close(side->tx) == 0, 23);
}

static void
sends_awake(void)
{
	struct side side;

	must(side_open(&side, endpoint, &config, false) == 0, 12);
	go_round_and_round(&side, MESSAGES, false);
}

static void
sends_and_arms(void)
{
	struct side side;

	must(side_open(&side, endpoint, &config, false) == 0, 12);
	go_round_and_round(&side, MESSAGES_ARMED, true);
}

/* Both sides are this thread. */
static void
sends_to_itself(void)
{
	struct weir_listener *listener;
	struct weir_link *link;
	struct weir_tx *tx;
	struct side side;

	memset(&side, 0, sizeof(side));
	must(weir_port_open("mem:", NULL, &side.port) == 0, 13);
	must(weir_listener_open(side.port, "mem:wait", &config, &listener) == 0,
	     14);
	must(weir_link_connect(side.port, "mem:wait", &config, &side.link) == 0,
	     15);
	must(weir_link_accept_wait(listener, in_limit(), &link) == 1, 16);
	must(weir_link_wait(side.link, in_limit()) == 1, 17);
	must(weir_link_split(side.link, &side.tx, &side.rx) == 0, 18);
	must(weir_link_split(link, &tx, &side.rx) == 0, 19);
	go_round_and_round(&side, MESSAGES, false);
}

/* Whatever comes goes back, until the end. */
static void
echoes(void)
{
	struct side side;
	struct weir_msg msg;
	uint32_t looks = 0;
	int rc;

	must(side_open(&side, endpoint, &config, true) == 0, 12);
	while ((rc = side_receive(&side, &msg)) >= 0) {
		if (rc == 0) {
			look_again(&looks);
			continue;
		}
		weir_msg_release(&msg);
		while ((rc = side_send(&side, LEN)) == 0)
			look_again(&looks);
		must(rc == 1, 20);
	}
	must(rc == WEIR_EOF && side_close(&side) == 0, 21);
}

/* @return calls; *ns: how long it took. */
static int64_t
calls_of(void (*life)(void), uint64_t *ns)
{
	pid_t pid = start(life);
	int64_t calls;

	assert_int_equal(step_until_ready(pid), 0);
	calls = count_calls(pid);
	finish(pid);
	*ns = atomic_load(&box->ns);
	print_message("%.1f ms: %lld system calls\n", (double)*ns / 1e6,
		      (long long)calls);
	assert_true(calls >= 0);
	return calls;
}

/* Each half looks after its peer once per millisecond, at most. Instruments
 * make calls of their own now and then. */
static int64_t
calls_allowed(uint64_t ns)
{
	return 2 * (int64_t)(ns / 1000000) + 64;
}

static void
who_is_awake_makes_no_system_call_per_message(void **state)
{
	pid_t echo;
	uint64_t ns;
	int64_t calls;

	(void)state;
	if (step_allowed() != 0)
		skip();
	echo = start(echoes);
	calls = calls_of(sends_awake, &ns);
	assert_true(calls <= calls_allowed(ns));
	finish(echo);
	calls = calls_of(sends_to_itself, &ns);
	assert_true(calls <= calls_allowed(ns));
}

/* Or the counting counts nothing. */
static void
who_arms_makes_some(void **state)
{
	uint64_t ns;
	pid_t echo;

	(void)state;
	if (step_allowed() != 0)
		skip();
	echo = start(echoes);
	assert_true(calls_of(sends_and_arms, &ns) >= (int64_t)MESSAGES_ARMED);
	finish(echo);
}

/* ---- asleep: a processor for others ------------------------------------------------- */

static uint64_t
cpu_ns(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) *
		       1000000000u +
	       (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000u;
}

static void
sleeps_for_a_while(void)
{
	struct weir_permit permit;
	struct weir_msg msg;
	struct side side;
	uint64_t before;

	must(side_open(&side, endpoint, &config, false) == 0, 12);
	while (side_send(&side, LEN) == 1)
		;
	before = cpu_ns();
	must(weir_rx_recv_wait(side.rx, weir_now_ns() + IDLE_NS, &msg) == 0,
	     13);
	must(weir_tx_reserve_wait(side.tx, LEN, weir_now_ns() + IDLE_NS,
				  &permit) == 0,
	     14);
	atomic_store(&box->ns, cpu_ns() - before);
}

/* It takes some 0.2 ms; a look per millisecond would take more than the
 * limit on a slow machine, a spin takes a hundred times that. */
static void
who_sleeps_takes_no_processor(void **state)
{
	struct side side;
	pid_t pid = start(sleeps_for_a_while);

	(void)state;
	assert_int_equal(side_open(&side, endpoint, &config, true), 0);
	finish(pid);
	print_message("asleep for %.0f ms: %.3f ms of processor time\n",
		      2 * (double)IDLE_NS / 1e6,
		      (double)atomic_load(&box->ns) / 1e6);
	assert_true(atomic_load(&box->ns) < 2 * IDLE_NS / 10);
	assert_int_equal(side_close(&side), 0);
}

/* ---- races ------------------------------------------------------------------------- */

/* The other process: turn k, and a while that differs. @return false: over. */
static bool
await_turn(uint64_t k)
{
	uint32_t looks = 0;

	while (atomic_load(&box->turn) < k) {
		if (atomic_load(&box->over) != 0)
			return false;
		look_again(&looks);
	}
	for (volatile uint64_t i = k * 7919 % 8192; i > 0; i--)
		;
	return true;
}

/* We: is there another race to run? */
static bool
race_again(uint64_t k, uint64_t since_ns)
{
	if (k <= RACES && weir_now_ns() - since_ns < RACES_NS)
		return true;
	print_message("%llu races\n", (unsigned long long)k - 1);
	atomic_store(&box->over, 1);
	return false;
}

static void
sleep_on(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int rc;

	do {
		rc = poll(&pfd, 1, LIMIT_S * 1000);
	} while (rc < 0 && errno == EINTR);
	/* 0: nobody woke us. */
	assert_int_equal(rc, 1);
}

/* By arming, at once. @return as recv, never 0. */
static int
receive_asleep(struct side *side, struct weir_msg *msg)
{
	int rc;

	while ((rc = side_receive(side, msg)) == 0)
		if (weir_rx_arm(side->rx) == 1)
			sleep_on(weir_rx_fd(side->rx));
	return rc;
}

static int
send_asleep(struct side *side)
{
	int rc;

	while ((rc = side_send(side, LEN)) == 0)
		if (weir_tx_arm(side->tx, LEN) == 1)
			sleep_on(weir_tx_fd(side->tx));
	return rc;
}

static void
commits_in_turn(void)
{
	struct side side;

	must(side_open(&side, endpoint, &config, true) == 0, 12);
	for (uint64_t k = 1; await_turn(k); k++)
		must(side_send(&side, LEN) == 1, 13);
	(void)side_close(&side);
}

static void
a_commit_wakes_who_falls_asleep(void **state)
{
	struct side side;
	struct weir_msg msg;
	pid_t pid = start(commits_in_turn);
	uint64_t since_ns;

	(void)state;
	assert_int_equal(side_open(&side, endpoint, &config, false), 0);
	since_ns = weir_now_ns();
	for (uint64_t k = 1; race_again(k, since_ns); k++) {
		atomic_store(&box->turn, k);
		assert_int_equal(receive_asleep(&side, &msg), 1);
		weir_msg_release(&msg);
	}
	assert_false(side.torn);
	finish(pid);
	assert_int_equal(side_close(&side), 0);
}

static void
releases_in_turn(void)
{
	struct side side;
	struct weir_msg msg;

	must(side_open(&side, endpoint, &config, true) == 0, 12);
	for (uint64_t k = 1;; k++) {
		must(weir_rx_recv_wait(side.rx, in_limit(), &msg) == 1, 13);
		if (!await_turn(k))
			break;
		weir_msg_release(&msg);
	}
	weir_msg_release(&msg);
	(void)side_close(&side);
}

static void
a_release_wakes_who_falls_asleep(void **state)
{
	struct side side;
	pid_t pid = start(releases_in_turn);
	uint64_t since_ns;
	int rc;

	(void)state;
	assert_int_equal(side_open(&side, endpoint, &config, false), 0);
	while ((rc = side_send(&side, LEN)) == 1)
		;
	assert_int_equal(rc, 0);
	since_ns = weir_now_ns();
	for (uint64_t k = 1; race_again(k, since_ns); k++) {
		atomic_store(&box->turn, k);
		assert_int_equal(send_asleep(&side), 1);
	}
	finish(pid);
	assert_int_equal(side_close(&side), 0);
}

static void
ends_in_turn(void)
{
	struct side side;

	for (uint64_t k = 1; await_turn(k); k += 3) {
		must(side_open(&side, endpoint, &config, true) == 0, 12);
		must(await_turn(k + 1), 13);
		must(weir_tx_close(side.tx) == 0, 14);
		must(await_turn(k + 2), 15);
		weir_rx_destroy(side.rx);
		side.rx = NULL;
		must(side_close(&side) == 0, 16);
	}
}

static void
an_end_wakes_who_falls_asleep(void **state)
{
	pid_t pid = start(ends_in_turn);
	uint64_t since_ns = weir_now_ns();
	struct weir_msg msg;
	struct side side;
	int rc;

	(void)state;
	for (uint64_t k = 1; race_again(k, since_ns); k += 3) {
		atomic_store(&box->turn, k);
		assert_int_equal(side_open(&side, endpoint, &config, false), 0);
		atomic_store(&box->turn, k + 1);
		assert_int_equal(receive_asleep(&side, &msg), WEIR_EOF);
		while ((rc = side_send(&side, LEN)) == 1)
			;
		assert_int_equal(rc, 0);
		atomic_store(&box->turn, k + 2);
		assert_int_equal(send_asleep(&side), -ECONNRESET);
		assert_int_equal(side_close(&side), 0);
	}
	finish(pid);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_awake_makes_no_system_call_per_message),
		cmocka_unit_test(who_arms_makes_some),
		cmocka_unit_test(who_sleeps_takes_no_processor),
		cmocka_unit_test(a_commit_wakes_who_falls_asleep),
		cmocka_unit_test(a_release_wakes_who_falls_asleep),
		cmocka_unit_test(an_end_wakes_who_falls_asleep),
	};

	box = shared_page();
	snprintf(endpoint, sizeof(endpoint), "shm:wait-%d", getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
