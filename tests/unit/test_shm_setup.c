/* SPDX-License-Identifier: BSD-3-Clause */
/* Set-up that goes wrong: whose fault it is, what the caller is told to do,
 * and that nobody waits for ever. */

#include <sys/resource.h>

#include "shm_pair.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

#define FEW_MAX 512

/* Descriptors are scarce: so many can still be opened. */
struct scarce {
	struct rlimit before;
	int plugs[FEW_MAX];
	int count;
};

static void
scarce_begin(struct scarce *s, int left)
{
	struct rlimit few;
	int fd;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &s->before), 0);
	few = s->before;
	few.rlim_cur = FEW_MAX;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	s->count = 0;
	while ((fd = dup(0)) >= 0)
		s->plugs[s->count++] = fd;
	while (left-- > 0)
		close(s->plugs[--s->count]);
}

static void
scarce_end(struct scarce *s)
{
	while (s->count > 0)
		close(s->plugs[--s->count]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &s->before), 0);
}

static void
says(const char *what)
{
	if (strstr(weir_last_error(), what) == NULL)
		fail_msg("'%s' is not in '%s'", what, weir_last_error());
}

static void
open_ends(int ends[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
}

static struct weir_port *
open_port(void)
{
	struct weir_port *port;

	assert_int_equal(weir_port_open("shm:", NULL, &port), 0);
	return port;
}

/* By one end of a pair. */
static struct weir_link *
connect_to(struct weir_port *port, int end)
{
	struct weir_link *link;
	char endpoint[40];

	snprintf(endpoint, sizeof(endpoint), "shm:,fd=%d", end);
	assert_int_equal(weir_link_connect(port, endpoint, NULL, &link), 0);
	return link;
}

static struct weir_listener *
listen_at(struct weir_port *port, int end)
{
	struct weir_listener *listener;
	char endpoint[40];

	snprintf(endpoint, sizeof(endpoint), "shm:,fd=%d", end);
	assert_int_equal(weir_listener_open(port, endpoint, NULL, &listener),
			 0);
	return listener;
}

/* ---- our own limits ------------------------------------------------------------- */

static void
receive_with_few_left(int left, int count, int expected)
{
	struct shm_hello got, hello = { .magic = SHM_HELLO_MAGIC,
					.version = SHM_VERSION,
					.type = SHM_HELLO };
	struct shm_bell one, other;
	struct shm_creds creds;
	struct scarce scarce;
	int ends[2], fds[SHM_FDS], before = fd_count(), rc;

	assert_int_equal(weir_shm_bell_open(&one), 0);
	assert_int_equal(weir_shm_bell_open(&other), 0);
	open_ends(ends);
	fds[SHM_FD_SEGMENT] = ends[0];
	fds[SHM_FD_TX_BELL] = one.door;
	fds[SHM_FD_RX_BELL] = other.door;
	if (count == 0)
		hello.magic++;
	assert_int_equal(weir_shm_send(ends[0], &hello, fds), 0);
	scarce_begin(&scarce, left);
	rc = weir_shm_receive(ends[1], &got, fds, &creds);
	if (rc == -EMFILE)
		says("raise the limit of open files");
	assert_int_equal(rc, expected);
	weir_shm_close_fds(fds);
	scarce_end(&scarce);
	close(ends[0]);
	close(ends[1]);
	weir_shm_bell_close(&one);
	weir_shm_bell_close(&other);
	assert_int_equal(fd_count(), before);
}

/* The kernel says the same of a message with too many descriptors and of a
 * table that is full. */
static void
a_full_table_is_not_the_peers_fault(void **state)
{
	(void)state;
	for (int left = 0; left < SHM_FDS; left++)
		receive_with_few_left(left, SHM_FDS, -EMFILE);
	receive_with_few_left(SHM_FDS, SHM_FDS, 1);
	/* But this is. */
	receive_with_few_left(1, 0, -EPROTO);
}

static void
a_connector_without_descriptors_is_told_so(void **state)
{
	struct weir_port *port = open_port();
	struct weir_listener *listener;
	struct weir_link *a, *b;
	struct scarce scarce;
	int ends[2], before = fd_count();

	(void)state;
	open_ends(ends);
	listener = listen_at(port, ends[0]);
	a = connect_to(port, ends[1]);
	assert_int_equal(weir_link_accept_wait(listener, in_seconds(5), &b), 1);
	scarce_begin(&scarce, 2);
	assert_int_equal(weir_link_wait(a, in_seconds(5)), -EMFILE);
	says("raise the limit of open files");
	scarce_end(&scarce);
	weir_link_destroy(a);
	weir_link_destroy(b);
	weir_listener_close(listener);
	assert_int_equal(fd_count(), before);
	assert_int_equal(weir_port_close(port), 0);
}

/* He can do nothing about it, so he comes again. */
static void
a_listener_without_descriptors_loses_nobody(void **state)
{
	struct weir_port *port = open_port();
	struct weir_listener *listener;
	struct weir_link *a, *b;
	struct scarce scarce;
	int rc, before = fd_count();

	(void)state;
	assert_int_equal(
		weir_listener_open(port, "shm:unit-scarce", NULL, &listener),
		0);
	assert_int_equal(weir_link_connect(port, "shm:unit-scarce", NULL, &a),
			 0);
	/* The connection, and two of three. */
	scarce_begin(&scarce, 3);
	rc = weir_link_accept(listener, &b);
	assert_int_equal(rc, -EMFILE);
	says("raise the limit of open files");
	scarce_end(&scarce);
	while ((rc = weir_link_accept(listener, &b)) == 0)
		assert_int_equal(weir_link_status(a), -EINPROGRESS);
	assert_int_equal(rc, 1);
	assert_int_equal(weir_link_wait(a, in_seconds(5)), 1);
	weir_link_destroy(a);
	weir_link_destroy(b);
	weir_listener_close(listener);
	assert_int_equal(fd_count(), before);
	assert_int_equal(weir_port_close(port), 0);
}

/* Wherever in the making of a link the last one is taken. */
static void
every_shortage_says_what_to_do(void **state)
{
	struct weir_port *port = open_port();
	struct weir_link *link;
	int rc = -EMFILE, before = fd_count(), left;

	(void)state;
	for (left = 0; rc == -EMFILE; left++) {
		struct scarce scarce;

		assert_true(left < 20);
		scarce_begin(&scarce, left);
		rc = weir_link_connect(port, "shm:unit-none", NULL, &link);
		if (rc == 0) {
			rc = weir_link_status(link);
			weir_link_destroy(link);
		}
		if (rc == -EMFILE)
			says("limit of open files");
		scarce_end(&scarce);
		assert_int_equal(fd_count(), before);
	}
	assert_int_equal(rc, -EINPROGRESS);
	assert_true(left > 5);
	assert_int_equal(weir_port_close(port), 0);
}

/* ---- sockets that are handed over ------------------------------------------------ */

static void
a_handed_socket_must_have_a_peer(void **state)
{
	struct weir_port *port = open_port();
	struct weir_listener *listener;
	struct weir_link *link;
	char endpoint[40];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)state;
	assert_true(fd >= 0);
	snprintf(endpoint, sizeof(endpoint), "shm:,fd=%d", fd);
	assert_int_equal(weir_link_connect(port, endpoint, NULL, &link),
			 -EINVAL);
	says("is a socket without a peer");
	assert_int_equal(weir_listener_open(port, endpoint, NULL, &listener),
			 -EINVAL);
	says("is a socket without a peer");
	assert_int_equal(close(fd), 0); /* is still ours */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(endpoint, sizeof(endpoint), "shm:,fd=%d", fd);
	assert_int_equal(weir_link_connect(port, endpoint, NULL, &link),
			 -EINVAL);
	says("is not an AF_UNIX SEQPACKET socket");
	assert_int_equal(close(fd), 0);
	assert_int_equal(weir_port_close(port), 0);
}

