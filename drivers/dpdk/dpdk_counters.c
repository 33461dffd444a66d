/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables behind dpdk_counters.h; a test goes through them. */

#include <stddef.h>
#include <string.h>
#include <rte_ethdev.h>
#include "dpdk_counters.h"

#define PORT(field) offsetof(struct weir_port_stats, field)
#define LINK(field) offsetof(struct weir_link_stats, field)

/* Adds to a counter that was found by its place. */
static void
count_at(void *stats, size_t offset, uint64_t count)
{
	*(uint64_t *)((char *)stats + offset) += count;
}

size_t
weir_dpdk_frame_counter(enum dpdk_hdr_result result)
{
	static const size_t at[DPDK_HDR_RESULTS] = {
		[DPDK_HDR_SHORT] = PORT(frame_short),
		[DPDK_HDR_SEGMENTED] = PORT(frame_segmented),
		[DPDK_HDR_FOREIGN_ETHER] = PORT(frame_foreign_ether),
		[DPDK_HDR_FOREIGN_VLAN] = PORT(frame_foreign_vlan),
		[DPDK_HDR_STACKED_VLAN] = PORT(frame_stacked_vlan),
		[DPDK_HDR_FOREIGN_IP] = PORT(frame_foreign_ip),
		[DPDK_HDR_FOREIGN_PORT] = PORT(frame_foreign_port),
		[DPDK_HDR_ICMP] = PORT(frame_icmp),
		[DPDK_HDR_BAD_IP] = PORT(frame_bad_ip),
		[DPDK_HDR_IP_OPTIONS] = PORT(frame_ip_options),
		[DPDK_HDR_EXTENSION] = PORT(frame_ip6_extension),
		[DPDK_HDR_FRAGMENT4] = PORT(frame_ip4_fragment),
		[DPDK_HDR_FRAGMENT6] = PORT(frame_ip6_fragment),
		[DPDK_HDR_TOO_FAR] = PORT(frame_ttl),
		[DPDK_HDR_IP_CKSUM] = PORT(frame_ip_checksum),
		[DPDK_HDR_BAD_UDP] = PORT(frame_bad_udp),
		[DPDK_HDR_UDP_CKSUM] = PORT(frame_udp_checksum),
		[DPDK_HDR_UDP_NO_CKSUM] = PORT(frame_udp_no_checksum),
		[DPDK_HDR_BAD_SOURCE] = PORT(frame_bad_source),
	};

	return at[result];
}

size_t
weir_dpdk_neigh_counter(enum dpdk_neigh_result result)
{
	static const size_t at[DPDK_NEIGH_RESULTS] = {
		[DPDK_NEIGH_NOT_US] = PORT(neighbour_not_us),
		[DPDK_NEIGH_UNASKED] = PORT(neighbour_unasked),
		[DPDK_NEIGH_PINNED] = PORT(neighbour_pinned),
		[DPDK_NEIGH_CONFLICT] = PORT(neighbour_conflict),
		[DPDK_NEIGH_LIMITED] = PORT(neighbour_limited),
		[DPDK_NEIGH_SHORT] = PORT(neighbour_short),
		[DPDK_NEIGH_BAD_FIELD] = PORT(neighbour_bad_field),
		[DPDK_NEIGH_BAD_SENDER] = PORT(neighbour_bad_sender),
		[DPDK_NEIGH_HOPS] = PORT(neighbour_hop_limit),
		[DPDK_NEIGH_CKSUM] = PORT(neighbour_checksum),
		[DPDK_NEIGH_OPTION] = PORT(neighbour_option),
	};

	return at[result];
}

size_t
weir_dpdk_packet_counter(enum wire_drop reason)
{
	static const size_t at[WIRE_DROPS] = {
		[WIRE_DROP_SHORT] = PORT(packet_short),
		[WIRE_DROP_VERSION] = PORT(packet_version),
		[WIRE_DROP_TYPE] = PORT(packet_type),
		[WIRE_DROP_FLAGS] = PORT(packet_flags),
		[WIRE_DROP_HLEN] = PORT(packet_header_length),
		[WIRE_DROP_EXT] = PORT(packet_extension),
		[WIRE_DROP_CRITICAL] = PORT(packet_critical_extension),
		[WIRE_DROP_PAYLOAD] = PORT(packet_payload),
		[WIRE_DROP_CRC] = PORT(packet_crc),
		[WIRE_DROP_BATCH] = PORT(packet_batch),
	};

	return at[reason];
}

