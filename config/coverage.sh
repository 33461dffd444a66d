#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What of the wire protocol do unit tests, simulator and corpora execute?
# "make coverage"; fails below what tests/coverage.py wants.
set -u
cd "$(dirname "$0")/.." || exit 1

seeds=${COVERAGE_SEEDS:-3000}
config/setup.sh build-coverage CC=gcc -Db_coverage=true -Doptimization=0 \
	-Ddpdk=disabled -Dtool=disabled -Dman=disabled || exit 1
ninja -C build-coverage >build-coverage/ninja.txt 2>&1 || {
	grep -v '^\[' build-coverage/ninja.txt | tail -n 40
	exit 1
}
find build-coverage -name '*.gcda' -delete
timeout 600 meson test -C build-coverage --no-rebuild --suite unit \
	--suite fuzz >build-coverage/tests.txt 2>&1 || {
	tail -n 30 build-coverage/tests.txt
	exit 1
}
timeout 900 build-coverage/tests/sim/test_sim --seeds 1 "$seeds" \
	>build-coverage/sim.txt || exit 1
exec python3 tests/coverage.py build-coverage
