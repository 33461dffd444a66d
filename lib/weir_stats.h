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

/**
 * The tables of counters: X(kind, name, unit, text). A field, its name and its
 * meaning stand here once; whoever prints them all expands the table. Kinds:
 * COUNT and EVENT grow from 0, LEVEL is of the moment. An EVENT is a drop, a
 * wait, a repair: 0 while all is well. New ones are added at the end.
 */

/** The transport under a link; all 0 where there are no packets. The reasons
 *  to drop a packet, drop_*, are those of packets with this link's token. */
#define WEIR_LINK_COUNTERS(X)                                                  \
	X(COUNT, tx_packets, packets, "sent, of all types")                    \
	X(COUNT, tx_wire_bytes, bytes, "sent, with headers")                   \
	X(EVENT, tx_retransmits, packets, "sent again")                        \
	X(COUNT, tx_acks, packets, "sent only to acknowledge")                 \
	X(COUNT, rx_packets, packets, "received with our token")               \
	X(COUNT, rx_wire_bytes, bytes, "received, with headers")               \
	X(COUNT, rx_acks, packets, "received that only acknowledge")           \
	X(COUNT, rx_duplicates, packets, "the same as drop_duplicate")         \
	X(EVENT, rx_reordered, packets, "arrived before their turn")           \
	X(COUNT, rx_out_of_window, packets, "the same as drop_stale")          \
	X(COUNT, rx_malformed, packets, "the same as drop_violation")          \
	X(EVENT, rto_fired, times, "retransmission time-outs")                 \
	X(COUNT, probes, packets, "tail-loss, zero-window, keepalive probes")  \
	X(LEVEL, srtt_ns, ns, "smoothed round trip")                           \
	X(LEVEL, rto_ns, ns, "retransmission time-out")                        \
	X(EVENT, drop_token, packets, "another link's token")                  \
	X(EVENT, drop_state, packets, "type not expected in this state")       \
	X(EVENT, drop_duplicate, packets, "payload received before")           \
	X(EVENT, drop_stopped, packets, "our side does not read any more")     \
	X(EVENT, drop_stale, packets, "number far outside any window")         \
	X(EVENT, drop_params, packets, "hello without right parameters")       \
	X(EVENT, drop_violation, packets, "broke the rules, link was reset")   \
	X(EVENT, drop_retry, packets, "RETRY not ours, or one too many")       \
	X(EVENT, drop_gone, packets, "GONE without the right proof")           \
	X(EVENT, drop_crc_missing, packets, "no trailer, though agreed on")    \
	X(EVENT, drop_flags, packets, "a trailer that was not agreed on")      \
	WEIR_TX_WAITS(X)                                                       \
	X(EVENT, wait_window, times, "data waited for the peer's window")      \
	X(EVENT, wait_cwnd, times, "data waited for the congestion window")    \
	X(EVENT, lost_threshold, packets, "taken for lost: later ones came")   \
	X(EVENT, lost_time, packets, "taken for lost: overdue")                \
	X(EVENT, lost_timeout, packets, "taken for lost: time-out")            \
	X(EVENT, needless, packets, "sent again though not lost")              \
	X(EVENT, late, packets, "acknowledged out of order, not lost")         \
	X(EVENT, tail_probes, packets, "sent after silence")                   \
	X(EVENT, window_probes, packets, "asked for window or credit")         \
	X(EVENT, probes_healed, times, "a probe found a lost update")          \
	X(COUNT, keepalives, packets, "sent because all was quiet")            \
	X(EVENT, hello_repeats, packets, "INIT or ACCEPT sent again")          \
	X(EVENT, ack_stale, packets, "older acknowledgement, ignored")         \
	X(EVENT, pauses, times, "our own polling stood still")                 \
	X(COUNT, tx_batches, packets, "sent with several messages each")       \
	X(COUNT, tx_batched, messages, "sent in these")                        \
	X(COUNT, rx_batches, packets, "received with several messages each")   \
	X(COUNT, rx_batched, messages, "received in these")                    \
	X(EVENT, wait_pacing, times, "data waited for its turn to leave")      \
	X(EVENT, recoveries, times, "round trips with a loss")                 \
	X(EVENT, rx_marked, packets, "arrived with a congestion mark")         \
	X(EVENT, tx_marked, packets, "of ours that the peer says were marked") \
	X(LEVEL, min_rtt_ns, ns, "least round trip of late")                   \
	X(LEVEL, gap_ns, ns, "between packets, if they are paced")             \
	X(LEVEL, cwnd, packets, "that may be in flight")                       \
	X(EVENT, rx_wait_large, times, "a large message waited for a buffer")  \
	X(EVENT, rx_unread, packets, "received, and nobody will read them")

