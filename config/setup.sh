#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Configure a build directory, or leave it alone if it is as asked for.
#
#     config/setup.sh build-NAME [CC=compiler] [CXX=compiler] [meson option]...
set -eu
cd "$(dirname "$0")/.."

dir=$1
shift
wanted="$*"
case $dir in
build*) ;;
*)
	echo "config/setup.sh: build directories are named build*" >&2
	exit 2
	;;
esac

# meson keeps the compiler of the first set-up for ever, so a directory that
# was made here with other options is made anew. One that somebody made by
# hand is taken as it is.
stamp=$dir/weir-options
if [ -f "$dir/build.ninja" ]; then
	[ -f "$stamp" ] && [ "$(cat "$stamp")" != "$wanted" ] || exit 0
fi
rm -rf "$dir"

compilers=()
while [ $# -gt 0 ]; do
	case $1 in
	CC=* | CXX=*) compilers+=("$1") ;;
	*) break ;;
	esac
	shift
done
env "${compilers[@]}" meson setup "$dir" "$@" >"$dir.log" 2>&1 || {
	cat "$dir.log" >&2
	rm -f "$dir.log"
	exit 1
}
mv "$dir.log" "$dir/meson-logs/setup.txt"
printf '%s\n' "$wanted" >"$stamp"
