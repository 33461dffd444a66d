/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The counters that others can read (lib/board.h): nobody but their process
 * writes to them, and a forked child has copies of its parent's halves, which
 * lie among them.
 */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "board.h"

struct pair {
	struct weir_port *port;
	struct weir_listener *listener;
	struct weir_link *link[2];
	struct weir_tx *tx;
	struct weir_rx *rx;
};

static void
open_link(struct pair *p)
{
	int rc;

	assert_int_equal(
		weir_link_connect(p->port, "mem:board", NULL, &p->link[0]), 0);
	do
		rc = weir_link_accept(p->listener, &p->link[1]);
	while (rc == 0);
	assert_int_equal(rc, 1);
	assert_int_equal(weir_link_status(p->link[0]), 0);
	weir_link_split(p->link[0], &p->tx, NULL);
	weir_link_split(p->link[1], NULL, &p->rx);
}

static void
close_link(struct pair *p)
{
	weir_tx_destroy(p->tx);
	weir_rx_destroy(p->rx);
	weir_link_destroy(p->link[0]);
	weir_link_destroy(p->link[1]);
}

static void
send_and_receive(struct pair *p)
{
	struct weir_msg msg;

	assert_int_equal(weir_tx_try_send(p->tx, "12345678", 8), 1);
	assert_int_equal(weir_rx_recv(p->rx, &msg), 1);
	assert_memory_equal(msg.data, "12345678", 8);
	weir_msg_release(&msg);
}

static int
setup(void **state)
{
	static struct pair p;

	assert_int_equal(
		weir_port_open("mem:board",
			       &(struct weir_port_config){
				       .size = sizeof(struct weir_port_config),
				       .stats = 1 },
			       &p.port),
		0);
	assert_int_equal(
		weir_listener_open(p.port, "mem:board", NULL, &p.listener), 0);
	open_link(&p);
	*state = &p;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;

	close_link(p);
	weir_listener_close(p->listener);
	return weir_port_close(p->port);
}

static void
halves_lie_among_the_counters(void **state)
{
	struct pair *p = *state;
	const uint8_t *board = (const void *)weir_board();

	assert_non_null(board);
	assert_in_range((uintptr_t)p->tx, (uintptr_t)board,
			(uintptr_t)board + BOARD_BYTES - 1);
}

static int
open_entry(int flags)
{
	char dir[200], path[256];

	assert_int_equal(weir_runtime_dir(dir, sizeof(dir)), 0);
	snprintf(path, sizeof(path), "%s/" BOARD_PREFIX "%d", dir,
		 (int)getpid());
	return open(path, flags | O_CLOEXEC);
}

static void
nobody_else_writes(void **state)
{
	int fd = open_entry(O_RDWR);
	const void *read_only;

	(void)state;
	if (fd >= 0) {
		assert_ptr_equal(mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE,
				      MAP_SHARED, fd, 0),
				 MAP_FAILED);
		assert_int_equal(pwrite(fd, "x", 1, 0), -1);
		assert_int_equal(ftruncate(fd, 0), -1);
		close(fd);
	}
	fd = open_entry(O_RDONLY);
	assert_true(fd >= 0);
	read_only = mmap(NULL, BOARD_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(read_only, MAP_FAILED);
	assert_memory_equal(read_only, BOARD_MAGIC, 8);
	munmap((void *)(uintptr_t)read_only, BOARD_BYTES);
	close(fd);
}

/* @return of wait(): that of a process that did what it is told. */
static int
wait_for(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

/* Everything of the parent's end of the link changes hands while the child
 * still has it; so again in a child of the child. */
static void
a_child_has_copies(void **state)
{
	struct pair *p = *state;
	int go[2];
	pid_t child;
	char byte;

	assert_int_equal(pipe(go), 0);
	child = fork();
	if (child == 0) {
		int rc = read(go[0], &byte, 1) == 1 ? 0 : 1;
		pid_t grandchild = fork();

		close_link(p);
		if (grandchild == 0)
			_exit(rc);
		_exit(rc + wait_for(grandchild));
	}
	assert_true(child > 0);
	close_link(p);
	for (uint32_t i = 0; i < BOARD_SLOTS / 3 + 1; i++) {
		open_link(p);
		send_and_receive(p);
		close_link(p);
	}
	assert_int_equal(write(go[1], "x", 1), 1);
	assert_int_equal(wait_for(child), 0);
	close(go[0]);
	close(go[1]);
	open_link(p);
	send_and_receive(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(halves_lie_among_the_counters),
		cmocka_unit_test(nobody_else_writes),
		cmocka_unit_test(a_child_has_copies),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
