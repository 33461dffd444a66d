/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_pool: reference-counted mempools. See dpdk_pool.h.
 */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <rte_errno.h>
#include <rte_mbuf.h>

#include <rte_mbuf_pool_ops.h>

#include "clock.h"
#include "dpdk_compat.h"
#include "dpdk_pool.h"
#include "weir_driver.h"

/* Per lcore; more only moves mbufs out of reach of the others. */
#define POOL_CACHE_SIZE 256

/* The thread beside the pollers whose cache can hold mbufs back: EAL's main. */
#define POOL_CACHES_MORE 1

/*
 * A lingering pool is freed when it has been full for so long: whoever gave
 * the last mbuf back has left the mempool's code by then.
 */
#define POOL_GRACE_NS UINT64_C(100000000)

static struct {
	pthread_mutex_t lock;
	struct dpdk_pool *lingering;
	unsigned int serial;
} pools = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
pool_free(struct dpdk_pool *pool)
{
	if (!pool->foreign)
		rte_mempool_free(pool->mp);
	free(pool);
}

/* With the lock held. @return how many are full and will go soon. */
static unsigned int
look_after_lingering(void)
{
	struct dpdk_pool **link = &pools.lingering;
	uint64_t now_ns = weir_clock_ns();
	unsigned int going = 0;

	while (*link != NULL) {
		struct dpdk_pool *pool = *link;

		if (!rte_mempool_full(pool->mp)) {
			pool->full_since_ns = 0;
		} else if (pool->full_since_ns == 0) {
			pool->full_since_ns = now_ns;
		} else if (now_ns - pool->full_since_ns >= POOL_GRACE_NS) {
			*link = pool->next;
			pool_free(pool);
			continue;
		}
		going += pool->full_since_ns != 0;
		link = &pool->next;
	}
	return going;
}

/*
 * Memory is short, and pools of ports that were just closed have some: wait until
 * those that are full are gone, which takes the grace at most.
 * @return true: some went.
 */
static bool
wait_for_lingering(void)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	unsigned int going;
	bool waited = false;

	for (;;) {
		pthread_mutex_lock(&pools.lock);
		going = look_after_lingering();
		pthread_mutex_unlock(&pools.lock);
		if (going == 0)
			return waited;
		waited = true;
		nanosleep(&nap, NULL);
	}
}

static unsigned int
next_serial(void)
{
	unsigned int serial;

	pthread_mutex_lock(&pools.lock);
	look_after_lingering();
	serial = pools.serial++;
	pthread_mutex_unlock(&pools.lock);
	return serial;
}

static int
fail_no_memory(const struct dpdk_pool_spec *spec, uint32_t count)
{
	uint64_t bytes = (uint64_t)count * (spec->data_room + 256u);

	return weir_fail(-ENOMEM,
			 "dpdk: no memory for %u packet buffers (%llu MiB): "
			 "ask for fewer (mbufs=), or reserve more huge pages",
			 count, (unsigned long long)(bytes >> 20) + 1);
}

/*
 * The mbuf that came back last goes out first: what a window or a hole in the
 * sequence takes beyond the lcore's cache is then still in the CPU's, where a
 * ring would bring each mbuf of the pool round in turn. Without a lock, so
 * that a thread that is descheduled delays no other. What the user or the
 * platform chose goes first, and a program may come without this handler.
 */
static const char *
ops_wanted(void)
{
	if (rte_mbuf_user_mempool_ops() == NULL &&
	    rte_mbuf_platform_mempool_ops() == NULL)
		return "lf_stack";
	return rte_mbuf_best_mempool_ops();
}

/*
 * As rte_pktmbuf_pool_create_by_ops(), which has no way to say that nobody
 * asks for the physical address of these mbufs.
 */
