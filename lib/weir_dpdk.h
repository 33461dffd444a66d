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

/** Bits of weir_dpdk_queue.flags: what the application does itself. */
enum weir_dpdk_queue_flags {
	/** It receives, from any queues of the ethdev, and hands frames to
	 *  weir_dpdk_port_input(). */
	WEIR_DPDK_FED = 1u << 0,
	/** It sends, and gets packets from weir_dpdk_port_output(). */
	WEIR_DPDK_DRAINED = 1u << 1,
};

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
	uint32_t flags;              /**< enum weir_dpdk_queue_flags */
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
 * Hand received frames to a port that was opened with WEIR_DPDK_FED. Owner's
 * thread; the rest of the work is done by weir_port_poll(), to be called after
 * it, and when nothing arrives as well, since it looks after time.
 *
 *     n = rte_eth_rx_burst(...);
 *     n = weir_dpdk_port_input(port, mbufs, n);
 *     ... n mbufs are left that are not weir's ...
 *     weir_port_poll(port);
 *
 * weir takes UDP packets to its local= address, if their port is that of a
 * listener or of its connections (49152 plus queue_id), or they belong to a
 * link. ARP and neighbour discovery it reads, answers where its own address is
 * asked for, and hands back, since the application may need them as well.
 * Everything else comes back unseen.
 *
 * The application's thread is the one that waits: calls whose name ends in
 * _wait would wait for frames that nobody brings. Before weir_port_close(),
 * which does not wait either, go on until weir_link_status() says that the
 * links are over.
 *
 * @param mbufs count frames, of rx_pool; on return those that come back are
 *        the first ones, in their order, and the caller's; weir has the rest.
 * @return how many came back; all of them if the port was not opened so.
 */
WEIR_API uint16_t weir_dpdk_port_input(struct weir_port *port,
				       struct rte_mbuf **mbufs, uint16_t count);

/**
 * Take packets that a port opened with WEIR_DPDK_DRAINED has to send, oldest
 * first, complete with all headers and offload flags. Owner's thread, after
 * weir_port_poll(). Up to 64 wait; as long as they do, the port sends no more.
 *
 * @param mbufs room for count; the caller owns what it gets, for
 *        rte_eth_tx_burst() on port_id, and must change nothing in them. What
 *        it frees instead is lost, and repaired like any loss.
 * @return how many; 0 none, or the port was not opened so.
 */
WEIR_API uint16_t weir_dpdk_port_output(struct weir_port *port,
					struct rte_mbuf **mbufs,
					uint16_t count);

/**
 * The queue pair and the pools of an open dpdk port.
 *
 * @return 0; -EAGAIN a memif pair gets its device at the first listen or
 *         connect; -EINVAL not a dpdk port.
 */
WEIR_API int weir_dpdk_port_queue(struct weir_port *port,
				  struct weir_dpdk_queue *queue);

/* ---- mbufs as messages, messages as mbufs, without a copy ---------------- */

/** What an mbuf needs in front of its data, and behind it, to be wrapped:
 *  as much as RTE_PKTMBUF_HEADROOM, and a checksum. Bytes. */
#define WEIR_DPDK_HEADROOM 128
#define WEIR_DPDK_TAILROOM 8

/**
 * Turn a permit and an mbuf of the application into a slot whose bytes are
 * those of the mbuf: commit sends it as one message. Instead of
 * weir_permit_alloc(), on the half's thread; never waits.
 *
 * The mbuf may be of any pool: received on whatever port, unwrapped from a
 * message, or new. It must be one segment, direct, referred to by nobody else,
 * with WEIR_DPDK_HEADROOM and WEIR_DPDK_TAILROOM bytes around its data, which
 * must fit into one packet: at most the smaller of the permit's size and
 * weir_tx_stats.classes[0].size. On success the slot owns the mbuf and the
 * permit is consumed; commit and discard consume both, and neither can fail.
 * weir frees the mbuf to its pool: discard at once, else the port's poll when
 * the peer has acknowledged it. Its bytes may be changed until commit, its
 * fields not at all.
 *
 * The bytes are sent from where they are. As ever, weir copies them where a
 * small message shares a packet with others (coalesce=off forbids it) and
 * where a packet is repeated; weir_tx_stats.copied_bytes counts both.
 *
 * @return 0; otherwise nothing was consumed, weir_last_error() says more, and
 *         the permit is as good as before:
 *         -EMSGSIZE too long; -EINVAL several segments, indirect, or of an
 *         external buffer; -EBUSY others hold a reference, as a net_ring's
 *         sender does until it is acknowledged; -ENOSPC too little headroom
 *         or tailroom; -EFAULT the device cannot read that memory (a memif
 *         pair in zero copy reads what EAL had when it started);
 *         -EOPNOTSUPP not a permit of a dpdk link.
 */
WEIR_API int weir_dpdk_permit_wrap(struct weir_permit *permit,
				   struct rte_mbuf *mbuf,
				   struct weir_slot *slot);

/**
 * Back out of weir_dpdk_permit_wrap(): as weir_slot_discard(), but the mbuf
 * goes back to the caller. Half's thread. Consumes the slot.
 *
 * @return NULL: no mbuf was wrapped in it, nothing happened.
 */
WEIR_API struct rte_mbuf *weir_dpdk_slot_unwrap(struct weir_slot *slot);

/**
 * Take the mbuf out of a received message: one segment, its data the bytes of
 * the message. Any thread; consumes the message, as weir_msg_release() does:
 * the peer may send the next one. The caller owns the mbuf, for as long as it
 * likes, also when link and port are gone, and frees it or sends it on: with
 * rte_eth_tx_burst(), or with weir_dpdk_permit_wrap(), for which there is room
 * in front of it where the pool's mbufs have RTE_PKTMBUF_HEADROOM.
 *
 * It comes from the port's receive pool, which must have mbufs to spare: weir
 * reckons with those that messages hold, not with these. On net_ring it is the
 * sender's own mbuf, and has a second reference until the sender has been
 * polled: read only so long.
 *
 * @return 0; otherwise the message is as it was:
 *         -EMSGSIZE it came in several packets and lies in a large buffer;
 *         -EBUSY it shares its mbuf with other small messages (the peer's
 *         coalesce=off forbids it); -EOPNOTSUPP not of a dpdk link.
 */
WEIR_API int weir_dpdk_msg_unwrap(struct weir_msg *msg, struct rte_mbuf **mbuf);

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
 *                        only crc=on notices. Pairs (memif, vhost, net_ring)
 *                        have no checksum, so there this is true of
 *                        corrupt=RATE too
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
