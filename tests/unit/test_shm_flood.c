/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Another local user does all that he can at a listener's door, as fast as he
 * can, from processes of his own: connects and hangs up, says nothing, sends
 * rubbish, hellos that are nearly right, and descriptors by the dozen.
 *
 *     flooders (nobody) ----> door <---- an honest connector, one after another
 *                              |
 *                    a link that is up goes on
 *
 * Whether the policy keeps him out or lets him in: each honest connector gets
 * its link, no message of the other link is late for ever or wrong, and when he
 * is gone nothing of him is left.
 */

#include <grp.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "shm_pair.h"

#define NOBODY   65534
#define FLOODERS 2
#define LINKS    8u
#define LIFE_S   100

/* Connections made between two honest ones, at least. */
#define FLOOD_MIN 100u

/* Connections that a flooder keeps open. */
#define KEPT 40u

/* What may come and go in the heap: buffers of stdio and the like. */
#define HEAP_SLACK 65536u

struct flood {
	struct shm_address address;
	pid_t pids[FLOODERS];
	_Atomic uint64_t *connects;
};

static const struct weir_link_config small = {
	.size = sizeof(small),
	.msg_size_max = 48,
	.tx_credits = 16,
	.connect_timeout_ns = UINT64_C(30000000000),
};

static void
need_root(void)
{
	if (geteuid() != 0) {
		print_message("skipped: only root can become another user\n");
		skip();
	}
}

/* In a child that ends with the test. */
static void
become_nobody(void)
{
	alarm(LIFE_S);
	if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 ||
	    setuid(NOBODY) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		_exit(99);
}

/* ---- the flooder --------------------------------------------------------------- */

/* With so many descriptors, all of the same file. */
static void
send_with(int sock, const void *bytes, size_t len, int count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (count != 0) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
		for (int i = 0; i < count; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &sock,
			       sizeof(int));
	}
	(void)!sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
misbehave(int sock, uint32_t how)
{
	struct shm_hello hello = { .magic = SHM_HELLO_MAGIC,
				   .version = SHM_VERSION,
				   .type = SHM_HELLO,
				   .segment_size = 1 << 20 };
	char rubbish[300];

	memset(rubbish, (int)how, sizeof(rubbish));
	switch (how % 6) {
	case 0: /* not a word */
		break;
	case 1:
		send_with(sock, rubbish, how % sizeof(rubbish), 0);
		break;
	case 2:
		send_with(sock, rubbish, sizeof(hello), 64);
		break;
	case 3: /* half of it */
		send_with(sock, &hello, sizeof(hello), 0);
		break;
	case 4: /* no segment, no doors */
		send_with(sock, &hello, sizeof(hello), SHM_FDS);
		break;
	default:
		for (int i = 0; i < 20; i++)
			send_with(sock, &hello, sizeof(hello), 30);
	}
}

static void
flood_for_ever(const struct flood *f)
{
	int kept[KEPT];
	uint32_t n = 0;

	memset(kept, -1, sizeof(kept));
	for (;; n++) {
		int *sock = &kept[n % KEPT];

		if (*sock >= 0)
			close(*sock);
		/* He waits in line: there he is quicker than who tries. */
		*sock = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		if (connect(*sock, (const struct sockaddr *)&f->address.sun,
			    f->address.len) != 0)
			continue;
		atomic_fetch_add(f->connects, 1);
		misbehave(*sock, n);
	}
}

static void
flood_start(struct flood *f)
{
	for (int i = 0; i < FLOODERS; i++) {
		f->pids[i] = fork();
		assert_true(f->pids[i] >= 0);
		if (f->pids[i] != 0)
			continue;
		become_nobody();
		flood_for_ever(f);
	}
}

