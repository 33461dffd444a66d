/* SPDX-License-Identifier: BSD-3-Clause */
/* Set-up, clean-up and the direct helpers; see fixture.h. */

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"

/* What a case may take in all, at least. Most take milliseconds; a broken
 * release shows as a hang. */
#define CASE_LIMIT_S     60
#define CASE_LIMIT_STEPS 3 /* or so many limits of a step, if that is more */

static struct fixture fixture;
static char runtime_dir[64];
static bool killed; /* a peer: its name's files wait for the next listener */
static const char *volatile case_name = "set-up";

/* ---- time limit ------------------------------------------------------------ */

static unsigned int
case_limit_s(void)
{
	uint64_t steps_s = CASE_LIMIT_STEPS * peer_limit_ns() / 1000000000;

	return steps_s > CASE_LIMIT_S ? (unsigned int)steps_s : CASE_LIMIT_S;
}

static void
on_alarm(int signal)
{
	static const char text[] = "\ncontract: over the time limit: ";
	ssize_t n;

	(void)signal;
	n = write(2, text, sizeof(text) - 1);
	n = write(2, case_name, strlen(case_name));
	n = write(2, "\n", 1);
	(void)n;
	rmdir(runtime_dir);
	_exit(1);
}

/* ---- life of the peers ---------------------------------------------------- */

static void
peers_make(void)
{
	struct fixture *f = &fixture;

	if (f->a == NULL) {
		f->a = peer_local("A");
		f->as = peer_local_steps(f->a);
	}
	if (f->b == NULL) {
		f->b = (f->v->flags & VARIANT_CHILD) ? peer_child("B", f->netns)
						     : peer_local("B");
		f->bs = peer_local_steps(f->b);
	}
}

static void
side_drop(struct peer **side)
{
	peer_destroy(*side);
	*side = NULL;
}

/* @return 0, or -1 and the side is gone: it may start anew in the next case. */
static int
port_open(struct fixture *f, struct peer **side, unsigned int k)
{
	/* Half of the variants sleep at once, the others spin a while first. */
	struct order order = { .step = STEP_PORT_OPEN,
			       .k = k,
			       .n = (f->v->flags & VARIANT_CONNECTS) ? 1 : 0 };

	if (((*side)->ports >> k & 1) != 0)
		return 0;
	snprintf(order.endpoint, sizeof(order.endpoint), "%s",
		 endpoint_of(f, k, *side == listener_of(f)));
	peer_start(*side, &order);
	if (peer_try_finish(*side, weir_now_ns() + peer_limit_ns()) &&
	    (*side)->answer.rc == 0) {
		(*side)->ports |= 1u << k;
		return 0;
	}
	print_message("%s: %s: %s\n", (*side)->name, order.endpoint,
		      (*side)->answer.text);
	side_drop(side);
	return -1;
}

/* The listening side first: some devices want it so. */
static int
ports_open(struct fixture *f)
{
	bool a_first = listener_of(f) == f->a;

	for (unsigned int k = 0; k < f->v->carriers; k++)
		if (port_open(f, a_first ? &f->a : &f->b, k) != 0 ||
		    port_open(f, a_first ? &f->b : &f->a, k) != 0)
			return -1;
	return 0;
}

void
fixture_begin(const struct variant *v, int netns)
{
	fixture.v = v;
	fixture.netns = netns;
	if (v->flags & VARIANT_MULTI)
		peer_link_flags = WEIR_LINK_MULTI_PRODUCER;
	signal(SIGALRM, on_alarm);
	signal(SIGPIPE, SIG_IGN);
	snprintf(runtime_dir, sizeof(runtime_dir), "/tmp/weir-contract-XXXXXX");
	if (mkdtemp(runtime_dir) == NULL)
		abort();
	setenv("WEIR_RUNTIME_DIR", runtime_dir, 1);
	/* Children first: they must not inherit what a driver has opened. */
	peers_make();
}

