/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program outside of weir's tree, in plain C11: opens a link to itself over
 * mem, sends one message each way and closes. Built from what is installed.
 */
#include <stdio.h>
#include <string.h>
#include <weir.h>
#include <weir_stats.h>

#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #cond, \
				weir_last_error());                            \
			return 1;                                              \
		}                                                              \
	} while (0)

static int
say(struct weir_tx *tx, struct weir_rx *rx, const char *text)
{
	uint32_t len = (uint32_t)strlen(text);
	uint64_t deadline_ns = weir_now_ns() + UINT64_C(5000000000);
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;

	CHECK(weir_tx_reserve_wait(tx, len, deadline_ns, &permit) == 1);
	CHECK(weir_permit_alloc(&permit, len, &slot) == 0);
	memcpy(slot.data, text, len);
	weir_slot_commit(&slot);
	CHECK(weir_rx_recv_wait(rx, deadline_ns, &msg) == 1);
	CHECK(msg.len == len && memcmp(msg.data, text, len) == 0);
	weir_msg_release(&msg);
	return 0;
}

int
main(void)
{
	struct weir_link_config config = { .size = sizeof(config) };
	struct weir_link *here, *there;
	struct weir_listener *listener;
	struct weir_tx_stats stats;
	struct weir_port *port;
	struct weir_tx *tx[2];
	struct weir_rx *rx[2];

	CHECK(weir_port_open("mem:consumer", NULL, &port) == 0);
	CHECK(weir_listener_open(port, "mem:consumer", &config, &listener) ==
	      0);
	CHECK(weir_link_connect(port, "mem:consumer", &config, &here) == 0);
	CHECK(weir_link_accept_wait(listener,
				    weir_now_ns() + UINT64_C(5000000000),
				    &there) == 1);
	CHECK(weir_link_split(here, &tx[0], &rx[0]) == 0);
	CHECK(weir_link_split(there, &tx[1], &rx[1]) == 0);
	CHECK(say(tx[0], rx[1], "there") == 0);
	CHECK(say(tx[1], rx[0], "and back") == 0);
	weir_tx_stats(tx[0], &stats, sizeof(stats));
	CHECK(stats.messages == 1);
	for (int i = 0; i < 2; i++) {
		CHECK(weir_tx_close(tx[i]) == 0);
		weir_tx_destroy(tx[i]);
		weir_rx_destroy(rx[i]);
	}
	weir_link_destroy(here);
	weir_link_destroy(there);
	weir_listener_close(listener);
	CHECK(weir_port_close(port) == 0);
	CHECK(weir_driver_find("shm", 0) != NULL);
	printf("C: one message each way over mem, weir %s\n", weir_version());
	return 0;
}
