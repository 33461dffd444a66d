/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link -> output. Up to CAT_BURST messages are held, and their bytes go to
 * writev(2) from where they lie; a message is released as soon as its last
 * byte is out.
 */

#include "cat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char newline[1] = { '\n' };

/* The pieces of one framed message. @return how many. */
static int
frame_pieces(struct cat_recv *recv, unsigned int i, struct iovec *iov)
{
	const struct weir_msg *msg = &recv->msgs[i];
	uint8_t *prefix = recv->prefix[i];
	int n = 0;

	if (recv->frame == CAT_FRAME_LENGTH) {
		for (int byte = 0; byte < 4; byte++)
			prefix[byte] = (uint8_t)(msg->len >> (8 * byte));
		iov[n++] = (struct iovec){ prefix, 4 };
	}
	if (msg->len > 0)
		iov[n++] = (struct iovec){ (void *)(uintptr_t)msg->data,
					   msg->len };
	if (recv->frame == CAT_FRAME_LINE)
		iov[n++] = (struct iovec){ (void *)(uintptr_t)newline, 1 };
	return n;
}

/* Leave out the first skip bytes. @return pieces that remain. */
static int
skip_pieces(struct iovec *iov, int count, size_t skip)
{
	int from = 0;

	while (from < count && skip >= iov[from].iov_len)
		skip -= iov[from++].iov_len;
	if (from < count) {
		iov[from].iov_base = (char *)iov[from].iov_base + skip;
		iov[from].iov_len -= skip;
	}
	memmove(iov, iov + from, (size_t)(count - from) * sizeof(*iov));
	return count - from;
}

static void
release_head(struct cat_recv *recv)
{
	recv->bytes += recv->msgs[recv->head].len;
	recv->messages++;
	weir_msg_release(&recv->msgs[recv->head]);
	recv->head++;
	recv->offset = 0;
	free(recv->text);
	recv->text = NULL;
}

/* Bytes that a message takes in the output. */
static size_t
framed_len(const struct cat_recv *recv, const struct weir_msg *msg)
{
	if (recv->hex)
		return recv->text_len;
	if (recv->frame == CAT_FRAME_LENGTH)
		return (size_t)msg->len + 4;
	return (size_t)msg->len + (recv->frame == CAT_FRAME_LINE);
}

static void
account(struct cat_recv *recv, size_t written)
{
	while (recv->head < recv->count) {
		size_t rest = framed_len(recv, &recv->msgs[recv->head]) -
			      recv->offset;

		if (written < rest) {
			recv->offset += written;
			return;
		}
		written -= rest;
		release_head(recv);
		if (recv->hex)
			return; /* one message per write */
	}
}

/* msgs[head] as a line of hex digits. */
static int
hex_text(struct cat_recv *recv)
{
	static const char digits[] = "0123456789abcdef";
	const struct weir_msg *msg = &recv->msgs[recv->head];
	const uint8_t *data = msg->data;

	recv->text_len = (size_t)msg->len * 2 + 1;
	recv->text = malloc(recv->text_len);
	if (recv->text == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < msg->len; i++) {
		recv->text[2 * i] = digits[data[i] >> 4];
		recv->text[2 * i + 1] = digits[data[i] & 15];
	}
	recv->text[recv->text_len - 1] = '\n';
	return 0;
}

/* @return pieces to write, or -ENOMEM. */
static int
gather(struct cat_recv *recv, struct iovec *iov)
{
	int count = 0;

	if (recv->hex) {
		if (recv->text == NULL && hex_text(recv) != 0)
			return -ENOMEM;
		iov[0] = (struct iovec){ recv->text + recv->offset,
					 recv->text_len - recv->offset };
		return 1;
	}
	for (unsigned int i = recv->head; i < recv->count; i++) {
		int n = frame_pieces(recv, i, iov + count);

		if (i == recv->head)
			n = skip_pieces(iov + count, n, recv->offset);
		count += n;
	}
	return count;
}

static int
write_pending(struct cat_recv *recv)
{
	struct iovec iov[2 * CAT_BURST];
	ssize_t n = 0;
	int count;

	if (recv->discard) {
		while (recv->head < recv->count)
			release_head(recv);
		return 1;
	}
	count = gather(recv, iov);
	if (count > 0)
		n = weir_cat_writev(&recv->file, iov, count);
	else if (count < 0)
		n = count;
	if (n == -EAGAIN) {
		recv->wants = CAT_WANT_OUTPUT;
		return 0;
	}
	if (n < 0) {
		weir_tool_error("%s: %s; what was received after that is lost",
				recv->file.name, strerror((int)-n));
		return cat_stop(WEIR_EXIT_NOT_READY);
	}
	account(recv, (size_t)n);
	return 1;
}

int
weir_cat_recv(struct cat_recv *recv, struct weir_rx *rx)
{
	uint16_t room = CAT_BURST;
	int rc;

	recv->wants = 0;
	if (recv->done)
		return 0;
	if (recv->head < recv->count)
		return write_pending(recv);
	if (recv->limit != 0 && recv->messages >= recv->limit) {
		recv->done = true;
		return 1;
	}
	if (recv->limit != 0 && recv->limit - recv->messages < room)
		room = (uint16_t)(recv->limit - recv->messages);
	rc = weir_rx_recv_burst(rx, recv->msgs, room);
	if (rc == 0) {
		recv->wants = CAT_WANT_MESSAGE;
		return 0;
	}
	if (rc < 0) {
		recv->done = true;
		recv->error = rc == WEIR_EOF ? 0 : rc;
		return 1;
	}
	recv->head = 0;
	recv->count = (unsigned int)rc;
	return write_pending(recv) < 0 ? cat_stop(WEIR_EXIT_NOT_READY) : 1;
}

void
weir_cat_recv_stop(struct cat_recv *recv)
{
	while (recv->head < recv->count)
		weir_msg_release(&recv->msgs[recv->head++]);
	free(recv->text);
	recv->text = NULL;
}