/* The socket of a vhost pair, and its lock. */
static bool
waits_for_a_listener(const char *name)
{
	return killed && strstr(name, ".vhost") != NULL;
}

/* @return number of files that are still in the runtime directory. */
static int
left_behind(void)
{
	DIR *dir = opendir(runtime_dir);
	struct dirent *entry;
	int count = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (waits_for_a_listener(entry->d_name) &&
		    unlinkat(dirfd(dir), entry->d_name, 0) == 0)
			continue;
		fprintf(stderr, "contract: left behind: %s/%s\n", runtime_dir,
			entry->d_name);
		count++;
	}
	if (dir != NULL)
		closedir(dir);
	if (count == 0)
		rmdir(runtime_dir);
	return count;
}

static int
side_end(struct peer **side)
{
	int failures = 0;

	if (*side == NULL)
		return 0; /* it was killed */
	for (uint64_t k = 0; k < fixture.v->carriers; k++) {
		peer_start(*side, ORDER(.step = STEP_PORT_CLOSE, .k = k));
		if (!peer_try_finish(*side, weir_now_ns() + peer_limit_ns()) ||
		    (*side)->answer.rc != 0) {
			fprintf(stderr, "contract: %s: port %d: close: %d\n",
				(*side)->name, (int)k, (int)(*side)->answer.rc);
			failures++;
		}
	}
	peer_destroy(*side);
	*side = NULL;
	return failures;
}

int
fixture_end(void)
{
	int failures = 0;

	case_name = "the end";
	alarm(case_limit_s());
	failures += side_end(&fixture.b);
	failures += side_end(&fixture.a);
	alarm(0);
	return failures + left_behind() != 0;
}

unsigned int
fixture_skipped(void)
{
	return fixture.skipped;
}

int
case_setup(void **state)
{
	case_name = ((const struct CMUnitTest *)*state)->name;
	alarm(case_limit_s());
	peers_make();
	fixture.tx = NULL;
	fixture.rx = NULL;
	*state = &fixture;
	return ports_open(&fixture);
}

/* A case that failed may leave a peer in the middle of an order. */
static void
side_reset(struct peer **side)
{
	struct steps *steps = peer_local_steps(*side);

	if (steps != NULL) {
		(*side)->busy = false;
		steps->done = 0;
		steps->received = 0;
		steps->phase = 0;
	}
	if (!(*side)->busy && !(*side)->gone) {
		peer_start(*side, ORDER(.step = STEP_RESET));
		if (peer_try_finish(*side, weir_now_ns() + peer_limit_ns()))
			return;
	}
	side_drop(side);
}

/* For whoever looks for a leak in a driver. */
static void
print_port_stats(struct fixture *f)
{
	struct weir_port_stats p;

	if (getenv("WEIR_CONTRACT_STATS") == NULL || f->as->ports[0] == NULL)
		return;
	weir_port_stats(f->as->ports[0], &p, sizeof(p));
	print_message(
		"A: port: %lu tx, %lu rx, %lu malformed, %lu unknown, "
		"%lu foreign, %lu no buffer, %u links, %u of %u free\n",
		(unsigned long)p.tx_packets, (unsigned long)p.rx_packets,
		(unsigned long)p.rx_malformed, (unsigned long)p.rx_unknown_link,
		(unsigned long)p.rx_foreign, (unsigned long)p.tx_no_buffer,
		p.links, p.pool_free, p.pool_size);
}

int
case_teardown(void **state)
{
	struct fixture *f = &fixture;

	(void)state;
	if (f->a != NULL)
		print_port_stats(f);
	if (f->b != NULL)
		side_reset(&f->b);
	if (f->a != NULL)
		side_reset(&f->a);
	alarm(0);
	return 0;
}

struct fixture *
fixture_of(void **state)
{
	return *state;
}

uint64_t
repeats(const struct fixture *f, uint64_t n)
{
	return n / f->v->pace > 0 ? n / f->v->pace : 1;
}

uint64_t
in_ms(uint64_t ms)
{
	return weir_now_ns() + ms * UINT64_C(1000000);
}

