/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages over a dpdk link inside this process, each part of their way in a
 * function of its own, so that instructions can be told apart (budget.py), and
 * calls that the data path must not make be counted (fast_path.c).
 *
 *      part_commit    reserve, alloc, write, commit          a's tx half
 *      part_transmit  poll: packets out                      a
 *      part_receive   poll: packets in, messages up          b
 *      part_recv      recv                                   b's rx half
 *      part_release   release                                b's rx half
 *      part_answer    poll: the acknowledgements out         b
 *      part_ack       poll: the acknowledgements in,         a
 *                     places back
 *
 * One thread, net_ring: what the device costs, two rings of DPDK, is in.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parts.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define BURST_MAX 32
#define BYTES     64 /* few enough to be written without a call */
#define WARM      200u
#define CREDITS   64u

#define SECOND_NS  UINT64_C(1000000000)
#define CALM_POLLS 200u

static const uint8_t payload[BYTES];

#define PART static __attribute__((noinline)) void

/* One by one, or with one call for each step of all. */
PART
part_commit(struct parts *p)
{
	struct weir_permit permits[BURST_MAX];
	struct weir_slot slots[BURST_MAX];
	uint32_t lens[BURST_MAX];
	int rc = weir_tx_reserve_burst(p->tx, BYTES, permits, p->burst);

	if (rc == 1) {
		if (weir_permit_alloc(&permits[0], BYTES, &slots[0]) != 0)
			abort();
		memcpy(slots[0].data, payload, BYTES);
		weir_slot_commit(&slots[0]);
	} else if (rc > 1) {
		for (int i = 0; i < rc; i++)
			lens[i] = BYTES;
		if (weir_permit_alloc_burst(permits, lens, slots,
					    (uint16_t)rc) != 0)
			abort();
		for (int i = 0; i < rc; i++)
			memcpy(slots[i].data, payload, BYTES);
		weir_slot_commit_burst(slots, (uint16_t)rc);
	}
	p->sent += rc > 0 ? (uint64_t)rc : 0;
}

PART
part_transmit(struct parts *p)
{
	p->transmit_events += weir_port_poll(p->a);
}

PART
part_receive(struct parts *p)
{
	p->receive_events += weir_port_poll(p->b);
}

PART
part_recv(struct parts *p)
{
	p->count = weir_rx_recv_burst(p->rx, p->msgs, PARTS_MSGS);
}

PART
part_release(struct parts *p)
{
	if (p->count == 1)
		weir_msg_release(&p->msgs[0]);
	else if (p->count > 0)
		weir_msg_release_burst(p->msgs, (uint16_t)p->count);
	p->received += p->count > 0 ? (uint64_t)p->count : 0;
}

PART
part_answer(struct parts *p)
{
	p->answer_events += weir_port_poll(p->b);
}

PART
part_ack(struct parts *p)
{
	p->ack_events += weir_port_poll(p->a);
}

void
parts_round(struct parts *p)
{
	part_commit(p);
	part_transmit(p);
	part_receive(p);
	part_recv(p);
	part_release(p);
	part_answer(p);
	part_ack(p);
}

void
parts_round_timed(struct parts *p, uint64_t ticks[PARTS_COUNT])
{
	static void (*const parts[PARTS_COUNT])(struct parts * p) = {
		part_commit,  part_transmit, part_receive, part_recv,
		part_release, part_answer,   part_ack,
	};
	uint64_t before = parts_clock();

	for (int i = 0; i < PARTS_COUNT; i++) {
		uint64_t now;

		parts[i](p);
		now = parts_clock();
		ticks[i] = now - before;
		before = now;
	}
}

static void
demand(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "parts: %s: %s: %s\n", what, weir_strerror(rc),
		weir_last_error());
	exit(1);
}

