/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages of 48 bytes over a link inside this process, to have instructions
 * counted (budget.py): the calls of the API as an application makes them, with
 * the writing of the bytes, but nothing waits and nothing else runs.
 *
 *      send_side()     reserve, alloc, write, commit; what comes back is
 *                      collected when room runs out, as ever
 *      send_together() the same with one commit for the burst
 *      receive_side()  recv, release
 *
 *      lane ENDPOINT BURST ROUNDS [multi|together]     both: several threads
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir.h"

#define BURST_MAX 32
#define BYTES     48

static const uint8_t payload[BYTES];

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
receive_side(struct weir_rx *rx, uint16_t burst)
{
	struct weir_msg msgs[BURST_MAX];

	if (weir_rx_recv_burst(rx, msgs, burst) != burst)
		abort();
	for (uint16_t i = 0; i < burst; i++)
		weir_msg_release(&msgs[i]);
}

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
	bool together = argc > 4 && strcmp(argv[4], "together") == 0;

	if (argc < 4)
		return 2;
	burst = (uint16_t)strtoul(argv[2], NULL, 10);
	rounds = (uint32_t)strtoul(argv[3], NULL, 10);
	if (burst == 0 || burst > BURST_MAX)
		return 2;
	if (argc > 4)
		config.flags = WEIR_LINK_MULTI_PRODUCER;
	demand(weir_port_open(argv[1], NULL, &port), 0);
	demand(weir_listener_open(port, argv[1], &config, &listener), 0);
	demand(weir_link_connect(port, argv[1], &config, &a), 0);
	demand(weir_link_accept_wait(listener, WEIR_FOREVER, &b), 1);
	demand(weir_link_wait(a, WEIR_FOREVER), 1);
	demand(weir_link_split(a, &tx, NULL), 0);
	demand(weir_link_split(b, NULL, &rx), 0);
	for (uint32_t i = 0; i < rounds; i++) {
		if (together)
			send_together(tx, burst);
		else
			send_side(tx, burst);
		receive_side(rx, burst);
	}
	printf("%u messages 0 packets\n", rounds * burst);
	weir_tx_destroy(tx);
	weir_rx_destroy(rx);
	weir_link_destroy(a);
	weir_link_destroy(b);
	weir_listener_close(listener);
	return weir_port_close(port) != 0;
}
