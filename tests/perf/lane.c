/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages of 48 bytes over a link inside this process, to have instructions
 * counted (budget.py): the calls of the API as an application makes them, with
 * the writing of the bytes, but nothing waits and nothing else runs.
 *
 *      send_side()     reserve, alloc, write, commit; what comes back is
 *                      collected when room runs out, as ever
 *      send_together() the same with one commit for the burst
 *      send_burst()    with one call for each step
 *      receive_side()  recv, release
 *      receive_burst() the same with one release for the burst
 *
 *      lane ENDPOINT BURST ROUNDS [multi|together|bursts]
 *
 * multi and together are of a half for several threads; bursts is of one for one
 * thread, with send_burst() and receive_burst().
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir.h"

#define BURST_MAX 32
#define BYTES     48

static const uint8_t payload[BYTES];
static uint32_t lens[BURST_MAX];

static __attribute__((noinline)) void
send_side(struct weir_tx *tx, uint16_t burst)
{
	struct weir_permit permits[BURST_MAX];
	struct weir_slot slot;

	if (weir_tx_reserve_burst(tx, BYTES, permits, burst) != burst)
		abort();
	for (uint16_t i = 0; i < burst; i++) {
		if (weir_permit_alloc(&permits[i], BYTES, &slot) != 0)
			abort();
		memcpy(slot.data, payload, BYTES);
		weir_slot_commit(&slot);
	}
}

static __attribute__((noinline)) void
send_together(struct weir_tx *tx, uint16_t burst)
{
	struct weir_permit permits[BURST_MAX];
	struct weir_slot slots[BURST_MAX];

	if (weir_tx_reserve_burst(tx, BYTES, permits, burst) != burst)
		abort();
	for (uint16_t i = 0; i < burst; i++) {
		if (weir_permit_alloc(&permits[i], BYTES, &slots[i]) != 0)
			abort();
		memcpy(slots[i].data, payload, BYTES);
	}
	weir_slot_commit_burst(slots, burst);
}

static __attribute__((noinline)) void
send_burst(struct weir_tx *tx, uint16_t burst)
{
	struct weir_permit permits[BURST_MAX];
	struct weir_slot slots[BURST_MAX];

	if (weir_tx_reserve_burst(tx, BYTES, permits, burst) != burst ||
	    weir_permit_alloc_burst(permits, lens, slots, burst) != 0)
		abort();
	for (uint16_t i = 0; i < burst; i++)
		memcpy(slots[i].data, payload, BYTES);
	weir_slot_commit_burst(slots, burst);
}

static __attribute__((noinline)) void
receive_side(struct weir_rx *rx, uint16_t burst)
{
	struct weir_msg msgs[BURST_MAX];

	if (weir_rx_recv_burst(rx, msgs, burst) != burst)
		abort();
	for (uint16_t i = 0; i < burst; i++)
		weir_msg_release(&msgs[i]);
}

static __attribute__((noinline)) void
receive_burst(struct weir_rx *rx, uint16_t burst)
{
	struct weir_msg msgs[BURST_MAX];

	if (weir_rx_recv_burst(rx, msgs, burst) != burst)
		abort();
	weir_msg_release_burst(msgs, burst);
}

/* How a burst goes out and comes in. */
struct way {
	const char *name;
	bool shared;
	void (*send)(struct weir_tx *tx, uint16_t burst);
	void (*receive)(struct weir_rx *rx, uint16_t burst);
};

static const struct way ways[] = {
	{ "alone", false, send_side, receive_side },
	{ "multi", true, send_side, receive_side },
	{ "together", true, send_together, receive_side },
	{ "bursts", false, send_burst, receive_burst },
};

static void
demand(int rc, int expected)
{
	if (rc == expected)
		return;
	fprintf(stderr, "lane: %s: %s\n", weir_strerror(rc), weir_last_error());
	exit(1);
}

int
main(int argc, char **argv)
{
	struct weir_link_config config = { .size = sizeof(config) };
	struct weir_listener *listener;
	struct weir_link *a, *b;
	struct weir_port *port;
	struct weir_tx *tx;
	struct weir_rx *rx;
	uint32_t rounds;
	uint16_t burst;
	const struct way *way = &ways[0];

	if (argc < 4)
		return 2;
	burst = (uint16_t)strtoul(argv[2], NULL, 10);
	rounds = (uint32_t)strtoul(argv[3], NULL, 10);
	if (burst == 0 || burst > BURST_MAX)
		return 2;
	for (size_t i = 0; argc > 4 && i < sizeof(ways) / sizeof(*ways); i++)
		if (strcmp(argv[4], ways[i].name) == 0)
			way = &ways[i];
	for (uint16_t i = 0; i < burst; i++)
		lens[i] = BYTES;
	if (way->shared)
		config.flags = WEIR_LINK_MULTI_PRODUCER;
	demand(weir_port_open(argv[1], NULL, &port), 0);
	demand(weir_listener_open(port, argv[1], &config, &listener), 0);
	demand(weir_link_connect(port, argv[1], &config, &a), 0);
	demand(weir_link_accept_wait(listener, WEIR_FOREVER, &b), 1);
	demand(weir_link_wait(a, WEIR_FOREVER), 1);
	demand(weir_link_split(a, &tx, NULL), 0);
	demand(weir_link_split(b, NULL, &rx), 0);
	for (uint32_t i = 0; i < rounds; i++) {
		way->send(tx, burst);
		way->receive(rx, burst);
	}
	printf("%u messages 0 packets\n", rounds * burst);
	weir_tx_destroy(tx);
	weir_rx_destroy(rx);
	weir_link_destroy(a);
	weir_link_destroy(b);
	weir_listener_close(listener);
	return weir_port_close(port) != 0;
}
