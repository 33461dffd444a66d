#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Install weir into an empty directory and build programs against it as an
# outsider would, shared and static; then run them.
#
#     run.sh c|cpp|dpdk BUILD_DIR CONSUMER_DIR
set -eu

kind=$1
build=$2
source=$3
work=$(mktemp -d "$build/consumer-XXXXXX")
trap 'rm -rf "$work"' EXIT

meson install -C "$build" --no-rebuild --quiet --destdir "$work/stage" \
	>"$work/install.txt" 2>&1 || {
	cat "$work/install.txt"
	exit 1
}
cp -r "$source/$kind" "$work/project"
cd "$work/project"

pc=$(dirname "$(find "$work/stage" -name weir.pc)")
export PKG_CONFIG_PATH=$pc
export LD_LIBRARY_PATH=${pc%/pkgconfig}
export RUNTIME_DIRECTORY=$work # of EAL

# DPDK's flags must not reach those who did not ask for DPDK.
if pkg-config --cflags --libs --static weir | grep -E 'rte_|dpdk|-march'; then
	echo "weir.pc carries flags of DPDK"
	exit 1
fi

if [ -f meson.build ]; then
	meson setup build >setup.txt 2>&1 || { cat setup.txt && exit 1; }
	ninja -C build >ninja.txt || { cat ninja.txt && exit 1; }
	programs="build/shared build/static"
else
	make --no-print-directory -s
	programs="./shared ./static"
fi

for program in $programs; do
	echo "$program:"
	timeout 60 "$program"
done

# Shared means shared, and static brought its own copy.
readelf -d ${programs% *} | grep -q 'NEEDED.*libweir\.so\.0'
if readelf -d ${programs#* } 2>/dev/null | grep 'NEEDED.*libweir'; then
	echo "the static program is not"
	exit 1
fi
