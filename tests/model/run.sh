#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Has spin look at every state of the models of the wire protocol, then breaks
# a rule at a time (MUTANT=n) and expects it to find that.
#
#     tests/model/run.sh [--long]
#
# Each line: model, its choices, states, seconds, verdict. --long, or
# WEIR_CHECK_LONG=1, allows more faults at once.
set -u
cd "$(dirname "$0")" || exit 1

for tool in spin gcc; do
	command -v "$tool" >/dev/null || {
		echo "$tool is not installed" >&2
		exit 77
	}
done
long=${WEIR_CHECK_LONG:-}
[ "${1:-}" = --long ] && long=1

here=$PWD
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
failed=0 states=0 found=0

# In credit.pml things go on for ever and every process must get its turn; the
# runs of the others end, and their timers go off when nothing else can happen.
fairness() {
	[ "$1" != credit ] || echo -f
}

# verify MODEL DEFINES CFLAGS: leaves the verifier's words in $work/out.
verify() {
	(cd "$work" && rm -f pan* ./*.trail &&
		spin -a $2 "$here/$1.pml" >spin.txt 2>&1 &&
		gcc -w $3 -DCOLLAPSE -DNFAIR=3 -DMEMLIM=6000 -o pan pan.c &&
		timeout "${limit:-100}" ./pan -a $(fairness "$1") -m3000000 -w22 >out 2>&1)
}

field() {
	sed -n "s/$1/\\1/p" "$work/out" | head -n 1
}

# holds MODEL DEFINES: every state is seen and nothing is wrong in any.
holds() {
	local verdict=holds

	verify "$1" "$2" -O2
	if ! grep -q 'errors: 0$' "$work/out" ||
		grep -q 'depth too small\|MEMLIM\|Search not completed' \
			"$work/out"; then
		verdict='FAILS'
		failed=1
	fi
	# A failure may leave no count.
	states=$((states + $(field '^ *\([0-9]*\) states, stored.*') + 0))
	printf '%-10s %-24s %9s states %7s s  %s\n' "$1" "${2:--}" \
		"$(field '^ *\([0-9]*\) states, stored.*')" \
		"$(field '.*elapsed time \([0-9.]*\) .*')" "$verdict"
	[ $verdict = holds ] || cat "$work/spin.txt" "$work/out"
}

# finds MODEL MUTANT DEFINES: the defect is found, by an assertion or a cycle.
finds() {
	local by

	verify "$1" "-DMUTANT=$2 ${3:-}" -O0
	by=$(field '^pan:1: \(assertion violated\|acceptance cycle\).*')
	if ! grep -q 'errors: 1$' "$work/out" || [ -z "$by" ]; then
		by='NOT FOUND'
		failed=1
		cat "$work/spin.txt" "$work/out"
	else
		found=$((found + 1))
	fi
	printf '%-10s mutant %d found: %s\n' "$1" "$2" "$by"
}

holds handshake "-DFAULTS=2"
holds handshake "-DFAULTS=0 -DCALM"
for mutant in 1 2 3 4 5 6 7; do
	finds handshake $mutant "-DFAULTS=1"
done

holds close "-DFAULTS=2 -DODDITIES=0"
holds close "-DFAULTS=1 -DODDITIES=1"
finds close 1 "-DFAULTS=2 -DODDITIES=0"
for mutant in 2 3 5; do
	finds close $mutant "-DFAULTS=1 -DODDITIES=0"
done
for mutant in 4 6; do
	finds close $mutant "-DFAULTS=1"
done

holds credit "-DKEEPS=true"
holds credit "-DCALM -DKEEPS=true"
holds credit "-DCALM -DKEEPS=false"
for mutant in 1 2 3 4; do
	finds credit $mutant
done
for mutant in 5 6; do
	finds credit $mutant "-DCALM"
done

if [ -n "$long" ]; then
	limit=900
	holds handshake "-DFAULTS=4"
	holds close "-DFAULTS=2 -DODDITIES=1"
	holds close "-DFAULTS=1 -DODDITIES=2"
	holds credit "-DKEEPS=false"
fi
echo "$states states, $found mutants found"
exit $failed
