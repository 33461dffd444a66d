/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DPDK_FAULT_H
#define DPDK_FAULT_H

/*
 * dpdk_fault: a bad network in front of a port, for tests and measurements. It
 * takes the frames that the device received, before weir sees them:
 *
 *     device --> lose --> flip, cut --> late --> delay --> out --> weir
 *                  |          |         (fifo)  (sorted)  (fifo)
 *               repeated -----'
 *
 * It holds a bounded number of frames in the three queues together, which
 * are promised to it out of the rx pool as they would be to a link; a frame
 * for which there is no room is lost, as in a switch. Each kind of fault has
 * random numbers of its own, so that adding one does not move the others.
 *
 * A port with a device of its own has it as an rx callback of ethdev. Where
 * several share one, a queue holds frames of others and others hold ours: there
 * the port itself calls it with what is its own, by whichever queue that came.
 *
 * Threads: all of it on the thread that polls the port.
 */

#include <stdint.h>

#include "dpdk_dev.h"

/* Longest text of a specification. */
#define DPDK_FAULT_TEXT_MAX 255

#define DPDK_FAULT_REORDER_MAX 1024u
#define DPDK_FAULT_HOLD_MIN    128u
#define DPDK_FAULT_HOLD_MAX    16384u

/* A rate: happens if 32 random bits are less than this. 2^32: always. */
typedef uint64_t dpdk_fault_rate;
#define DPDK_FAULT_ALWAYS    (UINT64_C(1) << 32)
#define DPDK_FAULT_NOT_ASKED UINT64_MAX

struct dpdk_fault_spec {
	dpdk_fault_rate loss;
	dpdk_fault_rate burst;     /* a run of losses begins */
	dpdk_fault_rate burst_end; /* it ends after this frame */
	dpdk_fault_rate dup;
	dpdk_fault_rate reorder;
	dpdk_fault_rate corrupt;     /* one bit: checksums notice */
	dpdk_fault_rate corrupt_sum; /* two bits: the UDP checksum does not */
	dpdk_fault_rate truncate;
	uint32_t reorder_by; /* frames that pass a late one */
	uint64_t delay_ns;
	uint64_t jitter_ns; /* on top, at random */
	uint64_t seed;
	uint32_t hold; /* frames held at the same time, power of two */
};

/* What happened; see struct weir_dpdk_fault_stats. */
struct dpdk_fault_counts {
	uint64_t frames;
	uint64_t lost;
	uint64_t duplicated;
	uint64_t reordered;
	uint64_t delayed;
	uint64_t corrupted;
	uint64_t truncated;
	uint64_t overflows;
	uint64_t held;
};

struct dpdk_fault;

/*
 * Read "loss=1%,dup=0.5%,reorder=2%:8,delay=50us:10us,seed=7".
 *
 * @return 0; -EINVAL with weir_fail().
 */
int weir_dpdk_fault_parse(const char *text, struct dpdk_fault_spec *spec);

/* A fault that does nothing yet. @return NULL: out of memory. */
struct dpdk_fault *weir_dpdk_fault_new(const struct dpdk_fault_spec *spec);
void weir_dpdk_fault_free(struct dpdk_fault *fault);

/*
 * From now on these faults, or with NULL none: what is held comes out at the
 * next receive. Its room stays as it was made.
 *
 * @return 0; -ENOMEM, -ENOBUFS with weir_fail().
 */
int weir_dpdk_fault_set(struct dpdk_fault *fault,
			const struct dpdk_fault_spec *spec);

/* Stand before a device's queue, or with a shared device just count on calls
 * of weir_dpdk_fault_befall(). @return 0; -ENOBUFS, -ENOMEM with
 * weir_fail(). */
int weir_dpdk_fault_attach(struct dpdk_fault *fault, struct dpdk_dev *dev);

/* Step aside, before the device closes; what is held is freed. */
void weir_dpdk_fault_detach(struct dpdk_fault *fault);

/*
 * What becomes of `count` frames, and what is due comes out: so call it with
 * none, too.
 *
 * @param room places in mbufs, at least `count`.
 * @return how many frames there are now.
 */
uint16_t weir_dpdk_fault_befall(struct dpdk_fault *fault,
				struct rte_mbuf **mbufs, uint16_t count,
				uint16_t room);

void weir_dpdk_fault_counts(const struct dpdk_fault *fault,
			    struct dpdk_fault_counts *counts);

#endif /* DPDK_FAULT_H */
