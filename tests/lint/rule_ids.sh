#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# docs/contract.md and the contract suite say the same: each rule has a case
# that verifies it, each case stands beside its rule, and nothing else does. Its
# table of variants has those of the suite; meson.build runs each, or none that
# needs another machine or is said to be left out.
#
#     tests/lint/rule_ids.sh SOURCE_ROOT
#
# In the suite a rule is named by the comment in front of a case:
#     /* verifies link.order: ... */
#     static void
#     messages_arrive_in_commit_order(void **state)
# In the document by a table row:
#     | `link.order` | what it means | `messages_arrive_in_commit_order`, ... |
set -u
export LC_ALL=C
cd "$1" || exit 1

# Lines "rule case" of the suite. A comment without a case is "rule -".
from_tests() {
	awk '
	/verifies (link|zerocopy)/ {
		if (rule != "") print rule, "-"
		match($0, /verifies [a-z.-]+/)
		rule = substr($0, RSTART + 9, RLENGTH - 9)
		sub(/[.-]$/, "", rule)
	}
	rule != "" && /^[a-z_0-9]+\(void \*\*state\)/ {
		sub(/\(.*/, "")
		print rule, $0
		rule = ""
	}' tests/contract/cases_*.c | sort -u
}

# Lines "rule case" of the document.
from_docs() {
	awk -F'|' '
	/^\| `(link|zerocopy)[a-z.-]*` \|/ {
		rule = $2
		gsub(/[` ]/, "", rule)
		n = split($4, names, ",")
		for (i = 1; i <= n; i++) {
			gsub(/[` ]/, "", names[i])
			if (names[i] != "") print rule, names[i]
		}
	}' docs/contract.md | sort -u
}

# Cases that are run: those in the tables of the suite.
registered() {
	grep -ho 'cmocka_unit_test([a-z_0-9]*)' tests/contract/cases_*.c |
		sed 's/.*(\(.*\))/\1/' | sort
}

# The ways to run the suite: of its table, of the document's, of CI.
variants() {
	sed -n 's/^\t{ "\([a-z][^"]*\)",.*/\1/p' tests/contract/variant.c | sort
}
variants_in_docs() {
	sed -n '/^| variant | driver/,/^$/s/^| \(`.*`\) |.*|.*|.*/\1/p' \
		docs/contract.md | cut -d'|' -f1 | grep -o '`[^`]*`' |
		tr -d '`' | sort
}
variants_in_ci() {
	sed -n '/^ *foreach variant/,/\]$/p' tests/contract/meson.build |
		grep -o "'[^']*'" | tr -d "'" | sort
}
left_out() {
	variants | grep '^dpdk-nic'
	sed -n 's/^| `\([^`]*\)` |.*not part of CI.*/\1/p' docs/contract.md
}

if [ "${2:-}" = --print ]; then
	from_tests
	exit 0
fi

bad=0
dislike() {
	while read -r line; do
		[ -n "$line" ] || continue
		echo "rule ids: $1: $line"
		bad=1
	done
}

dislike "not in docs/contract.md" < <(comm -23 <(from_tests) <(from_docs))
dislike "not in tests/contract" < <(comm -13 <(from_tests) <(from_docs))
dislike "case without a rule" < <(comm -13 \
	<(from_tests | cut -d' ' -f2 | sort) <(registered))
dislike "case that is not run" < <(comm -23 \
	<(from_tests | cut -d' ' -f2 | sort) <(registered))
dislike "case listed twice" < <(registered | uniq -d)

dislike "variant that docs/contract.md lacks" < <(comm -23 \
	<(variants) <(variants_in_docs))
dislike "variant of docs/contract.md that is none" < <(comm -13 \
	<(variants) <(variants_in_docs))
dislike "variant that is not run" < <(comm -23 \
	<(variants) <(sort -u <(variants_in_ci) <(left_out)))
dislike "variant of CI that is none" < <(comm -13 \
	<(variants) <(variants_in_ci))

echo "rule ids: $(from_tests | cut -d' ' -f1 | sort -u | wc -l) rules," \
	"$(from_tests | wc -l) cases, $(variants | wc -l) variants"
exit $bad
