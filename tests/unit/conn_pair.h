/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two connections on a table: packets go from one to the other when the test
 * says so, time passes when the test says so.
 *
 *      a (client)  --flush()--> wire[] --deliver()-->  b (server)
 */
#ifndef WEIR_TESTS_CONN_PAIR_H
#define WEIR_TESTS_CONN_PAIR_H

#include "conn.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

#define PAIR_WIRE  1024
#define PAIR_BYTES 1600

struct wire_packet {
	uint8_t bytes[PAIR_BYTES];
	uint32_t len;
	bool drop; /* set by a test: lost */
	bool mark; /* set by a test: arrives with CE */
	bool ect;  /* may be marked */
};

struct end {
	struct weir_conn *conn;
	struct conn_config config;
	void *mem;
	struct wire_packet *wire; /* what it has sent */
	uint32_t sent;
	uint32_t delivered;
	uint32_t freed; /* refs that came back, one way or other */
	uint32_t kept;  /* refs that the connection took */
	bool bursts;    /* set by a test: weir_conn_burst() whenever it can */
};

struct pair {
	struct end a;
	struct end b;
	uint64_t now;
	bool unvalidated; /* the listener does not know a's address to be true */
};

/* Default configuration of both ends; then change and call pair_make(). */
void pair_init(struct pair *pair);
void pair_make(struct pair *pair);
/* Handshake included. */
void pair_open(struct pair *pair);
void pair_free(struct pair *pair);

/* Let time pass, with timers of both, but no packets moved. */
void pair_wait(struct pair *pair, uint64_t ns);
/* Pull everything an end has to send. @return how many packets. */
uint32_t pair_flush(struct pair *pair, struct end *end);
/* Hand all that `from` has sent to `to`, 5 us later. */
void pair_deliver(struct pair *pair, struct end *from, struct end *to);
/* Append the trailer if the packet says that it has one. @return its length. */
uint32_t pair_seal(uint8_t *packet, uint32_t len);
/* Exchange packets until both are silent; timers run for `ns`. */
void pair_run(struct pair *pair, uint64_t ns);

/* The n-th packet sent by `from` goes to `to` (again). */
int pair_hand(struct pair *pair, struct end *from, uint32_t n, struct end *to);
/* Decode the newest packet that `end` has sent. */
struct wire_hdr pair_last(const struct end *end);
/* How many packets of a type `end` has sent. */
uint32_t pair_count(const struct end *end, enum wire_type type);

/* Push a message; @return its number, from 1. */
uintptr_t pair_push(struct end *end, const void *bytes, uint32_t len);
/* Read all that is in order; release at once. @return messages completed. */
uint32_t pair_read(struct end *end);
struct conn_stats pair_stats(const struct end *end);

#endif
