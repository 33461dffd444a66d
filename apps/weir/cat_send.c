/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * input -> link. Where the length of a message is known before its bytes are
 * read (--frame file and length), read(2) puts them into the slot. Lines have
 * to be looked for first, so they pass through a buffer.
 */

#include "cat.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Input that is read ahead of the longest line. */
#define READ_AHEAD (256 * 1024)

/* Messages per call of the pump, so that the other direction has its turn. */
#define SEND_BURST 64

/* What a step of the pump answers, besides cat_stop(). */
enum step {
	STEP_WAIT = 0, /* wants says for what */
	STEP_DONE = 1, /* one message more, or some input read */
	STEP_END = 2,  /* the input has ended and all of it is sent */
};

int
weir_cat_send_start(struct cat_send *send, struct weir_tx *tx)
{
	send->chunk = weir_tx_msg_size_max(tx);
	send->size = (size_t)send->chunk * (send->hex ? 3 : 1) + READ_AHEAD;
	send->buffer = malloc(send->size);
	return send->buffer == NULL ? -ENOMEM : 0;
}

void
weir_cat_send_stop(struct cat_send *send)
{
	if (send->slot.tx != NULL)
		weir_slot_discard(&send->slot);
	if (send->permit.tx != NULL)
		weir_permit_drop(&send->permit);
	free(send->buffer);
	send->buffer = NULL;
}

/* ---- pieces ---------------------------------------------------------------- */

static int
read_failed(const struct cat_send *send, ssize_t n)
{
	weir_tool_error("%s: %s; the peer is told that the rest is missing",
			send->file.name, strerror((int)-n));
	return cat_stop(WEIR_EXIT_NOT_READY);
}

/* Read on behind buffer[end). @return as a step. */
static int
fill_buffer(struct cat_send *send)
{
	ssize_t n;

	if (send->input_ended)
		return STEP_END;
	if (send->begin > 0) {
		memmove(send->buffer, send->buffer + send->begin,
			send->end - send->begin);
		send->end -= send->begin;
		send->begin = 0;
	}
	n = weir_cat_read(&send->file, send->buffer + send->end,
			  send->size - send->end);
	if (n == -EAGAIN) {
		send->wants = CAT_WANT_INPUT;
		return STEP_WAIT;
	}
	if (n < 0)
		return read_failed(send, n);
	send->input_ended = n == 0;
	send->end += (size_t)n;
	return n == 0 ? STEP_END : STEP_DONE;
}

/* Open a slot of len bytes. @return as a step; a dead link ends the pump. */
static int
open_slot(struct cat_send *send, struct weir_tx *tx, uint32_t len)
{
	int rc = weir_tx_reserve_burst(tx, len, &send->permit, 1);

	if (rc == 0) {
		send->permit.tx = NULL;
		send->wants = CAT_WANT_ROOM;
		send->want_len = len;
		return STEP_WAIT;
	}
	if (rc < 0) {
		send->permit.tx = NULL;
		send->error = rc;
		return STEP_END;
	}
	(void)weir_permit_alloc(&send->permit, len, &send->slot);
	send->filled = 0;
	return STEP_DONE;
}

static void
commit_slot(struct cat_send *send)
{
	send->messages++;
	send->bytes += send->slot.len;
	weir_slot_commit(&send->slot);
	send->next_ns += send->gap_ns;
}

/* ---- lines -------------------------------------------------------------------- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* @return bytes that the digits stand for, -1 if it is not hex. */
static ssize_t
hex_len(const char *text, size_t len)
{
	size_t digits = 0;

	for (size_t i = 0; i < len; i++) {
		if (isspace((unsigned char)text[i]))
			continue;
		if (hex_value(text[i]) < 0)
			return -1;
		digits++;
	}
	return digits % 2 == 0 ? (ssize_t)(digits / 2) : -1;
}

static void
hex_decode(const char *text, size_t len, uint8_t *out)
{
	int high = -1;

	for (size_t i = 0; i < len; i++) {
		int value = hex_value(text[i]);

		if (value < 0)
			continue;
		if (high >= 0)
			*out++ = (uint8_t)(high << 4 | value);
		high = high >= 0 ? -1 : value;
	}
}

static int
refuse_line(const struct cat_send *send, const char *what)
{
	weir_tool_error("%s: line %llu %s", send->file.name,
			(unsigned long long)send->line + 1, what);
	return cat_stop(WEIR_EXIT_USAGE);
}

static int
refuse_long(const struct cat_send *send, const char *unit, size_t len)
{
	weir_tool_error("%s: %s %llu has %zu bytes or more, this link takes "
			"%u; raise --max-message on both ends, or use "
			"--frame file",
			send->file.name, unit,
			(unsigned long long)send->line + 1, len, send->chunk);
	return cat_stop(WEIR_EXIT_USAGE);
}

static int
send_line(struct cat_send *send, struct weir_tx *tx, size_t len, size_t used)
{
	char *line = send->buffer + send->begin;
	ssize_t bytes = (ssize_t)len;
	int rc;

	if (send->hex)
		bytes = hex_len(line, len);
	if (bytes < 0)
		return refuse_line(send, "is not hex; write two digits for "
					 "each byte");
	if ((size_t)bytes > send->chunk)
		return refuse_long(send, "line", (size_t)bytes);
	rc = open_slot(send, tx, (uint32_t)bytes);
	if (rc != STEP_DONE)
		return rc;
	if (send->hex)
		hex_decode(line, len, send->slot.data);
	else
		memcpy(send->slot.data, line, len);
	commit_slot(send);
	send->begin += used;
	send->scanned = 0;
	send->line++;
	return STEP_DONE;
}

