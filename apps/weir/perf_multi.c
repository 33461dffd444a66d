/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir perf bw --producers N: several threads on one send half, beside one
 * thread on a half of its own, in windows that alternate.
 *
 *      thread 0 -------- link 0, one producer ------+
 *      threads 0..N-1 -- link 1, WEIR_LINK_MULTI_PRODUCER --+--> receiver,
 *                                                  another process, or for
 *                                                  mem: another thread
 *
 * Both links are open all the time, one carries messages at a time. Rates are
 * by the wall clock: with more threads than processors that is what counts.
 *
 * On a dpdk link a thread of weir's own polls the senders' port, and the
 * receiver polls its own.
 */

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf.h"
#include "tool.h"

#define WINDOW_NS   UINT64_C(50000000)
#define PATIENCE_NS UINT64_C(10000000000)
#define NAP_US      200
#define ROUNDS_MAX  1000u
#define BURSTS      2

static const uint16_t bursts[BURSTS] = { 1, 32 };

enum listening {
	NOT_YET,
	LISTENING,
	FAILED, /* and has said why */
};

/* What both sides see. */
struct page {
	_Atomic uint32_t listening; /* enum listening */
	_Atomic uint32_t stop;      /* do not wait for a link any more */
	_Atomic uint64_t wrong;     /* messages out of their thread's order */
	_Alignas(64) _Atomic uint64_t received[2];
};

/* What runs now; 0: nothing. */
struct gate {
	_Atomic uint32_t open; /* 1 + link, + 2 * index of bursts */
	_Atomic uint32_t inside;
};

struct producers;

struct producer {
	struct producers *all;
	pthread_t thread;
	uint32_t index;
	uint64_t number[2]; /* next one, per link */
	_Atomic uint64_t sent[2];
	int rc;
};

struct producers {
	const struct weir_perf_args *args;
	char endpoint[WEIR_SELF_ENDPOINT_MAX];
	struct page *page;
	bool threads;       /* the receiver is one */
	pthread_t receiver; /* valid then */
	pid_t pid;          /* else */
	int received;       /* exit code of the thread */
	struct weir_port *port;
	struct weir_link *link[2];
	struct weir_tx *tx[2];
	struct gate gate;
	_Atomic uint32_t quit;
	struct producer producer[WEIR_PERF_PRODUCERS_MAX];
	double rate[BURSTS][2][ROUNDS_MAX];
	uint32_t rounds;
	uint32_t size;
};

/* ---- receiver ------------------------------------------------------------------ */

struct receiver {
	struct page *page;
	struct weir_port *port; /* to be polled, or NULL */
	struct weir_rx *rx[2];
	uint64_t next[2][WEIR_PERF_PRODUCERS_MAX];
};

/* Does it come after the last one of its thread? */
static void
inspect(struct receiver *r, int link, const struct weir_msg *msg)
{
	uint64_t head;
	uint32_t thread;

	if (msg->len < sizeof(head))
		return;
	memcpy(&head, msg->data, sizeof(head));
	thread = (uint32_t)(head >> 48) % WEIR_PERF_PRODUCERS_MAX;
	if ((head & UINT64_C(0xffffffffffff)) != r->next[link][thread]++)
		atomic_fetch_add(&r->page->wrong, 1);
}

/* @return messages; negative: the end. */
static int
take(struct receiver *r, int link)
{
	struct weir_msg msgs[32];
	int rc = weir_rx_recv_burst(r->rx[link], msgs, 32);

	for (int i = 0; i < rc; i++) {
		inspect(r, link, &msgs[i]);
		weir_msg_release(&msgs[i]);
	}
	if (rc > 0)
		atomic_store_explicit(&r->page->received[link],
				      r->page->received[link] + (uint64_t)rc,
				      memory_order_relaxed);
	return rc;
}

static void
receive_all(struct receiver *r)
{
	uint32_t idle = 0;
	int a = 0, b = 0;

	while (a >= 0 || b >= 0) {
		if (r->port != NULL)
			(void)weir_port_poll(r->port);
		a = a < 0 ? a : take(r, 0);
		b = b < 0 ? b : take(r, 1);
		idle = a > 0 || b > 0 ? 0 : idle + 1;
		if (idle > 64)
			sched_yield(); /* the senders may need this processor */
	}
}