/* Nobody else can come by it, so who waits for ever must hear of it. */
static void
a_handed_socket_that_brings_no_link_says_so(void **state)
{
	struct weir_port *port = open_port();
	struct weir_listener *listener;
	struct weir_link *link;
	int ends[2], before = fd_count();

	(void)state;
	for (int i = 0; i < 2; i++) {
		open_ends(ends);
		listener = listen_at(port, ends[0]);
		assert_int_equal(weir_link_accept(listener, &link), 0);
		if (i == 0)
			assert_int_equal(send(ends[1], "?", 1, 0), 1);
		else
			close(ends[1]);
		for (int k = 0; k < 3; k++) {
			assert_int_equal(weir_link_accept_wait(
						 listener, WEIR_FOREVER, &link),
					 i == 0 ? -EPROTO : -ECONNRESET);
			says("hand over another");
		}
		weir_listener_close(listener);
		if (i == 0)
			close(ends[1]);
	}
	assert_int_equal(fd_count(), before);
	assert_int_equal(weir_port_close(port), 0);
}

/* The peer shares our end, and has the kernel add its pidfd to what we get. */
static void
descriptors_that_nobody_sent_are_closed(void **state)
{
	struct weir_port *port = open_port();
	struct weir_listener *listener;
	struct weir_link *a, *b;
	int ends[2], on = 1, before = fd_count();

	(void)state;
	open_ends(ends);
	if (setsockopt(ends[0], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) !=
	    0) {
		close(ends[0]);
		close(ends[1]);
		assert_int_equal(weir_port_close(port), 0);
		print_message("skipped: SO_PASSPIDFD needs Linux 6.5\n");
		skip();
	}
	listener = listen_at(port, ends[0]);
	a = connect_to(port, ends[1]);
	assert_int_equal(weir_link_accept_wait(listener, in_seconds(5), &b),
			 -EPROTO);
	assert_int_equal(weir_link_wait(a, in_seconds(5)), -EPROTO);
	weir_link_destroy(a);
	weir_listener_close(listener);
	assert_int_equal(fd_count(), before);
	assert_int_equal(weir_port_close(port), 0);
}

