/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Raw bursts on a dpdk port's own queue pair; see floor_dpdk.h. A frame is as
 * long as the packet that weir would send for the same payload:
 *
 *     | Ethernet 14 | number 8, part 4 | ... | payload, at offset 82 |
 *
 * The payload lies where weir's does, on a cache line of its own. A message
 * longer than a packet is cut into full packets and sent back when all have
 * come, which is what weir does too.
 */

#include "floor_dpdk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "slices.h"
#include "spin.h"
#include "ticks.h"
#include "weir_dpdk.h"

/* IEEE 802: "local experimental". weir's receiver drops it as foreign. */
#define RAW_ETHER_TYPE 0x88b5

#define HEADERS_IP4    82u /* Ethernet, IPv4, UDP, weir */
#define HEADERS_IP6    102u
#define PAYLOAD_OFFSET 256u  /* in the buffer, as in weir */
#define SACK_ROOM      16u   /* weir keeps that much free in a full packet */
#define PAIR_FRAME     2048u /* memif and net_ring, which have no MTU */
#define BURST_MAX      256u

#define RESEND_NS      1000000u /* round trips: the frame was lost */
#define RESEND_BYTE_NS 8u       /* large messages take their time */
#define QUIET_NS       1000000u /* one way: no more will come */
#define SETTLE_NS      50000u

#define HOLD_MAX 256u /* the pool has that many to spare */

struct raw_header {
	struct rte_ether_hdr ether;
	uint16_t number[4]; /* of the message; as it lies, not as a number: */
	uint16_t part[2];   /* frames are aligned to 2 */
};

/* What a received frame says, and where its payload is. */
struct raw_frame {
	const uint8_t *payload;
	uint64_t number;
	uint32_t part;
	uint32_t len;
};

struct floor_raw {
	struct weir_load load;
	struct rte_mempool *pool;
	uint16_t port_id;
	uint16_t queue_id;
	uint32_t headers_len;
	uint32_t part_size; /* payload of a full frame */
	uint64_t number;    /* of the last message sent, or answered */
	uint64_t frames;    /* sink: received in this window */
	struct raw_header header;
	uint64_t expected; /* in order: the next number; 0: any */
	uint32_t hold;     /* as gate->order_window, if it applies */
	uint64_t missing;  /* in this window */
	uint32_t held_count;
	bool hole; /* something is missing: frames are kept */
	struct rte_mbuf *held[HOLD_MAX];
};

/* ---- frames ------------------------------------------------------------------ */

static uint32_t
part_len(const struct floor_raw *raw, uint32_t part)
{
	uint32_t left = raw->load.size - part * raw->part_size;

	return left < raw->part_size ? left : raw->part_size;
}

/* @return where the payload goes. */
static uint8_t *
frame_begin(const struct floor_raw *raw, struct rte_mbuf *m, uint64_t number,
	    uint32_t part)
{
	uint32_t len = raw->headers_len + part_len(raw, part);
	struct raw_header *header;

	m->data_off = (uint16_t)(PAYLOAD_OFFSET - raw->headers_len);
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	header = rte_pktmbuf_mtod(m, struct raw_header *);
	*header = raw->header;
	memcpy(header->number, &number, sizeof(number));
	memcpy(header->part, &part, sizeof(part));
	return (uint8_t *)header + raw->headers_len;
}

/* @return false: weir's, or of a window that is over. */
static bool
frame_read(const struct floor_raw *raw, const struct rte_mbuf *m,
	   struct raw_frame *frame)
{
	const struct raw_header *header =
		rte_pktmbuf_mtod(m, const struct raw_header *);

	if (m->nb_segs != 1 || m->data_len < raw->headers_len ||
	    header->ether.ether_type != raw->header.ether.ether_type)
		return false;
	memcpy(&frame->number, header->number, sizeof(frame->number));
	memcpy(&frame->part, header->part, sizeof(frame->part));
	if (frame->part >= raw->load.frames)
		return false;
	frame->len = part_len(raw, frame->part);
	frame->payload = (const uint8_t *)header + raw->headers_len;
	return m->data_len >= raw->headers_len + frame->len;
}

/* Read a frame's payload out to where its message is put together. */
static void
frame_take(const struct floor_raw *raw, const struct raw_frame *frame)
{
	weir_copy(raw->load.work->in + (size_t)frame->part * raw->part_size,
		  frame->payload, frame->len);
}