static int
step_line(struct cat_send *send, struct weir_tx *tx)
{
	size_t have = send->end - send->begin;
	const char *from = send->buffer + send->begin + send->scanned;
	const char *newline = NULL;
	int rc;

	if (have > send->scanned)
		newline = memchr(from, '\n', have - send->scanned);
	if (newline != NULL) {
		size_t len = (size_t)(newline - (send->buffer + send->begin));

		return send_line(send, tx, len, len + 1);
	}
	send->scanned = have;
	if (have > (size_t)send->chunk * (send->hex ? 3 : 1))
		return refuse_long(send, "line", have);
	rc = fill_buffer(send);
	/* The last line may lack its newline. */
	if (rc == STEP_END && have > 0)
		return send_line(send, tx, have, have);
	return rc;
}

/* ---- length and bytes ------------------------------------------------------------ */

/* Read into the open slot; commit it when it is full. */
static int
fill_slot(struct cat_send *send)
{
	char *data = send->slot.data;
	size_t have = send->end - send->begin;
	size_t rest = send->slot.len - send->filled;
	ssize_t n;

	if (have > 0) {
		n = (ssize_t)(have < rest ? have : rest);
		memcpy(data + send->filled, send->buffer + send->begin,
		       (size_t)n);
		send->begin += (size_t)n;
	} else if (rest > 0) {
		n = weir_cat_read(&send->file, data + send->filled, rest);
		if (n == -EAGAIN) {
			send->wants = CAT_WANT_INPUT;
			return STEP_WAIT;
		}
		if (n < 0)
			return read_failed(send, n);
		send->input_ended = n == 0;
		if (n == 0)
			return STEP_END;
	} else {
		n = 0;
	}
	send->filled += (size_t)n;
	if (send->filled == send->slot.len) {
		commit_slot(send);
		send->line++;
	}
	return STEP_DONE;
}

static int
cut_short(const struct cat_send *send)
{
	weir_tool_error("%s: ends inside record %llu; each one is 4 bytes of "
			"length, low byte first, and that many bytes",
			send->file.name, (unsigned long long)send->line + 1);
	return cat_stop(WEIR_EXIT_USAGE);
}

static int
step_length(struct cat_send *send, struct weir_tx *tx)
{
	const uint8_t *at = (uint8_t *)send->buffer + send->begin;
	size_t have = send->end - send->begin;
	uint32_t len;
	int rc;

	if (send->slot.tx == NULL && have < 4) {
		rc = fill_buffer(send);
		return rc == STEP_END && have > 0 ? cut_short(send) : rc;
	}
	if (send->slot.tx == NULL) {
		len = (uint32_t)at[0] | (uint32_t)at[1] << 8 |
		      (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
		if (len > send->chunk)
			return refuse_long(send, "record", len);
		rc = open_slot(send, tx, len);
		if (rc != STEP_DONE)
			return rc;
		send->begin += 4;
	}
	rc = fill_slot(send);
	return rc == STEP_END ? cut_short(send) : rc;
}

/* The input shrank under us: what came in goes out as a shorter message. */
static int
rescue_slot(struct cat_send *send)
{
	memcpy(send->buffer, send->slot.data, send->filled);
	send->begin = 0;
	send->end = send->filled;
	weir_slot_discard(&send->slot);
	return STEP_DONE;
}

static int
step_file(struct cat_send *send, struct weir_tx *tx)
{
	size_t have = send->end - send->begin;
	ssize_t n;
	int rc;

	if (send->slot.tx == NULL && have > 0) {
		n = (ssize_t)(have < send->chunk ? have : send->chunk);
		rc = open_slot(send, tx, (uint32_t)n);
		return rc == STEP_DONE ? fill_slot(send) : rc;
	}
	if (send->input_ended)
		return STEP_END;
	if (send->slot.tx == NULL) {
		n = weir_cat_available(&send->file, send->chunk);
		if (n == -EAGAIN) {
			send->wants = CAT_WANT_INPUT;
			return STEP_WAIT;
		}
		if (n <= 0)
			return fill_buffer(send);
		rc = open_slot(send, tx, (uint32_t)n);
		if (rc != STEP_DONE)
			return rc;
	}
	rc = fill_slot(send);
	return rc == STEP_END ? rescue_slot(send) : rc;
}

/* ---- the pump ---------------------------------------------------------------------- */

static int
step(struct cat_send *send, struct weir_tx *tx)
{
	if (send->slot.tx == NULL && send->limit != 0 &&
	    send->messages >= send->limit)
		return STEP_END;
	if (send->gap_ns != 0 && send->slot.tx == NULL) {
		uint64_t now_ns = weir_now_ns();

		/* After a pause the schedule starts anew: no burst. */
		if (send->next_ns + send->gap_ns < now_ns)
			send->next_ns = now_ns;
		if (send->next_ns > now_ns) {
			send->wants = CAT_WANT_TIME;
			return STEP_WAIT;
		}
	}
	switch (send->frame) {
	case CAT_FRAME_LINE:
		return step_line(send, tx);
	case CAT_FRAME_LENGTH:
		return step_length(send, tx);
	default:
		return step_file(send, tx);
	}
}

int
weir_cat_send(struct cat_send *send, struct weir_tx *tx)
{
	int done = 0;
	int rc = STEP_DONE;

	send->wants = 0;
	if (send->done)
		return 0;
	while (done < SEND_BURST && rc == STEP_DONE) {
		rc = step(send, tx);
		done += rc == STEP_DONE;
	}
	if (done > 0)
		weir_tx_flush(tx);
	if (rc < 0)
		return rc;
	if (rc == STEP_END) {
		if (send->error == 0)
			send->error = weir_tx_close(tx);
		send->done = true;
		return done + 1;
	}
	return done;
}
