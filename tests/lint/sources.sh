#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Every source says its licence first and then what it is for; nothing names
# the machine it was written on; scripts parse; the root has nothing but what
# belongs there. sources.sh SOURCE_ROOT
set -u
cd "$1" || exit 1
bad=0

complain() {
	echo "$*"
	bad=1
}

# A header's guard may stand between the licence and the purpose. A source
# whose header says it need not repeat it.
while read -r file; do
	[ "$(head -n 1 "$file")" = \
		'/* SPDX-License-Identifier: BSD-3-Clause */' ] ||
		complain "$file: line 1 is not the licence line"
	[ "$file" != "${file%.c}" ] && [ -f "${file%.c}.h" ] && continue
	sed -n '2,$p' "$file" |
		grep -v -m 1 -E '^($|#ifndef |#define [A-Z_0-9]+_H$)' |
		grep -q '^/\*' ||
		complain "$file: no comment on what it is for comes first"
done < <(find lib drivers apps tests -name '*.[ch]' -o -name '*.cpp' | sort)

scripts=$(find config tests apps .ci -name '*.sh' -o -path .ci/run -o \
	-path tests/nic/init | sort)
for file in $scripts $(find config tests apps -name '*.py' | sort); do
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: BSD-3-Clause' ||
		complain "$file: no licence line"
done
for file in $scripts; do
	bash -n "$file" || complain "$file: does not parse"
done

# Paths under a person's or a build machine's own directories.
places=$(find lib drivers apps tests config docs .ci README.md Makefile \
	meson.build -type f ! -path tests/lint/sources.sh)
grep -nE '(^|[^A-Za-z0-9_.$}])/(home|root|work|farm|Users)/' $places &&
	complain "machine paths"

expected=" .ci .clang-format .gitignore LICENSE Makefile README.md apps config
 docs drivers lib meson.build meson_options.txt tests "
for entry in $(ls -A); do
	case $entry in
	.git | build | build-*) continue ;;
	esac
	case $expected in
	*[[:space:]]"$entry"[[:space:]]*) ;;
	*) complain "$entry: does not belong at the root" ;;
	esac
done
for entry in $expected; do
	[ -e "$entry" ] || complain "$entry: missing at the root"
done
exit $bad
