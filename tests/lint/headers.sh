#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Each header compiles alone, so that nobody has to know what to include
# before it; the public ones in strict C11 and C++17 too. weir_inline.h is the
# second half of weir.h and has no life of its own.
# headers.sh SOURCE_ROOT
set -u
cd "$1" || exit 1
bad=0

alone() {
	local header=$1

	shift
	echo "#include \"$header\"" |
		"$@" -fsyntax-only -Wall -Wextra -Werror -I lib -I "$PWD" - ||
		bad=1
}

count=0
for header in lib/*.h drivers/mem/*.h drivers/shm/*.h apps/weir/*.h; do
	[ "$header" = lib/weir_inline.h ] && continue
	grep -q '<rte_' "$header" && continue # needs DPDK's flags
	alone "$header" cc -x c -std=gnu11 -D_GNU_SOURCE
	count=$((count + 1))
done
for header in weir.h weir_driver.h weir_stats.h; do
	alone "$header" cc -x c -std=c11 -pedantic
	! command -v c++ >/dev/null ||
		alone "$header" c++ -x c++ -std=c++17 -pedantic
done
echo "$count headers"
exit $bad