static struct rte_mempool *
create_packed(const char *name, uint32_t count, uint16_t priv_size,
	      const struct dpdk_pool_spec *spec, const char *ops)
{
	struct rte_pktmbuf_pool_private about = {
		.mbuf_data_room_size = (uint16_t)spec->data_room,
		.mbuf_priv_size = priv_size,
	};
	struct rte_mempool *mp;

	mp = rte_mempool_create_empty(name, count,
				      (unsigned int)sizeof(struct rte_mbuf) +
					      priv_size + spec->data_room,
				      POOL_CACHE_SIZE, sizeof(about),
				      spec->numa_node,
				      RTE_MEMPOOL_F_NO_IOVA_CONTIG);
	if (mp == NULL)
		return NULL;
	if (rte_mempool_set_ops_byname(mp, ops, NULL) != 0) {
		rte_mempool_free(mp);
		return NULL;
	}
	rte_pktmbuf_pool_init(mp, &about);
	if (rte_mempool_populate_default(mp) < 0) {
		rte_mempool_free(mp);
		return NULL;
	}
	rte_mempool_obj_iter(mp, rte_pktmbuf_init, NULL);
	return mp;
}

static struct rte_mempool *
create_by(const char *name, uint32_t count, const struct dpdk_pool_spec *spec,
	  const char *ops)
{
	uint16_t priv_size = (uint16_t)RTE_ALIGN_CEIL(spec->priv_size, 64);

	if (spec->packed)
		return create_packed(name, count, priv_size, spec, ops);
	return rte_pktmbuf_pool_create_by_ops(
		name, count, POOL_CACHE_SIZE, priv_size,
		(uint16_t)spec->data_room, spec->numa_node, ops);
}

static struct rte_mempool *
create(const char *name, uint32_t count, const struct dpdk_pool_spec *spec)
{
	struct rte_mempool *mp = create_by(name, count, spec, ops_wanted());

	if (mp == NULL)
		mp = create_by(name, count, spec, rte_mbuf_best_mempool_ops());
	return mp;
}

int
weir_dpdk_pool_create(const struct dpdk_pool_spec *spec, struct dpdk_pool **out)
{
	uint32_t caches = (POOL_CACHES_MORE + spec->pollers) *
			  DPDK_CACHE_HELD(POOL_CACHE_SIZE);
	uint32_t count = spec->budget + spec->reserve + caches;
	struct dpdk_pool *pool = calloc(1, sizeof(*pool));
	char name[25];

	if (pool == NULL)
		return fail_no_memory(spec, count);
	snprintf(name, sizeof(name), "weir_%s_%u", spec->what, next_serial());
	pool->mp = create(name, count, spec);
	if (pool->mp == NULL && wait_for_lingering())
		pool->mp = create(name, count, spec);
	if (pool->mp == NULL) {
		free(pool);
		return fail_no_memory(spec, count);
	}
	atomic_init(&pool->refs, 1);
	atomic_init(&pool->lingers, spec->lingers);
	pool->data_room = spec->data_room;
	pool->budget = spec->budget;
	*out = pool;
	return 0;
}

int
weir_dpdk_pool_adopt(struct rte_mempool *mp, uint32_t reserve,
		     struct dpdk_pool **out)
{
	struct dpdk_pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		return weir_fail(-ENOMEM, "dpdk: out of memory");
	atomic_init(&pool->refs, 1);
	pool->mp = mp;
	pool->foreign = true;
	pool->data_room = rte_pktmbuf_data_room_size(mp);
	pool->budget = mp->size > reserve ? mp->size - reserve : 0;
	*out = pool;
	return 0;
}

void
weir_dpdk_pool_get(struct dpdk_pool *pool)
{
	/* Whoever calls holds a reference already: nothing to order. */
	atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
}

void
weir_dpdk_pool_put(struct dpdk_pool *pool)
{
	/* Our frees come before the last put's free of the pool itself. */
	if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) !=
	    1)
		return;
	pthread_mutex_lock(&pools.lock);
	if (atomic_load_explicit(&pool->lingers, memory_order_relaxed) &&
	    !pool->foreign) {
		pool->next = pools.lingering;
		pools.lingering = pool;
	} else {
		pool_free(pool);
	}
	look_after_lingering();
	pthread_mutex_unlock(&pools.lock);
}