uint64_t
limit_in_ms(uint64_t ms)
{
	return in_ms(peer_stretch(ms));
}

/* ---- set-up ---------------------------------------------------------------- */

struct peer *
listener_of(struct fixture *f)
{
	return (f->v->flags & VARIANT_CONNECTS) ? f->b : f->a;
}

struct peer *
connector_of(struct fixture *f)
{
	return (f->v->flags & VARIANT_CONNECTS) ? f->a : f->b;
}

const char *
endpoint_of(struct fixture *f, unsigned int k, bool listener)
{
	static char text[2][256];

	variant_endpoint(f->v, k, listener, text[listener],
			 sizeof(text[listener]));
	return text[listener];
}

void
order_at(struct fixture *f, struct peer *peer, struct order order, bool wait)
{
	snprintf(order.endpoint, sizeof(order.endpoint), "%s",
		 endpoint_of(f, (unsigned int)order.k, peer == listener_of(f)));
	peer_start(peer, &order);
	if (wait)
		assert_int_equal(peer_finish(peer).rc, 0);
}

void
restart_b(struct fixture *f, const struct weir_link_config *config)
{
	struct order order = { .step = STEP_LISTEN, .config = *config };

	side_drop(&f->b);
	peers_make();
	if (ports_open(f) != 0)
		fail_msg("B does not come back");
	if (listener_of(f) == f->b)
		order_at(f, f->b, order, true);
}

static void
carrier_open(struct fixture *f, uint32_t end, uint64_t k,
	     const struct weir_link_config *a, const struct weir_link_config *b)
{
	struct peer *l = listener_of(f), *c = connector_of(f);
	struct order order = { .end = end, .k = k };

	if (end == 0) {
		order.step = STEP_LISTEN;
		order.config = l == f->a ? *a : *b;
		order_at(f, l, order, true);
	}
	order.step = STEP_CONNECT;
	order.config = c == f->a ? *a : *b;
	order_at(f, c, order, true);
	order.step = STEP_ACCEPT;
	order_at(f, l, order, false);
	if (!peer_try_finish(l, weir_now_ns() + peer_limit_ns()))
		fail_msg("nothing to accept; the connecting side says: %s",
			 weir_strerror((int)peer_do(c, STEP_STATUS, .end = end,
						    .k = k)
					       .rc));
	assert_int_equal(l->answer.rc, 0);
}

void
link_open(struct fixture *f, uint32_t end, const struct weir_link_config *a,
	  const struct weir_link_config *b)
{
	struct weir_link_config none = { sizeof(none) };
	uint64_t last = f->v->carriers - 1;

	for (uint64_t k = 0; k <= last; k++)
		carrier_open(f, end, k, a != NULL ? a : &none,
			     b != NULL ? b : &none);
	peer_go(f->a, STEP_UP, .end = end);
	peer_go(f->b, STEP_UP, .end = end);
	assert_int_equal(peer_finish(f->a).rc, 0);
	assert_int_equal(peer_finish(f->b).rc, 0);
	assert_int_equal(
		peer_do(f->a, STEP_SPLIT, .end = end, .k = 0, .n = last).rc, 0);
	assert_int_equal(
		peer_do(f->b, STEP_SPLIT, .end = end, .k = last, .n = 0).rc, 0);
	if (end == 0) {
		f->tx = f->as->ends[0].tx;
		f->rx = f->as->ends[0].rx;
	}
}

struct fixture *
link_up(void **state, const struct weir_link_config *config)
{
	struct fixture *f = *state;

	link_open(f, 0, config, config);
	return f;
}

/* ---- A's sending half ------------------------------------------------------- */

void
audit(struct fixture *f)
{
	char text[192];

	if (!steps_audit(f->tx, text, sizeof(text)))
		fail_msg("A: %s", text);
}

int
try_permit(struct fixture *f, uint32_t hint, struct weir_permit *permit)
{
	int rc = weir_tx_reserve_burst(f->tx, hint, permit, 1);

	assert_in_range((uintmax_t)rc, 0, 1);
	audit(f);
	return rc;
}

