#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Does weir build against DPDKs newer than this Debian's? Fetches those of other
# Debian releases into a directory of its own, installs nothing, and compiles
# and links the driver and the tool with each, warnings being errors.
#
#     config/dpdk_versions.sh [RELEASE...]      default: trixie sid
#
# Ends with a line "N passed, N failed, N skipped"; a release that cannot be
# fetched is skipped. Only building is tested: the libraries belong to another
# C library than ours.
set -u
cd "$(dirname "$0")/.." || exit 1
source=$PWD
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
passed=0 failed=0 skipped=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
[ $# -gt 0 ] || set -- trixie sid

# apt of a release, beside the system's own.
apt() {
	local release=$1 command=$2

	shift 2
	"apt-$command" -q -q \
		-o "Dir::Etc::SourceList=$dir/$release/sources.list" \
		-o Dir::Etc::SourceParts=/dev/null \
		-o "Dir::State::Lists=$dir/$release/lists" \
		-o "Dir::State::status=$dir/$release/status" \
		-o "Dir::Cache=$dir/$release/cache" \
		-o APT::Sandbox::User= "$@"
}

# fetch RELEASE: libdpdk-dev and the libraries that it links, into its root/.
fetch() {
	local release=$1 at=$dir/$1 package

	mkdir -p "$at"/{lists/partial,cache/archives/partial,deb,root}
	: >"$at/status"
	echo "deb [signed-by=$keyring] http://deb.debian.org/debian $release main" \
		>"$at/sources.list"
	apt "$release" get update || return 1
	(
		cd "$at/deb" || exit 1
		apt "$release" get download libdpdk-dev $(
			apt "$release" cache depends libdpdk-dev |
				awk '$1 == "Depends:" && $2 ~ /^librte/ { print $2 }'
		)
	) || return 1
	for package in "$at"/deb/*.deb; do
		dpkg-deb -x "$package" "$at/root" || return 1
	done
}

# try RELEASE ROOT: build in a directory that goes with the rest.
try() {
	local root=$2 build=$dir/$1/build pc

	pc=$(find "$root" -name libdpdk.pc -printf '%h\n' -quit)
	# What DPDK itself needs is this system's.
	PKG_CONFIG_PATH=$pc PKG_CONFIG_SYSROOT_DIR=$root \
		LDFLAGS="-Wl,--allow-shlib-undefined -L$(dirname "$pc")" \
		CFLAGS="-I$root/usr/include/dpdk -I$root/usr/include/$(
			gcc -print-multiarch)/dpdk" \
		meson setup "$build" "$source" -Ddpdk=enabled -Dtool=enabled \
		-Dman=disabled -Dtests=false -Dwerror=true \
		>"$dir/$1/log" 2>&1 &&
		grep -o 'dependency libdpdk found.*' "$dir/$1/log" &&
		ninja -C "$build" >"$dir/$1/log" 2>&1
}

for release in "$@"; do
	if ! command -v apt-get >/dev/null || [ ! -e $keyring ]; then
		echo "$release: skipped: not a Debian system"
		skipped=$((skipped + 1))
	elif ! fetch "$release" >"$dir/fetch.log" 2>&1; then
		echo "$release: skipped: cannot be fetched: $(
			tail -n 1 "$dir/fetch.log")"
		skipped=$((skipped + 1))
	elif try "$release" "$dir/$release/root"; then
		echo "$release: builds"
		passed=$((passed + 1))
	else
		grep -E 'error|Error|ERROR' "$dir/$release/log" | head -n 20
		echo "$release: DOES NOT BUILD"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
