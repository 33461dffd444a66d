#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The report of "make bench": see config/bench.py, and docs/performance.md for
# how to read it. As root with huge pages, given back afterwards.
#
#     config/bench.sh BUILD_DIR [--short]
#
# BENCH_DIR    where the report goes (./bench-DATE-TIME)
# BENCH_TIME   seconds for each run (5; with 5 all takes some 12 minutes, and
#              then, if the processors were not seen both near and far, what is
#              missing is run again until 18 have passed)
# BENCH_PRIO=1 as root: runs go before everybody else's work, for machines
#              that have some
set -eu

build=$1
shift
here=$(dirname "$(realpath "$0")")
to=${BENCH_DIR:-bench-$(date +%Y%m%d-%H%M)}
exec "$here/hugepages.sh" 256 python3 "$here/bench.py" "$build" "$to" \
	${BENCH_TIME:+--time "$BENCH_TIME"} "$@"
