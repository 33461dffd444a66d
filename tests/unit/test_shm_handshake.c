/* SPDX-License-Identifier: BSD-3-Clause */
/* Set-up: who is let in, what a hello must be, and that no stranger at the
 * door costs anything or keeps others out. */

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shm_pair.h"

#define NOBODY 65534

/* One end of a pair: a door, if it is of datagrams. */
static int
open_end(int type)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
	close(ends[1]);
	return ends[0];
}

/* A socketpair with one message under way, sent by hand. */
struct wire {
	int ends[2];
	int fds_before;
};

static struct wire
wire_open(void)
{
	struct wire w = { .fds_before = fd_count() };

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, w.ends),
		0);
	return w;
}

static void
wire_close(struct wire *w)
{
	close(w->ends[0]);
	close(w->ends[1]);
	assert_int_equal(fd_count(), w->fds_before);
}

static void
send_raw(const struct wire *w, const void *data, size_t size, const int *fds,
	 size_t count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 64) +
			   CMSG_SPACE(sizeof(struct ucred))];
	} control = { .bytes = { 0 } };
	struct ucred creds = { getpid(), geteuid(), getegid() };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data,
			     .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes };
	struct cmsghdr *c = &control.align;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(creds));
	memcpy(CMSG_DATA(c), &creds, sizeof(creds));
	msg.msg_controllen = CMSG_SPACE(sizeof(creds));
	if (count > 0) {
		msg.msg_controllen += CMSG_SPACE(sizeof(int) * count);
		c = CMSG_NXTHDR(&msg, c);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
	}
	assert_int_equal(sendmsg(w->ends[0], &msg, 0), size);
}

static struct shm_hello
good_hello(void)
{
	return (struct shm_hello){ .magic = SHM_HELLO_MAGIC,
				   .version = SHM_VERSION,
				   .type = SHM_HELLO };
}

/* @return what the receiver says to it; no descriptor is left over. */
static int
judged(const void *data, size_t size, const int *fds, size_t count)
{
	struct wire w = wire_open();
	struct shm_hello hello;
	struct shm_creds creds;
	int got[SHM_FDS], rc;

	send_raw(&w, data, size, fds, count);
	rc = weir_shm_receive(w.ends[1], &hello, got, &creds);
	if (rc == 1)
		assert_int_equal(creds.pid, getpid());
	weir_shm_close_fds(got);
	wire_close(&w);
	return rc;
}

static void
a_message_has_exactly_three_descriptors(void **state)
{
	struct shm_hello hello = good_hello();
	int fds[64];

	(void)state;
	for (int i = 0; i < 64; i++)
		fds[i] = open_end(SOCK_DGRAM);
	assert_int_equal(judged(&hello, sizeof(hello), fds, 3), 1);
	for (size_t n = 0; n <= 64; n = n < 8 ? n + 1 : n * 2)
		if (n != 3)
			assert_int_equal(judged(&hello, sizeof(hello), fds, n),
					 -EPROTO);
	hello.type = SHM_REFUSE;
	hello.reason = -EACCES;
	assert_int_equal(judged(&hello, sizeof(hello), NULL, 0), 1);
	assert_int_equal(judged(&hello, sizeof(hello), fds, 3), -EPROTO);
	for (int i = 0; i < 64; i++)
		close(fds[i]);
}

/* Not a hang-up, though recvmsg() returns 0 for both; wire_close() counts the
 * descriptors. */
static void
an_empty_message_leaves_no_descriptor_behind(void **state)
{
	struct shm_hello hello;
	struct shm_creds creds;
	int fds[64], got[SHM_FDS];
	struct wire w;

	(void)state;
	for (int i = 0; i < 64; i++)
		fds[i] = open_end(SOCK_DGRAM);
	for (size_t n = 0; n <= 64; n = n < 8 ? n + 1 : n * 2)
		assert_int_equal(judged("", 0, fds, n), -EPROTO);
	/* Nor what follows it. */
	w = wire_open();
	send_raw(&w, "", 0, fds, 3);
	send_raw(&w, "", 0, fds, 3);
	assert_int_equal(weir_shm_receive(w.ends[1], &hello, got, &creds),
			 -EPROTO);
	wire_close(&w);
	for (int i = 0; i < 64; i++)
		close(fds[i]);
}