/* ---- in time ------------------------------------------------------------------------ */

/* It lets everyone in and throws everyone out. */
static void
a_listener_that_keeps_hanging_up_is_left_in_time(void **state)
{
	const struct weir_link_config config = {
		.size = sizeof(config), .connect_timeout_ns = 100000000
	};
	const int reasons[] = { 0, -ETIMEDOUT, -EMFILE, -ENOMEM };
	struct weir_endpoint ep = { .address = "unit-out" };
	struct shm_policy policy = { .access_mode = 0600, .gid = -1 };
	struct weir_port *port = open_port();
	struct shm_address address;
	struct weir_link *link;

	(void)state;
	assert_int_equal(weir_shm_address(&ep, &address), 0);
	for (size_t i = 0; i < 4; i++) {
		int sock, rc, door = weir_shm_listen(&address, &policy);
		uint64_t deadline = in_seconds(20);

		assert_true(door >= 0);
		assert_int_equal(
			weir_link_connect(port, "shm:unit-out", &config, &link),
			0);
		while ((rc = weir_link_status(link)) == -EINPROGRESS) {
			assert_true(weir_now_ns() < deadline);
			sock = accept4(door, NULL, NULL, SOCK_NONBLOCK);
			if (sock >= 0 && reasons[i] != 0)
				weir_shm_refuse(sock, reasons[i]);
			else if (sock >= 0)
				close(sock);
		}
		/* Thrown out, or about to be. */
		assert_true(rc == -ECONNREFUSED || rc == -ETIMEDOUT);
		says("the listener");
		weir_link_destroy(link);
		close(door);
	}
	assert_int_equal(weir_port_close(port), 0);
}

/* Up first, then what was sent, then how it ended: no matter when we look. */
static void
an_end_right_after_setup_comes_after_up(void **state)
{
	struct weir_port *port = open_port();
	struct weir_listener *listener;
	struct weir_link *a, *b;
	struct weir_msg msg;
	int ends[2];

	(void)state;
	open_ends(ends);
	listener = listen_at(port, ends[0]);
	a = connect_to(port, ends[1]);
	assert_int_equal(weir_link_accept_wait(listener, in_seconds(5), &b), 1);
	assert_int_equal(weir_tx_send(b->tx, "last words", 10), 0);
	weir_link_destroy(b);
	assert_int_equal(weir_link_wait(a, in_seconds(5)), 1);
	assert_int_equal(weir_link_status(a), -ECONNRESET);
	assert_int_equal(weir_rx_recv(a->rx, &msg), 1);
	assert_memory_equal(msg.data, "last words", 10);
	weir_msg_release(&msg);
	assert_int_equal(weir_rx_recv(a->rx, &msg), -ECONNRESET);
	weir_link_destroy(a);
	weir_listener_close(listener);
	assert_int_equal(weir_port_close(port), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_table_is_not_the_peers_fault),
		cmocka_unit_test(a_connector_without_descriptors_is_told_so),
		cmocka_unit_test(a_listener_without_descriptors_loses_nobody),
		cmocka_unit_test(every_shortage_says_what_to_do),
		cmocka_unit_test(a_handed_socket_must_have_a_peer),
		cmocka_unit_test(a_handed_socket_that_brings_no_link_says_so),
		cmocka_unit_test(descriptors_that_nobody_sent_are_closed),
		cmocka_unit_test(
			a_listener_that_keeps_hanging_up_is_left_in_time),
		cmocka_unit_test(an_end_right_after_setup_comes_after_up),
	};

	return cmocka_run_group_tests(tests, own_names, NULL);
}