/** What a port counts besides its links: first the sums... */
#define WEIR_PORT_COUNTERS(X)                                               \
	X(COUNT, polls, times, "calls of weir_port_poll")                   \
	X(COUNT, polls_idle, times, "of these found nothing to do")         \
	X(COUNT, doorbells, times, "transmit bursts handed to the device")  \
	X(COUNT, tx_packets, packets, "the device took")                    \
	X(COUNT, rx_packets, frames, "the device gave")                     \
	X(COUNT, rx_checksum_errors, frames, "sum of frame_*_checksum")     \
	X(COUNT, rx_unknown_link, packets, "for no link of this port")      \
	X(COUNT, rx_malformed, frames, "sum of other frame_*, packet_*")    \
	X(COUNT, rx_foreign, frames, "that are not weir's, sum of frame_*") \
	X(EVENT, tx_no_buffer, times, "the pool of packet buffers was empty")

/** ...then the reasons to drop: frame_* below weir's header, neighbour_* in
 *  ARP and neighbour discovery, packet_* in weir's header; what became of
 *  packets that belong to no link. */
#define WEIR_PORT_REASONS(X)                                                   \
	X(EVENT, frame_short, frames, "ends inside the headers")               \
	X(EVENT, frame_segmented, frames, "in several buffers")                \
	X(EVENT, frame_foreign_ether, frames, "another EtherType or address")  \
	X(EVENT, frame_foreign_vlan, frames, "another VLAN")                   \
	X(EVENT, frame_stacked_vlan, frames, "two tags")                       \
	X(EVENT, frame_foreign_ip, frames, "another address or protocol")      \
	X(EVENT, frame_foreign_port, frames, "UDP, none of our ports")         \
	X(EVENT, frame_icmp, frames, "ICMP, not about neighbours")             \
	X(EVENT, frame_bad_ip, frames, "IP header does not add up")            \
	X(EVENT, frame_ip_options, frames, "IPv4 options")                     \
	X(EVENT, frame_ip6_extension, frames, "IPv6 extension headers")        \
	X(EVENT, frame_ip4_fragment, frames, "fragment")                       \
	X(EVENT, frame_ip6_fragment, frames, "fragment")                       \
	X(EVENT, frame_ttl, frames, "from farther away than ttl-min says")     \
	X(EVENT, frame_ip_checksum, frames, "wrong IP checksum")               \
	X(EVENT, frame_bad_udp, frames, "UDP length disagrees with IP's")      \
	X(EVENT, frame_udp_checksum, frames, "wrong UDP checksum")             \
	X(EVENT, frame_udp_no_checksum, frames, "no UDP checksum")             \
	X(EVENT, frame_bad_source, frames, "from nobody who can be answered")  \
	X(EVENT, neighbour_not_us, frames, "asks for another station")         \
	X(EVENT, neighbour_unasked, frames, "answer that was not asked for")   \
	X(EVENT, neighbour_pinned, frames, "for a station that is given")      \
	X(EVENT, neighbour_conflict, frames, "claims our address")             \
	X(EVENT, neighbour_limited, frames, "too many questions")              \
	X(EVENT, neighbour_short, frames, "too short")                         \
	X(EVENT, neighbour_bad_field, frames, "a field that cannot be so")     \
	X(EVENT, neighbour_bad_sender, frames, "sender is not one station")    \
	X(EVENT, neighbour_hop_limit, frames, "was forwarded")                 \
	X(EVENT, neighbour_checksum, frames, "wrong checksum")                 \
	X(EVENT, neighbour_option, frames, "option beyond the end")            \
	X(EVENT, packet_short, packets, "ends inside the header")              \
	X(EVENT, packet_version, packets, "another version")                   \
	X(EVENT, packet_type, packets, "unknown type")                         \
	X(EVENT, packet_flags, packets, "a reserved flag")                     \
	X(EVENT, packet_header_length, packets, "header beyond the end")       \
	X(EVENT, packet_extension, packets, "extension wrong, or twice")       \
	X(EVENT, packet_critical_extension, packets,                           \
	  "unknown extension that must be understood")                         \
	X(EVENT, packet_payload, packets, "payload where none may be")         \
	X(EVENT, packet_crc, packets, "trailer missing or wrong")              \
	X(EVENT, packet_batch, packets, "records that do not fit")             \
	X(EVENT, init_malformed, packets, "INIT that no honest peer sends")    \
	X(COUNT, init_again, packets, "INIT of a link that is half open")      \
	X(COUNT, init_welcome, packets, "INIT answered with ACCEPT")           \
	X(COUNT, init_retry, packets, "INIT answered with RETRY")              \
	X(EVENT, init_refused, packets, "INIT that gets no link, by REJECT")   \
	X(EVENT, init_no_room, packets, "of these: too many half open")        \
	X(EVENT, cookie_wrong, packets, "INIT whose cookie is wrong or old")   \
	X(EVENT, reject_limited, packets, "REJECT not sent: too many")         \
	X(EVENT, superseded, links, "ended: the peer was restarted")           \
	X(EVENT, token_unknown, packets, "the same as rx_unknown_link")        \
	X(EVENT, gone_sent, packets, "GONE sent: no such link any more")       \
	X(EVENT, gone_limited, packets, "GONE not sent: too many")             \
	X(EVENT, gone_taken, links, "ended: the peer knows them no more")      \
	X(EVENT, gone_unknown, packets, "GONE about no link of ours")          \
	X(EVENT, gone_forged, packets, "GONE without the right proof")         \
	X(EVENT, tx_ring_full, times, "the device did not take the burst")     \
	X(COUNT, link_looks, times, "links that polls looked at")              \
	X(COUNT, link_wakes, times, "idle links that were used again")         \
	X(COUNT, timer_wakes, times, "deadlines of idle links that came up")   \
	X(LEVEL, link_bytes, bytes, "of memory that links take, no mbufs")     \
	X(COUNT, rx_misdirected, frames, "handed to another port of a device") \
	X(EVENT, rx_inbox_full, frames,                                        \
	  "lost: that port took no more of them")                              \
	X(EVENT, tx_answer_dropped, packets, "RETRY, REJECT, GONE: no room")   \
	X(EVENT, tx_neighbour_dropped, frames, "ARP, NDP: no room to send")    \
	X(EVENT, tx_parting_dropped, packets, "port or other end went")        \
	WEIR_DEVICE_DROPS(X)