size_t
weir_dpdk_stranger_counter(enum listen_count what)
{
	static const size_t at[LISTEN_COUNTS] = {
		[LISTEN_INIT_MALFORMED] = PORT(init_malformed),
		[LISTEN_INIT_AGAIN] = PORT(init_again),
		[LISTEN_INIT_WELCOME] = PORT(init_welcome),
		[LISTEN_INIT_RETRY] = PORT(init_retry),
		[LISTEN_INIT_REFUSED] = PORT(init_refused),
		[LISTEN_INIT_NO_ROOM] = PORT(init_no_room),
		[LISTEN_COOKIE_WRONG] = PORT(cookie_wrong),
		[LISTEN_REJECT_LIMITED] = PORT(reject_limited),
		[LISTEN_SUPERSEDED] = PORT(superseded),
		[LISTEN_TOKEN_UNKNOWN] = PORT(token_unknown),
		[LISTEN_GONE_SENT] = PORT(gone_sent),
		[LISTEN_GONE_LIMITED] = PORT(gone_limited),
		[LISTEN_GONE_TAKEN] = PORT(gone_taken),
		[LISTEN_GONE_UNKNOWN] = PORT(gone_unknown),
		[LISTEN_GONE_FORGED] = PORT(gone_forged),
	};

	return at[what];
}

size_t
weir_dpdk_link_counter(enum conn_drop reason)
{
	static const size_t at[CONN_DROPS] = {
		[CONN_DROP_TOKEN] = LINK(drop_token),
		[CONN_DROP_STATE] = LINK(drop_state),
		[CONN_DROP_DUPLICATE] = LINK(drop_duplicate),
		[CONN_DROP_STOPPED] = LINK(drop_stopped),
		[CONN_DROP_STALE] = LINK(drop_stale),
		[CONN_DROP_PARAMS] = LINK(drop_params),
		[CONN_DROP_VIOLATION] = LINK(drop_violation),
		[CONN_DROP_RETRY] = LINK(drop_retry),
		[CONN_DROP_GONE] = LINK(drop_gone),
		[CONN_DROP_CRC_MISSING] = LINK(drop_crc_missing),
		[CONN_DROP_FLAGS] = LINK(drop_flags),
	};

	return at[reason];
}

/* The older sums, in which the reasons are counted as well. */
static size_t
sum_of_frames(enum dpdk_hdr_result result)
{
	switch (result) {
	case DPDK_HDR_FOREIGN_ETHER:
	case DPDK_HDR_FOREIGN_VLAN:
	case DPDK_HDR_STACKED_VLAN:
	case DPDK_HDR_FOREIGN_IP:
	case DPDK_HDR_FOREIGN_PORT:
	case DPDK_HDR_ICMP:
		return PORT(rx_foreign);
	case DPDK_HDR_IP_CKSUM:
	case DPDK_HDR_UDP_CKSUM:
	case DPDK_HDR_UDP_NO_CKSUM:
		return PORT(rx_checksum_errors);
	default:
		return PORT(rx_malformed);
	}
}

void
weir_dpdk_count_drops(const uint64_t frames[DPDK_HDR_RESULTS],
		      const uint64_t neighbours[DPDK_NEIGH_RESULTS],
		      const uint64_t packets[WIRE_DROPS],
		      const uint64_t strangers[LISTEN_COUNTS],
		      struct weir_port_stats *stats)
{
	size_t at;

	for (int i = 0; i < DPDK_HDR_RESULTS; i++) {
		at = weir_dpdk_frame_counter((enum dpdk_hdr_result)i);
		if (at == 0)
			continue;
		count_at(stats, at, frames[i]);
		count_at(stats, sum_of_frames((enum dpdk_hdr_result)i),
			 frames[i]);
	}
	for (int i = 0; i < DPDK_NEIGH_RESULTS; i++) {
		at = weir_dpdk_neigh_counter((enum dpdk_neigh_result)i);
		if (at != 0)
			count_at(stats, at, neighbours[i]);
	}
	for (int i = 0; i < WIRE_DROPS; i++) {
		at = weir_dpdk_packet_counter((enum wire_drop)i);
		if (at == 0)
			continue;
		count_at(stats, at, packets[i]);
		stats->rx_malformed += packets[i];
	}
	for (int i = 0; i < LISTEN_COUNTS; i++) {
		at = weir_dpdk_stranger_counter((enum listen_count)i);
		if (at != 0)
			count_at(stats, at, strangers[i]);
	}
}

static uint64_t
waited(const uint64_t waits[DPDK_WAITS], enum dpdk_wait why)
{
	return __atomic_load_n(&waits[why], __ATOMIC_RELAXED);
}

