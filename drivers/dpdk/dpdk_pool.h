/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_POOL_H
#define DPDK_POOL_H

/*
 * dpdk_pool: a mempool of mbufs that lives as long as anyone uses it.
 *
 * A port holds a reference while its device runs, and so does every store of
 * received messages. When the last is put, nothing of the pool is in use but
 * what a closed device lost in its rings, and it is freed. A pool whose mbufs
 * strangers can hold (net_ring gives ours to the other port) lingers instead
 * until all are back; later creates and puts look after it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <rte_mempool.h>

struct dpdk_pool {
	struct rte_mempool *mp;
	atomic_uint refs;
	bool foreign;           /* the application's: never freed by us */
	atomic_bool lingers;    /* strangers may hold its mbufs */
	uint32_t data_room;     /* bytes per mbuf, headroom included */
	atomic_uint budget;     /* mbufs that links may still be promised */
	uint64_t full_since_ns; /* lingering: when all were seen back */
	struct dpdk_pool *next;
};

/* What one pool must have room for. */
struct dpdk_pool_spec {
	const char *what; /* "tx", "rx": part of its name */
	uint32_t budget;  /* mbufs for links */
	uint32_t reserve; /* and for rings and bursts; caches come on top */
	uint32_t data_room;
	uint16_t priv_size; /* rounded up to 64, keeps payloads aligned */
	int numa_node;
	uint32_t pollers; /* threads that keep mbufs in caches */
	bool lingers;
	bool packed; /* mbufs may cross pages: no gaps between them */
};

/* @return 0 and one reference; -ENOMEM with weir_fail(). */
int weir_dpdk_pool_create(const struct dpdk_pool_spec *spec,
			  struct dpdk_pool **pool);

/* Wrap a mempool of the application. @return 0, -ENOMEM. */
int weir_dpdk_pool_adopt(struct rte_mempool *mp, uint32_t reserve,
			 struct dpdk_pool **pool);

/* Any thread. */
void weir_dpdk_pool_get(struct dpdk_pool *pool);
void weir_dpdk_pool_put(struct dpdk_pool *pool);

/* A stranger gets one of its mbufs. Any thread that has a reference. */
static inline void
weir_dpdk_pool_linger(struct dpdk_pool *pool)
{
	atomic_store_explicit(&pool->lingers, true, memory_order_relaxed);
}

#endif /* DPDK_POOL_H */
