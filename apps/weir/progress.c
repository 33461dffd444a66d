/* SPDX-License-Identifier: BSD-3-Clause */
/* The progress line; see progress.h. */

#include "progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "tool.h"
#include "weir.h"

#define APART_NS UINT64_C(100000000)

static bool shown;
static uint64_t next_ns;

static bool
wanted(void)
{
	static int terminal = -1;

	if (terminal < 0)
		terminal = isatty(STDERR_FILENO);
	return terminal == 1 && !weir_tool.quiet;
}

void
weir_progress(const char *format, ...)
{
	uint64_t now_ns;
	va_list ap;

	if (!wanted() || (now_ns = weir_now_ns()) < next_ns)
		return;
	next_ns = now_ns + APART_NS;
	shown = true;
	fputs("\r\033[K", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fflush(stderr);
}

void
weir_progress_end(void)
{
	if (!shown)
		return;
	shown = false;
	next_ns = 0;
	fputs("\r\033[K", stderr);
	fflush(stderr);
}
