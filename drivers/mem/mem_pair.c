/* SPDX-License-Identifier: BSD-3-Clause */
/* How connectors and listeners of one process find each other. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "doorbell.h"
#include "mem_pair.h"

/* Connectors that may wait for one listener's accept. */
#define BACKLOG_MAX 128u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mem_listener *listeners;

static void
on_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void
on_forked(void)
{
	pthread_mutex_unlock(&lock);
}

/* A child may destroy its copies of links and halves, so it must not find the
 * lock taken by a thread that it does not have. */
static void
forks_watch(void)
{
	(void)pthread_atfork(on_fork, on_forked, on_forked);
}

static void
fds_close(struct mem_pair *pair)
{
	if (pair->tx_fd >= 0)
		close(pair->tx_fd);
	if (pair->rx_fd >= 0)
		close(pair->rx_fd);
}

struct mem_pair *
weir_mem_pair_create(const char *name, const struct weir_link_config *config)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct mem_pair *pair = calloc(1, sizeof(*pair));
	uint64_t now_ns = weir_clock_ns();

	(void)pthread_once(&once, forks_watch);
	if (pair == NULL)
		return NULL;
	pair->tx_fd = weir_doorbell_open();
	pair->rx_fd = weir_doorbell_open();
	if (pair->tx_fd < 0 || pair->rx_fd < 0) {
		fds_close(pair);
		free(pair);
		return NULL;
	}
	strncpy(pair->name, name, sizeof(pair->name) - 1);
	pair->config = *config;
	pair->refs = 3;
	pair->give_up_ns = config->connect_timeout_ns > WEIR_FOREVER - now_ns
				   ? WEIR_FOREVER
				   : now_ns + config->connect_timeout_ns;
	return pair;
}

