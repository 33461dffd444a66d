/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection with the driver and the application around it, as small and
 * fast as a fuzz target wants them, and what must hold after every step.
 *
 *     push 1, 2, 3 ... --> conn --> pop_acked 1, 2, 3 ...   each once, in order
 *     buffer -> on_packet 1 -> rx_consume | pop_dropped_rx  each once
 *
 * Message n of a side has bytes that follow from n alone.
 */
#ifndef WEIR_TESTS_FUZZ_SIDE_H
#define WEIR_TESTS_FUZZ_SIDE_H

#include <stdbool.h>
#include "conn_impl.h"
#include "fuzz.h"

#define SIDE_BYTES 1024 /* of the largest packet */
#define SIDE_BUFS  512
#define SIDE_HELD  64

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

enum buf_state {
	BUF_FREE,
	BUF_OURS, /* being filled, or on the wire */
	BUF_CONN, /* on_packet kept it */
	BUF_HELD, /* consumed, not released */
};

struct buf {
	struct buf *next;
	uint32_t len;
	uint32_t holds; /* messages in it that are not released */
	uint8_t state;
	bool ect;    /* a router may mark it */
	bool marked; /* and one did */
	_Alignas(8) uint8_t bytes[SIDE_BYTES];
};

struct side {
	struct weir_conn *conn; /* NULL: a listener without one */
	struct conn_config config;
	void *mem;

	/* send */
	uint32_t pushed;
	uint32_t popped;
	bool closed; /* no more pushes */

	/* receive */
	uint32_t received;
	uint32_t rx_offset;
	bool verify; /* the peer is a struct side too, and honest */

	struct buf *held[SIDE_HELD];
	uint32_t held_count;

	int status; /* latched */
	int rx_state;
	struct conn_gauge last;
};

/* Buffers of packets. */
struct buf *buf_new(void);
void buf_free(struct buf *buf);
uint32_t buf_count(void); /* not free */

/* Sizes and features of a side out of some input. */
void side_config(struct side *side, struct fuzz_in *in, uint32_t index);
void side_make(struct side *side);
/* Discard, take everything back, count. */
void side_fini(struct side *side);

uint32_t side_msg_len(const struct side *side, uint32_t number);
const uint8_t *side_msg_bytes(uint32_t number);

/* The trailer, on a link that has one. */
void buf_seal(struct buf *buf);
/* @return false: not a packet, or damaged. */
bool buf_decode(const struct buf *buf, struct wire_hdr *hdr);

/* Decode and hand over a buffer, which is gone afterwards. */
void side_take(struct side *side, struct buf *buf, uint64_t now_ns);
/* The next packet to send, or NULL. */
struct buf *side_next(struct side *side, uint64_t now_ns);

/* Application and driver, one step each. */
void side_push(struct side *side, uint32_t count, uint32_t len);
void side_read(struct side *side, uint32_t count, bool hold);
void side_release(struct side *side, uint32_t count);
void side_end(struct side *side, uint8_t how, uint64_t now_ns);
void side_time(struct side *side, uint64_t now_ns);
void side_take_back(struct side *side);

/* Whatever came: books, windows, ends. */
void side_check(struct side *side);
/* And after everything was sent that could be. */
void side_check_quiet(struct side *side);

#endif