static void
every_field_of_a_message_is_checked(void **state)
{
	struct shm_hello bad[9];
	char longer[sizeof(bad[0]) + 8] = "";
	int fds[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		fds[i] = open_end(SOCK_DGRAM);
	for (size_t i = 0; i < 9; i++)
		bad[i] = good_hello();
	bad[0].magic++;
	bad[1].version++;
	bad[2].type = 0;
	bad[3].type = SHM_REFUSE + 1;
	bad[4].reserved[0] = 1;
	bad[5].reserved[2] = 1;
	bad[6].reason = -1; /* only a refusal has one */
	bad[7].reason = 1;
	bad[8].type = SHM_REFUSE; /* without a reason */
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(judged(&bad[i], sizeof(bad[i]), fds, 3),
				 -EPROTO);
	bad[0] = good_hello();
	memcpy(longer, &bad[0], sizeof(bad[0]));
	assert_int_equal(judged(longer, sizeof(longer), fds, 3), -EPROTO);
	assert_int_equal(judged(longer, sizeof(bad[0]) - 1, fds, 3), -EPROTO);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* Anything but two datagram sockets could hold us up when it is rung. */
static void
a_bell_must_not_hold_us_up(void **state)
{
	struct shm_hello hello = good_hello();
	int good = open_end(SOCK_DGRAM);
	int bad[] = { eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		      open_end(SOCK_STREAM),
		      open_end(SOCK_SEQPACKET),
		      socket(AF_INET, SOCK_DGRAM, 0),
		      open("/dev/null", O_WRONLY),
		      dup(good) };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int one[3] = { good, good, bad[i] };
		int other[3] = { good, bad[i], good };

		assert_true(bad[i] >= 0);
		assert_int_equal(judged(&hello, sizeof(hello), one, 3),
				 -EPROTO);
		assert_int_equal(judged(&hello, sizeof(hello), other, 3),
				 -EPROTO);
		close(bad[i]);
	}
	close(good);
}

/* ---- endpoints -------------------------------------------------------------------- */

static void
unclear_endpoints_are_refused(void **state)
{
	static const char *const bad[] = {
		"shm:x,path=relative",
		"shm:a/b,path=1",
		"shm:x,fd=none",
		"shm:x,fd=0x3",
		"shm:x,fd=99999",
		"shm:x,uid=root",
		"shm:x,speed=11",
		"shm:x,path=/tmp/"
		"0123456789012345678901234567890123456789012345678901234567890"
		"12345678901234567890123456789012345678901234567890",
		"shm:"
		"0123456789012345678901234567890123456789012345678901234567890"
		"12345678901234567890123456789",
	};
	struct weir_port *port;
	struct weir_link *link;

	(void)state;
	assert_int_equal(weir_port_open("shm:x", NULL, &port), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(weir_link_connect(port, bad[i], NULL, &link),
				 -EINVAL);
		assert_true(strlen(weir_last_error()) > 20);
	}
	assert_int_equal(weir_port_close(port), 0);
}

static void
talk(struct weir_link *a, struct weir_link *b)
{
	struct weir_msg msg;

	assert_int_equal(weir_link_wait(a, in_seconds(5)), 1);
	assert_int_equal(weir_tx_send(a->tx, "hello", 5), 0);
	assert_int_equal(weir_rx_recv_wait(b->rx, in_seconds(5), &msg), 1);
	assert_memory_equal(msg.data, "hello", 5);
	weir_msg_release(&msg);
}

/* A parent that makes a socketpair for a child. */
static void
a_socket_can_be_handed_over(void **state)
{
	struct weir_listener *listener;
	struct weir_link *a, *b;
	struct weir_port *port;
	char one[40], other[40];
	int ends[2], fds = fd_count();

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	snprintf(one, sizeof(one), "shm:,fd=%d", ends[0]);
	snprintf(other, sizeof(other), "shm:,fd=%d", ends[1]);
	assert_int_equal(weir_port_open(one, NULL, &port), 0);
	assert_int_equal(weir_listener_open(port, one, NULL, &listener), 0);
	assert_int_equal(weir_link_accept(listener, &b), 0);
	assert_int_equal(weir_link_connect(port, other, NULL, &a), 0);
	assert_int_equal(weir_link_accept_wait(listener, in_seconds(5), &b), 1);
	talk(a, b);
	/* It is good for one link. */
	weir_listener_close(listener);
	talk(b, a);
	weir_link_destroy(a);
	weir_link_destroy(b);
	assert_int_equal(weir_port_close(port), 0);
	assert_int_equal(fd_count(), fds);
}

/* A listener that only sends back what it gets: we would talk to ourselves. */
static void
a_mirror_is_no_peer(void **state)
{
	struct shm_hello hello;
	struct shm_creds creds;
	struct weir_port *port;
	struct weir_link *link;
	char endpoint[40];
	int ends[2], got[SHM_FDS], fds = fd_count();

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	snprintf(endpoint, sizeof(endpoint), "shm:,fd=%d", ends[0]);
	assert_int_equal(weir_port_open(endpoint, NULL, &port), 0);
	assert_int_equal(weir_link_connect(port, endpoint, NULL, &link), 0);
	assert_int_equal(weir_link_status(link), -EINPROGRESS);
	assert_int_equal(weir_shm_receive(ends[1], &hello, got, &creds), 1);
	hello.type = SHM_OFFER;
	assert_int_equal(weir_shm_send(ends[1], &hello, got), 0);
	weir_shm_close_fds(got);
	assert_int_equal(weir_link_wait(link, in_seconds(5)), -EPROTO);
	weir_link_destroy(link);
	close(ends[1]);
	assert_int_equal(weir_port_close(port), 0);
	assert_int_equal(fd_count(), fds);
}

/* ---- sockets in a file system -------------------------------------------------- */

struct place {
	char dir[32];
	char endpoint[80];
	char socket[64];
};

static struct place
place_make(void)
{
	struct place p = { .dir = "/tmp/weir-unit-XXXXXX" };

	assert_non_null(mkdtemp(p.dir));
	snprintf(p.socket, sizeof(p.socket), "%s/s", p.dir);
	snprintf(p.endpoint, sizeof(p.endpoint), "shm:x,path=%s", p.socket);
	return p;
}

/* Only an empty directory can be removed. */
static void
place_check_and_remove(const struct place *p)
{
	assert_int_equal(rmdir(p->dir), 0);
}

static void
a_socket_file_comes_and_goes(void **state)
{
	struct weir_link_config config = { .size = sizeof(config),
					   .access_mode = 0620 };
	struct place place = place_make();
	struct weir_listener *listener, *second;
	struct weir_link *a, *b;
	struct weir_port *port;
	struct stat st;

	(void)state;
	assert_int_equal(weir_port_open("shm:", NULL, &port), 0);
	assert_int_equal(
		weir_listener_open(port, place.endpoint, &config, &listener),
		0);
	assert_int_equal(stat(place.socket, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0620);
	assert_int_equal(
		weir_listener_open(port, place.endpoint, &config, &second),
		-EADDRINUSE);
	assert_int_equal(weir_link_connect(port, place.endpoint, NULL, &a), 0);
	assert_int_equal(weir_link_accept_wait(listener, in_seconds(5), &b), 1);
	talk(a, b);
	weir_link_destroy(a);
	weir_link_destroy(b);
	weir_listener_close(listener);
	assert_int_equal(weir_port_close(port), 0);
	place_check_and_remove(&place);
}

static pid_t
listen_until_killed(const char *endpoint, int ready)
{
	struct weir_listener *listener;
	struct weir_port *port;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid != 0)
		return pid;
	if (weir_port_open("shm:", NULL, &port) != 0 ||
	    weir_listener_open(port, endpoint, NULL, &listener) != 0)
		_exit(1);
	(void)!write(ready, "", 1);
	for (;;)
		pause();
}

/* SIGKILL leaves a file, which stops nobody, and an abstract name leaves
 * nothing at all. */
static void
a_killed_listener_is_replaced(void **state)
{
	struct place place = place_make();
	const char *const endpoints[] = { place.endpoint, "shm:unit-killed" };
	struct weir_listener *listener;
	struct weir_port *port;
	int ready[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(weir_port_open("shm:", NULL, &port), 0);
	for (int i = 0; i < 2; i++) {
		pid_t pid = listen_until_killed(endpoints[i], ready[1]);

		assert_int_equal(read(ready[0], &byte, 1), 1);
		assert_int_equal(
			weir_listener_open(port, endpoints[i], NULL, &listener),
			-EADDRINUSE);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(
			weir_listener_open(port, endpoints[i], NULL, &listener),
			0);
		weir_listener_close(listener);
	}
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(weir_port_close(port), 0);
	place_check_and_remove(&place);
}

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void
check_file(const char *path, const char *text)
{
	char line[32] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_string_equal(line, text);
	fclose(f);
}

/* A typing error in path= costs nobody a file: not at open, not at close. */
static void
no_other_file_is_replaced(void **state)
{
	struct place place = place_make();
	struct weir_listener *listener;
	struct weir_port *port;
	char notes[80];

	(void)state;
	snprintf(notes, sizeof(notes), "%s/notes", place.dir);
	assert_int_equal(weir_port_open("shm:", NULL, &port), 0);
	write_file(place.socket, "dear");
	assert_int_equal(
		weir_listener_open(port, place.endpoint, NULL, &listener),
		-EEXIST);
	assert_non_null(strstr(weir_last_error(), "is not a socket"));
	check_file(place.socket, "dear");
	assert_int_equal(rename(place.socket, notes), 0);
	assert_int_equal(symlink(notes, place.socket), 0);
	assert_int_equal(
		weir_listener_open(port, place.endpoint, NULL, &listener),
		-EEXIST);
	check_file(place.socket, "dear");
	assert_int_equal(unlink(place.socket), 0);
	assert_int_equal(
		weir_listener_open(port, place.endpoint, NULL, &listener), 0);
	assert_int_equal(rename(notes, place.socket), 0);
	weir_listener_close(listener);
	check_file(place.socket, "dear");
	assert_int_equal(unlink(place.socket), 0);
	assert_int_equal(weir_port_close(port), 0);
	place_check_and_remove(&place);
}

/* ---- strangers at the door --------------------------------------------------------- */

/* Connections that say nothing: a bounded number of descriptors, and whoever
 * has something to say gets through. */
static void
silent_strangers_keep_nobody_out(void **state)
{
	struct weir_listener *listener;
	struct shm_address address;
	struct weir_endpoint ep = { .scheme = "shm", .address = "unit-silent" };
	struct weir_link *a, *b;
	struct weir_port *port;
	int strangers[60], before, fds = fd_count();

	(void)state;
	assert_int_equal(weir_port_open("shm:", NULL, &port), 0);
	assert_int_equal(
		weir_listener_open(port, "shm:unit-silent", NULL, &listener),
		0);
	assert_int_equal(weir_shm_address(&ep, &address), 0);
	for (int i = 0; i < 60; i++) {
		strangers[i] = weir_shm_dial(&address);
		assert_true(strangers[i] >= 0);
	}
	before = fd_count();
	for (int i = 0; i < 10; i++) {
		assert_int_equal(weir_link_accept(listener, &b), 0);
		assert_true(fd_count() <= before + 16);
	}
	assert_int_equal(weir_link_connect(port, "shm:unit-silent", NULL, &a),
			 0);
	assert_int_equal(weir_link_accept_wait(listener, in_seconds(5), &b), 1);
	talk(a, b);
	for (int i = 0; i < 60; i++)
		close(strangers[i]);
	weir_link_destroy(a);
	weir_link_destroy(b);
	weir_listener_close(listener);
	assert_int_equal(weir_port_close(port), 0);
	assert_int_equal(fd_count(), fds);
}

/* A listener that says no says so at once. */
static void
a_refusal_has_a_reason(void **state)
{
	struct weir_listener *listener;
	struct weir_link *a;
	struct weir_port *port;

	(void)state;
	assert_int_equal(weir_port_open("shm:", NULL, &port), 0);
	assert_int_equal(
		weir_listener_open(port, "shm:unit-no", NULL, &listener), 0);
	assert_int_equal(weir_link_connect(port, "shm:unit-no", NULL, &a), 0);
	weir_listener_close(listener);
	assert_int_equal(weir_link_wait(a, in_seconds(2)), -ECONNREFUSED);
	assert_int_equal(weir_link_status(a), -ECONNREFUSED);
	weir_link_destroy(a);
	assert_int_equal(weir_port_close(port), 0);
}

/* One whom the listener sent away for no fault of his lives, and comes again. */
static void
comes_again_after(int reason)
{
	struct weir_endpoint ep = { .address = "unit-late" };
	struct shm_policy policy = { .access_mode = 0600, .gid = -1 };
	struct shm_address address;
	struct weir_listener *listener;
	struct weir_link *a, *b = NULL;
	struct weir_port *port;
	int door;

	assert_int_equal(weir_port_open("shm:", NULL, &port), 0);
	assert_int_equal(weir_shm_address(&ep, &address), 0);
	door = weir_shm_listen(&address, &policy);
	assert_true(door >= 0);
	assert_int_equal(weir_link_connect(port, "shm:unit-late", NULL, &a), 0);
	weir_shm_refuse(accept(door, NULL, NULL), reason);
	close(door);
	assert_int_equal(
		weir_listener_open(port, "shm:unit-late", NULL, &listener), 0);
	while (weir_link_accept(listener, &b) == 0)
		assert_int_equal(weir_link_status(a), -EINPROGRESS);
	assert_non_null(b);
	assert_int_equal(weir_link_wait(a, in_seconds(5)), 1);
	weir_link_destroy(a);
	weir_link_destroy(b);
	weir_listener_close(listener);
	assert_int_equal(weir_port_close(port), 0);
}

/* He was stopped between connecting and his hello. */
static void
who_comes_late_tries_again(void **state)
{
	(void)state;
	comes_again_after(-ETIMEDOUT);
}

/* So many strangers knocked meanwhile that he lost his place. */
static void
who_is_pushed_out_tries_again(void **state)
{
	(void)state;
	comes_again_after(-EBUSY);
}

/* ---- other users; needs root to become one ----------------------------------------- */

static void
become_nobody(gid_t group)
{
	if (setgroups(group != 0, &group) != 0 || setgid(NOBODY) != 0 ||
	    setuid(NOBODY) != 0)
		_exit(99);
}

/* @return status of a link that nobody, perhaps of a group, asks us for. */
static int
connect_as_nobody(const char *endpoint, gid_t group)
{
	struct weir_port *port;
	struct weir_link *link;
	pid_t pid = fork();
	int status, rc;

	assert_true(pid >= 0);
	if (pid == 0) {
		become_nobody(group);
		if (weir_port_open("shm:", NULL, &port) != 0 ||
		    weir_link_connect(port, endpoint, NULL, &link) != 0)
			_exit(98);
		rc = weir_link_wait(link, in_seconds(5));
		weir_link_destroy(link);
		_exit(rc == 1 ? 0 : rc < 0 ? -rc & 0x7f : 97);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		usleep(1000);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

struct door {
	struct weir_port *port;
	struct weir_listener *listener;
	pthread_t thread;
	_Atomic int stop;
};

/* Lets one in, and stays until told to stop. */
static void *
keep_door(void *arg)
{
	struct door *door = arg;
	struct weir_link *link = NULL;

	while (!atomic_load(&door->stop)) {
		if (link != NULL)
			usleep(1000);
		else if (weir_link_accept_wait(door->listener,
					       weir_now_ns() + 10000000,
					       &link) != 1)
			link = NULL;
	}
	weir_link_destroy(link);
	return NULL;
}

static int
nobody_at_door(const struct weir_link_config *config, gid_t group)
{
	struct door door = { .stop = 0 };
	char name[40], endpoint[60];
	int rc;

	snprintf(name, sizeof(name), "shm:unit-door-%d", getpid());
	assert_int_equal(weir_port_open(name, NULL, &door.port), 0);
	assert_int_equal(
		weir_listener_open(door.port, name, config, &door.listener), 0);
	assert_int_equal(pthread_create(&door.thread, NULL, keep_door, &door),
			 0);
	snprintf(endpoint, sizeof(endpoint), "%s,uid=0", name);
	rc = connect_as_nobody(endpoint, group);
	atomic_store(&door.stop, 1);
	pthread_join(door.thread, NULL);
	weir_listener_close(door.listener);
	assert_int_equal(weir_port_close(door.port), 0);
	return rc;
}

static void
other_users_need_the_listeners_leave(void **state)
{
	struct weir_link_config config = { .size = sizeof(config) };

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: only root can become another user\n");
		skip();
	}
	assert_int_equal(nobody_at_door(NULL, 0), -EACCES);
	config.access_mode = 0660; /* but no group */
	assert_int_equal(nobody_at_door(&config, 100), -EACCES);
	config.access_group = "100";
	assert_int_equal(nobody_at_door(&config, 101), -EACCES);
	assert_int_equal(nobody_at_door(&config, 100), 0);
	config.access_mode = 0666;
	assert_int_equal(nobody_at_door(&config, 0), 0);
}

/* @return 0 both calls say why; 77 this machine does not let us try. */
static int
try_without_an_id(int end)
{
	struct weir_listener *listener;
	struct weir_port *port;
	struct weir_link *link;
	char endpoint[40];

	if (unshare(CLONE_NEWUSER) != 0)
		return 77;
	snprintf(endpoint, sizeof(endpoint), "shm:,fd=%d", end);
	if (weir_port_open("shm:", NULL, &port) != 0)
		return 1;
	if (weir_listener_open(port, "shm:unit-noid", NULL, &listener) !=
		    -EACCES ||
	    strstr(weir_last_error(), "uid_map") == NULL)
		return 2;
	if (weir_link_connect(port, endpoint, NULL, &link) != -EACCES ||
	    strstr(weir_last_error(), "uid_map") == NULL)
		return 3;
	return 0;
}

/* It cannot tell anybody who it is, and is told so. */
static void
a_process_without_a_user_id_is_told_why(void **state)
{
	int ends[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(try_without_an_id(ends[0]));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ends[0]);
	close(ends[1]);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("skipped: no user namespace can be made here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Who takes our name first gets no link of ours. */
static void
a_squatter_is_found_out(void **state)
{
	struct weir_link_config config = {
		.size = sizeof(config),
		.connect_timeout_ns = 2000000000,
	};
	struct weir_port *port;
	struct weir_link *link;
	int ready[2], status;
	char byte;
	pid_t pid;

	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: only root can become another user\n");
		skip();
	}
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct weir_endpoint ep = { .scheme = "shm",
					    .address = "unit-squat" };
		struct shm_policy all = { .access_mode = 0666, .gid = -1 };
		struct shm_address address;

		if (weir_shm_address(&ep, &address) != 0) /* root's name */
			_exit(1);
		become_nobody(0);
		if (weir_shm_listen(&address, &all) < 0)
			_exit(2);
		(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(weir_port_open("shm:", NULL, &port), 0);
	assert_int_equal(
		weir_link_connect(port, "shm:unit-squat", &config, &link), 0);
	assert_int_equal(weir_link_wait(link, in_seconds(5)), -EACCES);
	weir_link_destroy(link);
	assert_int_equal(weir_port_close(port), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ready[0]);
	close(ready[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_has_exactly_three_descriptors),
		cmocka_unit_test(an_empty_message_leaves_no_descriptor_behind),
		cmocka_unit_test(every_field_of_a_message_is_checked),
		cmocka_unit_test(a_bell_must_not_hold_us_up),
		cmocka_unit_test(unclear_endpoints_are_refused),
		cmocka_unit_test(a_socket_can_be_handed_over),
		cmocka_unit_test(a_mirror_is_no_peer),
		cmocka_unit_test(a_socket_file_comes_and_goes),
		cmocka_unit_test(a_killed_listener_is_replaced),
		cmocka_unit_test(no_other_file_is_replaced),
		cmocka_unit_test(silent_strangers_keep_nobody_out),
		cmocka_unit_test(a_refusal_has_a_reason),
		cmocka_unit_test(who_comes_late_tries_again),
		cmocka_unit_test(who_is_pushed_out_tries_again),
		cmocka_unit_test(other_users_need_the_listeners_leave),
		cmocka_unit_test(a_squatter_is_found_out),
		cmocka_unit_test(a_process_without_a_user_id_is_told_why),
	};

	return cmocka_run_group_tests(tests, own_names, NULL);
}