void
take_permit(struct fixture *f, uint32_t hint, struct weir_permit *permit)
{
	pump_until(try_permit(f, hint, permit) == 1);
}

void
open_filled(struct fixture *f, uint32_t len, uint64_t seed,
	    struct weir_slot *slot)
{
	struct weir_permit permit;

	take_permit(f, len, &permit);
	assert_int_equal(weir_permit_alloc(&permit, len, slot), 0);
	assert_int_equal(slot->len, len);
	audit(f);
	pattern_fill(slot->data, len, seed);
}

void
commit(struct fixture *f, struct weir_slot *slot)
{
	weir_slot_commit(slot);
	audit(f);
	weir_tx_flush(f->tx);
	audit(f);
}

void
send_one(struct fixture *f, uint32_t len, uint64_t seed)
{
	struct weir_slot slot;

	open_filled(f, len, seed, &slot);
	commit(f, &slot);
}

uint32_t
count_permits(struct fixture *f, uint32_t hint)
{
	static struct weir_permit permits[65536];
	uint32_t n = 0;

	while (try_permit(f, hint, &permits[n]) == 1) {
		n++;
		assert_true(n < 65536);
	}
	for (uint32_t i = 0; i < n; i++)
		weir_permit_drop(&permits[i]);
	audit(f);
	return n;
}

uint32_t
send_until_dry(struct fixture *f, uint32_t len, uint64_t seed)
{
	struct weir_permit permit;
	struct weir_slot slot;
	uint32_t n = 0;

	while (try_permit(f, len, &permit) == 1) {
		assert_int_equal(weir_permit_alloc(&permit, len, &slot), 0);
		pattern_fill(slot.data, len, pattern_seed(seed, n));
		commit(f, &slot);
		n++;
	}
	return n;
}

static bool
is_all_back(struct fixture *f)
{
	struct weir_tx_stats t;

	/* Returns may be collected only by a reserve that runs short. */
	weir_tx_stats(f->tx, &t, sizeof(t));
	for (uint32_t i = 0; i < t.class_count; i++)
		count_permits(f, t.classes[i].size < f->tx->msg_size_max
					 ? t.classes[i].size
					 : f->tx->msg_size_max);
	count_permits(f, 0);
	weir_tx_stats(f->tx, &t, sizeof(t));
	if (t.free != t.capacity)
		return false;
	for (uint32_t i = 0; i < t.class_count; i++)
		if (t.classes[i].free != t.classes[i].total)
			return false;
	return true;
}

void
all_back(struct fixture *f)
{
	uint64_t limit_ns = weir_now_ns() + peer_limit_ns();
	struct weir_tx_stats t;

	while (!is_all_back(f) && weir_now_ns() < limit_ns)
		peer_pump();
	audit(f);
	if (is_all_back(f))
		return;
	weir_tx_stats(f->tx, &t, sizeof(t));
	fail_msg("not all came back: %u of %u credits are free, %u permitted, "
		 "%u allocated, %u outstanding",
		 t.free, t.capacity, t.permitted, t.allocated, t.outstanding);
}

static uint32_t
add_around(uint32_t edge, uint32_t most, uint32_t *sizes, uint32_t count,
	   uint32_t room)
{
	for (int d = -1; d <= 1; d++) {
		uint32_t size = edge + (uint32_t)d;

		if ((edge == 0 && d < 0) || size > most || count == room)
			continue;
		sizes[count++] = size;
	}
	return count;
}

