#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The table in docs/shm-layout.md of what is checked of a peer names tests: each
# of them exists and is run, and each test of a hostile peer is named there.
#
#     tests/lint/shm_rules.sh SOURCE_ROOT
set -u
export LC_ALL=C
cd "$1" || exit 1

# Names in the last column.
named() {
	awk -F'|' '
	/^## / { inside = /^## What is checked of a peer/ }
	inside && NF == 5 {
		n = split($4, names, ",")
		for (i = 1; i <= n; i++) {
			gsub(/[` ]/, "", names[i])
			if (names[i] ~ /^[a-z_0-9]+_[a-z_0-9]+$/) print names[i]
		}
	}' docs/shm-layout.md | sort -u
}

# Names in the tables of the given programs, which may break lines.
run() {
	tr -d '\n\t ' <"$1" | grep -o 'cmocka_unit_test([a-z_0-9]*)' |
		sed 's/.*(\(.*\))/\1/'
}

all() {
	for file in tests/unit/test_shm_*.c tests/kill/test_shm_*.c; do
		run "$file"
	done | sort -u
}

bad=0
dislike() {
	while read -r name; do
		echo "shm rules: $1: $name"
		bad=1
	done
}

dislike "no such test" < <(comm -23 <(named) <(all))
dislike "not in docs/shm-layout.md" < <(comm -13 <(named) \
	<(run tests/unit/test_shm_hostile.c | sort))
count=$(named | wc -l)
[ "$count" -gt 20 ] || { echo "shm rules: the table is not found"; bad=1; }
echo "shm rules: $count tests"
exit $bad