static int
receiver_run(const struct weir_perf_args *args, struct page *page,
	     const char *endpoint)
{
	struct receiver r = { .page = page };
	struct weir_side side[2] = { { .args = args }, { .args = args } };
	int rc = weir_side_listen(&side[0], endpoint);

	atomic_store(&page->listening, rc == 0 ? LISTENING : FAILED);
	for (int i = 0; rc == 0 && i < 2; i++) {
		side[i].listener = side[0].listener;
		side[i].port = side[0].port;
		rc = weir_side_accept(&side[i], &page->stop);
		r.rx[i] = side[i].test.rx;
	}
	if (weir_perf_polled(endpoint))
		r.port = side[0].port;
	if (rc == 0)
		receive_all(&r);
	side[1].listener = NULL;
	side[1].port = NULL;
	weir_side_close(&side[1]);
	weir_side_close(&side[0]);
	return rc;
}

/* ---- producers ----------------------------------------------------------------- */

/* Each link as it is quickest: one thread fetches cells ahead as it commits. */
static bool
send_some(struct producer *p, int link, uint16_t burst)
{
	struct weir_permit permits[32];
	struct weir_slot slots[32];
	uint32_t size = p->all->size;
	int rc = weir_tx_reserve_burst(p->all->tx[link], size, permits, burst);

	for (int i = 0; i < rc; i++) {
		uint64_t head = (uint64_t)p->index << 48 | p->number[link]++;

		(void)weir_permit_alloc(&permits[i], size, &slots[i]);
		memset(slots[i].data, (int)head, size);
		memcpy(slots[i].data, &head, size < 8 ? size : 8);
		if (link == 0)
			weir_slot_commit(&slots[i]);
	}
	if (link == 1 && rc > 0)
		weir_slot_commit_burst(slots, (uint16_t)rc);
	if (rc < 0)
		p->rc = rc;
	return rc > 0;
}

/* One window, as long as the gate is open. */
static void
produce(struct producer *p, uint32_t open)
{
	int link = (int)((open - 1) % 2);
	uint16_t burst = bursts[(open - 1) / 2];
	uint32_t idle = 0;

	while (atomic_load_explicit(&p->all->gate.open, memory_order_relaxed) ==
		       open &&
	       p->rc == 0) {
		idle = send_some(p, link, burst) ? 0 : idle + 1;
		if (idle > 8)
			sched_yield(); /* the receiver may need this one */
	}
	atomic_store(&p->sent[link], p->number[link]);
}

static void *
producer_main(void *arg)
{
	struct producer *p = arg;
	struct producers *all = p->all;

	while (atomic_load(&all->quit) == 0) {
		uint32_t open;

		atomic_fetch_add(&all->gate.inside, 1);
		open = atomic_load(&all->gate.open);
		if (open != 0 && (p->index == 0 || (open - 1) % 2 == 1))
			produce(p, open);
		atomic_fetch_sub(&all->gate.inside, 1);
		usleep(NAP_US);
	}
	return NULL;
}

/* ---- windows ------------------------------------------------------------------- */

static uint64_t
sum_sent(struct producers *all, int link)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < all->args->producers; i++)
		sum += atomic_load(&all->producer[i].sent[link]);
	return sum;
}

/* Until nobody sends and all that was sent is there. @return false: lost. */
static bool
settle(struct producers *all, int link)
{
	uint64_t start_ns = weir_now_ns();

	while (atomic_load(&all->gate.inside) != 0 ||
	       atomic_load(&all->page->received[link]) < sum_sent(all, link)) {
		if (weir_now_ns() - start_ns > PATIENCE_NS)
			return false;
		usleep(NAP_US);
	}
	return true;
}

/* @return messages per second; negative: messages were lost. */
static double
window(struct producers *all, int burst, int link)
{
	_Atomic uint64_t *received = &all->page->received[link];
	uint64_t start_ns, ns, before;

	atomic_store(&all->gate.open, (uint32_t)(1 + link + 2 * burst));
	usleep(2 * NAP_US); /* all have come */
	before = atomic_load(received);
	start_ns = weir_now_ns();
	while ((ns = weir_now_ns() - start_ns) < WINDOW_NS)
		usleep((useconds_t)((WINDOW_NS - ns) / 1000 + 1));
	before = atomic_load(received) - before;
	atomic_store(&all->gate.open, 0);
	return settle(all, link) ? (double)before * 1e9 / (double)ns : -1;
}