uint32_t
edge_sizes(struct fixture *f, uint32_t most, uint32_t *sizes, uint32_t room)
{
	/* A line without its header; a line; half a frame's payload; payloads
	 * of 1,500 byte frames with and without headers of 40 to 100 bytes;
	 * two of those; a page; 9,000 byte frames. */
	static const uint32_t edges[] = { 0,    2,    8,    16,   48,
					  56,   64,   120,  248,  256,
					  1400, 1408, 1424, 1432, 1440,
					  1472, 1500, 2048, 2864, 2880,
					  4096, 8192, 8900, 9000, 32768 };
	struct weir_tx_stats t;
	uint32_t count = 0;

	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		count = add_around(edges[i], most, sizes, count, room);
	weir_tx_stats(f->tx, &t, sizeof(t));
	for (uint32_t i = 0; i < t.class_count; i++)
		count = add_around(t.classes[i].size, most, sizes, count, room);
	return add_around(most, most, sizes, count, room);
}

/* ---- A's receiving half -------------------------------------------------------- */

void
take_msg(struct fixture *f, struct weir_msg *msg)
{
	int rc;

	pump_until((rc = weir_rx_recv(f->rx, msg)) != 0);
	assert_int_equal(rc, 1);
}

void
expect_one(struct fixture *f, uint32_t len, uint64_t seed)
{
	struct weir_msg msg;
	char text[192];

	take_msg(f, &msg);
	if (!steps_compare(&msg, len, seed, 0, text, sizeof(text)))
		fail_msg("A: %s", text);
	weir_msg_release(&msg);
}

int
expect_end(struct fixture *f)
{
	struct weir_msg msg;
	int rc;

	pump_until((rc = weir_rx_recv(f->rx, &msg)) != 0);
	for (int i = 0; i < 3 && rc < 0; i++) {
		peer_pump();
		assert_int_equal(weir_rx_recv(f->rx, &msg), rc);
	}
	return rc;
}

void
expect_quiet(struct fixture *f)
{
	uint64_t until_ns = in_ms(20);
	struct weir_msg msg;

	for (int i = 0; i < 1000 || weir_now_ns() < until_ns; i++) {
		assert_int_equal(weir_rx_recv(f->rx, &msg), 0);
		peer_pump();
	}
}

/* ---- user threads --------------------------------------------------------------- */

static void *
user_main(void *arg)
{
	struct user *user = arg;

	user->error = user->fn(user->arg);
	/* Release: pairs with the load in user_finish(). */
	atomic_store_explicit(&user->done, true, memory_order_release);
	return NULL;
}

void
kill_b(struct fixture *f)
{
	killed = true;
	assert_int_equal(kill(f->b->pid, SIGKILL), 0);
	f->b->gone = true;
}

void
user_start(struct user *user, user_fn fn, void *arg)
{
	user->fn = fn;
	user->arg = arg;
	user->error = NULL;
	atomic_init(&user->done, false);
	assert_int_equal(pthread_create(&user->thread, NULL, user_main, user),
			 0);
}

void
user_finish(struct user *user)
{
	/* A thread that hangs is left to the case's time limit. */
	while (!atomic_load_explicit(&user->done, memory_order_acquire))
		peer_pump();
	pthread_join(user->thread, NULL);
	if (user->error != NULL)
		fail_msg("user thread: %s", user->error);
}

void
user_signal(struct user *user, int number, uint64_t *pause_us)
{
	uint64_t until_ns = weir_now_ns() + *pause_us * 1000;

	pthread_kill(user->thread, number);
	while (weir_now_ns() < until_ns)
		peer_pump();
	if (*pause_us < 50000)
		*pause_us *= 2;
}

static int
in_time(uint64_t limit_ns, int rc)
{
	return weir_now_ns() < limit_ns ? rc : -ETIME;
}

int
recv_in(struct weir_rx *rx, uint64_t limit_ms, struct weir_msg *msg)
{
	uint64_t limit_ns = limit_in_ms(limit_ms);

	return in_time(limit_ns, weir_rx_recv_wait(rx, limit_ns, msg));
}

int
reserve_in(struct weir_tx *tx, uint32_t hint, uint64_t limit_ms,
	   struct weir_permit *permit)
{
	uint64_t limit_ns = limit_in_ms(limit_ms);

	return in_time(limit_ns,
		       weir_tx_reserve_wait(tx, hint, limit_ns, permit));
}
