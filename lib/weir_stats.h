/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_STATS_H
#define WEIR_STATS_H

/**
 * @file
 * Counters. Each has one writer; reading them never disturbs the data path.
 *
 * The caller passes sizeof() of the struct it knows, so that counters can be
 * added at the end. Counts are messages, bytes or packets since the start.
 */

#include "weir.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_CLASSES_MAX 8

/** One size class of a send half: total = free + pledged + allocated +
 *  outstanding, after every call. */
struct weir_class_stats {
	uint32_t size;        /**< longest message it takes, bytes */
	uint32_t total;       /**< places */
	uint32_t free;        /**< neither promised nor used */
	uint32_t pledged;     /**< promised to permits */
	uint32_t allocated;   /**< under open slots */
	uint32_t outstanding; /**< committed, not yet given back: under way,
				   or held by the peer */
};

/** capacity = free + permitted + allocated + outstanding, after every call. */
struct weir_tx_stats {
	uint32_t capacity;    /**< message credits of this direction */
	uint32_t free;        /**< credits nobody holds */
	uint32_t permitted;   /**< held as permits */
	uint32_t allocated;   /**< held as slots */
	uint32_t outstanding; /**< committed, credit not yet given back */
	uint32_t class_count;
	struct weir_class_stats classes[WEIR_CLASSES_MAX];
	uint64_t messages;      /**< committed */
	uint64_t payload_bytes; /**< committed */
	uint64_t reserve_waits; /**< reserve found no room */
	uint64_t discarded;     /**< slots given back unsent */
	uint64_t copied_bytes;  /**< payload that weir copied on the way out:
				     send, forward, fragments, repeats */
	uint64_t doorbells; /**< wake-ups of a sleeping peer (system calls) */
};

struct weir_rx_stats {
	uint64_t messages;      /**< received by the application */
	uint64_t payload_bytes; /**< received by the application */
	uint64_t released;     /**< handed back; messages - released are held */
	uint64_t copied_bytes; /**< payload that weir copied on the way in */
	uint64_t doorbells; /**< wake-ups of a sleeping peer (system calls) */
};

/** The transport under a link; all 0 where there are no packets. */
struct weir_link_stats {
	uint64_t tx_packets;
	uint64_t tx_wire_bytes;
	uint64_t tx_retransmits;
	uint64_t tx_acks;
	uint64_t rx_packets;
	uint64_t rx_wire_bytes;
	uint64_t rx_acks;
	uint64_t rx_duplicates;
	uint64_t rx_reordered;
	uint64_t rx_out_of_window;
	uint64_t rx_malformed;
	uint64_t rto_fired;
	uint64_t probes; /**< tail-loss, zero-window and keepalive probes */
	uint64_t srtt_ns;
	uint64_t rto_ns;
};

struct weir_port_stats {
	uint64_t polls;
	uint64_t polls_idle;
	uint64_t doorbells; /**< transmit bursts handed to the device */
	uint64_t tx_packets;
	uint64_t rx_packets;
	uint64_t rx_checksum_errors;
	uint64_t rx_unknown_link; /**< packets for no link of this port */
	uint64_t rx_malformed;
	uint64_t rx_foreign; /**< frames that are not weir's */
	uint64_t tx_no_buffer;
	uint32_t links;
	uint32_t pool_size;
	uint32_t pool_free;
};

/** Half's thread. Fills what it knows of size bytes, zeroes the rest. */
WEIR_API void weir_tx_stats(struct weir_tx *tx, struct weir_tx_stats *stats,
			    size_t size);
WEIR_API void weir_rx_stats(struct weir_rx *rx, struct weir_rx_stats *stats,
			    size_t size);

/** Port owner's thread (mem, shm: any). */
WEIR_API void weir_link_stats(struct weir_link *link,
			      struct weir_link_stats *stats, size_t size);
WEIR_API void weir_port_stats(struct weir_port *port,
			      struct weir_port_stats *stats, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_STATS_H */