static void
flood_stop(struct flood *f)
{
	int status;

	for (int i = 0; i < FLOODERS; i++) {
		kill(f->pids[i], SIGKILL);
		assert_int_equal(waitpid(f->pids[i], &status, 0), f->pids[i]);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
}

/* ---- who is honest -------------------------------------------------------------- */

/* One message, there and back. */
static void
say(struct weir_tx *tx, struct weir_rx *rx, uint64_t number)
{
	struct weir_msg msg;

	assert_int_equal(weir_tx_try_send(tx, &number, sizeof(number)), 1);
	assert_int_equal(weir_rx_recv(rx, &msg), 1);
	assert_int_equal(msg.len, sizeof(number));
	assert_memory_equal(msg.data, &number, sizeof(number));
	weir_msg_release(&msg);
}

static void
go_on(struct pair *p, uint64_t number)
{
	say(p->a_tx, p->b_rx, number);
	say(p->b_tx, p->a_rx, ~number);
}

/* The door is open while the flood goes on for a while. */
static void
let_it_rage(const struct flood *f, struct weir_listener *l, struct pair *p)
{
	uint64_t until = atomic_load(f->connects) + FLOOD_MIN;
	uint64_t give_up_ns = in_seconds(30);
	struct weir_link *link;

	for (uint64_t i = 0; atomic_load(f->connects) < until; i++) {
		assert_int_equal(weir_link_accept(l, &link), 0);
		go_on(p, i);
		assert_true(weir_now_ns() < give_up_ns);
	}
}

/* @return turns that it took. */
static uint64_t
one_gets_in(struct weir_port *port, struct weir_listener *l, struct pair *p,
	    const char *endpoint)
{
	struct weir_link *a, *b = NULL;
	int rc = 0, status = -EINPROGRESS;
	uint64_t turns = 0;

	assert_int_equal(weir_link_connect(port, endpoint, &small, &a), 0);
	while (rc == 0 || status == -EINPROGRESS) {
		if (rc == 0)
			rc = weir_link_accept(l, &b);
		assert_in_range(rc, 0, 1);
		status = weir_link_status(a);
		go_on(p, turns++);
	}
	assert_int_equal(status, 0);
	assert_int_equal(weir_link_status(b), 0);
	weir_link_destroy(a);
	weir_link_destroy(b);
	return turns;
}

static void
honest_ones_get_in(uint32_t access_mode)
{
	struct weir_link_config config = small;
	int fds = fd_count(), segments = segment_count();
	struct weir_endpoint ep = { .scheme = "shm", .address = "unit-flood" };
	struct weir_listener *l;
	struct flood flood;
	uint64_t most = 0;
	struct pair p;

	flood.connects = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(flood.connects != MAP_FAILED);
	config.access_mode = access_mode;
	pair_open(&p, &small);
	assert_int_equal(
		weir_listener_open(p.port, "shm:unit-flood", &config, &l), 0);
	assert_int_equal(weir_shm_address(&ep, &flood.address), 0);
	flood_start(&flood);
	for (uint32_t i = 0; i < LINKS; i++) {
		uint64_t turns;

		let_it_rage(&flood, l, &p);
		turns = one_gets_in(p.port, l, &p, "shm:unit-flood");
		most = turns > most ? turns : most;
	}
	flood_stop(&flood);
	print_message("%llu connects, the slowest link came in %llu turns\n",
		      (unsigned long long)atomic_load(flood.connects),
		      (unsigned long long)most);
	munmap(flood.connects, 4096);
	weir_listener_close(l);
	go_on(&p, 0);
	pair_close(&p);
	assert_int_equal(fd_count(), fds);
	assert_int_equal(segment_count(), segments);
}

static void
another_users_flood_keeps_nobody_out(void **state)
{
	size_t heap;

	(void)state;
	need_root();
	honest_ones_get_in(0600);
	heap = mallinfo2().uordblks;
	honest_ones_get_in(0600);
	honest_ones_get_in(0666); /* he may connect, and only that */
	assert_in_range(mallinfo2().uordblks, 0, heap + HEAP_SLACK);
}

/* He connects so often and says nothing; then the test hears of it. */
static pid_t
strangers_arrive(const struct shm_address *address, int count)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		become_nobody();
		for (int i = 0; i < count; i++)
			if (connect(socket(AF_UNIX, SOCK_SEQPACKET, 0),
				    (const struct sockaddr *)&address->sun,
				    address->len) != 0)
				_exit(98);
		(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

/* @return 1 he came in; 0 he was too late for any door: try again. */
static int
come_slowly(struct weir_port *port, struct weir_listener *l,
	    const struct shm_address *address)
{
	char endpoint[40];
	int status, rc = 0, sock = weir_shm_dial(address);
	uint64_t start_ns = weir_now_ns();
	struct weir_link *a, *b = NULL;
	pid_t strangers;

	assert_true(sock >= 0);
	strangers = strangers_arrive(address, 48);
	/* He is first in line, and has not said hello. */
	for (int i = 0; i < 6; i++)
		assert_int_equal(weir_link_accept(l, &b), 0);
	snprintf(endpoint, sizeof(endpoint), "shm:,fd=%d", sock);
	assert_int_equal(weir_link_connect(port, endpoint, &small, &a), 0);
	rc = weir_link_accept(l, &b);
	/* Doors are shut after a second. */
	if (weir_now_ns() - start_ns < UINT64_C(900000000))
		assert_int_equal(rc, 1);
	if (rc == 1)
		assert_int_equal(weir_link_wait(a, in_seconds(30)), 1);
	weir_link_destroy(a);
	weir_link_destroy(b);
	kill(strangers, SIGKILL);
	assert_int_equal(waitpid(strangers, &status, 0), strangers);
	return rc;
}

static void
who_has_few_is_not_pushed_out_by_who_has_many(void **state)
{
	struct weir_link_config config = small;
	struct weir_endpoint ep = { .scheme = "shm", .address = "unit-slow" };
	struct shm_address address;
	struct weir_listener *l;
	struct weir_port *port;
	int tries = 0;

	(void)state;
	need_root();
	config.access_mode = 0666;
	assert_int_equal(weir_port_open("shm:", NULL, &port), 0);
	assert_int_equal(weir_listener_open(port, "shm:unit-slow", &config, &l),
			 0);
	assert_int_equal(weir_shm_address(&ep, &address), 0);
	while (come_slowly(port, l, &address) == 0 && tries < 30)
		tries++;
	assert_in_range(tries, 0, 29);
	weir_listener_close(l);
	assert_int_equal(weir_port_close(port), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_users_flood_keeps_nobody_out),
		cmocka_unit_test(who_has_few_is_not_pushed_out_by_who_has_many),
	};

	return cmocka_run_group_tests(tests, own_names, NULL);
}
