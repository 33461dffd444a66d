/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_COMPAT_H
#define DPDK_COMPAT_H

/*
 * dpdk_compat: the one place that knows DPDK versions. weir uses only calls
 * that 22.11 and every later release have under the same name; what differs
 * is named here.
 */

#include <rte_mempool.h>
#include <rte_version.h>

/*
 * Mbufs that one thread's cache of a pool can hold back. Up to 26.03 a cache
 * of N flushes at 1.5 N, later it holds N exactly.
 */
#if RTE_VERSION < RTE_VERSION_NUM(26, 7, 0, 0)
#define DPDK_CACHE_HELD(size) ((size) + (size) / 2)
#else
#define DPDK_CACHE_HELD(size) (size)
#endif

#endif /* DPDK_COMPAT_H */