/** Frames that the device itself lost since the port has it, as far as its PMD
 *  tells; of all its queues, so several ports of a device count the same. */
#define WEIR_DEVICE_DROPS(X)                                                  \
	X(EVENT, device_missed, frames, "device: its receive queue was full") \
	X(EVENT, device_no_buffer, frames, "device: no buffer to receive in") \
	X(EVENT, device_rx_errors, frames, "device: received damaged")        \
	X(EVENT, device_tx_errors, frames, "device: could not be sent")

/** Why reserve found no room; their sum is reserve_waits. */
#define WEIR_TX_WAITS(X)                                                    \
	X(EVENT, reserve_wait_down, times, "reserve: link is not up yet")   \
	X(EVENT, reserve_wait_credit, times,                                \
	  "reserve: the peer holds as many messages as it takes")           \
	X(EVENT, reserve_wait_queue, times, "reserve: send queue is full")  \
	X(EVENT, reserve_wait_small, times, "reserve: no small place free") \
	X(EVENT, reserve_wait_large, times, "reserve: no large place free")

#define WEIR_STATS_FIELD(kind, name, unit, text) uint64_t name;

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
				     send, forward, fragments, repeats, and
				     small messages that share a packet */
	uint64_t doorbells; /**< wake-ups of a sleeping peer (system calls) */
	WEIR_TX_WAITS(WEIR_STATS_FIELD)
};

struct weir_rx_stats {
	uint64_t messages;      /**< received by the application */
	uint64_t payload_bytes; /**< received by the application */
	uint64_t released;     /**< handed back; messages - released are held */
	uint64_t copied_bytes; /**< payload that weir copied on the way in */
	uint64_t doorbells; /**< wake-ups of a sleeping peer (system calls) */
};

struct weir_link_stats {
	WEIR_LINK_COUNTERS(WEIR_STATS_FIELD)
};

struct weir_port_stats {
	WEIR_PORT_COUNTERS(WEIR_STATS_FIELD)
	uint32_t links;
	uint32_t pool_size;
	uint32_t pool_free;
	WEIR_PORT_REASONS(WEIR_STATS_FIELD)
};

/** Half's thread. Fills what it knows of size bytes, zeroes the rest. */
WEIR_API void weir_tx_stats(struct weir_tx *tx, struct weir_tx_stats *stats,
			    size_t size);
WEIR_API void weir_rx_stats(struct weir_rx *rx, struct weir_rx_stats *stats,
			    size_t size);

/** Port owner's thread (mem, shm: any). weir_port_stats() asks the device for
 *  device_*: a system call, or reads of its registers. */
WEIR_API void weir_link_stats(struct weir_link *link,
			      struct weir_link_stats *stats, size_t size);
WEIR_API void weir_port_stats(struct weir_port *port,
			      struct weir_port_stats *stats, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_STATS_H */
