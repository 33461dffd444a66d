#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Has relacy run the shared-memory ring, the very code, in one order of its
# threads after the other and with all that C11 lets its loads return; then
# with one defect after the other, which it has to find.
#
#     tests/model/relacy.sh [--long]
#
# --long, or WEIR_CHECK_LONG=1: a hundred times as many runs.
set -u
cd "$(dirname "$0")/relacy" || exit 1

for file in /usr/include/relacy/relacy.hpp; do
	[ -e $file ] || {
		echo "relacy-dev is not installed" >&2
		exit 77
	}
done
runs=20000
[ "${1:-}" != --long ] && [ -z "${WEIR_CHECK_LONG:-}" ] || runs=2000000

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
failed=0 total=0 found=0

python3 translate.py ../../.. "$work" >"$work/defects" || exit 1
# relacy replaces new and delete, but not the forms that know the size.
g++ -std=gnu++20 -O1 -w -fpermissive -fno-sized-deallocation \
	-I"$work" -I. -I../../../lib ring.cpp -o "$work/ring" || exit 1

for test in publish bursts hold returns close abort orphan-order orphan doorbell \
	doorbell-fence close-asleep abort-asleep several several-bursts several-asleep \
	several-close; do
	verdict=holds
	timeout 600 "$work/ring" $test $runs >"$work/out" 2>&1 || {
		verdict=FAILS
		failed=1
	}
	total=$((total + runs))
	printf 'ring %-15s %8d runs  %s\n' $test $runs $verdict
	[ $verdict = holds ] || grep -v ") init_" "$work/out" | tail -n 40
done
while IFS=$'\t' read -r number test file wrong; do
	timeout 100 "$work/ring" "$test" 100000 "$number" >"$work/out" 2>&1
	if [ $? = 1 ]; then
		found=$((found + 1))
		by=$(sed -n 's/^iteration: \([0-9]*\).*/found in run \1/p' \
			"$work/out" | head -n 1)
	else
		by='NOT FOUND'
		failed=1
	fi
	printf 'ring %-15s %s: %s: %s\n' "$test" "$file" "$wrong" "$by"
done <"$work/defects"
echo "$total runs, $found of $(wc -l <"$work/defects") defects found"
exit $failed
