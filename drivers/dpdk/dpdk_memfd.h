/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_MEMFD_H
#define DPDK_MEMFD_H

/*
 * dpdk_memfd: the descriptors of EAL's memory, which memif closes.
 *
 * A zero-copy memif client passes EAL's own memory files to its peer and,
 * once connected, closes EAL's descriptors (seen in 22.11). The numbers are
 * then free for any other file, and the next client would pass *that* to its
 * peer; EAL would resize it. So the files are kept by descriptors of ours,
 * put back under their old numbers at once, and verified before each use.
 */

#include <stdbool.h>

/*
 * Before a zero-copy client connects: keep all memory files.
 *
 * @return false if EAL's descriptors are not (or no longer) what they should
 *         be: then zero copy is out of the question.
 */
bool weir_dpdk_memfd_keep(void);

/* After memif may have closed some: put them back. */
void weir_dpdk_memfd_restore(void);

#endif /* DPDK_MEMFD_H */
