/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_DPDK_H
#define WEIR_DPDK_H

/**
 * @file
 * The dpdk driver, for programs that link with libweir-dpdk.
 *
 *     weir_driver_register(&weir_driver_dpdk);
 *     weir_port_open("dpdk:demo", NULL, &port);
 *
 * A DPDK application keeps its EAL, its ethdev and its lcores, and gives weir
 * one queue pair: weir_dpdk_port_open(). Nothing is configured, started or
 * stopped by weir then; the thread that opens the port polls it.
 */

#include "weir.h"

#include <rte_mbuf.h>
#include <rte_mempool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Register it once, before the first dpdk: endpoint. */
extern WEIR_API const struct weir_driver weir_driver_dpdk;

/** One rx/tx queue pair of an ethdev, and where its mbufs come from. */
struct weir_dpdk_queue {
	uint16_t port_id;
	uint16_t queue_id;
	struct rte_mempool *tx_pool; /**< for open: of the application, whose
					  mbufs have room for 256 bytes and a
					  packet; NULL: weir makes one */
	struct rte_mempool *rx_pool; /**< for open: of the queue, where its
					  driver does not tell, as net_ring
					  does not; NULL: the driver tells */
};

/**
 * As weir_port_open(), on a queue pair of the application, which must be
 * started. The endpoint needs local=IP/LEN; its dev= keys are not read.
 *
 * With an IPv6 address, the port must receive frames to the group of
 * neighbours that ask for it, 33:33:ff and the address's last three bytes
 * (rte_eth_dev_set_mc_addr_list(), or all groups); or both ends give
 * peer-mac=. With vlan=, weir puts the tag into its frames itself, and takes
 * frames with the tag in place or stripped (RTE_MBUF_F_RX_VLAN_STRIPPED).
 *
 * @return as weir_port_open().
 */
WEIR_API int weir_dpdk_port_open(const char *endpoint,
				 const struct weir_port_config *config,
				 const struct weir_dpdk_queue *queue,
				 struct weir_port **port);

/**
 * The queue pair and the pools of an open dpdk port.
 *
 * @return 0; -EAGAIN a memif pair gets its device at the first listen or
 *         connect; -EINVAL not a dpdk port.
 */
WEIR_API int weir_dpdk_port_queue(struct weir_port *port,
				  struct weir_dpdk_queue *queue);

/**
 * The mbuf that a received message lies in, at msg->data. Read only: on
 * net_ring it is the sender's own. To keep the bytes after the release, take
 * a reference with rte_mbuf_refcnt_update(); the peer gets its credit back
 * all the same, so the application's pool must have mbufs to spare. Small
 * messages may share an mbuf.
 *
 * @return NULL: a message of several packets, which lies in a large buffer,
 *         or one of another driver.
 */
WEIR_API struct rte_mbuf *weir_dpdk_msg_mbuf(const struct weir_msg *msg);

/**
 * For tests and measurements: put a bad network before the port's receive
 * queue (a receive callback of ethdev). spec is a list of
 *
 *     loss=RATE          lose a frame
 *     burst=RATE:N       begin to lose a run of frames, N on average
 *     dup=RATE           repeat it
 *     reorder=RATE[:K]   let K (3) frames pass it, or 1 ms
 *     corrupt=RATE       flip a bit of it
 *     corrupt=RATE:sum   flip two, so that the UDP checksum stays right:
 *                        only crc=on notices. Pairs (memif, net_ring) have no
 *                        checksum, so there this is true of corrupt=RATE too
 *     truncate=RATE      cut its end off
 *     delay=TIME[:TIME]  hold it for so long, and a random time on top
 *     seed=N             of the random numbers, each kind has its own (1)
 *     hold=N             frames held at most (512), which the port must have
 *                        to spare (mbufs=): what is more is lost
 *
 * with commas between. RATE is a percentage with its sign, 0.1%; TIME a
 * number with ns, us, ms or s. A later call replaces the earlier one (hold=
 * not larger than in the first); NULL or "" ends it, and what was held
 * arrives. A port that closes drops what is held. A memif pair begins with it
 * when it gets its device.
 *
 * Call on the owner's thread.
 *
 * @return 0; -EINVAL not understood, or not a dpdk port; -ENOBUFS, -ENOMEM;
 *         weir_last_error() says more.
 */
WEIR_API int weir_dpdk_port_fault(struct weir_port *port, const char *spec);

/** What weir_dpdk_port_fault() did to frames since the port was opened. */
struct weir_dpdk_fault_stats {
	uint64_t frames; /**< came to it */
	uint64_t lost;
	uint64_t duplicated;
	uint64_t reordered;
	uint64_t delayed;
	uint64_t corrupted;
	uint64_t truncated;
	uint64_t overflows; /**< lost because hold= were held */
	uint64_t held;      /**< at this moment */
};

/**
 * Fills what it knows of size bytes, zeroes the rest; all 0 where there never
 * was a fault. Owner's thread.
 *
 * @return 0; -EINVAL not a dpdk port.
 */
WEIR_API int weir_dpdk_port_fault_stats(struct weir_port *port,
					struct weir_dpdk_fault_stats *stats,
					size_t size);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_DPDK_H */