void
weir_mem_pair_unref(struct mem_pair *pair)
{
	if (__atomic_sub_fetch(&pair->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	for (int i = 0; i < 2; i++)
		if (pair->lane[i] != NULL)
			weir_mem_lane_unref(pair->lane[i]);
	fds_close(pair);
	free(pair);
}

static uint32_t
state_of(const struct mem_pair *pair)
{
	/* Acquire: lanes and error are there. Pairs with state_set(). */
	return atomic_load_explicit(&pair->state, memory_order_acquire);
}

static void
state_set(struct mem_pair *pair, enum mem_pair_state state)
{
	atomic_store_explicit(&pair->state, state, memory_order_release);
}

static void
pair_fail(struct mem_pair *pair, int error)
{
	pair->error = error;
	state_set(pair, MEM_PAIR_FAILED);
}

static struct mem_listener *
find(const char *name)
{
	for (struct mem_listener *l = listeners; l != NULL; l = l->next)
		if (strcmp(l->name, name) == 0)
			return l;
	return NULL;
}

static void
queue_put(struct mem_listener *l, struct mem_pair *pair)
{
	/* The queue holds a reference of its own. */
	__atomic_add_fetch(&pair->refs, 1, __ATOMIC_RELAXED);
	pair->next = NULL;
	*l->last = pair;
	l->last = &pair->next;
	l->waiting++;
	state_set(pair, MEM_PAIR_WAITING);
	weir_doorbell_ring(l->fd);
}

/* The oldest that still waits. @return it with the queue's reference. */
static struct mem_pair *
queue_take(struct mem_listener *l)
{
	struct mem_pair *pair = l->first;

	if (pair == NULL)
		return NULL;
	l->first = pair->next;
	if (l->first == NULL) {
		l->last = &l->first;
		weir_doorbell_drain(l->fd);
	}
	l->waiting--;
	return pair;
}

uint32_t
weir_mem_pair_progress(struct mem_pair *pair)
{
	uint32_t state = state_of(pair);
	struct mem_listener *l;

	if (state != MEM_PAIR_CONNECTING && state != MEM_PAIR_WAITING)
		return state;
	pthread_mutex_lock(&lock);
	if (state_of(pair) == MEM_PAIR_CONNECTING) {
		l = find(pair->name);
		if (l != NULL && l->waiting < BACKLOG_MAX)
			queue_put(l, pair);
	}
	state = state_of(pair);
	if (state != MEM_PAIR_UP && weir_clock_ns() >= pair->give_up_ns)
		pair_fail(pair, -ECONNREFUSED);
	state = state_of(pair);
	pthread_mutex_unlock(&lock);
	return state;
}

int
weir_mem_pair_close_early(struct mem_pair *pair, uint32_t side)
{
	uint32_t state;

	(void)side; /* an acceptor's link is up from the start */
	pthread_mutex_lock(&lock);
	state = state_of(pair);
	if (state != MEM_PAIR_UP && state != MEM_PAIR_FAILED)
		pair->closed_early = true;
	pthread_mutex_unlock(&lock);
	if (state == MEM_PAIR_FAILED)
		return pair->error;
	return state == MEM_PAIR_UP;
}

struct mem_lane *
weir_mem_pair_leave(struct mem_pair *pair, uint32_t sender)
{
	struct mem_lane *lane = NULL;
	bool closed;

	pthread_mutex_lock(&lock);
	closed = sender == 0 && pair->closed_early;
	if (state_of(pair) == MEM_PAIR_UP) {
		lane = pair->lane[sender];
	} else if (closed) {
		pair->left_early = true;
	} else if (state_of(pair) != MEM_PAIR_FAILED) {
		pair_fail(pair, -ECONNRESET);
	}
	pthread_mutex_unlock(&lock);
	return lane;
}

int
weir_mem_listen(const char *name, struct mem_listener *l)
{
	int rc = -EADDRINUSE;

	strncpy(l->name, name, sizeof(l->name) - 1);
	l->last = &l->first;
	l->fd = weir_doorbell_open();
	if (l->fd < 0)
		return l->fd;
	pthread_mutex_lock(&lock);
	if (find(name) == NULL) {
		l->next = listeners;
		listeners = l;
		rc = 0;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

void
weir_mem_unlisten(struct mem_listener *listener)
{
	struct mem_listener **l = &listeners;
	struct mem_pair *pair;

	pthread_mutex_lock(&lock);
	while (*l != listener)
		l = &(*l)->next;
	*l = listener->next;
	while ((pair = queue_take(listener)) != NULL) {
		if (state_of(pair) == MEM_PAIR_WAITING)
			pair_fail(pair, -ECONNREFUSED);
		weir_mem_pair_unref(pair);
	}
	pthread_mutex_unlock(&lock);
}

/* Both lanes, or neither. */
static int
lanes_create(struct mem_pair *pair, const struct weir_link_config *ours)
{
	pair->lane[0] = weir_mem_lane_create(&pair->config, pair->tx_fd, -1);
	pair->lane[1] = weir_mem_lane_create(ours, -1, pair->rx_fd);
	if (pair->lane[0] != NULL && pair->lane[1] != NULL) {
		pair->tx_fd = -1;
		pair->rx_fd = -1;
		return 0;
	}
	for (int i = 0; i < 2; i++) {
		if (pair->lane[i] == NULL)
			continue;
		weir_mem_lane_disown(pair->lane[i], pair->tx_fd, pair->rx_fd);
		for (int ref = 0; ref < MEM_LANE_REFS; ref++)
			weir_mem_lane_unref(pair->lane[i]);
		pair->lane[i] = NULL;
	}
	return -ENOMEM;
}

/* Take over what the connector did before it had a lane. */
static void
apply_early(struct mem_pair *pair)
{
	if (pair->closed_early)
		atomic_store_explicit(&pair->lane[0]->tx_end, MEM_END_CLOSED,
				      memory_order_relaxed);
	if (pair->left_early)
		weir_mem_lane_unref(pair->lane[0]);
}

int
weir_mem_take(struct mem_listener *l, struct mem_pair **taken)
{
	struct mem_pair *pair;
	int rc = 0;

	pthread_mutex_lock(&lock);
	while (rc == 0 && (pair = queue_take(l)) != NULL) {
		if (state_of(pair) != MEM_PAIR_WAITING) {
			weir_mem_pair_unref(pair); /* gave up */
			continue;
		}
		rc = lanes_create(pair, &l->listener.config);
		if (rc != 0) {
			pair_fail(pair, -ECONNREFUSED);
			weir_mem_pair_unref(pair);
			break;
		}
		apply_early(pair);
		/* The queue's reference becomes one of ours. */
		__atomic_add_fetch(&pair->refs, 2, __ATOMIC_RELAXED);
		state_set(pair, MEM_PAIR_UP);
		*taken = pair;
		rc = 1;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}
