/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a target ends when something does not hold.
 */
#include <stdio.h>
#include <stdlib.h>
#include "fuzz.h"

void
fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}
