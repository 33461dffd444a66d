#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Functions are short: over 60 lines is worth a look, over 70 is wrong.
# length.sh SOURCE_ROOT
set -u
cd "$1" || exit 1

find lib drivers apps tests -name '*.[ch]' | sort | xargs awk '
	FNR == 1 { start = 0 }
	/^\{/ { start = FNR; functions++ }
	/^\}/ {
		lines = FNR - start + 1
		if (start && lines > 70)
			bad++
		if (start && lines > 60)
			printf "%s:%d: %d lines%s\n", FILENAME, start, lines,
				(lines > 70 ? ", too long" : "")
		start = 0
	}
	END {
		printf "%d functions, %d too long\n", functions, bad
		exit bad > 0 || functions == 0
	}'