void
weir_dpdk_count_link(const struct conn_stats *c,
		     const uint64_t waits[DPDK_WAITS],
		     struct weir_link_stats *stats)
{
	*stats = (struct weir_link_stats){
		.tx_packets = c->tx_packets,
		.tx_retransmits = c->tx_retx,
		.tx_acks = c->tx_acks,
		.rx_packets = c->rx_packets,
		.rx_acks = c->rx_acks,
		.rx_duplicates = c->drops[CONN_DROP_DUPLICATE],
		.rx_reordered = c->rx_reordered,
		.rx_out_of_window = c->drops[CONN_DROP_STALE],
		.rx_malformed = c->drops[CONN_DROP_VIOLATION],
		.rto_fired = c->rto,
		.probes = c->tlp + c->probes + c->keepalives,
		.srtt_ns = c->srtt_ns,
		.rto_ns = c->rto_ns,
		.reserve_wait_down = waited(waits, DPDK_WAIT_DOWN),
		.reserve_wait_credit = waited(waits, DPDK_WAIT_CREDIT),
		.reserve_wait_queue = waited(waits, DPDK_WAIT_QUEUE),
		.reserve_wait_small = waited(waits, DPDK_WAIT_SMALL),
		.reserve_wait_large = waited(waits, DPDK_WAIT_LARGE),
		.wait_window = c->window_full,
		.wait_cwnd = c->cwnd_full,
		.lost_threshold = c->lost_sack,
		.lost_time = c->lost_time,
		.lost_timeout = c->lost_rto,
		.needless = c->spurious,
		.late = c->reorder_seen,
		.tail_probes = c->tlp,
		.window_probes = c->probes,
		.probes_healed = c->probe_healed,
		.keepalives = c->keepalives,
		.hello_repeats = c->handshake_retx,
		.ack_stale = c->ack_stale,
		.pauses = c->pauses,
		.wait_pacing = c->pace_waits,
		.recoveries = c->recoveries,
		.rx_marked = c->rx_marked,
		.tx_marked = c->tx_marked,
		.min_rtt_ns = c->min_rtt_ns,
		.gap_ns = c->gap_ns,
		.cwnd = c->cwnd,
		.tx_batches = c->tx_batches,
		.tx_batched = c->tx_batched,
		.rx_batches = c->rx_batches,
		.rx_batched = c->rx_batched,
	};
	for (int i = 0; i < CONN_DROPS; i++) {
		size_t at = weir_dpdk_link_counter((enum conn_drop)i);

		if (at != 0)
			count_at(stats, at, c->drops[i]);
	}
}

void
weir_dpdk_count_waits(const uint64_t waits[DPDK_WAITS],
		      struct weir_tx_stats *stats)
{
	stats->reserve_wait_down = waited(waits, DPDK_WAIT_DOWN);
	stats->reserve_wait_credit = waited(waits, DPDK_WAIT_CREDIT);
	stats->reserve_wait_queue = waited(waits, DPDK_WAIT_QUEUE);
	stats->reserve_wait_small = waited(waits, DPDK_WAIT_SMALL);
	stats->reserve_wait_large = waited(waits, DPDK_WAIT_LARGE);
	stats->reserve_waits = 0;
	for (int i = 0; i < DPDK_WAITS; i++)
		stats->reserve_waits += waited(waits, (enum dpdk_wait)i);
}

/* ---- the device's own ---------------------------------------------------- */

static void
device_read(const struct rte_eth_stats *now, uint64_t counts[4])
{
	counts[0] = now->imissed;
	counts[1] = now->rx_nombuf;
	counts[2] = now->ierrors;
	counts[3] = now->oerrors;
}

void
weir_dpdk_device_begin(struct dpdk_device_drops *drops,
		       const struct rte_eth_stats *now)
{
	device_read(now, drops->seen);
}

void
weir_dpdk_device_add(struct dpdk_device_drops *drops,
		     const struct rte_eth_stats *now)
{
	uint64_t counts[4];

	device_read(now, counts);
	for (int i = 0; i < 4; i++)
		drops->sum[i] += counts[i] >= drops->seen[i]
					 ? counts[i] - drops->seen[i]
					 : counts[i];
	memcpy(drops->seen, counts, sizeof(counts));
}

void
weir_dpdk_count_device(const struct dpdk_device_drops *drops,
		       struct weir_port_stats *stats)
{
	stats->device_missed = drops->sum[0];
	stats->device_no_buffer = drops->sum[1];
	stats->device_rx_errors = drops->sum[2];
	stats->device_tx_errors = drops->sum[3];
}
