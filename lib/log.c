/* SPDX-License-Identifier: BSD-3-Clause */
/* Where log lines go: the application's callback, or nowhere. */

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "weir_driver.h"

#define LINE_MAX_BYTES 512

static _Atomic(weir_log_fn) sink;

void
weir_set_log(weir_log_fn fn)
{
	atomic_store_explicit(&sink, fn, memory_order_release);
}

void
weir_log(enum weir_log_level level, const char *format, ...)
{
	weir_log_fn fn = atomic_load_explicit(&sink, memory_order_acquire);
	char line[LINE_MAX_BYTES];
	va_list args;

	if (fn == NULL)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fn(level, line);
}
