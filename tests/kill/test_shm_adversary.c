/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer process that scribbles over all that it may write while traffic runs:
 *
 *     adversary   its segment: header, ends, cells, bodies, return words;
 *                 our bells; its end of the control socket
 *     survivor    one thread sends, one receives and reads every byte, each
 *                 polling or asleep; beside its mappings are pages that
 *                 nobody can touch (map_alone.h)
 *
 * Every other batch of survivors says trust=none: what it was given must not
 * change any more, whatever the adversary does to his copy.
 *
 * A gentle adversary keeps to what an honest receiver may be hurt by, so the
 * survivor has to go on until he is killed; a rude one breaks every rule, and
 * the survivor says -EPROTO or goes on. Both halves end in time, nothing stays
 * open or mapped, and an honest peer gets its link at once.
 *
 * WEIR_ADVERSARIES=n sets how often (default 128, or 2,000 with
 * WEIR_CHECK_LONG); a seed is printed and can be given back with WEIR_SEED=n.
 */

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "map_alone.h"
#include "shm_pair.h"
#include "side.h"

#define HELD      8u
#define STEPS_MIN 300u /* of an adversary before it is killed */

#define LETTER 5000u

static char endpoint[64], distrustful[80];

static struct {
	_Atomic uint32_t begin; /* the survivor is up */
	_Atomic uint32_t steps; /* of the adversary */
} * box;

/* ---- the adversary -------------------------------------------------------------- */

struct adversary {
	struct side side;
	struct shm_session *session;
	uint64_t seq; /* of the next lie */
	unsigned int seed;
	bool gentle;
};

static uint32_t
below(struct adversary *a, uint32_t limit)
{
	return (uint32_t)rand_r(&a->seed) % limit;
}

static uint64_t
any(struct adversary *a)
{
	uint64_t low = (uint32_t)rand_r(&a->seed);

	switch (below(a, 4)) {
	case 0:
		return low % 4;
	case 1:
		return low % 2048;
	case 2:
		return UINT64_MAX - low % 4;
	default:
		return low * UINT64_C(0x9e3779b97f4a7c15);
	}
}

static void
writes_anywhere(struct adversary *a)
{
	const struct shm_segment *own = &a->session->own;
	uint64_t value = any(a);
	/* Mostly where it counts. */
	uint64_t from = below(a, 4) == 0 ? 0 : 0x1000;
	uint64_t room = below(a, 2) == 0 ? own->size - from : 0x300;

	memcpy(own->bytes + from + (uint64_t)rand_r(&a->seed) % (room - 8),
	       &value, 1 + below(a, 8));
}

/* The next message, with one thing wrong or none. */
static void
announces(struct adversary *a)
{
	const struct shm_header *h = &a->session->own.header;
	struct shm_cell *cells =
		(void *)(a->session->own.bytes + h->cells_offset);
	struct shm_cell *cell = &cells[a->seq & (h->cell_count - 1)];
	uint64_t lap = a->seq / h->cell_count;
	uint32_t wrong = below(a, 40);

	atomic_store(&cell->body,
		     wrong == 0 ? (uint32_t)any(a)
				: (uint32_t)a->seq & (h->cell_count - 1));
	atomic_store(&cell->generation,
		     (uint16_t)(wrong == 1 ? any(a) : lap + 1));
	a->seq++;
	atomic_store(&cell->word,
		     (wrong == 2 ? any(a) : a->seq) << 32 |
			     (wrong == 3 ? (uint32_t)any(a) : below(a, 49)));
}

static void
lies_about_returns(struct adversary *a)
{
	struct shm_front *own = a->session->own.front;
	uint32_t body = below(a, 400);

	atomic_store(&own->returns[body], (uint16_t)any(a));
	atomic_store(&own->groups[body / SHM_GROUP_SIZE], (uint32_t)any(a));
}

/* Of inline areas and larger bodies. */
static void
changes_payload(struct adversary *a)
{
	const struct shm_header *h = &a->session->own.header;
	const struct shm_class *c = &h->classes[below(a, h->class_count)];
	uint8_t *body = a->session->own.bytes + c->offset +
			(uint64_t)c->stride * below(a, c->count);

	memset(body, rand_r(&a->seed), c->size);
}