/* Both ends of one more link. */
static void
link_open(struct parts *p, uint32_t flags, struct weir_link *link[2])
{
	struct weir_link_config config = {
		.size = sizeof(config),
		.msg_size_max = 1024,
		.tx_credits = CREDITS,
		.flags = flags,
		.keepalive_ns = 1000 * SECOND_NS,
		.dead_timeout_ns = 3000 * SECOND_NS,
		.connect_timeout_ns = 50 * SECOND_NS,
	};
	int rc;

	demand(weir_link_connect(p->a, p->endpoint, &config, &link[0]),
	       "connect");
	while ((rc = weir_link_accept(p->listener, &link[1])) == 0) {
		(void)weir_port_poll(p->a);
		(void)weir_port_poll(p->b);
	}
	demand(rc, "accept");
	while ((rc = weir_link_status(link[0])) == -EINPROGRESS ||
	       (rc = weir_link_status(link[1])) == -EINPROGRESS) {
		(void)weir_port_poll(p->b);
		(void)weir_port_poll(p->a);
	}
	demand(rc, "status");
}

void
parts_open(struct parts *p, bool coalesce, uint32_t flags)
{
	struct weir_link_config accepted = {
		.size = sizeof(accepted),
		.msg_size_max = 1024,
		.tx_credits = CREDITS,
		.keepalive_ns = 1000 * SECOND_NS,
		.dead_timeout_ns = 3000 * SECOND_NS,
		.connect_timeout_ns = 50 * SECOND_NS,
	};

	/* Others may be holding all there are. */
	const struct weir_port_config config = {
		.size = sizeof(config),
		.hugepages = WEIR_HUGEPAGES_NEVER,
	};

	p->endpoint = coalesce ? "dpdk:parts,dev=net_ring,mbufs=8192"
			       : "dpdk:parts,dev=net_ring,mbufs=8192,"
				 "coalesce=off";
	demand(weir_driver_register(&weir_driver_dpdk), "register");
	demand(weir_port_open(p->endpoint, &config, &p->a), "open");
	demand(weir_port_open(p->endpoint, &config, &p->b), "open");
	demand(weir_listener_open(p->b, p->endpoint, &accepted, &p->listener),
	       "listen");
	link_open(p, flags, p->link);
	demand(weir_link_split(p->link[0], &p->tx, NULL), "split");
	demand(weir_link_split(p->link[1], NULL, &p->rx), "split");
	for (uint32_t i = 0; i < WARM; i++)
		parts_round(p);
	p->sent = 0;
	p->received = 0;
}

static uint64_t
looks_of(struct weir_port *port)
{
	struct weir_port_stats stats;

	weir_port_stats(port, &stats, sizeof(stats));
	return stats.link_looks;
}

/* Links that nobody uses fall asleep, but one. */
static void
calm_down(struct parts *p)
{
	uint64_t before;

	do {
		before = looks_of(p->a);
		for (uint32_t i = 0; i < CALM_POLLS; i++) {
			(void)weir_port_poll(p->a);
			(void)weir_port_poll(p->b);
		}
	} while (looks_of(p->a) - before > CALM_POLLS);
}

void
parts_idle(struct parts *p, uint32_t links)
{
	p->idle = calloc(2 * (size_t)links, sizeof(struct weir_link *));
	if (p->idle == NULL)
		exit(1);
	while (p->idle_count < 2 * links) {
		link_open(p, 0, p->idle + p->idle_count);
		p->idle_count += 2;
	}
	calm_down(p);
}

uint64_t
parts_packets(const struct parts *p)
{
	struct weir_port_stats stats;

	weir_port_stats(p->b, &stats, sizeof(stats));
	return stats.rx_packets;
}

void
parts_close(struct parts *p)
{
	weir_tx_destroy(p->tx);
	weir_rx_destroy(p->rx);
	weir_link_destroy(p->link[0]);
	weir_link_destroy(p->link[1]);
	while (p->idle_count != 0)
		weir_link_destroy(p->idle[--p->idle_count]);
	free(p->idle);
	weir_listener_close(p->listener);
	(void)weir_port_close(p->a);
	(void)weir_port_close(p->b);
}
