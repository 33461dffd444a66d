/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_poison: in builds with AddressSanitizer it sees who leaves a slot
 * or a message of a dpdk link, or comes back to one (dpdk_poison.h).
 *
 * Each case is a child that commits one such crime on a net_ring pair and
 * must die of it; the innocent one must not. Other builds skip.
 */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "weir_dpdk.h"

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED true
#endif
#endif
#ifndef WATCHED
#define WATCHED false
#endif

#define RING  "dpdk:poison,dev=net_ring"
#define LEN   61u /* neither a word nor a cache line */
#define LARGE 30001u
#define TURNS 20000000u

enum crime {
	INNOCENT,
	SLOT_OVERRUN,
	SLOT_UNDERRUN,
	LARGE_SLOT_OVERRUN,
	SLOT_AFTER_DISCARD,
	MESSAGE_OVERRUN,
	LARGE_MESSAGE_OVERRUN,
	MESSAGE_AFTER_RELEASE,
	LARGE_AFTER_RELEASE,
};

static struct {
	struct weir_port *port[2];
	struct weir_listener *listener;
	struct weir_link *link[2];
	struct weir_tx *tx;
	struct weir_rx *rx;
	struct weir_tx *unused_tx;
	struct weir_rx *unused_rx;
} w;

/* ---- the child ----------------------------------------------------------- */

static void
must(bool holds, const char *what)
{
	if (holds)
		return;
	printf("%s: %s\n", what, weir_last_error());
	fflush(stdout);
	_exit(2);
}

static void
turn(void)
{
	must(weir_port_poll(w.port[0]) >= 0, "poll");
	must(weir_port_poll(w.port[1]) >= 0, "poll");
}

static void
link_up(void)
{
	int accepted = 0;

	for (int i = 0; i < 2; i++)
		must(weir_port_open(RING, NULL, &w.port[i]) == 0, "open");
	must(weir_listener_open(w.port[0], RING, NULL, &w.listener) == 0,
	     "listen");
	must(weir_link_connect(w.port[1], RING, NULL, &w.link[1]) == 0,
	     "connect");
	for (uint32_t i = 0; i < TURNS && accepted == 0; i++) {
		turn();
		accepted = weir_link_accept(w.listener, &w.link[0]);
	}
	must(accepted == 1, "accept");
	must(weir_link_split(w.link[0], &w.unused_tx, &w.rx) == 0, "split");
	must(weir_link_split(w.link[1], &w.tx, &w.unused_rx) == 0, "split");
}

static void
link_down(void)
{
	weir_tx_destroy(w.tx);
	weir_rx_destroy(w.rx);
	weir_tx_destroy(w.unused_tx);
	weir_rx_destroy(w.unused_rx);
	weir_link_destroy(w.link[0]);
	weir_link_destroy(w.link[1]);
	weir_listener_close(w.listener);
	for (int i = 0; i < 2; i++)
		must(weir_port_close(w.port[i]) == 0, "close");
}

/* A byte that no compiler can leave out. */
static void
touch(const void *base, uint32_t at)
{
	const volatile uint8_t *byte = (const volatile uint8_t *)base + at;

	(void)*byte;
}

static void
write_to(void *base, int64_t at)
{
	volatile uint8_t *byte = (volatile uint8_t *)base + at;

	*byte = 1;
}

static struct weir_slot
slot_of(uint32_t len)
{
	struct weir_permit permit;
	struct weir_slot slot;
	int rc = 0;

	for (uint32_t i = 0; i < TURNS && rc == 0; i++) {
		turn();
		rc = weir_tx_reserve_burst(w.tx, len, &permit, 1);
	}
	must(rc == 1, "reserve");
	must(weir_permit_alloc(&permit, len, &slot) == 0, "alloc");
	return slot;
}

static struct weir_msg
message_of(uint32_t len)
{
	struct weir_slot slot = slot_of(len);
	struct weir_msg msg;
	int rc = 0;

	memset(slot.data, 7, len);
	weir_slot_commit(&slot);
	for (uint32_t i = 0; i < TURNS && rc == 0; i++) {
		turn();
		rc = weir_rx_recv(w.rx, &msg);
	}
	must(rc == 1 && msg.len == len, "recv");
	for (uint32_t i = 0; i < len; i++)
		touch(msg.data, i);
	return msg;
}

