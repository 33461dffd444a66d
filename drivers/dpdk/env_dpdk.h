/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef ENV_DPDK_H
#define ENV_DPDK_H

/*
 * env_dpdk: DPDK's environment (EAL) for weir. It exists once per process.
 *
 * The application's own EAL is used when it runs. Otherwise weir starts one,
 * after looking at huge pages and limits itself, because EAL's own answer to
 * a missing page is a page of log. Two profiles:
 *
 *     huge pages   --no-pci --in-memory --single-file-segments --no-telemetry
 *     none         --no-pci --no-huge -m SIZE --no-shconf
 *                  --single-file-segments --no-telemetry
 *
 * Nothing is printed: EAL's log goes to weir_log(). No file is left behind.
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dpdk_env_config {
	uint32_t hugepages;    /* enum weir_hugepages of weir.h */
	bool telemetry;        /* start EAL's telemetry socket */
	uint64_t memory_bytes; /* needed; 0: DPDK_ENV_MEMORY_BYTES */
	const char *pci;       /* address of the one PCI device to probe, or
				  NULL: no PCI device is touched */
};

/*
 * Memory that the profile without huge pages reserves: it cannot grow later.
 * Only pages that are used become resident.
 */
#define DPDK_ENV_MEMORY_BYTES (UINT64_C(512) << 20)

/*
 * Make sure that an EAL runs. The calling thread becomes EAL's main lcore if
 * weir starts it, and keeps its CPU affinity and signal mask. Once it runs,
 * later calls return 0 at once, whatever their config says. When a check fails
 * one may try again; when EAL's own start fails, never (its limit). Takes 0.2 s. Not for the data path.
 *
 * @return 0; -ENOMEM no huge pages (required) or too little memory,
 *         -EPERM, -ENOTSUP or what EAL gave; each with weir_fail().
 */
int weir_env_dpdk_start(const struct dpdk_env_config *config);

/* @return true if weir started the EAL that runs. */
bool weir_env_dpdk_is_ours(void);

/* @return true if mbufs will lie in huge pages. */
bool weir_env_dpdk_has_hugepages(void);

/* The last line that EAL or a driver logged as an error since the last guard
 * began, or "". */
void weir_env_dpdk_error(char *text, size_t size);

/*
 * Around calls that create, start or close devices: nothing that they print
 * reaches stderr, and a write to a peer that has gone (memif, virtio_user)
 * raises no SIGPIPE. On one thread, not nested.
 */
struct dpdk_env_guard {
	sigset_t signals;
	bool pipe_was_pending;
};

void weir_env_dpdk_guard_begin(struct dpdk_env_guard *guard);
void weir_env_dpdk_guard_end(struct dpdk_env_guard *guard);

/*
 * Give the calling thread an lcore id, so that it has mempool caches (alloc
 * and free cost 43 ns without, 19 ns with). Only where weir started EAL: it
 * turns DPDK's multi-process off. For threads that poll a port.
 *
 * @return true if the thread got an id from this call: then it must call
 *         weir_env_dpdk_unregister_thread() before it ends.
 */
bool weir_env_dpdk_register_thread(void);
void weir_env_dpdk_unregister_thread(void);

#endif /* ENV_DPDK_H */
