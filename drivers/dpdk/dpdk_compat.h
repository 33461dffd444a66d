/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_COMPAT_H
#define DPDK_COMPAT_H

/*
 * dpdk_compat: the one place that knows DPDK versions. weir uses only calls
 * that 22.11 and every later release have under the same name; what differs
 * is named here.
 */

#include <rte_mempool.h>
#include <rte_telemetry.h>
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

/* Unsigned values of telemetry: renamed in 23.03. */
#if RTE_VERSION < RTE_VERSION_NUM(23, 3, 0, 0)
#define DPDK_TEL_U64           RTE_TEL_U64_VAL
#define dpdk_tel_add_dict_u64  rte_tel_data_add_dict_u64
#define dpdk_tel_add_array_u64 rte_tel_data_add_array_u64
#else
#define DPDK_TEL_U64           RTE_TEL_UINT_VAL
#define dpdk_tel_add_dict_u64  rte_tel_data_add_dict_uint
#define dpdk_tel_add_array_u64 rte_tel_data_add_array_uint
#endif

#endif /* DPDK_COMPAT_H */