static void
says_that_it_sleeps(struct adversary *a)
{
	struct shm_front *own = a->session->own.front;

	atomic_store(&own->tx.sleeping, below(a, 2));
	atomic_store(&own->rx.sleeping, below(a, 2));
}

static void
rings(struct adversary *a)
{
	static const char bytes[1024];
	int door = below(a, 2) ? a->session->peer_tx_bell
			       : a->session->peer_rx_bell;

	for (uint32_t n = below(a, 30); n > 0; n--)
		(void)!send(door, bytes, below(a, sizeof(bytes)),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	if (below(a, 500) == 0)
		(void)shutdown(door, SHUT_RDWR);
}

/* Hellos and less, with descriptors. */
static void
says_more(struct adversary *a)
{
	struct shm_hello hello = { .magic = below(a, 2) ? SHM_HELLO_MAGIC
							: any(a),
				   .version = SHM_VERSION,
				   .type = below(a, 5),
				   .reason = (int32_t)any(a) };
	int fds[SHM_FDS] = { a->session->peer_tx_bell, a->session->sock,
			     a->session->rx_bell.rings };

	(void)weir_shm_send(a->session->sock, &hello, below(a, 2) ? fds : NULL);
	if (!a->gentle && below(a, 1000) == 0)
		(void)shutdown(a->session->sock, (int)below(a, 3));
}

static void
is_honest(struct adversary *a)
{
	static const uint8_t letter[LETTER];
	struct weir_msg msg;

	while (weir_rx_recv(a->side.rx, &msg) == 1)
		weir_msg_release(&msg);
	/* As long as it has not lied about its numbers. */
	if (a->gentle)
		(void)weir_tx_try_send(a->side.tx, letter,
				       below(a, 4) ? below(a, 64)
						   : below(a, LETTER));
}

static void
ends(struct adversary *a)
{
	struct shm_front *own = a->session->own.front;

	if (below(a, 100) != 0)
		return;
	if (below(a, 2))
		atomic_store(&own->rx.gone, (uint32_t)any(a));
	else
		atomic_store(&own->tx.end, any(a) << 32 | (uint32_t)a->seq);
}

static void
step(struct adversary *a)
{
	static void (*const steps[])(struct adversary *) = {
		is_honest,
		changes_payload,
		lies_about_returns,
		says_that_it_sleeps,
		rings,
		says_more,
		announces,
		announces,
		writes_anywhere,
		ends,
	};
	const uint32_t gentle = 6;

	steps[below(a, a->gentle ? gentle : sizeof(steps) / sizeof(steps[0]))](
		a);
}

/* Until killed. */
static void
adversary(bool listens, bool gentle, unsigned int seed)
{
	struct adversary a = { .gentle = gentle, .seed = seed };

	/* Not longer than the test, should that fail. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (side_open(&a.side, endpoint, NULL, listens) != 0)
		_exit(12);
	a.session = tx_inside(a.side.tx)->session;
	while (atomic_load(&box->begin) == 0)
		sched_yield();
	for (;;) {
		step(&a);
		atomic_fetch_add(&box->steps, 1);
		if (below(&a, 16) == 0)
			sched_yield();
	}
}

/* ---- the survivor ---------------------------------------------------------------- */

struct survivor {
	struct side side;
	bool sleeps;
	bool distrusts;
	int tx_rc, rx_rc;
	uint64_t sent, received;
	uint64_t changed; /* messages, while they were held */
};

static uint64_t sent, received, changed; /* by all survivors */

/* A moment, or as long as it takes. */
static uint64_t
patience(const struct survivor *s)
{
	return s->sleeps ? in_limit() : weir_now_ns() + 200000;
}

static void *
sends(void *arg)
{
	struct survivor *s = arg;
	struct weir_permit permit;
	struct weir_slot slot;

	for (;;) {
		uint32_t len = (uint32_t)(s->sent * 37 % 5000);

		s->tx_rc = weir_tx_reserve_wait(s->side.tx, len, patience(s),
						&permit);
		if (s->tx_rc < 0)
			return NULL;
		if (s->tx_rc == 0 ||
		    weir_permit_alloc(&permit, len, &slot) != 0)
			continue;
		memset(slot.data, 0x5a, len);
		weir_slot_commit(&slot);
		s->sent++;
	}
}

/* Every byte counts. */
static uint64_t
reads(const struct weir_msg *msg)
{
	const volatile uint8_t *bytes = msg->data;
	uint64_t sum = 1;

	for (uint32_t i = 0; i < msg->len; i++)
		sum = sum * 31 + bytes[i];
	return sum;
}

struct held {
	struct weir_msg msg;
	uint64_t sum; /* when it was received */
};

static void
lets_go(struct survivor *s, struct held *held)
{
	if (held->msg.store == NULL)
		return;
	s->changed += reads(&held->msg) != held->sum;
	weir_msg_release(&held->msg);
}

static void *
receives(void *arg)
{
	struct held held[HELD] = { { .sum = 0 } };
	struct survivor *s = arg;
	struct weir_msg msg;

	while ((s->rx_rc = weir_rx_recv_wait(s->side.rx, patience(s), &msg)) >=
	       0) {
		struct held *place = &held[s->received % HELD];

		if (s->rx_rc == 0)
			continue;
		lets_go(s, place);
		*place = (struct held){ .msg = msg, .sum = reads(&msg) };
		s->received++;
	}
	for (unsigned int i = 0; i < HELD; i++)
		lets_go(s, &held[i]);
	return NULL;
}

static void
ends_in_time(pthread_t thread)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 2 * LIMIT_S;
	assert_int_equal(pthread_timedjoin_np(thread, NULL, &limit), 0);
}

static void
check_ends(const struct survivor *s, bool gentle)
{
	if (gentle) {
		assert_int_equal(s->rx_rc, -ETIMEDOUT);
		assert_int_equal(s->tx_rc, -ETIMEDOUT);
		return;
	}
	assert_true(s->rx_rc == -EPROTO || s->rx_rc == -ECONNRESET ||
		    s->rx_rc == -ETIMEDOUT || s->rx_rc == WEIR_EOF);
	assert_true(s->tx_rc == -ECONNRESET || s->tx_rc == -ETIMEDOUT);
	if (s->rx_rc == -EPROTO)
		assert_int_equal(weir_link_status(s->side.link), -EPROTO);
}

/* @return what the receive half ended with. */
static int
one_adversary(unsigned int number, unsigned int seed)
{
	struct survivor s = { .sleeps = number / 4 % 2 != 0,
			      .distrusts = number / 16 % 2 != 0 };
	const struct weir_link_config config = {
		.size = sizeof(config),
		.flags = number / 8 % 2 ? WEIR_LINK_MULTI_PRODUCER : 0,
	};
	bool listens = number % 2 == 0, gentle = number / 2 % 2 == 0;
	uint64_t give_up_ns = in_limit();
	pthread_t tx, rx;
	int status;
	pid_t pid;

	atomic_store(&box->begin, 0);
	atomic_store(&box->steps, 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		adversary(!listens, gentle, seed);
	assert_int_equal(side_open(&s.side,
				   s.distrusts ? distrustful : endpoint,
				   &config, listens),
			 0);
	atomic_store(&box->begin, 1);
	assert_int_equal(pthread_create(&tx, NULL, sends, &s), 0);
	assert_int_equal(pthread_create(&rx, NULL, receives, &s), 0);
	while (atomic_load(&box->steps) < STEPS_MIN) {
		assert_true(weir_now_ns() < give_up_ns);
		nap_ns(500000);
	}
	nap_ns(seed % 8000000);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	ends_in_time(tx);
	ends_in_time(rx);
	check_ends(&s, gentle);
	audit(s.side.tx);
	if (s.distrusts)
		assert_int_equal(s.changed, 0);
	changed += s.changed;
	sent += s.sent;
	received += s.received;
	assert_int_equal(side_close(&s.side), 0);
	return s.rx_rc;
}

/* ---- and after it an honest one ---------------------------------------------------- */

static void
echo(bool listens)
{
	struct side side;
	struct weir_msg msg;
	int rc;

	if (side_open(&side, endpoint, NULL, listens) != 0)
		_exit(12);
	while ((rc = weir_rx_recv_wait(side.rx, in_limit(), &msg)) == 1) {
		if (weir_tx_send(side.tx, msg.data, msg.len) != 0)
			_exit(13);
		weir_msg_release(&msg);
	}
	_exit(rc == WEIR_EOF && weir_tx_close(side.tx) == 0 ? 0 : 14);
}

static void
an_honest_one(bool listens)
{
	struct weir_msg msg;
	struct side side;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		echo(!listens);
	assert_int_equal(side_open(&side, endpoint, NULL, listens), 0);
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(side_send(&side, i * 50), 1);
		assert_int_equal(weir_rx_recv_wait(side.rx, in_limit(), &msg),
				 1);
		assert_int_equal(msg.len, i * 50);
		assert_true(pattern_ok(msg.data, msg.len, i));
		weir_msg_release(&msg);
	}
	assert_int_equal(weir_tx_close(side.tx), 0);
	assert_int_equal(weir_rx_recv_wait(side.rx, in_limit(), &msg),
			 WEIR_EOF);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(side_close(&side), 0);
}

static unsigned int
first_seed(void)
{
	const char *given = getenv("WEIR_SEED");
	unsigned int s = given != NULL ? (unsigned int)strtoul(given, NULL, 0)
				       : (unsigned int)weir_now_ns();

	print_message("WEIR_SEED=%u\n", s);
	return s;
}

static unsigned int
rounds(void)
{
	const char *given = getenv("WEIR_ADVERSARIES");

	if (given != NULL)
		return (unsigned int)strtoul(given, NULL, 0);
	return getenv("WEIR_CHECK_LONG") != NULL ? 2000 : 128;
}

static void
a_scribbling_peer_is_survived(void **state)
{
	int fds = fd_count(), segments = segment_count();
	unsigned int maps = maps_alone();
	unsigned int seed = first_seed(), n = rounds(), broken = 0;

	(void)state;
	for (unsigned int i = 0; i < n; i++) {
		broken += one_adversary(i, (unsigned int)rand_r(&seed)) ==
			  -EPROTO;
		if (i % 4 == 3)
			an_honest_one(i / 4 % 2 == 0);
		assert_int_equal(fd_count(), fds);
		assert_int_equal(segment_count(), segments);
		assert_int_equal(maps_alone(), maps);
	}
	print_message("%u adversaries survived, %u broke the protocol; sent "
		      "%lu messages, received %lu, of which %lu changed in "
		      "the hands of who trusts\n",
		      n, broken, (unsigned long)sent, (unsigned long)received,
		      (unsigned long)changed);
	assert_true(n < 8 || broken > 0);
	/* Else those of who does not could not have either. */
	assert_true(n < 64 || changed > 0);
}

/* @return whether the process that reads there dies of it. */
static bool
dies_of(const volatile uint8_t *byte)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		_exit(*byte == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static uint64_t
whole_pages(uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

/* So that the test above is known to see a byte read outside. */
static void
beside_a_mapping_is_nothing(void **state)
{
	const struct shm_session *s;
	struct pair p;

	(void)state;
	pair_open_with(&p, ",trust=none", NULL);
	s = rx_inside(p.b_rx)->session;
	assert_false(dies_of(s->peer.bytes));
	assert_false(dies_of(s->peer.bytes + s->peer.size - 1));
	assert_true(dies_of(s->peer.bytes + whole_pages(s->peer.size)));
	assert_true(dies_of(s->peer.bytes - 1));
	assert_false(dies_of(s->places));
	assert_true(dies_of(s->places - 1));
	assert_true(dies_of(s->places + whole_pages(s->places_size)));
	pair_close(&p);
}

static int
prepare(void **state)
{
	(void)state;
	snprintf(endpoint, sizeof(endpoint), "shm:adversary-%d", getpid());
	snprintf(distrustful, sizeof(distrustful), "%s,trust=none", endpoint);
	box = shared_page();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(beside_a_mapping_is_nothing),
		cmocka_unit_test(a_scribbling_peer_is_survived),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