static int
run_windows(struct producers *all)
{
	uint64_t rounds = all->args->time_ns / (WINDOW_NS * 2 * BURSTS) + 1;

	if (rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	/* The first round warms up and is overwritten. */
	for (uint64_t i = 0; i <= rounds && weir_tool_signal == 0; i++)
		for (int k = 0; k < 2 * BURSTS; k++) {
			double rate = window(all, k / 2, k % 2);

			if (rate < 0)
				return WEIR_EXIT_INTEGRITY;
			all->rate[k / 2][k % 2][i == 0 ? 0 : i - 1] = rate;
			all->rounds = (uint32_t)(i == 0 ? 1 : i);
		}
	return weir_tool_signal != 0 ? WEIR_EXIT_INTERRUPT : 0;
}

/* ---- set-up and result --------------------------------------------------------- */

static int
open_links(struct producers *all)
{
	struct weir_link_config config = { .size = sizeof(config) };
	struct weir_port_config port = { sizeof(port),
					 .spin_ns = WEIR_FOREVER };
	int rc, cpus[2];

	if (weir_perf_polled(all->endpoint) && weir_cpus_choose(cpus) == 0) {
		port.poll_start = 1;
		port.poll_cpu = (uint32_t)cpus[0];
	}
	rc = weir_tool_port_open(all->endpoint, &port, &all->port);

	if (all->size > WEIR_MSG_SIZE_DEFAULT)
		config.msg_size_max = all->size;
	for (int i = 0; rc == 0 && i < 2; i++) {
		config.flags = i == 1 ? WEIR_LINK_MULTI_PRODUCER : 0;
		rc = weir_link_connect(all->port, all->endpoint, &config,
				       &all->link[i]);
		if (rc == 0)
			rc = weir_link_wait(all->link[i],
					    weir_now_ns() + PATIENCE_NS);
		if (rc == 1)
			rc = weir_link_split(all->link[i], &all->tx[i], NULL);
		else
			rc = weir_tool_fail(all->endpoint,
					    rc == 0 ? -ETIMEDOUT : rc);
	}
	return rc;
}

static void
close_links(struct producers *all)
{
	for (int i = 0; i < 2; i++) {
		if (all->tx[i] != NULL)
			(void)weir_tx_close(all->tx[i]);
		weir_tx_destroy(all->tx[i]);
		weir_link_destroy(all->link[i]);
	}
	if (all->port != NULL)
		(void)weir_port_close(all->port);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *values, uint32_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return values[n / 2];
}

static void
print_row(struct producers *all, int burst)
{
	double one = median(all->rate[burst][0], all->rounds);
	double many = median(all->rate[burst][1], all->rounds);
	double ratio = one > 0 ? many / one : 0;

	if (all->args->format == WEIR_PERF_JSON)
		printf("%s{\"burst\": %u, \"one_per_s\": %.0f, "
		       "\"several_per_s\": %.0f, \"ratio\": %.3f}",
		       burst == 0 ? "" : ", ", bursts[burst], one, many, ratio);
	else
		printf("%5u  %10.2f  %11.2f  %5.2f\n", bursts[burst], one / 1e6,
		       many / 1e6, ratio);
}

static void
print_all(struct producers *all)
{
	bool json = all->args->format == WEIR_PERF_JSON;

	if (json)
		printf("{\"schema\": \"weir.perf.producers/1\", \"size\": %u, "
		       "\"producers\": %u, \"windows\": %u, \"wrong\": %llu, "
		       "\"runs\": [",
		       all->size, (unsigned int)all->args->producers,
		       all->rounds,
		       (unsigned long long)atomic_load(&all->page->wrong));
	else
		printf("%s, %u B, M/s; medians of %u windows of 50 ms by "
		       "turns\nburst  one thread  %2u of a half  ratio\n",
		       all->endpoint, all->size, all->rounds,
		       (unsigned int)all->args->producers);
	for (int i = 0; i < BURSTS; i++)
		print_row(all, i);
	if (json)
		puts("]}");
}

static int
measure(struct producers *all)
{
	uint64_t count = all->args->producers, started;
	int rc = 0;

	for (started = 0; rc == 0 && started < count; started++) {
		struct producer *p = &all->producer[started];

		p->all = all;
		p->index = (uint32_t)started;
		rc = -pthread_create(&p->thread, NULL, producer_main, p);
	}
	if (rc == 0)
		rc = run_windows(all);
	else
		started--;
	atomic_store(&all->quit, 1);
	for (uint64_t i = 0; i < started; i++) {
		pthread_join(all->producer[i].thread, NULL);
		if (all->producer[i].rc < 0)
			rc = weir_tool_link_fail(all->endpoint,
						 all->producer[i].rc);
	}
	if (rc == 0 && atomic_load(&all->page->wrong) != 0)
		rc = WEIR_EXIT_INTEGRITY;
	if (rc == WEIR_EXIT_INTEGRITY && atomic_load(&all->page->wrong) != 0)
		weir_tool_error("messages were lost or reordered; this is a "
				"defect of the link");
	else if (rc == WEIR_EXIT_INTEGRITY)
		weir_tool_error("not all messages came within %u s; this is a "
				"defect of the link",
				(unsigned int)(PATIENCE_NS / 1000000000));
	if (rc == 0 || rc == WEIR_EXIT_INTEGRITY)
		print_all(all);
	return rc;
}

static void *
receiver_main(void *arg)
{
	struct producers *all = arg;

	all->received = receiver_run(all->args, all->page, all->endpoint);
	return NULL;
}

/* Before anything is open. @return 0, or exit code. */
static int
receiver_start(struct producers *all)
{
	if (all->threads)
		return pthread_create(&all->receiver, NULL, receiver_main,
				      all) == 0
			       ? 0
			       : WEIR_EXIT_NOT_READY;
	all->pid = fork();
	if (all->pid == 0)
		_exit(receiver_run(all->args, all->page, all->endpoint));
	return all->pid > 0 ? 0 : WEIR_EXIT_NOT_READY;
}

/* Has a process ended before it could listen? A thread always says so. */
static bool
receiver_gone(const struct producers *all)
{
	siginfo_t info = { .si_pid = 0 };

	return !all->threads &&
	       waitid(P_PID, (id_t)all->pid, &info,
		      WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid != 0;
}

/* @param rc not 0: it may wait for the second link. @return rc, or if that is 0
 *  what the receiver's end makes of it. */
static int
receiver_end(struct producers *all, int rc)
{
	int status = 0;

	if (rc != 0)
		atomic_store(&all->page->stop, 1);
	if (all->threads) {
		pthread_join(all->receiver, NULL);
		return rc != 0 ? rc : all->received;
	}
	if (rc != 0)
		kill(all->pid, SIGKILL);
	if (waitpid(all->pid, &status, 0) == all->pid && rc == 0 && status != 0)
		rc = WIFEXITED(status) ? WEXITSTATUS(status) : WEIR_EXIT_LINK;
	return rc;
}

static int
run_both(struct producers *all)
{
	int rc = receiver_start(all);

	if (rc != 0)
		return rc;
	while (atomic_load(&all->page->listening) == NOT_YET &&
	       !receiver_gone(all))
		usleep(NAP_US);
	if (atomic_load(&all->page->listening) != LISTENING)
		return receiver_end(all, 0);
	rc = open_links(all);
	if (rc == 0)
		rc = measure(all);
	close_links(all);
	return receiver_end(all, rc);
}

int
weir_perf_producers(const struct weir_perf_args *args)
{
	struct producers *all = calloc(1, sizeof(*all));
	char own[WEIR_SELF_ENDPOINT_MAX];
	int rc = WEIR_EXIT_NOT_READY;

	if (all == NULL)
		return rc;
	all->args = args;
	all->size = args->sizes[0];
	rc = weir_tool_endpoint(args->endpoint, own);
	all->threads = weir_self_in_process(own);
	if (rc == 0) {
		weir_self_endpoint(own, all->endpoint, sizeof(all->endpoint));
		all->page = mmap(NULL, sizeof(*all->page),
				 PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		rc = all->page == MAP_FAILED ? WEIR_EXIT_NOT_READY
					     : run_both(all);
		if (all->page != MAP_FAILED)
			munmap(all->page, sizeof(*all->page));
	}
	free(all);
	return rc;
}
