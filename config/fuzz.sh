#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Fuzz every target for a while; "make fuzz".
#
#     FUZZ_SECONDS=20 config/fuzz.sh [--learn] [TARGET]...
#
# --learn writes the corpora in tests/fuzz/corpus again, with what was found.
set -u
cd "$(dirname "$0")/.." || exit 1

seconds=${FUZZ_SECONDS:-20}
learn=
if [ "${1:-}" = --learn ]; then
	learn=--learn
	shift
fi
config/setup.sh build-fuzz CC=clang CXX=clang++ -Ddpdk=enabled \
	-Dtool=disabled -Dman=disabled -Dfuzz=enabled \
	-Db_sanitize=address,undefined -Db_lundef=false || exit 1
ninja -C build-fuzz >build-fuzz/ninja.txt 2>&1 || {
	grep -v '^\[' build-fuzz/ninja.txt | tail -n 40
	exit 1
}
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
	for corpus in tests/fuzz/corpus/*.txt; do
		targets+=("$(basename "$corpus" .txt)")
	done
fi
failed=0
total=0
for target in "${targets[@]}"; do
	said=$(python3 tests/fuzz/run.py --seconds "$seconds" $learn \
		--golden docs/wire.md build-fuzz/tests/fuzz/fuzz_"$target" \
		tests/fuzz/corpus/"$target".txt) || failed=$((failed + 1))
	echo "$said"
	count=$(echo "$said" | sed -n 's/.*: \([0-9]*\) executions.*/\1/p')
	total=$((total + ${count:-0}))
done
echo "${#targets[@]} targets, $total executions, $failed failed"
[ "$failed" = 0 ]