static void
sending_crimes(enum crime crime)
{
	uint32_t len = crime == LARGE_SLOT_OVERRUN ? LARGE : LEN;
	struct weir_slot slot = slot_of(len);
	void *data = slot.data;

	write_to(data, 0);
	write_to(data, len - 1);
	if (crime == SLOT_UNDERRUN)
		write_to(data, -1);
	if (crime == SLOT_OVERRUN || crime == LARGE_SLOT_OVERRUN)
		write_to(data, len);
	weir_slot_discard(&slot);
	if (crime == SLOT_AFTER_DISCARD)
		write_to(data, 0);
}

static void
receiving_crimes(enum crime crime)
{
	bool is_large = crime == LARGE_MESSAGE_OVERRUN ||
			crime == LARGE_AFTER_RELEASE;
	uint32_t len = is_large ? LARGE : LEN;
	struct weir_msg msg = message_of(len);
	const void *data = msg.data;

	/* The sender has learned of its arrival: the buffer is ours alone. */
	for (int i = 0; i < 1000; i++)
		turn();
	if (crime == MESSAGE_OVERRUN || crime == LARGE_MESSAGE_OVERRUN)
		touch(data, len);
	weir_msg_release(&msg);
	if (crime == MESSAGE_AFTER_RELEASE || crime == LARGE_AFTER_RELEASE)
		touch(data, 0);
}

static void
innocent(void)
{
	static const uint32_t lens[] = { 0, 1, 8, LEN, 1000, LARGE };

	for (uint32_t i = 0; i < 600; i++) {
		uint32_t len = lens[i % (sizeof(lens) / sizeof(lens[0]))];
		struct weir_msg msg = message_of(len);
		struct weir_slot slot = slot_of(len);

		weir_slot_discard(&slot);
		weir_msg_release(&msg);
	}
}

static void
commit_crime(enum crime crime)
{
	link_up();
	if (crime == INNOCENT)
		innocent();
	else if (crime < MESSAGE_OVERRUN)
		sending_crimes(crime);
	else
		receiving_crimes(crime);
	link_down();
}

/* ---- the judge ----------------------------------------------------------- */

static char said[8192];

/* @return exit status; what the child had to say is in `said`. */
static int
try_crime(enum crime crime)
{
	int ends[2], status = 0;
	size_t len = 0;
	ssize_t more;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(60);
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		commit_crime(crime);
		fflush(stdout);
		_exit(0);
	}
	close(ends[1]);
	while ((more = read(ends[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)more;
	said[len] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
expect_death(enum crime crime)
{
	int status;

	if (!WATCHED)
		skip(); /* only AddressSanitizer sees it */
	status = try_crime(crime);
	if (status == 0 || strstr(said, "use-after-poison") == NULL)
		fail_msg("exit status %d, and it said: %s", status, said);
}

static void
who_keeps_within_lives(void **state)
{
	int status = try_crime(INNOCENT);

	(void)state;
	if (status != 0)
		fail_msg("exit status %d, and it said: %s", status, said);
}

static void
a_slot_ends_after_its_last_byte(void **state)
{
	(void)state;
	expect_death(SLOT_OVERRUN);
	expect_death(LARGE_SLOT_OVERRUN);
}

static void
a_slot_begins_with_its_first_byte(void **state)
{
	(void)state;
	expect_death(SLOT_UNDERRUN);
}

static void
a_discarded_slot_is_gone(void **state)
{
	(void)state;
	expect_death(SLOT_AFTER_DISCARD);
}

static void
a_message_ends_after_its_last_byte(void **state)
{
	(void)state;
	expect_death(MESSAGE_OVERRUN);
	expect_death(LARGE_MESSAGE_OVERRUN);
}

static void
a_released_message_is_gone(void **state)
{
	(void)state;
	expect_death(MESSAGE_AFTER_RELEASE);
	expect_death(LARGE_AFTER_RELEASE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_keeps_within_lives),
		cmocka_unit_test(a_slot_ends_after_its_last_byte),
		cmocka_unit_test(a_slot_begins_with_its_first_byte),
		cmocka_unit_test(a_discarded_slot_is_gone),
		cmocka_unit_test(a_message_ends_after_its_last_byte),
		cmocka_unit_test(a_released_message_is_gone),
	};

	if (weir_driver_register(&weir_driver_dpdk) != 0)
		return 1;
	return cmocka_run_group_tests_name("dpdk_poison", tests, NULL, NULL);
}
