/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What return values mean, why the last set-up call failed, and the two cold
 * ends of the inline calls: the latch and the report of misuse.
 */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"

#define FAIL_TEXT_MAX 512

static _Thread_local char fail_text[FAIL_TEXT_MAX];

int
weir_fail(int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fail_text, sizeof(fail_text), format, args);
	va_end(args);
	return rc;
}

void
weir_fail_clear(void)
{
	fail_text[0] = '\0';
}

const char *
weir_last_error(void)
{
	return fail_text;
}

/* The few values that mean something of ours; others are libc's. */
static const struct {
	int rc;
	const char *text;
} meanings[] = {
	{ WEIR_EOF, "the peer closed the link" },
	{ -ETIMEDOUT,
	  "the peer is dead: its process is gone, or nothing answers" },
	{ -ECONNRESET, "the peer aborted the link" },
	{ -ECONNREFUSED, "nobody listens there, or the listener refused" },
	{ -EPROTO, "the peer broke the protocol" },
	{ -EPIPE, "the send half was closed here" },
	{ -EALREADY, "done before" },
	{ -EBUSY, "still in use" },
	{ -EMSGSIZE, "the message is longer than the link or permit allows" },
	{ -EINPROGRESS, "the link is being set up" },
	{ -ECANCELED, "the wait was canceled" },
	{ -EINTR, "the wait was interrupted by a signal" },
	{ -EOPNOTSUPP, "not supported by this driver" },
	{ -ENODEV, "no such device" },
};

const char *
weir_strerror(int rc)
{
	const char *text;

	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].rc == rc)
			return meanings[i].text;
	if (rc >= 0)
		return "no error";
	text = strerrordesc_np(-rc);
	return text != NULL ? text : "unknown error";
}

/* Answers that say something about one call, not about the half. */
static bool
is_passing(int rc)
{
	return rc == -ECANCELED || rc == -EINTR || rc == -EMSGSIZE ||
	       rc == -EBUSY || rc == -EINVAL || rc == -EOPNOTSUPP;
}

int
weir_latch(int32_t *status, int rc)
{
	int32_t first = 0;

	if (!is_passing(rc) &&
	    !__atomic_compare_exchange_n(status, &first, rc, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return first;
	return rc;
}

void
weir_misuse(const char *call, const char *what)
{
	fprintf(stderr, "weir: misuse: %s: %s\n", call, what);
	abort();
}