/* Everything, or nothing after a long time. */
static int
transmit(struct floor_raw *raw, struct rte_mbuf **frames, uint16_t count)
{
	struct weir_spin spin = { .limit = raw->load.spin_limit };
	uint16_t done = 0;

	for (;;) {
		done = (uint16_t)(done + rte_eth_tx_burst(
						 raw->port_id, raw->queue_id,
						 frames + done, count - done));
		if (done == count)
			return 0;
		if (weir_spin(&spin) != 0)
			break;
	}
	rte_pktmbuf_free_bulk(frames + done, count - done);
	return -ETIMEDOUT;
}

/* Mbufs may be waiting in the transmit ring of a device that keeps them. */
static int
get_frames(struct floor_raw *raw, struct rte_mbuf **frames, uint16_t count)
{
	struct weir_spin spin = { .limit = raw->load.spin_limit };

	while (rte_pktmbuf_alloc_bulk(raw->pool, frames, count) != 0) {
		(void)rte_eth_tx_burst(raw->port_id, raw->queue_id, NULL, 0);
		if (weir_spin(&spin) != 0)
			return -ENOBUFS;
	}
	return 0;
}

/* ---- round trips ---------------------------------------------------------------- */

/* One message, new or as an echo of the last one received. */
static int
send_message(struct floor_raw *raw, bool echo)
{
	struct rte_mbuf *frames[BURST_MAX];
	uint32_t part = 0;

	while (part < raw->load.frames) {
		uint32_t burst = raw->load.frames - part < BURST_MAX
					 ? raw->load.frames - part
					 : BURST_MAX;
		int rc = get_frames(raw, frames, (uint16_t)burst);

		for (uint32_t i = 0; rc == 0 && i < burst; i++, part++) {
			uint8_t *to =
				frame_begin(raw, frames[i], raw->number, part);
			const struct weir_work *work = raw->load.work;
			const uint8_t *from = echo ? work->in : work->out;

			weir_copy(to, from + (size_t)part * raw->part_size,
				  part_len(raw, part));
		}
		if (rc == 0)
			rc = transmit(raw, frames, (uint16_t)burst);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/*
 * Take what has come of one message, in order.
 *
 * @param number of that message; any message that begins takes its place.
 * @param got parts so far.
 * @return 1 the last part was among it; 0.
 */
static int
take_message(struct floor_raw *raw, uint64_t *number, uint32_t *got)
{
	struct rte_mbuf *frames[32];
	uint16_t n = rte_eth_rx_burst(raw->port_id, raw->queue_id, frames, 32);
	int whole = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct raw_frame frame;

		if (frame_read(raw, frames[i], &frame)) {
			if (frame.part == 0) {
				*number = frame.number;
				*got = 0;
			}
			if (frame.number == *number && frame.part == *got) {
				frame_take(raw, &frame);
				whole = ++*got == raw->load.frames;
			}
		}
		rte_pktmbuf_free(frames[i]);
	}
	return whole;
}

static int
raw_rounds(struct weir_load *load, uint32_t n)
{
	struct floor_raw *raw = (struct floor_raw *)load;

	uint64_t patience_ns =
		RESEND_NS + (uint64_t)RESEND_BYTE_NS * load->size;

	for (uint32_t i = 0; i < n; i++) {
		struct weir_spin spin = { .limit = load->spin_limit };
		uint64_t resend_ns = 0, number = 0;
		uint32_t got = 0;
		int rc;

		raw->number++;
		rc = send_message(raw, false);
		while (rc == 0 && (take_message(raw, &number, &got) == 0 ||
				   number != raw->number)) {
			rc = weir_spin(&spin);
			if ((spin.n & 0xfffu) != 0)
				continue;
			/* The clock is looked at only when it takes long. */
			if (resend_ns == 0)
				resend_ns = weir_raw_ns() + patience_ns;
			else if (weir_raw_ns() > resend_ns) {
				resend_ns = 0;
				rc = send_message(raw, false);
			}
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* A request that is answered comes again when the answer was lost. */
static int
raw_echo(struct weir_load *load)
{
	struct floor_raw *raw = (struct floor_raw *)load;
	struct weir_spin spin = { .limit = load->spin_limit };
	uint64_t number = raw->number + 1;
	uint32_t got = 0;

	for (;;) {
		int rc;

		if (take_message(raw, &number, &got) != 0) {
			raw->number = number;
			got = 0;
			rc = send_message(raw, true);
			if (rc != 0)
				return rc;
			weir_spin_reset(&spin);
			continue;
		}
		if (!weir_gate_open(load->gate))
			return 0;
		(void)weir_spin(&spin);
	}
}

/* ---- one way -------------------------------------------------------------------- */

static int
raw_send(struct weir_load *load, uint32_t n)
{
	struct floor_raw *raw = (struct floor_raw *)load;
	uint64_t left = (uint64_t)n * raw->load.frames;
	struct rte_mbuf *frames[BURST_MAX];
	uint32_t part = 0;

	while (left > 0) {
		uint16_t burst =
			(uint16_t)(left < load->burst ? left : load->burst);
		int rc = get_frames(raw, frames, burst);

		if (rc != 0)
			return rc;
		for (uint16_t i = 0; i < burst; i++) {
			uint8_t *to =
				frame_begin(raw, frames[i], raw->number, part);

			weir_copy(to,
				  load->work->out +
					  (size_t)part * raw->part_size,
				  part_len(raw, part));
			if (++part == raw->load.frames) {
				part = 0;
				raw->number++;
			}
		}
		rc = transmit(raw, frames, burst);
		if (rc != 0)
			return rc;
		left -= burst;
	}
	load->sent += n;
	return 0;
}

/* @return frames of ours. */
static uint32_t
take_burst(struct floor_raw *raw)
{
	struct rte_mbuf *frames[BURST_MAX];
	uint16_t n = rte_eth_rx_burst(raw->port_id, raw->queue_id, frames,
				      (uint16_t)raw->load.burst);
	uint32_t taken = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct raw_frame frame;

		if (!frame_read(raw, frames[i], &frame))
			continue;
		frame_take(raw, &frame);
		taken++;
	}
	if (n > 0)
		rte_pktmbuf_free_bulk(frames, n);
	return taken;
}

/* The repair is there: all that waited for it can be read. */
static void
release_held(struct floor_raw *raw)
{
	for (uint32_t i = 0; i < raw->held_count; i++) {
		struct raw_frame frame;

		if (frame_read(raw, raw->held[i], &frame))
			frame_take(raw, &frame);
	}
	if (raw->held_count > 0)
		rte_pktmbuf_free_bulk(raw->held, raw->held_count);
	raw->held_count = 0;
	raw->hole = false;
}

/* @return messages that were sent up to this frame and not counted yet. */
static uint32_t
count_to(struct floor_raw *raw, uint64_t number)
{
	uint64_t before = raw->expected;

	if (before == 0)
		before = number;
	if (number < before)
		return 0; /* late, or a second time */
	raw->hole |= number > before;
	raw->missing += number - before;
	raw->expected = number + 1;
	return (uint32_t)(raw->expected - before);
}

/* take_burst() for a receiver that keeps order. */
static uint32_t
take_in_order(struct floor_raw *raw)
{
	struct rte_mbuf *frames[BURST_MAX];
	uint16_t n = rte_eth_rx_burst(raw->port_id, raw->queue_id, frames,
				      (uint16_t)raw->load.burst);
	uint32_t taken = 0, done = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = frames[i];
		struct raw_frame frame;

		frames[done++] = m;
		if (!frame_read(raw, m, &frame))
			continue;
		taken += count_to(raw, frame.number);
		if (!raw->hole) {
			frame_take(raw, &frame);
			continue;
		}
		done--;
		raw->held[raw->held_count++] = m;
		if (raw->held_count == raw->hold)
			release_held(raw);
	}
	if (done > 0)
		rte_pktmbuf_free_bulk(frames, done);
	return taken;
}

static void
order_begin(struct floor_raw *raw)
{
	uint32_t window = raw->load.gate->order_window;

	raw->hold = raw->load.frames > 1 ? 0 : window;
	if (raw->hold > HOLD_MAX)
		raw->hold = HOLD_MAX;
	raw->expected = 0;
	raw->missing = 0;
}

static int
raw_sink(struct weir_load *load, struct weir_flow *flow)
{
	struct floor_raw *raw = (struct floor_raw *)load;
	struct weir_spin spin = { .limit = load->spin_limit };
	uint64_t frames = 0, quiet_ns = 0;
	struct weir_slices slices;

	order_begin(raw);
	weir_slices_begin(&slices, load->gate->slice_ticks,
			  load->size / raw->load.frames);
	for (;;) {
		uint32_t taken = raw->hold > 0 ? take_in_order(raw)
					       : take_burst(raw);
		bool open = weir_gate_open(load->gate);

		if (taken > 0) {
			frames += taken;
			weir_slices_note(&slices, frames);
			quiet_ns = 0;
			weir_spin_reset(&spin);
			continue;
		}
		if (!open) {
			if (frames >= load->gate->sent * raw->load.frames)
				break;
			/* A device may lose frames: they never come. */
			if (quiet_ns == 0)
				quiet_ns = weir_raw_ns();
			else if (weir_raw_ns() - quiet_ns > QUIET_NS)
				break;
		}
		(void)weir_spin_stream(&spin);
	}
	release_held(raw);
	flow->messages = (frames - raw->missing) / raw->load.frames;
	weir_slices_end(&slices, flow);
	flow->ticks *= raw->load.frames; /* timed are frames */
	return 0;
}

/* ---- life ------------------------------------------------------------------------ */

/* Take in what is late, and let the device give transmitted mbufs back. */
static void
raw_settle(struct weir_load *load)
{
	struct floor_raw *raw = (struct floor_raw *)load;
	uint64_t start_ns = weir_raw_ns();

	do {
		if (take_burst(raw) > 0)
			start_ns = weir_raw_ns();
		(void)rte_eth_tx_burst(raw->port_id, raw->queue_id, NULL, 0);
	} while (weir_raw_ns() - start_ns < SETTLE_NS);
}

static void
raw_idle(struct weir_load *load)
{
	(void)load; /* what was handed to the device needs no help */
}

static void
raw_close(struct weir_load *load)
{
	free(load);
}

static const struct weir_load_ops raw_ops = {
	.rounds = raw_rounds,
	.echo = raw_echo,
	.send = raw_send,
	.sink = raw_sink,
	.settle = raw_settle,
	.idle = raw_idle,
	.close = raw_close,
};

/* Made by weir for a pair: it decided on the frames, the device knows no MTU. */
static bool
is_of_pair(uint16_t port_id)
{
	static const char *const names[] = { "net_memif", "net_ring",
					     "net_vhost_w",
					     "net_virtio_user_w" };
	char name[RTE_ETH_NAME_MAX_LEN];

	if (rte_eth_dev_get_name_by_port(port_id, name) != 0)
		return false;
	for (size_t i = 0; i < RTE_DIM(names); i++)
		if (strncmp(name, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* Payload of a full packet: the smaller of wire and memory, as in weir. */
static uint32_t
largest_part(uint16_t port_id, struct rte_mempool *pool, uint32_t headers_len)
{
	uint32_t room = rte_pktmbuf_data_room_size(pool) - PAYLOAD_OFFSET;
	uint32_t frame = PAIR_FRAME;
	uint16_t mtu;

	if (!is_of_pair(port_id) && rte_eth_dev_get_mtu(port_id, &mtu) == 0)
		frame = mtu + RTE_ETHER_HDR_LEN;
	frame -= headers_len + SACK_ROOM;
	return frame < room ? frame : room;
}

/* As weir's: an IPv6 peer is named in brackets. */
static uint32_t
headers_len(struct weir_link *link)
{
	struct weir_peer peer;

	return weir_link_peer(link, &peer) == 0 && peer.address[0] == '['
		       ? HEADERS_IP6
		       : HEADERS_IP4;
}

int
weir_floor_dpdk_open(const struct weir_floor_dpdk_config *config,
		     struct weir_load **load, const char **why)
{
	struct weir_dpdk_queue queue;
	struct floor_raw *raw;
	int rc = weir_dpdk_port_queue(config->port, &queue);

	if (rc != 0) {
		*why = "the port has no queue pair yet";
		return rc;
	}
	raw = calloc(1, sizeof(*raw));
	if (raw == NULL) {
		*why = "no memory for it";
		return -ENOMEM;
	}
	raw->load.ops = &raw_ops;
	raw->load.gate = config->gate;
	raw->load.work = config->work;
	raw->load.size = config->payload;
	raw->load.burst = config->burst;
	raw->load.spin_limit = config->spin_limit;
	raw->pool = queue.tx_pool;
	raw->port_id = queue.port_id;
	raw->queue_id = queue.queue_id;
	raw->headers_len = headers_len(config->link);
	raw->part_size =
		largest_part(queue.port_id, queue.tx_pool, raw->headers_len);
	raw->load.frames = config->payload == 0
				   ? 1
				   : (config->payload + raw->part_size - 1) /
					     raw->part_size;
	memset(raw->header.ether.dst_addr.addr_bytes, 0xff, RTE_ETHER_ADDR_LEN);
	(void)rte_eth_macaddr_get(queue.port_id, &raw->header.ether.src_addr);
	raw->header.ether.ether_type = rte_cpu_to_be_16(RAW_ETHER_TYPE);
	*load = &raw->load;
	return 0;
}
